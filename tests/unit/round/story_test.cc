#include "server/round/story.h"

#include <gmock/gmock.h>

namespace tacit::round {
namespace {

constexpr WallTime kNoon{Millis(1'700'000'000'000)};
constexpr SteadyTime kStart{Millis(5'000)};

TEST(StageTimes, LetsEachStageEndWhereTheNextBegins) {
  StageTimes times(kNoon, kStart);
  times.Begin(Stage::kCollect, kStart + Millis(10));
  times.Begin(Stage::kClose, kStart + Millis(25));
  const auto spans = times.Until(kStart + Millis(27));
  ASSERT_EQ(spans.size(), 3U);
  EXPECT_EQ(spans[0].stage, Stage::kWait);
  EXPECT_EQ(spans[0].began, kNoon);
  EXPECT_EQ(spans[0].ended, kNoon + Millis(10));
  EXPECT_EQ(spans[1].began, spans[0].ended);
  EXPECT_EQ(spans[2].began, kNoon + Millis(25));
  EXPECT_EQ(spans[2].ended, kNoon + Millis(27));
}

TEST(StageTimes, CountsAttemptsAndDoesNotGoBack) {
  StageTimes times(kNoon, kStart);
  times.Begin(Stage::kCharge, kStart + Millis(1));
  times.Begin(Stage::kCharge, kStart + Millis(2));
  times.Begin(Stage::kCollect, kStart + Millis(3));
  const auto spans = times.Until(kStart + Millis(4));
  ASSERT_EQ(spans.size(), 2U);
  EXPECT_EQ(spans[1].stage, Stage::kCharge);
  EXPECT_EQ(spans[1].attempts, 2U);
  EXPECT_EQ(spans[1].began, kNoon + Millis(1));
}

TEST(StageTimes, NeverEndsBeforeItBegan) {
  StageTimes times(kNoon, kStart);
  times.Begin(Stage::kCollect, kStart - Millis(7));
  for (const StageSpan& span : times.Until(kStart - Millis(9))) EXPECT_LE(span.began, span.ended);
}

}  // namespace
}  // namespace tacit::round
