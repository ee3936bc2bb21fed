#include "edge_agent/detect/evidence.h"

#include <cmath>
#include <limits>

#include "tests/support/matchers.h"

namespace tacit::detect {
namespace {

using ::tacit::testing::IsError;
using ::tacit::testing::IsOk;

std::vector<double> Uniform() {
  std::vector<double> scores;
  for (int i = 0; i < 10'000; ++i) scores.push_back((i + 0.5) / 10'000);
  return scores;
}

TEST(EvidenceCurve, IsMinusLogOfTheShareAbove) {
  const auto curve = EvidenceCurve::Fit(Uniform());
  ASSERT_THAT(curve, IsOk());
  for (const double score : {0.1, 0.5, 0.9, 0.99, 0.999}) {
    EXPECT_NEAR((*curve)(score), -std::log(1 - score), 0.05 * -std::log(1 - score) + 0.01) << score;
  }
  EXPECT_EQ((*curve)(-3), 0);
}

TEST(EvidenceCurve, GrowsBeyondAllThatWasSeen) {
  const auto curve = EvidenceCurve::Fit(Uniform());
  ASSERT_THAT(curve, IsOk());
  EXPECT_GT((*curve)(1.5), (*curve)(1.2));
  EXPECT_GT((*curve)(1.2), (*curve)(1.0));
  EXPECT_EQ((*curve)(std::numeric_limits<double>::infinity()), EvidenceCurve::kMost);
  EXPECT_EQ((*curve)(std::numeric_limits<double>::quiet_NaN()), EvidenceCurve::kMost);
}

TEST(EvidenceCurve, TakesRowsThatScoreTheSameAsTheLeastStrangeOfThem) {
  std::vector<double> scores(900, 0.0);
  scores.resize(1000, 1.0);
  const auto curve = EvidenceCurve::Fit(scores);
  ASSERT_THAT(curve, IsOk());
  EXPECT_EQ((*curve)(0.0), 0);
  EXPECT_NEAR((*curve)(1.0), std::log(10.0), 0.15);
  EXPECT_THAT(EvidenceCurve::Fit(std::vector<double>(200, 4.0)), IsOk());
}

TEST(EvidenceCurve, RefusesFewRowsAndThoseThatAreNotFinite) {
  EXPECT_THAT(EvidenceCurve::Fit(std::vector<double>(99)), IsError(ErrorCode::kInvalidArgument));
  std::vector<double> scores(200);
  scores[3] = std::numeric_limits<double>::infinity();
  EXPECT_THAT(EvidenceCurve::Fit(scores), IsError(ErrorCode::kInvalidArgument));
}

TEST(EvidenceCurve, OnlyComesOfKnotsThatRise) {
  EXPECT_THAT(EvidenceCurve::FromKnots({{0, 0}, {1, 2}}, 1), IsOk());
  EXPECT_THAT(EvidenceCurve::FromKnots({}, 1), IsError(ErrorCode::kMalformed));
  EXPECT_THAT(EvidenceCurve::FromKnots({{0, 0}, {0, 2}}, 1), IsError(ErrorCode::kMalformed));
  EXPECT_THAT(EvidenceCurve::FromKnots({{0, 2}, {1, 0}}, 1), IsError(ErrorCode::kMalformed));
  EXPECT_THAT(EvidenceCurve::FromKnots({{0, 0}, {1, 2}}, -1), IsError(ErrorCode::kMalformed));
}

}  // namespace
}  // namespace tacit::detect
