#include "edge_agent/serving/quotas.h"

#include <optional>

#include <gtest/gtest.h>

namespace tacit::serving {
namespace {

class SetClock final : public Clock {
 public:
  [[nodiscard]] WallTime Now() const override { return {}; }
  [[nodiscard]] SteadyTime SteadyNow() const override { return now_; }
  void Advance(Millis time) { now_ += time; }

 private:
  SteadyTime now_{Millis(1'000'000)};
};

TEST(Quotas, RefusesBeyondTheMinuteAndSaysWhenItPasses) {
  SetClock clock;
  Quotas quotas({.requests_per_minute = 2}, clock);
  EXPECT_TRUE(quotas.Admit("a", 0).has_value());
  EXPECT_TRUE(quotas.Admit("a", 0).has_value());
  const auto refused = quotas.Admit("a", 0);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().retry_after, Millis(30'000));
  EXPECT_TRUE(quotas.Admit("b", 0).has_value());
  clock.Advance(Millis(29'999));
  EXPECT_FALSE(quotas.Admit("a", 0).has_value());
  clock.Advance(Millis(1));
  EXPECT_TRUE(quotas.Admit("a", 0).has_value());
}

TEST(Quotas, CountsBytesAndRowsAsTheyAre) {
  SetClock clock;
  Quotas quotas({.rows_per_minute = 10, .bytes_per_minute = 100}, clock);
  auto first = quotas.Admit("a", 60);
  ASSERT_TRUE(first.has_value());
  EXPECT_FALSE(quotas.Admit("a", 60).has_value());
  EXPECT_TRUE(first->TakeRows(10).has_value());
  const auto more = first->TakeRows(5);
  ASSERT_FALSE(more.has_value());
  EXPECT_EQ(more.error().retry_after, Millis(30'000));
  EXPECT_NE(first->TakeRows(11).error().reason.find("split"), std::string::npos);
}

TEST(Quotas, GivesAPlaceBackWhenTheRequestEnds) {
  SetClock clock;
  Quotas quotas({.concurrent = 1}, clock);
  {
    const auto place = quotas.Admit("a", 0);
    ASSERT_TRUE(place.has_value());
    EXPECT_FALSE(quotas.Admit("a", 0).has_value());
  }
  EXPECT_TRUE(quotas.Admit("a", 0).has_value());
}

TEST(Quotas, ForgetsOnlyThoseWhoOweNothing) {
  SetClock clock;
  Quotas quotas({.requests_per_minute = 1, .max_identities = 2}, clock);
  EXPECT_TRUE(quotas.Admit("a", 0).has_value());
  EXPECT_TRUE(quotas.Admit("b", 0).has_value());
  EXPECT_FALSE(quotas.Admit("c", 0).has_value());
  clock.Advance(Millis(60'000));
  EXPECT_TRUE(quotas.Admit("c", 0).has_value());
}

}  // namespace
}  // namespace tacit::serving
