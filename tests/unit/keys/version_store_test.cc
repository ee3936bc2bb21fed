#include "edge_agent/keys/version_store.h"

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "common/base/files.h"
#include "common/base/random.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_directory.h"

namespace tacit::keys {
namespace {

using ::tacit::testing::FastestDirectory;
using ::tacit::testing::IsError;
using ::tacit::testing::IsErrorSaying;
using ::tacit::testing::IsOk;
using ::tacit::testing::TempDirectory;

crypto::SecretKey MacKey() {
  return *crypto::SecretKey::FromBytes(Bytes(crypto::SecretKey::kSize, 3));
}

/// A counter that can stop the process at an increment: before it, or after it and before anybody hears of it.
class StoppingCounter final : public MonotonicCounter {
 public:
  explicit StoppingCounter(std::uint64_t first) : count_(first) {}
  Result<std::uint64_t> Read() override { return count_; }
  Result<void> Increment() override {
    if (half_steps_ == 0) return Stop();
    ++count_;
    half_steps_ -= 2;
    if (half_steps_ < 0) return Stop();
    return {};
  }
  /// Even: stops before an increment; odd: after one.
  void StopAfter(int half_steps) { half_steps_ = half_steps; }
  void RunOn() { half_steps_ = 1 << 20; }
  [[nodiscard]] std::uint64_t count() const { return count_; }

 private:
  Result<void> Stop() {
    half_steps_ = 0;
    return Fail(ErrorCode::kUnavailable, "stopped");
  }
  std::uint64_t count_;
  int half_steps_ = 1 << 20;
};

class VersionStoreTest : public ::testing::Test {
 protected:
  void Initialise(MonotonicCounter* counter) {
    ASSERT_THAT(VersionStore::Initialise(file_, MacKey(), counter), IsOk());
  }
  VersionStore Store(MonotonicCounter* counter) { return {file_, MacKey(), counter}; }
  Bytes File() { return *ReadFile(file_, kLargestVersionRecord); }
  void PutBack(const Bytes& bytes) { ASSERT_THAT(WriteFileAtomic(file_, bytes, kOwnerOnly), IsOk()); }

  TempDirectory directory_{FastestDirectory()};
  std::filesystem::path file_ = directory_ / "device_versions";
};

TEST_F(VersionStoreTest, RemembersTheHighestOfEachModelAndRefusesOlder) {
  Initialise(nullptr);
  VersionStore store = Store(nullptr);
  EXPECT_EQ(*store.Highest("har"), 0U);
  ASSERT_THAT(store.Record("har", 3), IsOk());
  ASSERT_THAT(store.Record("pump", 9), IsOk());
  ASSERT_THAT(store.Record("har", 3), IsOk());
  EXPECT_THAT(store.Record("har", 2), IsErrorSaying(ErrorCode::kConflict, "older than version 3"));
  VersionStore again = Store(nullptr);
  EXPECT_EQ(*again.Highest("har"), 3U);
  EXPECT_EQ(*again.Highest("pump"), 9U);
  const auto guard = again.GuardFor("har");
  ASSERT_THAT(guard->Record(5), IsOk());
  EXPECT_EQ(*guard->Highest(), 5U);
  EXPECT_EQ(*store.Highest("har"), 5U);
}

TEST_F(VersionStoreTest, TakesAMissingOrChangedFileForALossAndNotForNone) {
  Initialise(nullptr);
  VersionStore store = Store(nullptr);
  ASSERT_THAT(store.Record("har", 3), IsOk());
  Bytes file = File();
  file[20] ^= 1U;
  PutBack(file);
  EXPECT_THAT(store.Highest("har"), IsError(ErrorCode::kDataLoss));
  EXPECT_THAT(store.Record("har", 4), IsError(ErrorCode::kDataLoss));
  std::filesystem::remove(file_);
  EXPECT_THAT(store.Highest("har"), IsErrorSaying(ErrorCode::kDataLoss, "is missing"));
  EXPECT_THAT(store.Check(), IsError(ErrorCode::kDataLoss));
}

TEST_F(VersionStoreTest, RefusesNamesAndVersionsThatCannotBe) {
  Initialise(nullptr);
  VersionStore store = Store(nullptr);
  EXPECT_THAT(store.Record("", 1), IsError(ErrorCode::kInvalidArgument));
  EXPECT_THAT(store.Record(std::string(129, 'x'), 1), IsError(ErrorCode::kInvalidArgument));
  EXPECT_THAT(store.Record("har", 0), IsError(ErrorCode::kInvalidArgument));
}

TEST_F(VersionStoreTest, KeepsAccountOfABoundedNumberOfModels) {
  VersionRecord full;
  for (std::size_t i = 0; i < kMostModels; ++i) full.versions.emplace("m" + std::to_string(i), 1);
  PutBack(FormatVersionRecord(full, MacKey()));
  VersionStore store = Store(nullptr);
  EXPECT_THAT(store.Record("one more", 1), IsError(ErrorCode::kTooLarge));
  EXPECT_THAT(store.Record("m7", 2), IsOk());
}

TEST_F(VersionStoreTest, WithACounterRefusesAFileThatWasPutBack) {
  StoppingCounter counter(41);  // others of the TPM have brought it there
  Initialise(&counter);
  VersionStore store = Store(&counter);
  ASSERT_THAT(store.Record("har", 3), IsOk());
  const Bytes old = File();
  ASSERT_THAT(store.Record("har", 4), IsOk());
  const Bytes current = File();
  PutBack(old);
  EXPECT_THAT(store.Highest("har"), IsErrorSaying(ErrorCode::kDataLoss, "an old file was put back"));
  EXPECT_THAT(Store(&counter).Record("har", 5), IsError(ErrorCode::kDataLoss));
  PutBack(current);
  EXPECT_EQ(*store.Highest("har"), 4U);
}

TEST_F(VersionStoreTest, CountsOnlyWhatIsNew) {
  StoppingCounter counter(0);
  Initialise(&counter);
  VersionStore store = Store(&counter);
  ASSERT_THAT(store.Record("har", 3), IsOk());
  const std::uint64_t after_first = counter.count();
  for (int i = 0; i < 5; ++i) ASSERT_THAT(store.Record("har", 3), IsOk());
  EXPECT_EQ(counter.count(), after_first);
}

TEST_F(VersionStoreTest, GoesOnAfterAStopAtEachStep) {
  for (int half_steps = 0; half_steps <= 8; ++half_steps) {
    StoppingCounter counter(7);
    Initialise(&counter);
    ASSERT_THAT(Store(&counter).Record("har", 3), IsOk());
    counter.StopAfter(half_steps);
    const bool returned = Store(&counter).Record("har", 4).has_value();
    counter.RunOn();
    VersionStore after = Store(&counter);
    const auto highest = after.Highest("har");
    ASSERT_THAT(highest, IsOk()) << "stopped after " << half_steps << " half steps";
    EXPECT_TRUE(*highest == 4 || (!returned && *highest == 3));
    ASSERT_THAT(after.Record("har", 5), IsOk());
    EXPECT_EQ(*Store(&counter).Highest("har"), 5U);
  }
}

// A stop after a file was written, and one after the next run brought an older file to rest, leave two files of one
// count.
TEST_F(VersionStoreTest, PromisesNothingForAFileOfWhichAnOlderTwinIsThere) {
  StoppingCounter counter(6);
  Initialise(&counter);
  ASSERT_THAT(Store(&counter).Record("har", 3), IsOk());
  const Bytes older = File();
  counter.StopAfter(2);
  ASSERT_FALSE(Store(&counter).Record("har", 4).has_value());
  const Bytes newer = File();
  PutBack(older);
  counter.StopAfter(2);
  ASSERT_FALSE(Store(&counter).Record("har", 5).has_value());
  const Bytes twin = File();
  counter.RunOn();
  ASSERT_EQ(*Store(&counter).Highest("har"), 3U);
  PutBack(newer);
  ASSERT_EQ(*Store(&counter).Highest("har"), 4U);  // both are believed, until one is promised
  ASSERT_THAT(Store(&counter).Record("har", 4), IsOk());
  PutBack(twin);
  EXPECT_THAT(Store(&counter).Highest("har"), IsError(ErrorCode::kDataLoss));
}

/// One device, whose attacker stops it wherever he likes and puts back whatever file he has ever seen.
class Attack {
 public:
  Attack(std::filesystem::path file, SplitMix64& random) : file_(std::move(file)), random_(random), counter_(6) {
    TACIT_CHECK(VersionStore::Initialise(file_, MacKey(), &counter_).has_value(), "the first file can be written");
    Restart();
  }

  void Act() {
    counter_.RunOn();
    if (Draw(2) == 0) PutBackAny();
    if (Draw(4) == 0) Restart();
    const std::string model(1, static_cast<char>('a' + Draw(2)));
    const std::uint64_t version = promised_[model] + Draw(3);
    if (Draw(2) == 0) counter_.StopAfter(static_cast<int>(Draw(8)));
    const bool returned = version > 0 && store_->Record(model, version).has_value();
    if (returned) promised_[model] = std::max(promised_[model], version);
    if (!returned) Restart();
    See();
  }

  // With every file, also in a new run: nothing that is believed is older than what was promised.
  void Check() {
    counter_.RunOn();
    const Bytes current = Current();
    for (const Bytes& file : seen_) {
      Write(file);
      VersionStore store(file_, MacKey(), &counter_);
      for (const auto& [model, version] : promised_) {
        const auto highest = store.Highest(model);
        if (highest) ASSERT_GE(*highest, version) << "model " << model << " at count " << counter_.count();
      }
    }
    Write(current);
  }

 private:
  std::uint64_t Draw(std::uint64_t below) { return random_() % below; }
  Bytes Current() { return *ReadFile(file_, kLargestVersionRecord); }
  void Write(const Bytes& bytes) {
    TACIT_CHECK(WriteFileAtomic(file_, bytes, kOwnerOnly).has_value(), "the test's directory can be written");
  }
  void See() {
    const Bytes current = Current();
    if (std::ranges::find(seen_, current) == seen_.end()) seen_.push_back(current);
  }
  // Old files are refused and lead nowhere, so mostly one of the last.
  void PutBackAny() {
    if (seen_.empty()) return;
    const std::uint64_t back = Draw(Draw(4) == 0 ? seen_.size() : std::min<std::size_t>(seen_.size(), 3));
    Write(seen_[seen_.size() - 1 - back]);
  }
  void Restart() {
    store_ = std::make_unique<VersionStore>(file_, MacKey(), &counter_);
    See();
  }

  std::filesystem::path file_;
  SplitMix64& random_;
  StoppingCounter counter_;
  std::unique_ptr<VersionStore> store_;
  std::map<std::string, std::uint64_t> promised_;
  std::vector<Bytes> seen_;
};

TEST_F(VersionStoreTest, NoStopsAndOldFilesTogetherMakeItForgetWhatItPromised) {
  SplitMix64 random(20'261'129);
  for (int episode = 0; episode < 40; ++episode) {
    Attack attack(file_, random);
    for (int act = 0; act < 14; ++act) {
      attack.Act();
      attack.Check();
      if (HasFatalFailure()) FAIL() << "in episode " << episode << ", act " << act;
    }
  }
}

}  // namespace
}  // namespace tacit::keys
