#include "edge_agent/worker/judging.h"

#include <vector>

#include <gtest/gtest.h>

#include "common/base/random.h"
#include "common/crypto/digest.h"
#include "common/graph/file.h"
#include "common/graph/from_spec.h"
#include "edge_agent/inference/builtin_engine.h"
#include "edge_agent/inference/heap_memory.h"
#include "tests/support/matchers.h"

namespace tacit::worker {
namespace {

using ::tacit::testing::IsError;
using ::tacit::testing::IsErrorSaying;
using ::tacit::testing::IsOk;

constexpr std::uint32_t kFeatures = 3;

AlignedBuffer ModelFile() {
  const auto spec = *model::ModelSpec::Create({.inputs = kFeatures, .hidden = {}, .classes = 3});
  std::vector<float> parameters(spec.ParameterCount(), 0.0F);
  for (std::size_t c = 0; c < 3; ++c) parameters[c * kFeatures + c] = 2;
  const graph::OwnedGraph graph = graph::FromSpec(spec, parameters);
  return graph::Serialise({.graph = graph.graph, .weights = graph.bytes()});
}

// Each near a corner.
std::vector<float> CleanRows(std::size_t count) {
  SplitMix64 random(3);
  std::vector<float> rows;
  for (std::size_t row = 0; row < count; ++row) {
    const std::uint64_t corner = random.Below(3);
    for (std::size_t i = 0; i < kFeatures; ++i) {
      rows.push_back((i == corner ? 2.0F : 0.0F) + 0.5F * static_cast<float>(random.Uniform() + random.Uniform() - 1));
    }
  }
  return rows;
}

class JudgingTest : public ::testing::Test {
 protected:
  JudgingTest() {
    TACIT_CHECK(engine_->Load(file_.bytes()), "a test's model loads");
    auto model = detect::EngineModel::Create(*engine_);
    detect::CalibrationOptions options;
    options.model = crypto::Sha256(file_.bytes());
    options.tolerance = {.target = 0.05, .within = 0.02, .confidence = 0.9};
    options.scores = {detect::Score::kGradient, detect::Score::kEnergy, detect::Score::kInput};
    options.drift_window = 50;
    const std::vector<float> rows = CleanRows(1'500);
    detectors_ = {.policy = {.mode = detect::Mode::kReject, .identity_budget = 5},
                  .calibration = *detect::Calibrate(*model, {.x = rows, .labels = {}}, options)};
  }

  Result<Judging> Create(const detect::Detectors& detectors) { return Create(detectors, IdOf(detectors.calibration)); }
  Result<Judging> Create(const detect::Detectors& detectors, const Digest256& id) {
    bytes_ = detect::Serialise(detectors);
    return Judging::Create({.model = file_.bytes(), .detectors = bytes_, .calibration = id}, *engine_);
  }

  const AlignedBuffer file_ = ModelFile();
  inference::HeapMemory memory_;
  const std::unique_ptr<inference::Engine> engine_ = inference::MakeBuiltinEngine(memory_);
  detect::Detectors detectors_;
  Bytes bytes_;
};

TEST_F(JudgingTest, JudgesWhatTheEngineAnswered) {
  auto judging = Create(detectors_);
  ASSERT_THAT(judging, IsOk());
  EXPECT_EQ(judging->Describe().policy, detectors_.policy);
  EXPECT_EQ(judging->Describe().calibration, IdOf(detectors_.calibration));
  const std::vector<float> rows = {2, 0, 0, -9, 40, 9};
  const ByteSpan input = AsBytes(std::span<const float>(rows));
  std::vector<Bytes> outputs = {Bytes(2 * 3 * sizeof(float))};
  const std::span<std::uint8_t> out(outputs[0]);
  ASSERT_THAT(engine_->Run(2, {&input, 1}, {&out, 1}), IsOk());
  const detect::Asker asker{.identity = {1}, .rows = 2};
  const auto judgement = judging->Judge(input, outputs, {&asker, 1}, 7);
  ASSERT_THAT(judgement, IsOk());
  ASSERT_EQ(judgement->rows.size(), 2U);
  EXPECT_FALSE(judgement->rows[0].suspicious);
  EXPECT_TRUE(judgement->rows[1].suspicious);
}

TEST_F(JudgingTest, RefusesDetectorsOfAnotherModelOrOthersThanWereSigned) {
  detect::Detectors others = detectors_;
  others.calibration.model[0] ^= 1U;
  EXPECT_THAT(Create(others), IsErrorSaying(ErrorCode::kDataLoss, "calibrated for another one"));
  EXPECT_THAT(Create(detectors_, {9}), IsErrorSaying(ErrorCode::kDataLoss, "not those that its manifest names"));
  bytes_.resize(40);
  EXPECT_THAT(Judging::Create({.model = file_.bytes(), .detectors = bytes_}, *engine_), IsError(ErrorCode::kMalformed));
}

TEST_F(JudgingTest, RefusesDetectorsOfAnotherShape) {
  detect::Detectors wide = detectors_;
  wide.calibration.shape.inputs = 4;
  EXPECT_FALSE(Create(wide).has_value());
}

}  // namespace
}  // namespace tacit::worker
