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
#include "edge_agent/upload/session.h"
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

}  // namespace
}  // namespace tacit::upload
