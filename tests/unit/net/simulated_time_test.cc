#include "common/net/simulated_time.h"

#include <stdexcept>
#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "common/net/compute_pool.h"
#include "common/net/task_group.h"
#include "common/net/wake_up.h"

namespace tacit::net {
namespace {

using ::testing::ElementsAre;

constexpr WallTime kStart{std::chrono::days(20'000)};

class Simulated : public ::testing::Test {
 protected:
  ~Simulated() override { time_.DestroySuspended(); }

  Task<void> Say(std::string what, Millis after) {
    WakeUp never;
    co_await never.WaitUntil(time_.clock().SteadyNow() + after);
    said_.push_back(std::move(what));
  }

  SimulatedTime time_{kStart};
  TaskGroup group_{time_.executor(), {.max_tasks = 10, .on_exception = {}}};
  std::vector<std::string> said_;
};

TEST_F(Simulated, DaysPassAtOnceAndInOrder) {
  ASSERT_TRUE(group_.Spawn(Say("last", std::chrono::days(2))));
  ASSERT_TRUE(group_.Spawn(Say("first", Millis(1))));
  ASSERT_TRUE(group_.Spawn(Say("second", std::chrono::hours(1))));
  EXPECT_TRUE(time_.RunUntil([this] { return said_.size() == 3; }));
  EXPECT_THAT(said_, ElementsAre("first", "second", "last"));
  EXPECT_EQ(time_.clock().Now(), kStart + std::chrono::days(2));
}

TEST_F(Simulated, NoTimePassesWhileSomethingIsLeftToRun) {
  ComputePool pool(time_.executor());
  const auto work = [&]() -> Task<int> {
    const Result<int> first = co_await pool.Run([] { return 20; });
    co_return first.value_or(0) + co_await CallOn(time_.executor(), [] { return 1; });
  };
  EXPECT_EQ(time_.Run(work()), 21);
  EXPECT_EQ(time_.clock().Now(), kStart);
}

TEST_F(Simulated, AWaitEndsWhenItIsWokenWhateverItsDeadline) {
  WakeUp wake;
  const auto waits = [&]() -> Task<bool> {
    co_return co_await wake.WaitUntil(time_.clock().SteadyNow() + std::chrono::hours(1));
  };
  const auto wakes = [&]() -> Task<void> {
    wake.Wake();
    co_return;
  };
  ASSERT_TRUE(group_.Spawn(wakes()));
  EXPECT_TRUE(time_.Run(waits()));
  EXPECT_EQ(time_.clock().Now(), kStart);
  EXPECT_FALSE(time_.Run(waits()));
  EXPECT_EQ(time_.clock().Now(), kStart + std::chrono::hours(1));
}

TEST_F(Simulated, SaysWhenNobodyWaitsForAnything) {
  EXPECT_FALSE(time_.RunUntil([] { return false; }));
}

TEST_F(Simulated, LetsAnExceptionOut) {
  const auto throws = []() -> Task<void> {
    throw std::runtime_error("a library's words");
    co_return;
  };
  EXPECT_THROW(time_.Run(throws()), std::runtime_error);
}

TEST_F(Simulated, DestroysWhatStillWaits) {
  auto there = std::make_shared<int>(1);
  const auto holds = [&](std::shared_ptr<int> held) -> Task<void> {
    WakeUp never;
    co_await never.WaitUntil(time_.clock().SteadyNow() + std::chrono::hours(1));
    EXPECT_EQ(*held, 1);
  };
  ASSERT_TRUE(group_.Spawn(holds(there)));
  EXPECT_TRUE(time_.RunUntil([] { return true; }));
  EXPECT_EQ(there.use_count(), 2);
  time_.DestroySuspended();
  EXPECT_EQ(there.use_count(), 1);
}

}  // namespace
}  // namespace tacit::net
