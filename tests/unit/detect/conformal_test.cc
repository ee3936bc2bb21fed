#include "edge_agent/detect/conformal.h"

#include <numeric>

#include "tests/support/matchers.h"

namespace tacit::detect {
namespace {

using ::tacit::testing::IsError;
using ::tacit::testing::IsErrorSaying;
using ::tacit::testing::IsOk;

TEST(ConformalRank, IsTheCeilingWithoutRoundingErrors) {
  EXPECT_EQ(ConformalRank(19, 0.05), 19U);
  EXPECT_EQ(ConformalRank(99, 0.05), 95U);
  EXPECT_EQ(ConformalRank(999, 0.01), 990U);
  EXPECT_EQ(ConformalRank(100, 0.05), 96U);
  EXPECT_EQ(ConformalRank(10, 0.05), 11U);  // there is none
}

TEST(ConformalThreshold, IsTheScoreOfThatRank) {
  std::vector<double> scores(99);
  std::iota(scores.rbegin(), scores.rend(), 1);
  const auto threshold = ConformalThreshold(scores, 0.05);
  ASSERT_THAT(threshold, IsOk());
  EXPECT_EQ(*threshold, 95);
}

TEST(ConformalThreshold, SaysHowManyRowsItNeeds) {
  EXPECT_THAT(ConformalThreshold(std::vector<double>(18), 0.05),
              IsErrorSaying(ErrorCode::kInvalidArgument, "at least 19 clean rows, and there are 18"));
  EXPECT_THAT(ConformalThreshold(std::vector<double>(19), 0.05), IsOk());
}

TEST(RegularisedBeta, HasItsKnownValues) {
  EXPECT_NEAR(RegularisedBeta(0.5, 2, 2), 0.5, 1e-14);
  EXPECT_NEAR(RegularisedBeta(0.2, 2, 3), 0.1808, 1e-14);  // at least 2 of 4 at 0.2
  EXPECT_NEAR(RegularisedBeta(0.3, 1, 5), 1 - 0.7 * 0.7 * 0.7 * 0.7 * 0.7, 1e-14);
  EXPECT_NEAR(RegularisedBeta(0.9, 30, 2), 0.1695646, 1e-6);  // 31 * 0.9^30 - 30 * 0.9^31
  EXPECT_EQ(RegularisedBeta(0, 2, 2), 0);
  EXPECT_EQ(RegularisedBeta(1, 2, 2), 1);
}

TEST(RowsFor, IsEnoughFromThereOnAndNotLongBefore) {
  for (const double target : {0.01, 0.05}) {
    const Tolerance tolerance{.target = target, .within = 0.01, .confidence = 0.9};
    const auto rows = RowsFor(tolerance);
    ASSERT_THAT(rows, IsOk());
    for (std::size_t more = 0; more < 300; ++more) {
      EXPECT_GE(ConfidenceOf(*rows + more, tolerance), 0.9) << more << " more than " << *rows;
    }
    bool is_short = false;  // somewhere within the two teeth of the saw before
    for (std::size_t less = 1; less <= static_cast<std::size_t>(2 / target) && less < *rows; ++less) {
      is_short = is_short || ConfidenceOf(*rows - less, tolerance) < 0.9;
    }
    EXPECT_TRUE(is_short) << *rows;
  }
}

TEST(RowsFor, AgreesWithTheNormalApproximation) {
  // 1.645^2 p (1 - p) / within^2 = 1285 rows.
  const auto rows = RowsFor({.target = 0.05, .within = 0.01, .confidence = 0.9});
  ASSERT_THAT(rows, IsOk());
  EXPECT_NEAR(static_cast<double>(*rows), 1285, 80);
}

TEST(RowsFor, RefusesWhatIsNoTolerance) {
  EXPECT_THAT(RowsFor({.target = 0, .within = 0.01, .confidence = 0.9}), IsError(ErrorCode::kInvalidArgument));
  EXPECT_THAT(RowsFor({.target = 0.05, .within = 0, .confidence = 0.9}), IsError(ErrorCode::kInvalidArgument));
  EXPECT_THAT(RowsFor({.target = 0.05, .within = 0.01, .confidence = 1}), IsError(ErrorCode::kInvalidArgument));
}

}  // namespace
}  // namespace tacit::detect
