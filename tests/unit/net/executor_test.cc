#include "common/net/executor.h"

#include <atomic>
#include <chrono>
#include <future>
#include <stdexcept>
#include <thread>
#include <vector>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>

#include "common/net/compute_pool.h"
#include "common/net/task_group.h"
#include "common/net/wake_up.h"
#include "tests/support/matchers.h"
#include "tests/unit/net/test_server.h"

namespace tacit::net {
namespace {

using std::chrono::milliseconds;
using ::tacit::testing::IsError;
using ::tacit::testing::IsErrorSaying;
using ::tacit::testing::IsOk;
using testing::In;

// Runs a coroutine on `executor` from a test's thread.
template <typename T>
T Await(const asio::any_io_executor& executor, Task<T> task) {
  return asio::co_spawn(executor, std::move(task), asio::use_future).get();
}

class Threads : public ::testing::Test {
 protected:
  Threads() : threads_(IoThreads::Create(2).value()) { threads_->Start(); }
  asio::any_io_executor first() { return threads_->executor(0); }
  asio::any_io_executor second() { return threads_->executor(1); }
  std::atomic<int> alive_ = 0;  // Before the threads, whose end destroys the coroutines that count themselves here.
  std::unique_ptr<IoThreads> threads_;
};

TEST(IoThreadsCreate, RefusesNoneAndTooMany) {
  EXPECT_THAT(IoThreads::Create(0), IsError(ErrorCode::kInvalidArgument));
  EXPECT_THAT(IoThreads::Create(257), IsError(ErrorCode::kInvalidArgument));
}

Task<std::pair<std::thread::id, std::thread::id>> WhereAmI(asio::any_io_executor other) {
  const std::thread::id there = co_await CallOn(std::move(other), [] { return std::this_thread::get_id(); });
  co_return std::pair(there, std::this_thread::get_id());
}

TEST_F(Threads, CallOnRunsThereAndResumesHere) {
  const auto there = Await(second(), CallOn(second(), [] { return std::this_thread::get_id(); }));
  const auto here = Await(first(), CallOn(first(), [] { return std::this_thread::get_id(); }));
  EXPECT_NE(here, there);
  EXPECT_EQ(Await(first(), WhereAmI(second())), std::pair(there, here));
}

Task<int> CatchFrom(asio::any_io_executor other) {
  try {
    co_await CallOn(std::move(other), [] { throw std::runtime_error("thrown there"); });
  } catch (const std::runtime_error&) {
    co_return 1;
  }
  co_return 0;
}

TEST_F(Threads, CallOnBringsAnExceptionBack) {
  EXPECT_EQ(Await(first(), CatchFrom(second())), 1);
}

TEST_F(Threads, CallOnCarriesWhatCannotBeCopied) {
  auto made = Await(first(), CallOn(second(), [held = std::make_unique<int>(7)]() mutable { return std::move(held); }));
  EXPECT_EQ(*made, 7);
}

TEST_F(Threads, ASharedExecutorRunsAtOnceWhatFindsItFreeAndPostsToItsThread) {
  const asio::any_io_executor shared = threads_->shared_executor(1);
  const auto second_id = Await(second(), CallOn(second(), [] { return std::this_thread::get_id(); }));
  std::thread::id ran_on;
  HandTo(shared, [&] { ran_on = std::this_thread::get_id(); });
  EXPECT_EQ(ran_on, std::this_thread::get_id());
  const auto here = [] { return std::this_thread::get_id(); };
  EXPECT_EQ(Await(first(), CallOn(shared, here)), Await(first(), CallOn(first(), here)));
  EXPECT_EQ(Await(first(), CallOn(shared, here, Handing::kPosted)), second_id);
  std::promise<std::thread::id> posted;
  asio::post(shared, [&] { posted.set_value(std::this_thread::get_id()); });
  EXPECT_EQ(posted.get_future().get(), second_id);
}

// Not atomic: under ThreadSanitizer, and by its count, it shows whether two steps were at it at once.
Task<void> CountOn(asio::any_io_executor shared, std::uint64_t& count, int times) {
  for (int i = 0; i < times; ++i) {
    co_await CallOn(shared, [&] { ++count; });
    asio::post(shared, [&] { ++count; });
  }
}

TEST_F(Threads, ASharedExecutorRunsOneStepAtATimeWhoeverRunsIt) {
  const asio::any_io_executor shared = threads_->shared_executor(1);
  constexpr int kTimes = 2000;
  std::uint64_t count = 0;
  std::vector<std::future<void>> ends;
  for (const auto& executor : {first(), second(), first(), second(), shared})
    ends.push_back(asio::co_spawn(executor, CountOn(shared, count, kTimes), asio::use_future));
  for (int i = 0; i < kTimes; ++i) HandTo(shared, [&] { ++count; });
  for (std::future<void>& end : ends) end.get();
  std::promise<std::uint64_t> last;  // after everything that was posted
  asio::post(shared, [&] { last.set_value(count); });
  EXPECT_EQ(last.get_future().get(), kTimes * (2U * ends.size() + 1));
}

TEST_F(Threads, ASharedExecutorLeavesToItsThreadWhatFindsItTaken) {
  const asio::any_io_executor shared = threads_->shared_executor(1);
  std::promise<void> begun;
  std::promise<void> release;
  auto holder = std::async(std::launch::async, [&] {
    HandTo(shared, [&] {
      begun.set_value();
      release.get_future().wait();
    });
  });
  begun.get_future().wait();
  std::promise<std::thread::id> ran;
  std::atomic<bool> has_run = false;
  HandTo(shared, [&] {
    has_run = true;
    ran.set_value(std::this_thread::get_id());
  });
  EXPECT_FALSE(has_run) << "and the one who hands it over is not held up";
  release.set_value();
  EXPECT_EQ(ran.get_future().get(), Await(second(), CallOn(second(), [] { return std::this_thread::get_id(); })));
  holder.get();
}

// Counts how many of itself are alive.
struct Alive {
  explicit Alive(std::atomic<int>& its_count) : count(its_count) { ++count; }
  Alive(const Alive&) = delete;
  Alive& operator=(const Alive&) = delete;
  ~Alive() { --count; }
  std::atomic<int>& count;
};

Task<void> SleepForEver(std::atomic<int>& alive) {
  const Alive mark(alive);
  asio::steady_timer timer(co_await asio::this_coro::executor, std::chrono::hours(1));
  co_await timer.async_wait(asio::use_awaitable);
}

Task<void> WaitOnTheOther(asio::any_io_executor other, std::atomic<int>& alive) {
  const Alive mark(alive);
  co_await CallOn(std::move(other), [] {});
}

bool Becomes(const std::atomic<int>& value, int expected) {
  for (int i = 0; i < 1000 && value != expected; ++i) std::this_thread::sleep_for(milliseconds(5));
  return value == expected;
}

TEST(IoThreadsStop, DestroysEveryCoroutineThatIsStillSuspended) {
  std::atomic<int> alive = 0;
  auto threads = IoThreads::Create(2).value();
  TaskGroup group(threads->executor(0), {10, {}});
  asio::post(threads->executor(0), [&] {
    EXPECT_THAT(group.Spawn(SleepForEver(alive)), IsOk());
    // Never runs: the second thread is kept busy below, so that this one is destroyed while queued on another context.
    EXPECT_THAT(group.Spawn(WaitOnTheOther(threads->executor(1), alive)), IsOk());
  });
  std::promise<void> release;
  asio::post(threads->executor(1), [done = release.get_future().share()] { done.wait(); });
  threads->Start();
  ASSERT_TRUE(Becomes(alive, 2));
  std::jthread later([&] {
    std::this_thread::sleep_for(milliseconds(50));
    release.set_value();
  });
  threads->StopAndJoin();
  EXPECT_EQ(alive, 0);
}

Task<void> CallTheOtherForEver(asio::any_io_executor other, std::atomic<int>& alive) {
  const Alive mark(alive);
  for (;;) co_await CallOn(other, [] {});
}

TEST(IoThreadsStop, OfGroupsThatCallOneAnotherJoinsAllBeforeItDestroysAnything) {
  std::atomic<int> alive = 0;
  auto one = IoThreads::Create(2).value();
  auto other = IoThreads::Create(1).value();
  TaskGroup group(one->executor(0), {20, {}});
  asio::post(one->executor(0), [&] {
    for (int i = 0; i < 20; ++i) EXPECT_THAT(group.Spawn(CallTheOtherForEver(other->executor(0), alive)), IsOk());
  });
  one->Start();
  other->Start();
  ASSERT_TRUE(Becomes(alive, 20));
  IoThreads::StopAndJoin({one.get(), other.get()});
  EXPECT_EQ(alive, 0);
}

TEST_F(Threads, TaskGroupIsBounded) {
  TaskGroup group(first(), {1, {}});
  Await(first(), CallOn(first(), [&] {
          EXPECT_THAT(group.Spawn(SleepForEver(alive_)), IsOk());
          EXPECT_THAT(group.Spawn(SleepForEver(alive_)), IsErrorSaying(ErrorCode::kUnavailable, "the limit"));
        }));
  EXPECT_EQ(alive_, 1);
}

TEST_F(Threads, TaskGroupCancelsAndJoins) {
  std::atomic<int> defects = 0;
  TaskGroup group(first(), {10, [&](std::string_view) { ++defects; }});
  Await(first(), CallOn(first(), [&] {
          for (int i = 0; i < 10; ++i) EXPECT_THAT(group.Spawn(SleepForEver(alive_)), IsOk());
          group.Cancel(1);
        }));
  EXPECT_TRUE(Becomes(alive_, 9));
  Await(first(), CallOn(first(), [&] {
          EXPECT_EQ(group.size(), 9U);
          group.CancelAll();
          EXPECT_THAT(group.Spawn(SleepForEver(alive_)), IsErrorSaying(ErrorCode::kUnavailable, "closed"));
        }));
  asio::co_spawn(first(), group.JoinAll(), asio::use_future).get();
  EXPECT_EQ(alive_, 0);
  EXPECT_EQ(defects, 0);
}

Task<void> Throw() {
  throw std::runtime_error("a defect");
  co_return;
}

TEST_F(Threads, TaskGroupTellsOfAnException) {
  std::promise<std::string> told;
  TaskGroup group(first(), {1, [&](std::string_view what) { told.set_value(std::string(what)); }});
  Await(first(), CallOn(first(), [&] { EXPECT_THAT(group.Spawn(Throw()), IsOk()); }));
  EXPECT_EQ(told.get_future().get(), "a defect");
  asio::co_spawn(first(), group.JoinAll(), asio::use_future).get();
}

TEST_F(Threads, WakeUpKeepsAWakeThatCameBeforeTheWait) {
  WakeUp wake_up;
  wake_up.Wake();
  EXPECT_TRUE(Await(first(), wake_up.WaitUntil(In(Millis(60'000)))));
  EXPECT_FALSE(Await(first(), wake_up.WaitUntil(In(Millis(1)))));
}

TEST_F(Threads, WakeUpEndsAWaitFromAnotherThread) {
  WakeUp wake_up;
  auto woken = asio::co_spawn(first(), wake_up.WaitUntil(In(Millis(60'000))), asio::use_future);
  EXPECT_EQ(woken.wait_for(milliseconds(20)), std::future_status::timeout);
  wake_up.Wake();
  EXPECT_TRUE(woken.get());
}

TEST_F(Threads, WakeUpLosesNoWakeInARace) {
  for (int i = 0; i < 2000; ++i) {
    WakeUp wake_up;
    auto woken = asio::co_spawn(first(), wake_up.WaitUntil(In(Millis(60'000))), asio::use_future);
    wake_up.Wake();
    EXPECT_TRUE(woken.get());
  }
}

TEST_F(Threads, ComputePoolRunsElsewhereAndReturnsResults) {
  ComputePool pool(2, 10);
  const auto here = Await(first(), CallOn(first(), [] { return std::this_thread::get_id(); }));
  const auto there = Await(first(), pool.Run([] { return std::this_thread::get_id(); }));
  ASSERT_THAT(there, IsOk());
  EXPECT_NE(*there, here);
  EXPECT_THAT(Await(first(), pool.Run([]() -> Result<int> { return Fail(ErrorCode::kGone, "over"); })),
              IsError(ErrorCode::kGone));
  EXPECT_THAT(Await(first(), pool.Run([] {})), IsOk());
}

TEST_F(Threads, ComputePoolTurnsAnExceptionIntoAnError) {
  ComputePool pool(1, 1);
  EXPECT_THAT(Await(first(), pool.Run([]() -> int { throw std::runtime_error("from a library"); })),
              IsErrorSaying(ErrorCode::kInternal, "from a library"));
}

TEST_F(Threads, ComputePoolRefusesWorkOverItsQueue) {
  ComputePool pool(1, 1);
  std::promise<void> release;
  const std::shared_future<void> released = release.get_future().share();
  std::promise<void> began;
  auto running = asio::co_spawn(first(), pool.Run([&] {
    began.set_value();
    released.wait();
  }),
                                asio::use_future);
  began.get_future().wait();
  auto waiting = asio::co_spawn(first(), pool.Run([] {}), asio::use_future);
  while (pool.queued() == 0) std::this_thread::yield();
  EXPECT_THAT(Await(first(), pool.Run([] {})), IsErrorSaying(ErrorCode::kUnavailable, "full"));
  release.set_value();
  EXPECT_THAT(running.get(), IsOk());
  EXPECT_THAT(waiting.get(), IsOk());
}

TEST_F(Threads, ComputePoolFailsWhatStillWaitsWhenItStops) {
  ComputePool pool(1, 1);
  std::promise<void> release;
  std::promise<void> began;
  auto running = asio::co_spawn(first(), pool.Run([&] {
    began.set_value();
    release.get_future().wait();
  }),
                                asio::use_future);
  began.get_future().wait();
  auto waiting = asio::co_spawn(first(), pool.Run([] {}), asio::use_future);
  while (pool.queued() == 0) std::this_thread::yield();
  std::jthread later([&] {
    std::this_thread::sleep_for(milliseconds(20));
    release.set_value();
  });
  pool.Stop();
  EXPECT_THAT(running.get(), IsOk());
  EXPECT_THAT(waiting.get(), IsErrorSaying(ErrorCode::kUnavailable, "stopped"));
}

}  // namespace
}  // namespace tacit::net
