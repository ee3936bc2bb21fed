#include <sys/stat.h>

#include <array>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <numeric>

#include <gmock/gmock.h>

#include "common/base/files.h"
#include "common/crypto/digest.h"
#include "common/model/spec.h"
#include "edge_agent/upload/backoff.h"
#include "edge_agent/upload/local_ledger.h"
#include "edge_agent/upload/model_cache.h"
#include "edge_agent/upload/pending_update.h"
#include "edge_agent/upload/residual.h"
#include "edge_agent/upload/session.h"
#include "edge_agent/upload/top_k.h"
#include "tests/support/matchers.h"
#include "tests/unit/edge_agent/data_files.h"

namespace tacit::upload {
namespace {

using ::tacit::testing::IsError;
using ::tacit::testing::IsErrorSaying;
using ::tacit::testing::IsOk;
using ::testing::Each;
using ::testing::ElementsAreArray;
using ::testing::Not;
using testing::ScratchDirectory;

TEST(Backoff, DoublesUpToItsLongestAndTakesOffAtMostAHalf) {
  Backoff backoff({.first = Millis(100), .longest = Millis(800)}, 1);
  for (const int step : {100, 200, 400, 800, 800, 800}) {
    const Millis delay = backoff.Next();
    EXPECT_GE(delay, Millis(step / 2));
    EXPECT_LE(delay, Millis(step));
  }
  backoff.Reset();
  EXPECT_LE(backoff.Next(), Millis(100));
}

TEST(Backoff, DiffersBetweenDevices) {
  Backoff a({.first = Millis(100'000), .longest = Millis(100'000)}, 1);
  Backoff b({.first = Millis(100'000), .longest = Millis(100'000)}, 2);
  EXPECT_NE(a.Next(), b.Next());
}

TEST(Backoff, NeverUndercutsWhatTheServerAskedForAndBelievesAnHourOfItAtMost) {
  Backoff backoff({.first = Millis(100), .longest = Millis(800)}, 1);
  for (int i = 0; i < 100; ++i) {
    const Millis delay = backoff.Next(Millis(5000));
    EXPECT_GE(delay, Millis(5000));
    EXPECT_LE(delay, Millis(6250));
  }
  EXPECT_LE(backoff.Next(std::chrono::hours(1000)), std::chrono::minutes(75));
  EXPECT_GE(backoff.Next(Millis(-5)), Millis(400));
}

class ModelCacheTest : public ::testing::Test {
 protected:
  static std::vector<float> Numbers(float first) {
    std::vector<float> numbers(100);
    std::iota(numbers.begin(), numbers.end(), first);
    return numbers;
  }
  static ByteSpan BytesOf(const std::vector<float>& numbers) { return AsBytes(std::span<const float>(numbers)); }
  static ModelName NameOf(const std::vector<float>& numbers) {
    return {.digest = crypto::Sha256(BytesOf(numbers)), .bytes = numbers.size() * sizeof(float)};
  }
  void Put(const std::vector<float>& numbers) {
    ASSERT_THAT(cache_.Append(NameOf(numbers), BytesOf(numbers)), IsOk());
    ASSERT_THAT(cache_.Finish(NameOf(numbers)), IsOk());
  }

  ScratchDirectory directory_;
  ModelCache cache_{directory_.path() / "models"};
};

TEST_F(ModelCacheTest, FindsAModelOnlyOnceAllOfItIsThere) {
  const std::vector<float> model = Numbers(0);
  const ModelName name = NameOf(model);
  EXPECT_EQ(cache_.Find(name), std::nullopt);
  EXPECT_EQ(cache_.BytesBegun(name), 0U);
  ASSERT_THAT(cache_.Append(name, BytesOf(model).first(150)), IsOk());
  EXPECT_EQ(cache_.Find(name), std::nullopt);
  // Another process goes on where this one stopped.
  ModelCache later(directory_.path() / "models");
  EXPECT_EQ(later.BytesBegun(name), 150U);
  ASSERT_THAT(later.Append(name, BytesOf(model).subspan(150)), IsOk());
  EXPECT_EQ(*later.Finish(name), model);
  EXPECT_EQ(cache_.Find(name), model);
  EXPECT_EQ(cache_.BytesBegun(name), 0U);
}

TEST_F(ModelCacheTest, ThrowsAwayADownloadWithAnotherDigestOrSize) {
  const ModelName name = NameOf(Numbers(0));
  ASSERT_THAT(cache_.Append(name, BytesOf(Numbers(1))), IsOk());
  EXPECT_THAT(cache_.Finish(name), IsErrorSaying(ErrorCode::kMalformed, "digest"));
  EXPECT_EQ(cache_.BytesBegun(name), 0U);
  ASSERT_THAT(cache_.Append(name, BytesOf(Numbers(0)).first(8)), IsOk());
  EXPECT_THAT(cache_.Finish(name), IsError(ErrorCode::kMalformed));
}

TEST_F(ModelCacheTest, DoesNotFindACopyThatTheDiskDamaged) {
  const std::vector<float> model = Numbers(0);
  Put(model);
  const auto file = directory_.path() / "models" / (ToHex(NameOf(model).digest) + ".f32");
  std::fstream(file, std::ios::in | std::ios::out | std::ios::binary).seekp(10).put('x');
  EXPECT_EQ(cache_.Find(NameOf(model)), std::nullopt);
  EXPECT_FALSE(std::filesystem::exists(file));
}

TEST_F(ModelCacheTest, KeepsTheLatestFew) {
  for (int i = 0; i < 7; ++i) Put(Numbers(static_cast<float>(i)));
  const auto files = std::filesystem::directory_iterator(directory_.path() / "models");
  EXPECT_EQ(std::distance(begin(files), end(files)), 4);
  EXPECT_EQ(cache_.Find(NameOf(Numbers(6))), Numbers(6));
}

codec::Lease Lease(codec::Mechanism mechanism = codec::Mechanism::kGaussian) {
  const auto spec = *model::ModelSpec::Create({.inputs = 1, .hidden = {}, .classes = 2});
  return {.task = *TaskId::Parse("har"),
          .round = 3,
          .model_version = 2,
          .model_bytes = spec.ParameterCount() * sizeof(float),
          .schema_digest = spec.SchemaDigest(),
          .model = {.inputs = 1, .hidden = {}, .classes = 2},
          .training = {},
          .mechanism = mechanism,
          .clip_norm = 1,
          .grid_radius = 1024,
          .max_examples = 0,
          .local = {}};
}

std::vector<std::int32_t> GridOf(const PendingUpdate& update) {
  std::vector<std::int32_t> grid(update.payload.size() / sizeof(std::int32_t));
  std::memcpy(grid.data(), update.payload.data(), update.payload.size());
  return grid;
}

TEST(MakeUpdate, ClipsInTheNormOfTheMechanismAndAnnouncesExactlyItsBytes) {
  // (3, 4, 0, 0) has L2 norm 5 and L1 norm 7.
  const std::vector<float> delta = {3, 4, 0, 0};
  const auto gaussian = MakeUpdate(Lease(), delta, {});
  ASSERT_THAT(gaussian, IsOk());
  const std::vector<std::int32_t> grid = GridOf(*gaussian);
  EXPECT_NEAR(grid[0], 1024 * 3 / 5.0, 2);
  EXPECT_NEAR(grid[1], 1024 * 4 / 5.0, 2);
  EXPECT_LE(std::int64_t{grid[0]} * grid[0] + std::int64_t{grid[1]} * grid[1], 1024 * 1024);
  EXPECT_EQ(gaussian->header.encoding, codec::Encoding::kGridInt32);
  EXPECT_EQ(gaussian->header.payload_bytes, 16U);
  EXPECT_EQ(gaussian->header.payload_digest, Xxh3(gaussian->payload));
  EXPECT_EQ(gaussian->header.schema_digest, Lease().schema_digest);
  EXPECT_EQ(gaussian->round, (RoundKey{*TaskId::Parse("har"), 3}));
  const std::vector<std::int32_t> laplace = GridOf(*MakeUpdate(Lease(codec::Mechanism::kLaplace), delta, {}));
  EXPECT_NEAR(laplace[0], 1024 * 3 / 7.0, 2);
}

TEST(MakeUpdate, OfZerosIsAnUpdate) {
  const auto update = MakeUpdate(Lease(), std::vector<float>(4), {});
  ASSERT_THAT(update, IsOk());
  EXPECT_THAT(update->payload, Each(0));
}

TEST(MakeUpdate, TellsCountsOnlyWhereTheLeaseAsksForThemAndCapsThem) {
  const std::vector<float> delta(4);
  EXPECT_EQ(MakeUpdate(Lease(), delta, {.example_count = 300})->header.example_count, 0U);
  codec::Lease lease = Lease(codec::Mechanism::kNone);
  lease.max_examples = 1000;
  EXPECT_EQ(MakeUpdate(lease, delta, {.example_count = 300})->header.example_count, 300U);
  EXPECT_EQ(MakeUpdate(lease, delta, {.example_count = 3000})->header.example_count, 1000U);
}

TEST(MakeUpdate, SendsTheDeltaAsItIsWhenTheServerIsToClip) {
  const std::vector<float> delta = {3, 4, 0, -1};
  const auto update = MakeUpdate(Lease(), delta, {.encoding = codec::Encoding::kFloat32});
  ASSERT_THAT(update, IsOk());
  EXPECT_THAT(update->payload, ElementsAreArray(AsBytes(std::span<const float>(delta))));
}

TEST(MakeUpdate, SendsFewerBitsWithinTheSameNorm) {
  constexpr std::size_t kEntries = 1000;
  codec::Lease lease = Lease();
  lease.model_bytes = kEntries * sizeof(float);
  lease.grid_radius = 1U << 20U;
  std::vector<float> delta(kEntries);
  for (std::size_t i = 0; i < kEntries; ++i) delta[i] = static_cast<float>(i % 17) - 8.0F;
  const std::vector<std::int32_t> exact = GridOf(*MakeUpdate(lease, delta, {}));
  const auto update = MakeUpdate(lease, delta, {.encoding = codec::Encoding::kGridInt8});
  ASSERT_THAT(update, IsOk());
  ASSERT_EQ(update->header.payload_bytes, kEntries);
  EXPECT_GT(update->header.shift, 0U);
  const std::int32_t step = 1 << update->header.shift;
  double squares = 0;
  for (std::size_t i = 0; i < kEntries; ++i) {
    const double entry = static_cast<double>(static_cast<std::int8_t>(update->payload[i])) * step;
    // Half a hundredth is what leaving room for the coins may take.
    EXPECT_NEAR(entry, exact[i], step + 0.01 * std::abs(exact[i]));
    squares += entry * entry;
  }
  EXPECT_LE(squares, 0x1p40);
  EXPECT_EQ(MakeUpdate(lease, delta, {.encoding = codec::Encoding::kGridInt16})->header.payload_bytes, 2 * kEntries);
}

TEST(TakeTopK, TakesTheLargestOfEqualsTheFirstAndLeavesTheRest) {
  std::vector<float> entries = {1, -3, 2, 0, 3, -2, 2, 0, 0};
  const TopK chosen = TakeTopK(entries, 4);
  EXPECT_THAT(chosen.values, ::testing::ElementsAre(-3, 2, 3, -2));
  EXPECT_THAT(chosen.bitmap, ::testing::ElementsAre(0b0011'0110, 0));
  EXPECT_THAT(entries, ::testing::ElementsAre(1, 0, 0, 0, 0, 0, 2, 0, 0));
}

TEST(TakeTopK, TakesZerosWhereThereIsNothingElse) {
  std::vector<float> entries(11);
  entries[10] = -1;
  const TopK chosen = TakeTopK(entries, 3);
  EXPECT_THAT(chosen.values, ::testing::ElementsAre(0, 0, -1));
  EXPECT_THAT(chosen.bitmap, ::testing::ElementsAre(0b11, 0b100));
  EXPECT_EQ(TakeTopK(entries, 11).values.size(), 11U);
}

// One grid step is 1, so that whole numbers are sent as they are.
codec::Lease SparseLease(std::size_t parameters, std::uint32_t top_k) {
  codec::Lease lease = Lease();
  lease.model_bytes = parameters * sizeof(float);
  lease.clip_norm = 1024;
  lease.grid_radius = 1024;
  lease.top_k = top_k;
  return lease;
}

// What a server makes of a sparse update: a number for each parameter.
std::vector<double> Dense(const PendingUpdate& update, std::size_t parameters) {
  const std::uint64_t each = codec::EntryBytes(update.header.encoding);
  const std::size_t bitmap = update.payload.size() - (parameters + 7) / 8;
  std::vector<double> dense(parameters);
  std::size_t at = 0;
  for (std::size_t i = 0; i < parameters; ++i) {
    if ((update.payload[bitmap + i / 8] >> (i % 8) & 1U) == 0) continue;
    std::int32_t value = 0;
    std::memcpy(&value, update.payload.data() + at, each);
    const std::uint64_t unused = 32 - 8 * each;
    value = static_cast<std::int32_t>(static_cast<std::uint32_t>(value) << unused) >> unused;
    dense[i] = static_cast<double>(value) * (1U << update.header.shift);
    at += each;
  }
  EXPECT_EQ(at, bitmap) << "as many ones as values";
  return dense;
}

TEST(MakeUpdate, SendsTheLargestEntriesWhereTheLeaseTakesThem) {
  const std::vector<float> delta = {0, 5, -7, 1, 0, 0, 0, 0, 6, 2};
  for (const auto& [encoding, bytes] :
       {std::pair(codec::Encoding::kGridInt32, 3 * 4 + 2), std::pair(codec::Encoding::kGridInt16, 3 * 2 + 2),
        std::pair(codec::Encoding::kGridInt8, 3 + 2)}) {
    const auto update = MakeUpdate(SparseLease(10, 3), delta, {.encoding = encoding});
    ASSERT_THAT(update, IsOk());
    EXPECT_TRUE(update->header.sparse);
    EXPECT_EQ(update->header.payload_bytes, static_cast<std::uint64_t>(bytes));
    EXPECT_EQ(update->header.payload_bytes, update->payload.size());
    EXPECT_EQ(update->header.payload_digest, Xxh3(update->payload));
    EXPECT_THAT(Dense(*update, 10), ElementsAreArray({0, 5, -7, 0, 0, 0, 0, 0, 6, 0}));
    EXPECT_THAT(update->unsent, ElementsAreArray({0, 0, 0, 1, 0, 0, 0, 0, 0, 2}));
  }
}

TEST(MakeUpdate, SendsASparseUpdateOfOneSizeWhateverTheData) {
  const auto of_zeros = MakeUpdate(SparseLease(100, 7), std::vector<float>(100), {});
  const auto of_some = MakeUpdate(SparseLease(100, 7), std::vector<float>(100, 3), {});
  ASSERT_THAT(of_zeros, IsOk());
  ASSERT_THAT(of_some, IsOk());
  EXPECT_EQ(of_zeros->payload.size(), of_some->payload.size());
  EXPECT_EQ(codec::Encode(of_zeros->header).size(), codec::Encode(of_some->header).size());
  EXPECT_THAT(Dense(*of_zeros, 100), Each(0));
}

TEST(MakeUpdate, IsDenseWhereTheLeaseOrTheEncodingWantsIt) {
  const std::vector<float> delta = {1, 2, 3, 4};
  const std::vector<float> residual = {9, 9, 9, 9};
  const auto floats =
      MakeUpdate(SparseLease(4, 1), delta, {.encoding = codec::Encoding::kFloat32, .residual = residual});
  ASSERT_THAT(floats, IsOk());
  EXPECT_FALSE(floats->header.sparse);
  EXPECT_THAT(floats->payload, ElementsAreArray(AsBytes(std::span<const float>(delta))));
  EXPECT_TRUE(floats->unsent.empty());
  const auto dense = MakeUpdate(SparseLease(4, 0), delta, {});
  ASSERT_THAT(dense, IsOk());
  EXPECT_FALSE(dense->header.sparse);
  EXPECT_EQ(dense->payload.size(), 16U);
}

// Whole numbers, so that nothing is rounded: what was sent and what is left are what was trained, to the last bit.
TEST(MakeUpdate, LosesNothingOverManySparseUpdates) {
  constexpr std::size_t kParameters = 37;
  std::vector<double> trained(kParameters);
  std::vector<double> sent(kParameters);
  std::vector<float> residual;
  for (int round = 0; round < 60; ++round) {
    std::vector<float> delta(kParameters);
    for (std::size_t i = 0; i < kParameters; ++i) {
      delta[i] = static_cast<float>((static_cast<int>(i) * 7 + round * 13) % 5 - 2);
      trained[i] += static_cast<double>(delta[i]);
    }
    const auto update = MakeUpdate(SparseLease(kParameters, 4), delta, {.residual = residual});
    ASSERT_THAT(update, IsOk());
    ASSERT_FALSE(update->header.clipped);
    const std::vector<double> dense = Dense(*update, kParameters);
    residual = update->unsent;
    for (std::size_t i = 0; i < kParameters; ++i) {
      sent[i] += dense[i];
      ASSERT_EQ(sent[i] + static_cast<double>(residual[i]), trained[i]) << "entry " << i << ", round " << round;
    }
  }
}

TEST(MakeUpdate, LeavesNothingOfWhatTheClipTook) {
  // Far beyond the clip, again and again: the residual does not grow by it.
  std::vector<float> residual;
  for (int round = 0; round < 5; ++round) {
    const auto update = MakeUpdate(SparseLease(4, 2), std::vector<float>{3000, 4000, 1, 2}, {.residual = residual});
    ASSERT_THAT(update, IsOk());
    const std::vector<double> dense = Dense(*update, 4);
    EXPECT_NEAR(dense[0], 1024 * 3 / 5.0, 2);
    EXPECT_NEAR(dense[1], 1024 * 4 / 5.0, 2);
    residual = update->unsent;
    EXPECT_THAT(residual, ::testing::ElementsAre(0, 0, round + 1, 2 * round + 2));
  }
}

TEST(MakeUpdate, RefusesAnEntryThatIsNotFiniteAndForgetsAResidualThatMakesOne) {
  constexpr float kLargest = std::numeric_limits<float>::max();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(MakeUpdate(SparseLease(4, 2), std::vector<float>{0, 0, nan, 0}, {}),
              IsErrorSaying(ErrorCode::kInvalidArgument, "entry 2 is NaN"));
  const std::vector<float> residual = {1, 1, 1, kLargest};
  const auto update = MakeUpdate(SparseLease(4, 1), std::vector<float>{0, 0, 0, kLargest}, {.residual = residual});
  ASSERT_THAT(update, IsOk());
  EXPECT_THAT(update->unsent, Each(0));
}

codec::Lease NoisyLease(codec::Mechanism mechanism = codec::Mechanism::kGaussian) {
  codec::Lease lease = Lease(codec::Mechanism::kNone);
  lease.max_examples = 1000;
  lease.local = codec::LocalNoise{.mechanism = mechanism, .noise_multiplier = 2, .delta = 1e-6, .max_releases = 3};
  return lease;
}

TEST(MakeUpdate, AddsNoiseOfTheDeviceAndTellsNothingElse) {
  const std::vector<float> delta = {3, 4, 0, 0};
  for (const codec::Mechanism mechanism : {codec::Mechanism::kGaussian, codec::Mechanism::kLaplace}) {
    codec::Lease lease = NoisyLease(mechanism);
    lease.tells_clipped = true;
    // Whatever the server or the owner would rather have.
    const auto options = UpdateOptions{.encoding = codec::Encoding::kFloat32, .example_count = 300};
    const auto update = MakeUpdate(lease, delta, options);
    ASSERT_THAT(update, IsOk());
    EXPECT_EQ(update->header.encoding, codec::Encoding::kGridInt32);
    EXPECT_EQ(update->header.example_count, 0U);
    EXPECT_FALSE(update->header.clipped);
    // A key of its own each time.
    EXPECT_NE(MakeUpdate(lease, delta, options)->payload, update->payload);
  }
}

TEST(MakeUpdate, AddsNoiseOfTheScaleThatIsAccountedFor) {
  constexpr std::size_t kEntries = 20'000;
  codec::Lease lease = NoisyLease();
  lease.model_bytes = kEntries * sizeof(float);
  const std::vector<std::int32_t> grid = GridOf(*MakeUpdate(lease, std::vector<float>(kEntries), {}));
  double squares = 0;
  for (const std::int32_t value : grid) squares += static_cast<double>(value) * value;
  // Within 4 % but once in 10^9 runs; noise that is forgotten gives 0, and one of half the scale a half.
  EXPECT_NEAR(std::sqrt(squares / kEntries) / 2048, 1, 0.04);
}

class LocalLedgerTest : public ::testing::Test {
 protected:
  static LocalCap CapOf(double epsilon, double delta = 1e-6) {
    return {.epsilon = *dp::Epsilon::Create(epsilon), .delta = *dp::Delta::Create(delta)};
  }
  [[nodiscard]] LocalLedger Open(const std::optional<LocalCap>& cap = std::nullopt) const {
    return *LocalLedger::Open(state_.path(), cap);
  }
  [[nodiscard]] std::filesystem::path file() const { return state_.path() / "local_privacy.json"; }

  ScratchDirectory state_;
};

TEST_F(LocalLedgerTest, CountsUpdatesAcrossProcessesUpToTheTasksLimit) {
  for (int i = 0; i < 3; ++i) EXPECT_THAT(Open().Charge(NoisyLease()), IsOk());
  const LocalLedger ledger = Open();
  EXPECT_EQ(ledger.record().tasks.at(0).releases, 3U);
  EXPECT_EQ(ledger.EpsilonSpent(), std::nullopt);
  EXPECT_THAT(ledger.CheckRoom(NoisyLease()), IsErrorSaying(ErrorCode::kPermissionDenied, "as many as it may"));
  EXPECT_THAT(Open().Charge(NoisyLease()), IsError(ErrorCode::kPermissionDenied));
  struct stat status{};
  ASSERT_EQ(::stat(file().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0600U);
}

TEST_F(LocalLedgerTest, RefusesOtherTermsThanTheFirst) {
  LocalLedger ledger = Open();
  ASSERT_THAT(ledger.Charge(NoisyLease()), IsOk());
  for (int change = 0; change < 5; ++change) {
    codec::Lease lease = NoisyLease();
    if (change == 0) lease.local->noise_multiplier = 1.9;
    if (change == 1) lease.local->mechanism = codec::Mechanism::kLaplace;
    if (change == 2) lease.local->max_releases = 4;
    if (change == 3) lease.local->delta = 2e-6;
    if (change == 4) lease.local.reset();
    EXPECT_THAT(ledger.CheckRoom(lease), IsErrorSaying(ErrorCode::kConflict, "first took part")) << change;
  }
}

TEST_F(LocalLedgerTest, KeepsItsCapForEverAndOverAllTasks) {
  codec::Lease lease = NoisyLease();
  lease.local->noise_multiplier = 10;
  lease.local->max_releases = 1000;
  ASSERT_THAT(Open(CapOf(4)).Charge(lease), IsOk());
  // Another process, without the option, and another task each time.
  int charged = 1;
  for (;; ++charged) {
    lease.task = *TaskId::Parse("t" + std::to_string(charged));
    LocalLedger ledger = Open();
    ASSERT_LE(*ledger.EpsilonSpent(), 4);
    const auto done = ledger.Charge(lease);
    if (done) continue;
    EXPECT_THAT(done, IsErrorSaying(ErrorCode::kBudgetExhausted, "its limit for ever"));
    break;
  }
  // Twice the sensitivity: what the tightest accountant allows of multiplier 5 is a little more.
  const dp::LocalNoise noise = LocalTermsOf(lease)->value().noise;
  const auto count = static_cast<std::uint64_t>(charged);
  EXPECT_LE(dp::LocalCost(noise, count).epsilon, 4);
  EXPECT_GT(dp::LocalCost(noise, count + count / 4 + 1).epsilon, 4);
}

TEST_F(LocalLedgerTest, WithACapLetsNothingOutWithoutNoise) {
  EXPECT_THAT(Open().CheckRoom(Lease()), IsOk());
  const LocalLedger ledger = Open(CapOf(4));
  EXPECT_THAT(ledger.CheckRoom(Lease()), IsErrorSaying(ErrorCode::kPermissionDenied, "without noise of this device"));
  EXPECT_THAT(ledger.CheckRoom(Lease(codec::Mechanism::kNone)), IsError(ErrorCode::kPermissionDenied));
}

TEST_F(LocalLedgerTest, KeepsItsCapWhenAnotherCannotBeKept) {
  EXPECT_THAT(Open(CapOf(4)).MaySendKept(Lease().task), ::testing::IsFalse());
  EXPECT_THAT(LocalLedger::Open(state_.path(), CapOf(1e-9)), IsError(ErrorCode::kInvalidArgument));
  LocalLedger ledger = Open();
  EXPECT_EQ(ledger.record().cap, CapOf(4));
}

TEST_F(LocalLedgerTest, TakesAStricterCapAndNoOther) {
  EXPECT_EQ(Open(CapOf(3)).replaced_cap(), std::nullopt);
  EXPECT_EQ(Open(CapOf(3)).replaced_cap(), std::nullopt) << "the same again";
  // What is larger in one and smaller in the other is another statement, and none that is stricter.
  for (const LocalCap& looser : {CapOf(5), CapOf(3, 1e-5), CapOf(2, 1e-5), CapOf(5, 1e-7)}) {
    EXPECT_THAT(LocalLedger::Open(state_.path(), looser),
                IsErrorSaying(ErrorCode::kConflict, "this device is kept to epsilon 3 at delta 1e-06"));
    EXPECT_EQ(Open().record().cap, CapOf(3));
  }
  EXPECT_EQ(Open(CapOf(2)).replaced_cap(), CapOf(3));
  EXPECT_EQ(Open(CapOf(2, 1e-7)).replaced_cap(), CapOf(2));
  EXPECT_EQ(Open().record().cap, CapOf(2, 1e-7));
}

TEST_F(LocalLedgerTest, ChargesNothingThatTheDiskDoesNotTake) {
  LocalLedger ledger = Open();
  std::filesystem::create_directory(file());  // what stands there cannot be replaced by a file
  EXPECT_THAT(ledger.Charge(NoisyLease()), Not(IsOk()));
  EXPECT_TRUE(ledger.record().tasks.empty());
}

TEST_F(LocalLedgerTest, SendsNothingWhenItsFileIsDamaged) {
  LocalLedger ledger = Open(CapOf(10));
  ASSERT_THAT(ledger.Charge(NoisyLease()), IsOk());
  const std::string good = FormatLocalRecord(ledger.record());
  EXPECT_EQ(*ParseLocalRecord(good), ledger.record());
  const std::array<std::pair<std::string_view, std::string_view>, 9> damages{{{"\"schema\": 1", "\"schema\": 2"},
                                                                              {"\"releases\": 1", "\"releases\": -1"},
                                                                              {"\"releases\": 1", "\"releases\": 0.5"},
                                                                              {"\"gaussian\"", "\"none\""},
                                                                              {"\"gaussian\"", "7"},
                                                                              {"\"delta\": 1e-06", "\"delta\": 1"},
                                                                              {"\"har\"", "\"../har\""},
                                                                              {"\"max_releases\"", "\"max\""},
                                                                              {"}", ""}}};
  for (const auto& [from, to] : damages) {
    std::string bad = good;
    bad.replace(bad.find(from), from.size(), to);
    ASSERT_NE(bad, good);
    ASSERT_THAT(WriteFileAtomic(file(), AsBytes(bad), 0600), IsOk());
    EXPECT_THAT(LocalLedger::Open(state_.path(), std::nullopt),
                IsErrorSaying(ErrorCode::kDataLoss, "nothing is sent without it"))
        << bad;
  }
}

TEST_F(LocalLedgerTest, TellsAFileThatWasCutFromOneOfAnotherSchema) {
  EXPECT_THAT(ParseLocalRecord("{\"schema\": 1, \"cap\": nu"), IsErrorSaying(ErrorCode::kMalformed, "was cut"));
  EXPECT_THAT(ParseLocalRecord(""), IsErrorSaying(ErrorCode::kMalformed, "was cut"));
  EXPECT_THAT(ParseLocalRecord("{\"schema\": 2}"), IsErrorSaying(ErrorCode::kMalformed, "is not of schema 1"));
}

TEST(MakeUpdate, RefusesWhatNoServerWouldTake) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(MakeUpdate(Lease(), std::vector<float>{0, 0, nan, 0}, {}),
              IsErrorSaying(ErrorCode::kInvalidArgument, "2"));
  EXPECT_THAT(MakeUpdate(Lease(), std::vector<float>(3), {}),
              IsErrorSaying(ErrorCode::kInvalidArgument, "3 parameters"));
  codec::Lease lease = Lease();
  lease.clip_norm = 0;
  EXPECT_THAT(MakeUpdate(lease, std::vector<float>(4), {}), IsError(ErrorCode::kInvalidArgument));
  lease = Lease();
  lease.grid_radius = 1000;
  EXPECT_THAT(MakeUpdate(lease, std::vector<float>(4), {}), IsError(ErrorCode::kInvalidArgument));
}

TEST(SpecOf, RefusesALeaseThatContradictsItself) {
  EXPECT_THAT(SpecOf(Lease()), IsOk());
  codec::Lease lease = Lease();
  lease.model_bytes += 4;
  EXPECT_THAT(SpecOf(lease), IsErrorSaying(ErrorCode::kMalformed, "schema digest and size"));
  lease = Lease();
  lease.schema_digest[0] ^= 1U;
  EXPECT_THAT(SpecOf(lease), IsError(ErrorCode::kMalformed));
}

class PendingStoreTest : public ::testing::Test {
 protected:
  [[nodiscard]] std::filesystem::path File() const { return directory_.path() / "pending_update"; }

  ScratchDirectory directory_;
  PendingStore store_{directory_.path()};
  PendingUpdate update_ = *MakeUpdate(Lease(), std::vector<float>{1, 2, 3, 4}, {});
};

TEST_F(PendingStoreTest, GivesTheSameBytesBackToAnotherProcess) {
  EXPECT_EQ(store_.Load(), std::nullopt);
  ASSERT_THAT(store_.Save(update_), IsOk());
  const auto loaded = PendingStore(directory_.path()).Load();
  ASSERT_TRUE(loaded.has_value());
  EXPECT_EQ(loaded->round, update_.round);
  EXPECT_EQ(loaded->header, update_.header);
  EXPECT_EQ(loaded->payload, update_.payload);
  store_.Drop();
  EXPECT_EQ(store_.Load(), std::nullopt);
}

TEST_F(PendingStoreTest, KeepsTheFileForItsOwner) {
  ASSERT_THAT(store_.Save(update_), IsOk());
  using std::filesystem::perms;
  EXPECT_EQ(std::filesystem::status(File()).permissions(), perms::owner_read | perms::owner_write);
}

TEST_F(PendingStoreTest, DropsEveryTruncatedOrChangedFile) {
  ASSERT_THAT(store_.Save(update_), IsOk());
  const Bytes good = [&] {
    std::ifstream in(File(), std::ios::binary);
    return Bytes(std::istreambuf_iterator<char>(in), {});
  }();
  ASSERT_THAT(ParsePendingUpdate(good), IsOk());
  for (std::size_t i = 0; i < good.size(); ++i) {
    EXPECT_THAT(ParsePendingUpdate(ByteSpan(good).first(i)), IsError(ErrorCode::kMalformed)) << i;
    Bytes changed = good;
    changed[i] ^= 0x40U;
    EXPECT_THAT(ParsePendingUpdate(changed), IsError(ErrorCode::kMalformed)) << i;
  }
  directory_.Write("pending_update", ByteSpan(good).first(30));
  EXPECT_EQ(store_.Load(), std::nullopt);
  EXPECT_FALSE(std::filesystem::exists(File()));
}

TEST_F(PendingStoreTest, KeepsASparseUpdateTogetherWithWhatItLeaves) {
  const PendingUpdate sparse = *MakeUpdate(SparseLease(9, 2), std::vector<float>{1, 2, 3, 4, 5, 6, 7, 8, 9}, {});
  ASSERT_THAT(store_.Save(sparse), IsOk());
  const auto loaded = PendingStore(directory_.path()).Load();
  ASSERT_TRUE(loaded.has_value());
  EXPECT_EQ(loaded->header, sparse.header);
  EXPECT_EQ(loaded->payload, sparse.payload);
  EXPECT_THAT(loaded->unsent, ElementsAreArray({1, 2, 3, 4, 5, 6, 7, 0, 0}));
}

TEST_F(PendingStoreTest, DropsASparseUpdateWhoseRestIsNotOfItsModel) {
  const PendingUpdate sparse = *MakeUpdate(SparseLease(9, 2), std::vector<float>(9), {});
  const auto reload = [&](std::vector<float> unsent) {
    PendingUpdate changed = sparse;
    changed.unsent = std::move(unsent);
    EXPECT_THAT(store_.Save(changed), IsOk());
    return store_.Load();
  };
  EXPECT_NE(reload(std::vector<float>(9)), std::nullopt);
  EXPECT_EQ(reload({}), std::nullopt);
  EXPECT_EQ(reload(std::vector<float>(8)), std::nullopt) << "a byte of bits less, and half a value more";
  EXPECT_EQ(reload(std::vector<float>(81)), std::nullopt) << "no room for a value";
  EXPECT_EQ(reload(std::vector<float>(9, std::numeric_limits<float>::infinity())), std::nullopt);
}

class ResidualStoreTest : public ::testing::Test {
 protected:
  [[nodiscard]] std::vector<std::filesystem::path> Files() const {
    std::vector<std::filesystem::path> files;
    for (const auto& entry : std::filesystem::directory_iterator(state_.path() / "residuals"))
      files.push_back(entry.path());
    return files;
  }

  ScratchDirectory state_;
  ResidualStore store_{state_.path()};
  TaskId task_ = *TaskId::Parse("har");
  Digest128 schema_{1};
  std::vector<float> residual_ = {0.5F, -1, 0};
};

TEST_F(ResidualStoreTest, GivesBackWhatWasSavedLastToAnotherProcess) {
  EXPECT_TRUE(store_.Load(task_, schema_, 3).empty());
  ASSERT_THAT(store_.Save(task_, schema_, std::vector<float>{1, 2, 3}), IsOk());
  ASSERT_THAT(store_.Save(task_, schema_, residual_), IsOk());
  EXPECT_EQ(ResidualStore(state_.path()).Load(task_, schema_, 3), residual_);
  EXPECT_TRUE(store_.Load(*TaskId::Parse("har-2"), schema_, 3).empty());
  store_.Drop(task_);
  EXPECT_TRUE(store_.Load(task_, schema_, 3).empty());
}

TEST_F(ResidualStoreTest, KeepsItsFilesForTheirOwner) {
  ASSERT_THAT(store_.Save(task_, schema_, residual_), IsOk());
  ASSERT_EQ(Files().size(), 1U);
  EXPECT_EQ(Files()[0].filename(), "har." + ToHex(schema_));
  using std::filesystem::perms;
  EXPECT_EQ(std::filesystem::status(Files()[0]).permissions(), perms::owner_read | perms::owner_write);
}

TEST_F(ResidualStoreTest, KeepsOneATaskAndThoseOfTheLatestFewTasks) {
  ASSERT_THAT(store_.Save(task_, Digest128{2}, residual_), IsOk());
  ASSERT_THAT(store_.Save(*TaskId::Parse("har-2"), schema_, residual_), IsOk());
  ASSERT_THAT(store_.Save(task_, schema_, residual_), IsOk());
  EXPECT_TRUE(store_.Load(task_, Digest128{2}, 3).empty()) << "of a model that the task had before";
  EXPECT_EQ(store_.Load(*TaskId::Parse("har-2"), schema_, 3), residual_);
  for (int i = 0; i < 12; ++i)
    ASSERT_THAT(store_.Save(*TaskId::Parse("t" + std::to_string(i)), schema_, residual_), IsOk());
  EXPECT_EQ(Files().size(), 8U);
  EXPECT_EQ(store_.Load(*TaskId::Parse("t11"), schema_, 3), residual_);
  EXPECT_TRUE(store_.Load(task_, schema_, 3).empty());
}

TEST_F(ResidualStoreTest, RemovesWhatACrashLeftAndCountsItForNoTask) {
  for (int i = 0; i < 8; ++i)
    ASSERT_THAT(store_.Save(*TaskId::Parse("t" + std::to_string(i)), schema_, residual_), IsOk());
  const std::string left = "residuals/t0." + ToHex(schema_) + ".Ab3xYz";
  state_.Write(left, std::string_view("cut"));
  ASSERT_THAT(store_.Save(*TaskId::Parse("t7"), schema_, residual_), IsOk());
  EXPECT_FALSE(std::filesystem::exists(state_.path() / left));
  for (int i = 0; i < 8; ++i)
    EXPECT_EQ(store_.Load(*TaskId::Parse("t" + std::to_string(i)), schema_, 3), residual_) << i;
}

TEST_F(ResidualStoreTest, LeavesAloneWhatItCannotReadNow) {
  const auto path = state_.path() / "residuals" / ("har." + ToHex(schema_));
  std::filesystem::create_directories(path);
  EXPECT_TRUE(store_.Load(task_, schema_, 3).empty());
  EXPECT_TRUE(std::filesystem::exists(path));
}

TEST_F(ResidualStoreTest, DropsWhatIsDamagedOrOfAnotherLength) {
  const Bytes good = FormatResidual(residual_);
  ASSERT_THAT(ParseResidual(good), IsOk());
  for (std::size_t i = 0; i < good.size(); ++i) {
    EXPECT_THAT(ParseResidual(ByteSpan(good).first(i)), IsError(ErrorCode::kMalformed)) << i;
    Bytes changed = good;
    changed[i] ^= 0x40U;
    EXPECT_THAT(ParseResidual(changed), IsError(ErrorCode::kMalformed)) << i;
  }
  EXPECT_THAT(ParseResidual(FormatResidual({})), IsError(ErrorCode::kMalformed));
  const std::vector<float> not_finite = {1, std::numeric_limits<float>::quiet_NaN()};
  EXPECT_THAT(ParseResidual(FormatResidual(not_finite)), IsError(ErrorCode::kMalformed));
  ASSERT_THAT(store_.Save(task_, schema_, residual_), IsOk());
  EXPECT_TRUE(store_.Load(task_, schema_, 4).empty());
  EXPECT_TRUE(Files().empty());
}

}  // namespace
}  // namespace tacit::upload
