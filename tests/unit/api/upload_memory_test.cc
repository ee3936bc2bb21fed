#include "server/api/upload_memory.h"

#include <atomic>
#include <cstring>
#include <future>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "common/net/run_blocking.h"
#include "common/net/task_group.h"

namespace tacit::api {
namespace {

constexpr std::size_t kSize = 10'000;
constexpr std::uint64_t kRoom = 12'288;  // three pages

DeviceId Device(const std::string& name) {
  return *DeviceId::Parse(name);
}

/// The system's clock, or one that is behind it: what waits until a time of that clock has waited long enough already.
class LaggingClock final : public Clock {
 public:
  void LagBy(Millis lag) { lag_ms_ = lag.count(); }
  [[nodiscard]] WallTime Now() const override { return system_.Now(); }
  [[nodiscard]] SteadyTime SteadyNow() const override { return system_.SteadyNow() - Millis(lag_ms_); }

 private:
  SystemClock system_;
  std::atomic<Millis::rep> lag_ms_ = 0;
};

class UploadMemoryTest : public ::testing::Test {
 protected:
  using Taken = std::expected<UploadMemory::Taken, Millis>;

  void SetUp() override { io_->Start(); }
  void TearDown() override { io_->StopAndJoin(); }

  Taken Take(UploadMemory& memory, const std::string& device, std::size_t bytes = kSize) {
    return net::RunBlocking(io_->executor(0), memory.Take(Device(device), bytes));
  }
  /// Asks on a thread of its own, and returns when it waits.
  std::future<Taken> AskAndWait(UploadMemory& memory, const std::string& device) {
    const std::size_t before = memory.waiting();
    auto asked = std::async(std::launch::async, [this, &memory, device] { return Take(memory, device); });
    while (memory.waiting() == before) std::this_thread::yield();
    return asked;
  }

  SystemClock clock_;
  std::unique_ptr<net::IoThreads> io_ = *net::IoThreads::Create(1);
};

UploadMemory::Options Limit(std::uint64_t limit, Millis patience = Millis(60'000)) {
  return {.limit = limit, .patience = patience};
}

TEST_F(UploadMemoryTest, GivesOutNoMoreThanItsLimitAndTakesItBack) {
  UploadMemory memory(Limit(2 * kRoom, Millis(1)), clock_);
  {
    const Taken first = Take(memory, "a");
    ASSERT_TRUE(first);
    EXPECT_EQ(first->memory.size(), kSize);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(first->memory.data()) % 64, 0U);
    const Taken second = Take(memory, "b");
    ASSERT_TRUE(second);
    EXPECT_EQ(memory.used(), 2 * kRoom);
    const Taken third = Take(memory, "c");
    ASSERT_FALSE(third);
    EXPECT_GE(third.error(), Millis(1000));
    EXPECT_EQ(memory.waiting(), 0U);
  }
  EXPECT_EQ(memory.used(), 0U);
}

TEST_F(UploadMemoryTest, KeepsWhatComesBackForTheNextOfItsSize) {
  UploadMemory memory(Limit(2 * kRoom), clock_);
  const std::uint8_t* where = nullptr;
  {
    Taken first = Take(memory, "a");
    std::memset(first->memory.data(), 7, first->memory.size());
    where = first->memory.data();
  }
  {
    const Taken again = Take(memory, "b");
    EXPECT_EQ(again->memory.data(), where);
  }
  // Another size needs the room that is kept.
  const Taken larger = Take(memory, "c", 2 * kSize);
  ASSERT_TRUE(larger);
  EXPECT_LE(memory.used(), 2 * kRoom);
}

TEST_F(UploadMemoryTest, LetsInWhoAskedFirst) {
  UploadMemory memory(Limit(kRoom), clock_);
  std::optional<Taken> held = Take(memory, "holder");
  auto first = AskAndWait(memory, "a");
  auto second = AskAndWait(memory, "b");
  held.reset();
  std::optional<Taken> given = first.get();
  ASSERT_TRUE(*given);
  EXPECT_EQ(memory.waiting(), 1U);
  given.reset();
  EXPECT_TRUE(second.get());
}

TEST_F(UploadMemoryTest, GivesAllThereIsToAnUpdateThatIsRoundedBeyondIt) {
  for (const std::uint64_t limit : {5ULL << 20U, (5ULL << 20U) + 1, 25ULL << 20U, 5000ULL}) {
    UploadMemory memory(Limit(limit, Millis(1)), clock_);
    const Taken all = Take(memory, "a", limit);
    ASSERT_TRUE(all) << limit;
    EXPECT_EQ(memory.used(), limit);
    EXPECT_FALSE(Take(memory, "b", 1));
  }
}

TEST_F(UploadMemoryTest, LetsOneDeviceTakeTwoSeatsAndNoMore) {
  UploadMemory memory(Limit(10 * kRoom), clock_);
  std::optional<Taken> first = Take(memory, "a");
  const Taken second = Take(memory, "a");
  ASSERT_TRUE(*first);
  ASSERT_TRUE(second);
  EXPECT_FALSE(Take(memory, "a"));
  EXPECT_TRUE(Take(memory, "b"));
  first.reset();
  EXPECT_TRUE(Take(memory, "a"));
}

TEST_F(UploadMemoryTest, KeepsThePlaceOfADeviceThatWasSentAway) {
  LaggingClock clock;
  UploadMemory memory(Limit(kRoom), clock);
  std::optional<Taken> held = Take(memory, "holder");
  clock.LagBy(Millis(61'000));
  ASSERT_FALSE(Take(memory, "early"));
  clock.LagBy(Millis(0));
  auto late = AskAndWait(memory, "late");
  auto early = AskAndWait(memory, "early");
  held.reset();
  std::optional<Taken> given = early.get();
  EXPECT_TRUE(*given);
  EXPECT_EQ(memory.waiting(), 1U) << "a device came before one that had asked earlier";
  given.reset();
  EXPECT_TRUE(late.get());
}

net::Task<void> TakeAndDrop(UploadMemory& memory, DeviceId device) {
  (void)co_await memory.Take(std::move(device), kSize);
}

TEST_F(UploadMemoryTest, ForgetsWhoEndsWhereItWaits) {
  UploadMemory memory(Limit(kRoom), clock_);
  std::optional<Taken> held = Take(memory, "holder");
  {
    net::TaskGroup group(io_->executor(0), {.max_tasks = 1, .on_exception = {}});
    net::RunBlocking(io_->executor(0), net::CallOn(io_->executor(0), [&] {
                       EXPECT_TRUE(group.Spawn(TakeAndDrop(memory, Device("a"))));
                     }));
    while (memory.waiting() == 0) std::this_thread::yield();
    io_->StopAndJoin();
  }
  EXPECT_EQ(memory.waiting(), 0U);
  held.reset();
  EXPECT_EQ(memory.used(), 0U);
}

TEST_F(UploadMemoryTest, SharesOnlyWhatNobodyWaitsFor) {
  UploadMemory memory(Limit(kRoom + 100), clock_);
  std::optional<UploadMemory::Share> share = memory.TryShare(60);
  ASSERT_TRUE(share);
  EXPECT_FALSE(memory.TryShare(kRoom + 41));
  EXPECT_FALSE(memory.TryShare(SIZE_MAX));
  EXPECT_TRUE(memory.TryShare(40));
  std::optional<Taken> held = Take(memory, "holder");
  auto waiting = AskAndWait(memory, "a");
  EXPECT_FALSE(memory.TryShare(1));
  held.reset();
  EXPECT_TRUE(waiting.get());
  share.reset();
  EXPECT_EQ(memory.used(), 0U);
}

}  // namespace
}  // namespace tacit::api
