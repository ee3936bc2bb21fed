#include "edge_agent/detect/watch.h"

#include <algorithm>
#include <limits>

#include <gtest/gtest.h>

#include "tests/support/matchers.h"
#include "tests/unit/detect/clusters.h"

namespace tacit::detect {
namespace {

using ::tacit::testing::IsError;
using ::tacit::testing::IsOk;
using testing::Clusters;

constexpr Digest128 kSomebody = {1};

class WatchTest : public ::testing::Test {
 protected:
  Judgement Judge(std::span<const float> rows, std::span<const Asker> askers) {
    Answer answer;
    EXPECT_THAT(model_.Run(rows, answer), IsOk());
    auto judgement = watch_.Judge(model_, rows, answer, askers, 1000);
    EXPECT_THAT(judgement, IsOk());
    return *std::move(judgement);
  }
  Judgement Judge(std::span<const float> rows) {
    return Judge(rows, {{{.identity = kSomebody, .rows = rows.size() / Clusters::kInputs}}});
  }

  Clusters model_;
  Watch watch_ = *Watch::Create({.policy = {}, .calibration = testing::ClusterCalibration()}, model_.shape());
};

TEST_F(WatchTest, LeavesCleanRowsBeAndSuspectsNoise) {
  const Judgement clean = Judge(Clusters::Draw(400, 9).x);
  ASSERT_EQ(clean.rows.size(), 400U);
  EXPECT_LT(std::ranges::count(clean.rows, true, &RowVerdict::suspicious), 40);
  std::vector<float> noise = Clusters::Draw(40, 9).x;
  for (float& value : noise) value = 5 - 4 * value;
  const Judgement strange = Judge(noise);
  EXPECT_EQ(std::ranges::count(strange.rows, true, &RowVerdict::suspicious), 40);
  EXPECT_EQ(strange.rows.front().concern, Concern::kOutOfDistribution);
}

TEST_F(WatchTest, CountsWindowsOfDriftAndNamesWhatDrifted) {
  const Judgement clean = Judge(Clusters::Draw(120, 4).x);
  EXPECT_EQ(clean.drift_windows, 2U);
  std::vector<float> moved = Clusters::Draw(100, 5).x;
  for (float& value : moved) value += 0.5F;
  const Judgement drifted = Judge(moved);
  EXPECT_EQ(drifted.drift_windows, 2U);
  EXPECT_EQ(drifted.drift_alarms, 2U);
  EXPECT_NE(drifted.drifted & 1U << static_cast<unsigned>(DriftStatistic::kMean), 0U);
}

TEST_F(WatchTest, SuspectsWhatIsNoNumberAndCountsItInNoWindow) {
  std::vector<float> rows = Clusters::Draw(60, 6).x;
  for (std::size_t row = 0; row < 60; row += 2) {
    rows[row * Clusters::kInputs] = std::numeric_limits<float>::quiet_NaN();
  }
  const Judgement judgement = Judge(rows);
  EXPECT_FALSE(judgement.rows[0].is_finite);
  EXPECT_TRUE(judgement.rows[0].suspicious);
  EXPECT_TRUE(judgement.rows[1].is_finite);
  EXPECT_EQ(judgement.drift_windows, 0U) << "of 50 rows, and 30 are numbers";
}

// One asker's rows, stepping evenly through one class, look made; those of the other are what they are when they are
// asked alone.
TEST_F(WatchTest, TellsAskersApart) {
  constexpr std::size_t kRows = 600;
  std::vector<float> rows = Clusters::Draw(2 * kRows, 7).x;
  for (std::size_t row = 0; row < kRows; ++row) {
    for (std::size_t i = 0; i < Clusters::kInputs; ++i) {
      rows[row * Clusters::kInputs + i] = 0.001F * static_cast<float>(row % 300) + (i == 0 ? 1.0F : 0.0F);
    }
  }
  const std::array<Asker, 2> askers = {{{.identity = kSomebody, .rows = kRows}, {.identity = {2}, .rows = kRows}}};
  const Judgement judgement = Judge(rows, askers);
  watch_ = *Watch::Create({.policy = {}, .calibration = testing::ClusterCalibration()}, model_.shape());
  const Judgement alone = Judge(std::span(rows).last(kRows * Clusters::kInputs));
  const auto is_made = [](const RowVerdict& row) { return row.extraction == ExtractionReason::kIdentityDistances; };
  EXPECT_GT(std::ranges::count_if(std::span(judgement.rows).first(kRows), is_made), 100);
  EXPECT_EQ(std::ranges::count_if(std::span(judgement.rows).last(kRows), is_made),
            std::ranges::count_if(alone.rows, is_made));
}

TEST_F(WatchTest, IsOfOneModel) {
  EXPECT_THAT(Watch::Create({.policy = {}, .calibration = testing::ClusterCalibration()}, {.inputs = 7, .classes = 3}),
              IsError(ErrorCode::kInvalidArgument));
}

}  // namespace
}  // namespace tacit::detect
