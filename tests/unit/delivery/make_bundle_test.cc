#include "server/delivery/make_bundle.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/bundle/open_bundle.h"
#include "common/crypto/soft_agreement_key.h"
#include "common/graph/file.h"
#include "common/graph/from_spec.h"
#include "tests/support/matchers.h"
#include "tests/unit/detect/clusters.h"

namespace tacit::delivery {
namespace {

using ::tacit::testing::IsError;
using ::tacit::testing::IsOk;

class NoVersion final : public RollbackGuard {
 public:
  Result<std::uint64_t> Highest() override { return 0; }
  Result<void> Record(std::uint64_t /*version*/) override { return {}; }
};

class MakeBundleTest : public ::testing::Test {
 protected:
  Result<MadeBundle> Make(const BundleName& name, const crypto::SecretKey& owner) {
    return MakeBundle({.name = name,
                       .model = model_,
                       .parameters = AsBytes(std::span<const float>(parameters_)),
                       .published_at = WallTime(Millis(1000))},
                      {.owner = owner, .signer = signer_});
  }
  Result<MadeBundle> Make(const BundleName& name) { return Make(name, owner_); }

  const model::ModelSpec model_ = *model::ModelSpec::Create({.inputs = 40, .hidden = {64}, .classes = 3});
  const std::vector<float> parameters_ = model_.InitialParameters(1);
  const crypto::SecretKey owner_ = crypto::SecretKey::Random();
  const crypto::SigningKey signer_ = *crypto::SigningKey::Generate();
  const detect::Detectors detectors_{.policy = {.mode = detect::Mode::kFlag, .identity_budget = 9},
                                     .calibration = detect::testing::ClusterCalibration()};
  const BundleName shared_{.task = *TaskId::Parse("har"), .version = 3};
  const BundleName own_{.task = *TaskId::Parse("har"), .version = 3, .device = DeviceId::Parse("cam").value()};
};

TEST_F(MakeBundleTest, GivesTheSameBytesEachTime) {
  const auto once = Make(shared_);
  const auto again = Make(shared_);
  ASSERT_THAT(once, IsOk());
  EXPECT_EQ(once->file, again->file);
  EXPECT_EQ(once->tag, again->tag);
  EXPECT_TRUE(std::ranges::equal(once->content_key.bytes(), again->content_key.bytes()));
}

TEST_F(MakeBundleTest, GivesNoTwoVersionsTasksOrDevicesOneContentKey) {
  const BundleName next{.task = *TaskId::Parse("har"), .version = 4};
  const BundleName other{.task = *TaskId::Parse("vib"), .version = 3};
  const BundleName tablet{.task = *TaskId::Parse("har"), .version = 3, .device = DeviceId::Parse("tab").value()};
  std::vector<std::string> ids;
  for (const BundleName& name : {shared_, own_, next, other, tablet})
    ids.push_back(ToHex(Make(name)->manifest.fields().content_key));
  ids.push_back(ToHex(Make(shared_, crypto::SecretKey::Random())->manifest.fields().content_key));
  std::ranges::sort(ids);
  EXPECT_EQ(std::ranges::adjacent_find(ids), ids.end());
}

TEST_F(MakeBundleTest, OpensToTheGraphOfTheModelWithALease) {
  const auto made = Make(own_);
  ASSERT_THAT(made, IsOk());
  EXPECT_EQ(made->manifest.fields().device, own_.device);
  auto key = crypto::SoftAgreementKey::Generate();
  const SystemClock clock;
  const bundle::LeaseTerms terms{.device = *own_.device,
                                 .manifest = made->manifest.digest(),
                                 .key_epoch = 1,
                                 .not_before = clock.Now() - Millis(1000),
                                 .expires = clock.Now() + Millis(60'000)};
  const auto lease = bundle::IssueLease(
      {.terms = terms, .recipient = key->public_key(), .content_key = made->content_key}, {&signer_, 1});
  ASSERT_THAT(lease, IsOk());
  const auto signers = *bundle::SignerSet::Create({signer_.public_key()}, 1);
  const auto name = *bundle::ModelName::Parse("har");
  NoVersion guard;
  const auto open = [&](bundle::ByteSource& source) {
    return bundle::OpenBundle(source, *lease,
                              {.device = *own_.device,
                               .model = name,
                               .bundle_signers = signers,
                               .lease_signers = signers,
                               .guard = guard,
                               .clock = clock,
                               .key = *key,
                               .key_epoch = 1,
                               .minimum_version = 0,
                               .purpose = bundle::Purpose::kLoad});
  };
  bundle::MemorySource source(made->file);
  auto opened = open(source);
  ASSERT_THAT(opened, IsOk());
  AlignedBuffer plaintext(made->manifest.fields().plaintext_size);
  ASSERT_THAT(std::move(*opened).ReadInto(plaintext.bytes()), IsOk());
  const auto graph = graph::Parse(plaintext.bytes());
  ASSERT_THAT(graph, IsOk());
  EXPECT_EQ(graph->graph.nodes.size(), graph::FromSpec(model_, parameters_).graph.nodes.size());
}

// Each copy has the detectors of the version, as its own.
TEST_F(MakeBundleTest, CarriesDetectorsBehindTheModelThatTheyAreOf) {
  for (const BundleName& name : {shared_, own_}) {
    const auto plain = Make(name);
    const auto made = MakeBundle({.name = name,
                                  .model = model_,
                                  .parameters = AsBytes(std::span<const float>(parameters_)),
                                  .published_at = WallTime(Millis(1000)),
                                  .detectors = &detectors_},
                                 {.owner = owner_, .signer = signer_});
    ASSERT_THAT(made, IsOk());
    const bundle::ManifestFields& fields = made->manifest.fields();
    const std::uint64_t model_size = plain->manifest.fields().plaintext_size;
    EXPECT_EQ(fields.plaintext_size, model_size + fields.detectors_size);
    detect::Detectors stamped = detectors_;
    stamped.calibration.model = plain->manifest.fields().plaintext_digest;
    EXPECT_EQ(fields.detectors_size, detect::Serialise(stamped).size());
    EXPECT_EQ(fields.detector_calibration, detect::IdOf(stamped.calibration));
  }
}

TEST_F(MakeBundleTest, RefusesParametersThatAreNotTheModels) {
  EXPECT_THAT(MakeBundle({.name = shared_, .model = model_, .parameters = {}, .published_at = WallTime(Millis(0))},
                         {.owner = owner_, .signer = signer_}),
              IsError(ErrorCode::kDataLoss));
}

TEST(PeakBytes, IsWhatTheLargestModelWithinALimitTakes) {
  for (const std::uint64_t limit : {1ULL << 20U, 128ULL << 20U, 1ULL << 32U}) {
    const std::uint64_t most = MostParameters(limit);
    if (most > 0) EXPECT_LE(PeakBytes(most), limit);
    EXPECT_GT(PeakBytes(most + 1), limit);
  }
}

}  // namespace
}  // namespace tacit::delivery
