#include "edge_agent/detect/detector.h"

#include <algorithm>
#include <limits>

#include "tests/support/matchers.h"
#include "tests/unit/detect/clusters.h"

namespace tacit::detect {
namespace {

using ::tacit::testing::IsError;
using ::tacit::testing::IsOk;
using testing::ClusterCalibration;
using testing::Clusters;

Result<std::vector<Verdict>> JudgeRows(Mode mode, std::span<const float> x) {
  Clusters model;
  TACIT_TRY(const Detector detector, Detector::Create(ClusterCalibration(), mode, model.shape()));
  Answer answer;
  TACIT_TRY_VOID(model.Run(x, answer));
  return detector.Judge(model, x, answer);
}

constexpr std::array kFar = {-3.0F, 3.0F, 2.0F, -4.0F, 3.0F, -2.0F};

TEST(Detector, FindsWhatIsFarFromEveryClass) {
  const auto verdicts = JudgeRows(Mode::kReject, kFar);
  ASSERT_THAT(verdicts, IsOk());
  const Verdict& verdict = verdicts->front();
  EXPECT_TRUE(verdict.suspicious);
  EXPECT_EQ(verdict.decision, Decision::kRejected);
  EXPECT_EQ(verdict.concern, Concern::kOutOfDistribution);
  EXPECT_GT(verdict.evidence, verdict.threshold);
  EXPECT_EQ(verdict.calibration, IdOf(ClusterCalibration()));
  EXPECT_EQ(verdict.scores.size(), ClusterCalibration().scoring.scores.size());
  EXPECT_THAT(verdict.reason, ::testing::StartsWith("out of distribution, by "));
}

TEST(Detector, DoesWhatItsModeSays) {
  EXPECT_EQ(JudgeRows(Mode::kObserve, kFar)->front().decision, Decision::kAccepted);
  EXPECT_TRUE(JudgeRows(Mode::kObserve, kFar)->front().suspicious);
  EXPECT_EQ(JudgeRows(Mode::kFlag, kFar)->front().decision, Decision::kFlagged);
}

TEST(Detector, AcceptsTheMiddleOfAClass) {
  constexpr std::array kMiddle = {1.0F, 1.0F, 0.0F, 0.0F, 0.0F, 0.0F};
  const auto verdicts = JudgeRows(Mode::kReject, kMiddle);
  ASSERT_THAT(verdicts, IsOk());
  EXPECT_FALSE(verdicts->front().suspicious);
  EXPECT_EQ(verdicts->front().decision, Decision::kAccepted);
  EXPECT_EQ(verdicts->front().reason, "");
}

TEST(Detector, RejectsNumbersThatAreNotFinite) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    const std::array row = {1.0F, 1.0F, 0.0F, bad, 0.0F, 0.0F};
    const auto verdicts = JudgeRows(Mode::kReject, row);
    ASSERT_THAT(verdicts, IsOk());
    EXPECT_EQ(verdicts->front().decision, Decision::kRejected);
  }
}

TEST(Detector, RefusesAnotherModelAndAnswersOfOtherSizes) {
  EXPECT_THAT(Detector::Create(ClusterCalibration(), Mode::kFlag, {.inputs = 6, .classes = 4, .features = 6}),
              IsError(ErrorCode::kInvalidArgument));
  Clusters model;
  const auto detector = Detector::Create(ClusterCalibration(), Mode::kFlag, model.shape());
  ASSERT_THAT(detector, IsOk());
  EXPECT_THAT(detector->Judge(model, kFar, {}), IsError(ErrorCode::kInvalidArgument));
}

TEST(Weigh, IsMonotoneInEveryScore) {
  const Calibration& calibration = ClusterCalibration();
  std::vector<double> scores = {-5, -3, 4, 4};
  const double before = Weigh(calibration.scoring, calibration.combination, scores).evidence;
  for (double& score : scores) {
    score += 50;
    EXPECT_GE(Weigh(calibration.scoring, calibration.combination, scores).evidence, before);
    score -= 50;
  }
}

}  // namespace
}  // namespace tacit::detect
