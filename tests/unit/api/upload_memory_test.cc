#include "server/api/upload_memory.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <fstream>
#include <future>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "common/net/run_blocking.h"
#include "common/net/task_group.h"
#include "tests/support/fake_clock.h"

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

/// Of this process' address space.
std::uint64_t MappedBytes() {
  std::uint64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  return pages * 4096;
}

class UploadMemoryTest : public ::testing::Test {
 protected:
  using Taken = std::expected<UploadMemory::Taken, Millis>;

  void SetUp() override { io_->Start(); }
  void TearDown() override { io_->StopAndJoin(); }

  Taken Take(UploadMemory& memory, const std::string& device, std::size_t bytes = kSize) {
    return net::RunBlocking(io_->executor(0), memory.Take(Device(device), {.bytes = bytes}));
  }
  /// Asks on a thread of its own, and returns when it waits, or has its answer.
  std::future<Taken> AskAndWait(UploadMemory& memory, const std::string& device, std::size_t bytes = kSize) {
    const std::size_t before = memory.waiting();
    auto asked = std::async(std::launch::async, [=, this, &memory] { return Take(memory, device, bytes); });
    while (memory.waiting() == before && asked.wait_for(Millis(0)) != std::future_status::ready)
      std::this_thread::yield();
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

constexpr std::uint64_t kPiece = 4'096;

class BrokenUploads : public UploadMemoryTest {
 protected:
  static UploadMemory::Options Options(std::uint64_t rooms) {
    return {.limit = rooms * kRoom, .patience = Millis(1), .least_kept = kPiece};
  }
  static UploadName Name(std::uint64_t round) {
    return {.round = {*TaskId::Parse("t"), round}, .key = {}, .header = {}};
  }
  /// An upload of which the first piece came, all of `fill`, and whose connection then broke.
  void Break(UploadMemory& memory, const std::string& device, std::uint8_t fill = 0, SteadyTime begun = {}) {
    Taken taken = Take(memory, device);
    ASSERT_TRUE(taken);
    dp::UpdateIntake intake(std::move(taken->memory), dp::UpdateIntake::Entries::kGrid,
                            {.mechanism = dp::Mechanism::kNone, .grid_radius = *dp::GridRadius::Create(1U << 20U)});
    std::ranges::fill(intake.Rest().first(kPiece), fill);
    intake.Received(kPiece);
    memory.Keep(Device(device), {.name = Name(1), .begun = begun, .intake = std::move(intake), .digest = {}});
  }
  std::uint64_t Kept(UploadMemory& memory, const std::string& device) {
    return memory.Resume(Device(device), Name(1), 1).error();
  }
  testing::FakeClock fake_;
  SteadyTime now_ = fake_.SteadyNow();
};

TEST_F(BrokenUploads, GoOnWithTheirBytesOnce) {
  UploadMemory memory(Options(4), fake_);
  Break(memory, "a", 7, now_);
  EXPECT_EQ(memory.used(), 0U);
  EXPECT_EQ(memory.kept(), kRoom);
  EXPECT_EQ(memory.Resume(Device("b"), Name(1), kPiece).error(), 0U) << "of another device";
  EXPECT_EQ(memory.Resume(Device("a"), Name(2), kPiece).error(), 0U) << "of another round";
  EXPECT_EQ(memory.Resume(Device("a"), Name(1), kPiece + 1).error(), kPiece);
  auto resumed = memory.Resume(Device("a"), Name(1), kPiece);
  ASSERT_TRUE(resumed);
  EXPECT_EQ(memory.used(), kRoom);
  EXPECT_EQ(memory.kept(), 0U);
  EXPECT_FALSE(memory.Resume(Device("a"), Name(1), kPiece)) << "two have the same memory";
  EXPECT_EQ(resumed->upload.intake.received(), kPiece);
  const AlignedBuffer bytes = resumed->upload.intake.LendMemory();
  EXPECT_EQ(bytes.bytes()[0], 7);
  EXPECT_EQ(bytes.bytes()[kPiece - 1], 7);
}

TEST_F(BrokenUploads, GiveWayToWhoNeedsTheMemoryOldestFirst) {
  UploadMemory memory(Options(4), fake_);
  Break(memory, "old", 0, now_);
  Break(memory, "new", 0, now_);
  const Taken three = Take(memory, "c", 3 * kRoom);
  ASSERT_TRUE(three);
  EXPECT_EQ(Kept(memory, "old"), 0U);
  EXPECT_EQ(Kept(memory, "new"), kPiece);
  EXPECT_FALSE(Take(memory, "d", 2 * kRoom));
  EXPECT_EQ(memory.kept(), 0U) << "kept although somebody waited";
}

TEST_F(BrokenUploads, TakeHalfOfTheMemoryAtMost) {
  UploadMemory memory(Options(4), fake_);
  for (const std::string device : {"a", "b", "c"}) Break(memory, device, 0, now_);
  EXPECT_EQ(memory.kept(), 2 * kRoom);
  EXPECT_EQ(Kept(memory, "a"), 0U);
  EXPECT_TRUE(memory.TryShare(4 * kRoom));
  EXPECT_EQ(memory.kept(), 0U);
}

TEST_F(BrokenUploads, AreForgottenWhenLateOrSlowOrBegunAnew) {
  UploadMemory memory(Options(8), fake_);
  Break(memory, "late", 0, now_);
  fake_.Advance(Millis(119'000));
  EXPECT_EQ(Kept(memory, "late"), kPiece);
  fake_.Advance(Millis(1'000));
  EXPECT_EQ(Kept(memory, "late"), 0U);
  fake_.Advance(Millis(121'000));
  Break(memory, "slow", 0, now_);
  EXPECT_EQ(Kept(memory, "slow"), 0U) << "a piece took longer than four minutes";
  Break(memory, "anew", 0, fake_.SteadyNow());
  ASSERT_TRUE(Take(memory, "anew"));
  EXPECT_EQ(Kept(memory, "anew"), 0U);
  EXPECT_EQ(memory.used(), 0U);
}

net::Task<void> TakeAndDrop(UploadMemory& memory, DeviceId device) {
  (void)co_await memory.Take(std::move(device), {.bytes = kSize});
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

TEST_F(UploadMemoryTest, GivesWhatIsWantedBesideABufferWithItAndTakesItBackAlone) {
  UploadMemory memory(Limit(2 * kRoom, Millis(1)), clock_);
  const auto take = [&](const std::string& device, std::size_t beside) {
    return net::RunBlocking(io_->executor(0), memory.Take(Device(device), {.bytes = kSize, .beside = beside}));
  };
  EXPECT_FALSE(take("greedy", kRoom + 1));
  EXPECT_EQ(memory.used(), 0U);
  std::optional<Taken> first = take("a", kRoom);
  ASSERT_TRUE(*first);
  EXPECT_EQ(memory.used(), 2 * kRoom);
  EXPECT_FALSE(Take(memory, "b"));
  (*first)->beside.reset();
  EXPECT_EQ(memory.used(), kRoom);
  const Taken second = Take(memory, "b");
  EXPECT_TRUE(second);
  first.reset();
  EXPECT_EQ(memory.used(), kRoom);
  EXPECT_TRUE(take("c", 0)) << "what came back is used again";
}

TEST_F(UploadMemoryTest, SaysOfWhatCanNeverBeHadThatItDoesNotFit) {
  constexpr std::size_t kMiB = std::size_t{1} << 20U;
  UploadMemory memory(Limit(4 * kMiB, Millis(1)), clock_);
  const auto can_be_had = [&](UploadMemory::Wanted wanted) {
    return net::RunBlocking(io_->executor(0), memory.Take(Device("a"), wanted)).has_value();
  };
  // A buffer of more than 2 MiB takes whole pages of 2 MiB: what is beside it has to fit beside these.
  const std::vector<std::pair<UploadMemory::Wanted, bool>> cases = {
      {{.bytes = 3 * kMiB + 1, .beside = kMiB / 2}, false}, {{.bytes = 3 * kMiB + 1, .beside = 0}, true},
      {{.bytes = 2 * kMiB, .beside = 2 * kMiB}, true},      {{.bytes = 2 * kMiB, .beside = 2 * kMiB + 1}, false},
      {{.bytes = kSize, .beside = 4 * kMiB - kRoom}, true}, {{.bytes = kSize, .beside = 4 * kMiB - kSize}, false},
      {{.bytes = 4 * kMiB + 1, .beside = 0}, false}};
  for (const auto& [wanted, fits] : cases) {
    EXPECT_EQ(memory.Fits(wanted), fits) << wanted.bytes << " and " << wanted.beside;
    EXPECT_EQ(can_be_had(wanted), fits) << wanted.bytes << " and " << wanted.beside;
  }
}

TEST_F(UploadMemoryTest, CountsTheWholePagesOfABuffer) {
  UploadMemory memory(Limit(kRoom + kSize, Millis(1)), clock_);
  const Taken first = Take(memory, "a");
  ASSERT_TRUE(first);
  EXPECT_FALSE(Take(memory, "b"));
}

TEST_F(UploadMemoryTest, KeepsNoMoreForLaterThanItsLimit) {
  constexpr std::uint64_t kLimit = 256ULL << 20U;
  UploadMemory memory(Limit(kLimit), clock_);
  ASSERT_TRUE(Take(memory, "a", 1));  // what a first try maps besides
  const std::uint64_t before = MappedBytes();
  for (std::uint64_t smaller = 0; smaller < 16; ++smaller) ASSERT_TRUE(Take(memory, "a", kLimit - (smaller << 21U)));
  EXPECT_LT(MappedBytes(), before + 2 * kLimit);
  const auto share = memory.TryShare(kLimit);
  ASSERT_TRUE(share);
  EXPECT_LT(MappedBytes(), before + kLimit / 2) << "a share stands for memory elsewhere";
}

TEST_F(UploadMemoryTest, LetsNobodyOvertakeAnUpdateThatNeedsMore) {
  UploadMemory memory(Limit(3 * kRoom, Millis(10'000)), clock_);
  std::optional<Taken> first = Take(memory, "a");
  std::optional<Taken> second = Take(memory, "b");
  auto large = AskAndWait(memory, "large", 2 * kRoom);
  auto small = AskAndWait(memory, "small");
  EXPECT_EQ(memory.waiting(), 2U) << "the small one would fit";
  first.reset();
  std::optional<Taken> given = large.get();
  EXPECT_TRUE(*given);
  given.reset();
  EXPECT_TRUE(small.get());
}

TEST_F(UploadMemoryTest, LetsTheNextInWhenTheFirstLeaves) {
  LaggingClock clock;
  UploadMemory memory(Limit(2 * kRoom, Millis(10'000)), clock);
  clock.LagBy(Millis(9'500));
  const Taken held = Take(memory, "holder");
  auto large = AskAndWait(memory, "large", 2 * kRoom);
  clock.LagBy(Millis(0));
  auto small = AskAndWait(memory, "small");
  EXPECT_FALSE(large.get());
  EXPECT_TRUE(small.get());
}

TEST_F(UploadMemoryTest, LetsTheNextInWhenAShareComesBack) {
  UploadMemory memory(Limit(kRoom + 100, Millis(10'000)), clock_);
  std::optional<UploadMemory::Share> share = memory.TryShare(200);
  auto waiting = AskAndWait(memory, "a");
  share.reset();
  EXPECT_TRUE(waiting.get());
}

class KeptPlaces : public UploadMemoryTest {
 protected:
  /// At first who must wait is sent away at once.
  KeptPlaces() { lagging_.LagBy(std::chrono::hours(1)); }
  UploadMemory::Options Options(Millis place_lifetime) {
    return {.limit = kRoom, .patience = Millis(10'000), .place_lifetime = place_lifetime};
  }
  /// Whether it is "late" that gets what `held` gives back, and only then `other`, which asks after it.
  bool LateComesFirst(UploadMemory& memory, std::optional<Taken>& held, const std::string& other) {
    auto late = AskAndWait(memory, "late");
    auto asked = AskAndWait(memory, other);
    held.reset();
    const bool came = late.get().has_value();
    return asked.get().has_value() && came;
  }

  LaggingClock lagging_;
};

TEST_F(KeptPlaces, AreLostByADeviceThatStaysAwayTooLong) {
  UploadMemory memory(Options(std::chrono::minutes(30)), lagging_);
  std::optional<Taken> held = Take(memory, "holder");
  ASSERT_FALSE(Take(memory, "early"));
  lagging_.LagBy(Millis(0));
  EXPECT_TRUE(LateComesFirst(memory, held, "early"));
}

TEST_F(KeptPlaces, AreUsedUpByWhatTheyAreKeptFor) {
  UploadMemory memory(Options(std::chrono::hours(2)), lagging_);
  for (const std::string device : {"at-once", "from-the-queue"}) {
    lagging_.LagBy(std::chrono::hours(1));
    std::optional<Taken> held = Take(memory, "holder");
    ASSERT_FALSE(Take(memory, device));
    lagging_.LagBy(Millis(0));
    if (device == "at-once") {
      held.reset();
      ASSERT_TRUE(Take(memory, device));
    } else {
      auto asked = AskAndWait(memory, device);
      held.reset();
      ASSERT_TRUE(asked.get());
    }
    held.emplace(Take(memory, "holder"));
    EXPECT_TRUE(LateComesFirst(memory, held, device)) << device;
  }
}

TEST_F(KeptPlaces, AreGoodForOneOfTwoConnections) {
  UploadMemory memory(Options(std::chrono::hours(2)), lagging_);
  std::optional<Taken> held = Take(memory, "holder");
  ASSERT_FALSE(Take(memory, "early"));
  lagging_.LagBy(Millis(0));
  auto first = AskAndWait(memory, "early");
  auto second = AskAndWait(memory, "early");
  EXPECT_EQ(memory.waiting(), 2U);
  held.reset();
  EXPECT_TRUE(first.get());
  EXPECT_TRUE(second.get());
}

TEST_F(KeptPlaces, AreNoMoreThanTheirLimit) {
  UploadMemory::Options options = Options(std::chrono::hours(2));
  options.max_places = 1;
  UploadMemory memory(options, lagging_);
  std::optional<Taken> held = Take(memory, "holder");
  ASSERT_FALSE(Take(memory, "has-the-only-place"));
  ASSERT_FALSE(Take(memory, "early"));
  lagging_.LagBy(Millis(0));
  EXPECT_TRUE(LateComesFirst(memory, held, "early"));
}

TEST_F(UploadMemoryTest, SendsDevicesAwayForAsLongAsMemoryTakesToComeBack) {
  testing::FakeClock clock;
  UploadMemory memory(Limit(100 * kRoom, Millis(1)), clock);
  const auto absence = [&](std::size_t bytes) {
    const Taken all = Take(memory, "holder", 100 * kRoom);
    return Take(memory, "a", bytes).error();
  };
  EXPECT_EQ(absence(kRoom), Millis(60'000)) << "nothing came back yet";
  // Twice 100 rooms in ten seconds.
  clock.Advance(Millis(10'000));
  ASSERT_TRUE(Take(memory, "b", 100 * kRoom));
  EXPECT_EQ(absence(100 * kRoom), Millis(5'000));
  EXPECT_EQ(absence(1), Millis(1'000)) << "no less, however soon it is its turn";
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
