#include <sys/resource.h>
#include <unistd.h>

#include <cmath>
#include <fstream>
#include <unordered_set>

#include "common/base/files.h"
#include "common/graph/file.h"
#include "common/graph/from_spec.h"
#include "edge_agent/inference/builtin_engine.h"
#include "edge_agent/protect/protected_memory.h"
#include "edge_agent/worker/bundle_model.h"
#include "tests/support/matchers.h"
#include "tests/unit/bundle/fixtures.h"
#include "tests/unit/worker/process_memory.h"
#include "tests/unit/worker/served_model.h"

// The worker that ships: tacit-agent, its own engine, and a bundle.
namespace tacit::worker {
namespace {

using ::tacit::testing::IsOk;
using testing::Soon;

constexpr std::size_t kFeatures = 784;
constexpr std::size_t kClasses = 10;

AlignedBuffer SomeClassifier() {
  const auto spec = model::ModelSpec::Create({.inputs = kFeatures, .hidden = {256, 128}, .classes = kClasses});
  std::vector<float> parameters(spec->ParameterCount());
  SplitMix64 random(5);
  for (float& parameter : parameters) parameter = static_cast<float>(random.Uniform() - 0.5) / 8;
  const graph::OwnedGraph graph = graph::FromSpec(*spec, parameters);
  return graph::Serialise({.graph = graph.graph, .weights = graph.bytes()});
}

// A device with a bundle of a classifier, and an agent's worker that serves it.
class AgentWorkerTest : public ::testing::Test {
 protected:
  AgentWorkerTest() {
    const bundle::SealedBundle sealed = server_.Seal(Bytes(model_.bytes().begin(), model_.bytes().end()));
    const auto lease = bundle::IssueLease(
        {.terms = server_.Terms(sealed.manifest()), .recipient = key_.public_key(), .content_key = server_.content_key},
        server_.keys);
    TACIT_CHECK(lease && WriteFileAtomic(files_.lease, AsBytes(*lease), kOwnerOnly), "a test can write a lease");
    TACIT_CHECK(WriteFileAtomic(files_.bundle, bundle::testing::BytesOf(sealed), kOwnerOnly), "and a bundle");
  }

  static WorkerProcessOptions AgentProgram() {
    WorkerProcessOptions options = testing::ConfinedWorker();
    options.program = std::filesystem::path(options.program).parent_path() / "tacit-agent";
    options.command = {"inference-worker"};
    options.memory_limit = std::size_t{16} << 20U;
    return options;
  }
  std::shared_ptr<BundleSource> Source() {
    return std::make_shared<BundleSource>(
        files_.bundle,
        [this](bundle::ByteSource& source) -> Result<bundle::OpenedBundle> {
          TACIT_TRY(const Bytes lease, ReadFile(files_.lease, bundle::Lease::kLongest));
          return bundle::OpenBundle(source, AsText(lease),
                                    {.device = device_,
                                     .model = name_,
                                     .bundle_signers = trusted_,
                                     .lease_signers = trusted_,
                                     .guard = guard_,
                                     .clock = server_.clock,
                                     .key = key_,
                                     .key_epoch = 1,
                                     .minimum_version = 0,
                                     .purpose = bundle::Purpose::kLoad});
        },
        server_.clock);
  }

  bundle::testing::Server server_;
  const DeviceId device_ = *DeviceId::Parse("pump-3");
  const bundle::ModelName name_ = *bundle::ModelName::Parse("har");
  const bundle::SignerSet trusted_ = server_.Trusted();
  bundle::testing::FakeGuard guard_;
  crypto::SoftAgreementKey key_ = *crypto::SoftAgreementKey::Generate();
  ::tacit::testing::TempDirectory directory_;
  struct Files {
    std::filesystem::path bundle;
    std::filesystem::path lease;
  };
  const Files files_ = {.bundle = directory_ / "bundle", .lease = directory_ / "lease"};
  const AlignedBuffer model_ = SomeClassifier();
};

std::vector<float> SomeRows(std::size_t rows) {
  std::vector<float> values(rows * kFeatures);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = std::sin(static_cast<float>(i));
  return values;
}

TEST_F(AgentWorkerTest, ComputesWhatTheEngineComputesHere) {
  testing::Supervised agent(AgentProgram());
  ASSERT_THAT(agent.supervisor.Serve(Source()), IsOk());
  constexpr std::size_t kRows = 3;
  const std::vector<float> rows = SomeRows(kRows);
  const ByteSpan input = AsBytes(std::span<const float>(rows));
  const auto answer = agent.supervisor.Infer(kRows, std::span(&input, 1), Soon());
  ASSERT_THAT(answer, IsOk());

  protect::SystemKernel kernel;
  protect::ProtectedMemory workspace(std::size_t{16} << 20U, kernel);
  const auto engine = inference::MakeBuiltinEngine(workspace);
  ASSERT_THAT(engine->Load(model_.bytes()), IsOk());
  Bytes expected(kRows * kClasses * sizeof(float));
  const std::span<std::uint8_t> output(expected);
  ASSERT_THAT(engine->Run(kRows, std::span(&input, 1), std::span(&output, 1)), IsOk());
  EXPECT_EQ(Bytes(answer->outputs.at(0).begin(), answer->outputs.at(0).end()), expected);
  engine->Wipe();
}

// What root reads of the worker, after it has computed: neither the model's bytes nor a row of its weights.
TEST_F(AgentWorkerTest, HoldsNoWeightsWhereRootCouldReadThem) {
  if (::geteuid() != 0) GTEST_SKIP() << "reading a worker's memory at all takes root";
  testing::Supervised agent(AgentProgram());
  ASSERT_THAT(agent.supervisor.Serve(Source()), IsOk());
  const auto status = agent.supervisor.status();
  if (!status.model->protections.Holds(protect::Measure::kSecretPages)) {
    GTEST_SKIP() << status.model->protections.Degradations();
  }
  const std::vector<float> rows = SomeRows(1);
  const ByteSpan input = AsBytes(std::span<const float>(rows));
  ASSERT_THAT(agent.supervisor.Infer(1, std::span(&input, 1), Soon()), IsOk());

  const auto pid = testing::ChildNamed("inference-worker");
  ASSERT_TRUE(pid.has_value());
  constexpr std::size_t kBlock = 32;
  std::unordered_multimap<std::uint64_t, std::size_t> places;
  const ByteSpan model = model_.bytes();
  const auto word_at = [](ByteSpan bytes, std::size_t at) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + at, sizeof word);
    return word;
  };
  // Zeros and small whole numbers of the head are in any process.
  for (std::size_t at = model.size() / 4; at + kBlock <= model.size(); at += 4) {
    if (word_at(model, at) != 0) places.emplace(word_at(model, at), at);
  }
  std::size_t found = 0;
  const testing::ReadMemory read = testing::ReadProcess(*pid, [&](ByteSpan window) {
    for (std::size_t at = 0; at + kBlock <= window.size(); at += 4) {
      const auto [first, last] = places.equal_range(word_at(window, at));
      for (auto place = first; place != last; ++place) {
        if (std::memcmp(model.data() + place->second, window.data() + at, kBlock) == 0) ++found;
      }
    }
  });
  EXPECT_GT(read.bytes, std::size_t{1} << 20U);
  EXPECT_EQ(found, 0U);
}

}  // namespace
}  // namespace tacit::worker
