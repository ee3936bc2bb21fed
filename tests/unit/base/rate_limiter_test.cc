#include "common/base/rate_limiter.h"

#include <string>

#include <gmock/gmock.h>

#include "tests/support/fake_clock.h"

namespace tacit {
namespace {

TEST(RateLimiter, LetsEachSourceTryItsShareAndRefillsSteadily) {
  testing::FakeClock clock;
  RateLimiter limiter({.per_minute = 3}, clock);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(limiter.Allow("a"));
  EXPECT_FALSE(limiter.Allow("a"));
  EXPECT_TRUE(limiter.Allow("b"));
  clock.Advance(Millis(21'000));
  EXPECT_TRUE(limiter.Allow("a"));
  EXPECT_FALSE(limiter.Allow("a"));
}

TEST(RateLimiter, ForgetsQuietSourcesAndRefusesStrangersWhenFull) {
  testing::FakeClock clock;
  RateLimiter limiter({.per_minute = 1, .max_sources = 100}, clock);
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(limiter.Allow(std::to_string(i)));
  EXPECT_FALSE(limiter.Allow("stranger"));
  EXPECT_EQ(limiter.size(), 100U);
  clock.Advance(Millis(61'000));
  EXPECT_TRUE(limiter.Allow("stranger"));
  EXPECT_EQ(limiter.size(), 1U);
}

// What a fleet behind one address does when it comes back: all at once, and none fails.
TEST(RateLimiter, CountsNothingThatIsGivenBack) {
  testing::FakeClock clock;
  RateLimiter limiter({.per_minute = 10}, clock);
  for (int i = 0; i < 5'000; ++i) {
    ASSERT_TRUE(limiter.Allow("a")) << i;
    limiter.GiveBack("a");
  }
  EXPECT_EQ(limiter.size(), 0U);
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(limiter.Allow("a"));
  EXPECT_FALSE(limiter.Allow("a"));
  limiter.GiveBack("a");
  EXPECT_TRUE(limiter.Allow("a"));
  EXPECT_FALSE(limiter.Allow("a"));
}

TEST(RateLimiter, GivesBackNoMoreThanItsShare) {
  testing::FakeClock clock;
  RateLimiter limiter({.per_minute = 2}, clock);
  EXPECT_TRUE(limiter.Allow("a"));
  clock.Advance(Millis(59'000));
  limiter.GiveBack("a");
  limiter.GiveBack("a");
  EXPECT_TRUE(limiter.Allow("a"));
  EXPECT_TRUE(limiter.Allow("a"));
  EXPECT_FALSE(limiter.Allow("a"));
}

}  // namespace
}  // namespace tacit
