#include "dp/release.h"

#include <cmath>
#include <concepts>
#include <numeric>
#include <ostream>
#include <type_traits>

#include <gmock/gmock.h>

#include "common/crypto/digest.h"
#include "common/crypto/sealer.h"
#include "dp/clip.h"
#include "dp/ledger.h"
#include "tests/support/matchers.h"
#include "tests/unit/dp/dp_support.h"

namespace tacit::dp {
namespace {

using tacit::testing::IsError;
using tacit::testing::IsErrorSaying;
using tacit::testing::IsOk;
using testing::ClipOf;
using testing::ContentsOf;
using ::testing::Each;
using ::testing::ElementsAre;
using testing::kRadius;
using testing::RadiusOf;
using testing::TestMinter;

// The sum cannot leave by accident: no copy, no stream, no view of its values.
static_assert(!std::is_copy_constructible_v<UnnoisedSum> && !std::is_copy_assignable_v<UnnoisedSum>);
static_assert(!std::is_default_constructible_v<UnnoisedSum>);
template <typename T>
concept CanBeStreamed = requires(std::ostream& stream, const T& value) { stream << value; };
static_assert(CanBeStreamed<int> && !CanBeStreamed<UnnoisedSum>);

RoundKey RoundOf(RoundNumber round) {
  return {.task = testing::TaskOf("har"), .round = round};
}

SumOptions OptionsOf(Mechanism mechanism, std::size_t parameters = 3, RoundNumber round = 1) {
  return {.round = RoundOf(round), .mechanism = mechanism, .grid_radius = RadiusOf(kRadius), .parameters = parameters};
}

UnnoisedSum SumOf(Mechanism mechanism, std::size_t parameters = 3, RoundNumber round = 1) {
  return *UnnoisedSum::Create(OptionsOf(mechanism, parameters, round));
}

std::vector<std::int32_t> Grid(std::initializer_list<std::int32_t> values) {
  return values;
}

/// A token as a round gets it: reserved, charged, durable, redeemed.
ReleaseToken PrivateToken(Mechanism mechanism, double noise_multiplier, std::uint64_t cohort, RoundNumber round = 1,
                          std::optional<ClipTracking> tracking = std::nullopt) {
  auto ledger = *BudgetLedger::Restore({.task = testing::TaskOf("har"),
                                        .mechanism = mechanism,
                                        .noise_multiplier = testing::MultiplierOf(noise_multiplier),
                                        .clip_norm = ClipOf(kRadius),  // one grid step is 1.0
                                        .grid_radius = RadiusOf(kRadius),
                                        .cohort = cohort,
                                        .delta = testing::DeltaOf(1e-6),
                                        .budget = testing::EpsilonOf(1e9),
                                        .max_participations = 10,
                                        .min_separation = 1,
                                        .coin = {},
                                        .tracking = tracking,
                                        .hash = &crypto::Sha256},
                                       {}, 0);
  EXPECT_THAT(ledger.Apply(TestMinter::Say(*ledger.ProposeReserve(round, {}))), IsOk());
  const auto charge = TestMinter::Say(*ledger.ProposeCharge(round, cohort, {}));
  EXPECT_THAT(ledger.Apply(charge), IsOk());
  return *ledger.Redeem(charge);
}

ReleaseToken OpenToken(double divisor, RoundNumber round = 1) {
  return NoPrivacyToken(
      {.round = RoundOf(round), .clip_norm = ClipOf(kRadius), .grid_radius = RadiusOf(kRadius), .divisor = divisor});
}

TEST(UnnoisedSum, AddsExactlyInAnyOrder) {
  const auto a = Grid({1, -2, 3});
  const auto b = Grid({1000, 0, -5});
  UnnoisedSum forward = SumOf(Mechanism::kGaussian);
  UnnoisedSum backward = SumOf(Mechanism::kGaussian);
  UnnoisedSum other_part = SumOf(Mechanism::kGaussian);
  const testing::GlassSealer glass;
  ASSERT_THAT(forward.Add(a), IsOk());
  ASSERT_THAT(forward.Add(b), IsOk());
  ASSERT_THAT(backward.Add(b), IsOk());
  ASSERT_THAT(other_part.Add(a), IsOk());
  ASSERT_THAT(backward.AddSealed(glass, testing::SealedOf(other_part, glass, {}), {}), IsOk());
  EXPECT_THAT(ContentsOf(forward), ElementsAre(1001, -2, -2));
  EXPECT_EQ(ContentsOf(forward), ContentsOf(backward));
  EXPECT_EQ(backward.contributions(), 2U);
}

TEST(UnnoisedSum, RefusesAVectorAboveTheRadiusAndStaysAsItWas) {
  UnnoisedSum sum = SumOf(Mechanism::kLaplace);
  ASSERT_THAT(sum.Add(Grid({1, 2, 3})), IsOk());
  EXPECT_THAT(sum.Add(Grid({1024, 0, 1})), IsErrorSaying(ErrorCode::kInvalidArgument, "L1 norm"));
  EXPECT_THAT(sum.Add(Grid({1, 2})), IsErrorSaying(ErrorCode::kInvalidArgument, "2 entries and the model has 3"));
  EXPECT_THAT(ContentsOf(sum), ElementsAre(1, 2, 3));
  EXPECT_EQ(sum.contributions(), 1U);
}

TEST(UnnoisedSum, IgnoresNoClaimOfManyExamplesButRefusesItUnderPrivacy) {
  for (const Mechanism mechanism : {Mechanism::kGaussian, Mechanism::kLaplace}) {
    UnnoisedSum sum = SumOf(mechanism);
    EXPECT_THAT(sum.AddWeighted(Grid({1, 0, 0}), 1'000'000'000),
                IsErrorSaying(ErrorCode::kInvalidArgument, "weight one"));
    EXPECT_THAT(sum.AddWeighted(Grid({1, 0, 0}), 1), IsError(ErrorCode::kInvalidArgument));
    EXPECT_THAT(ContentsOf(sum), ElementsAre(0, 0, 0));
  }
}

TEST(UnnoisedSum, WeighsByExamplesWithoutPrivacyUpToTheExactOverflowBound) {
  UnnoisedSum sum = SumOf(Mechanism::kNone, 1);
  constexpr std::uint64_t kLimit = (std::uint64_t{1} << 62U) / kRadius;
  EXPECT_THAT(sum.AddWeighted(Grid({1}), 0), IsError(ErrorCode::kInvalidArgument));
  ASSERT_THAT(sum.AddWeighted(Grid({-1024}), kLimit - 1), IsOk());
  EXPECT_THAT(sum.AddWeighted(Grid({-1024}), 2), IsErrorSaying(ErrorCode::kTooLarge, "overflow"));
  ASSERT_THAT(sum.AddWeighted(Grid({-1024}), 1), IsOk());
  EXPECT_THAT(sum.Add(Grid({0})), IsError(ErrorCode::kTooLarge));
  EXPECT_THAT(sum.AddWeighted(Grid({0}), ~std::uint64_t{0}), IsError(ErrorCode::kTooLarge));
  EXPECT_THAT(ContentsOf(sum), ElementsAre(-(std::int64_t{1} << 62U)));
  EXPECT_EQ(sum.total_weight(), kLimit);
  UnnoisedSum more = SumOf(Mechanism::kNone, 1);
  ASSERT_THAT(more.Add(Grid({1})), IsOk());
  const testing::GlassSealer glass;
  EXPECT_THAT(sum.AddSealed(glass, testing::SealedOf(more, glass, {}), {}), IsError(ErrorCode::kTooLarge));
}

TEST(UnnoisedSum, IsMadeForASensibleNumberOfParametersOnly) {
  EXPECT_THAT(UnnoisedSum::Create(OptionsOf(Mechanism::kGaussian, 0)), IsError(ErrorCode::kInvalidArgument));
  EXPECT_THAT(UnnoisedSum::Create(OptionsOf(Mechanism::kGaussian, kMaxParameters + 1)),
              IsError(ErrorCode::kInvalidArgument));
}

TEST(UnnoisedSum, ComesBackFromItsSealAndFromNoOther) {
  const auto sealer = *crypto::Aes256GcmSealer::Create(crypto::SecretKey::Random());
  const auto stranger = *crypto::Aes256GcmSealer::Create(crypto::SecretKey::Random());
  UnnoisedSum sum = SumOf(Mechanism::kGaussian);
  ASSERT_THAT(sum.Add(Grid({7, -8, 9})), IsOk());
  Bytes sealed = testing::SealedOf(sum, sealer, AsBytes("part 1"));
  UnnoisedSum back = SumOf(Mechanism::kGaussian);
  ASSERT_THAT(back.AddSealed(sealer, sealed, AsBytes("part 1")), IsOk());
  EXPECT_EQ(ContentsOf(back), ContentsOf(sum));
  EXPECT_EQ(back.contributions(), 1U);

  EXPECT_THAT(back.AddSealed(sealer, sealed, AsBytes("part 2")), IsError(ErrorCode::kDataLoss));
  EXPECT_THAT(back.AddSealed(stranger, sealed, AsBytes("part 1")), IsError(ErrorCode::kDataLoss));
  for (const SumOptions& wrong : {OptionsOf(Mechanism::kGaussian, 3, 2), OptionsOf(Mechanism::kLaplace),
                                  OptionsOf(Mechanism::kNone), OptionsOf(Mechanism::kGaussian, 4)}) {
    EXPECT_THAT(UnnoisedSum::Create(wrong)->AddSealed(sealer, sealed, AsBytes("part 1")),
                IsError(ErrorCode::kDataLoss));
  }
  sealed[20] ^= 1U;
  EXPECT_THAT(back.AddSealed(sealer, sealed, AsBytes("part 1")), IsError(ErrorCode::kDataLoss));
  EXPECT_EQ(ContentsOf(back), ContentsOf(sum)) << "an error leaves it as it was";
}

TEST(UnnoisedSum, DoesNotShowItsContentsInTheSealedBytes) {
  const auto sealer = *crypto::Aes256GcmSealer::Create(crypto::SecretKey::Random());
  UnnoisedSum sum = SumOf(Mechanism::kGaussian, 64);
  const Bytes sealed = testing::SealedOf(sum, sealer, {});  // 512 zero bytes in clear
  EXPECT_LT(std::ranges::count(sealed, 0), 32);
}

TEST(UnnoisedSum, RefusesSealedContentsThatItsContributionsCannotHaveMade) {
  UnnoisedSum sum = SumOf(Mechanism::kGaussian, 1);
  ASSERT_THAT(sum.Add(Grid({5})), IsOk());
  const Bytes honest = testing::SealedOf(sum, testing::GlassSealer(), {});
  const auto add = [](ByteSpan sealed) {
    return SumOf(Mechanism::kGaussian, 1).AddSealed(testing::GlassSealer(), sealed, {});
  };
  const auto with = [&]<typename Number>(std::size_t at, Number value) {
    Bytes changed = honest;
    std::memcpy(changed.data() + at, &value, sizeof value);
    return add(changed);
  };
  const std::size_t entry = honest.size() - 4;
  EXPECT_THAT(with(entry, std::int32_t{1024}), IsOk());
  EXPECT_THAT(with(entry, std::int32_t{-1024}), IsOk());
  EXPECT_THAT(with(entry, std::int32_t{1025}), IsErrorSaying(ErrorCode::kDataLoss, "cannot have made"));
  EXPECT_THAT(with(entry, std::int32_t{-1025}), IsErrorSaying(ErrorCode::kDataLoss, "cannot have made"));
  // How many, their weight, and the bytes of an entry.
  const Bytes numbers = ByteWriter().U64(1).U64(1).U64(4).bytes();
  const auto found = std::ranges::search(honest, numbers);
  ASSERT_FALSE(found.empty());
  const auto counts = static_cast<std::size_t>(found.begin() - honest.begin());
  EXPECT_THAT(with(counts, std::uint64_t{2}), IsErrorSaying(ErrorCode::kDataLoss, "counts"));
  EXPECT_THAT(with(counts + 8, ~std::uint64_t{0}), IsErrorSaying(ErrorCode::kDataLoss, "counts"));
  EXPECT_THAT(with(counts + 16, std::uint64_t{8}), IsErrorSaying(ErrorCode::kDataLoss, "size"));
  EXPECT_THAT(with(counts + 16, std::uint64_t{0}), IsErrorSaying(ErrorCode::kDataLoss, "size"));
  EXPECT_THAT(add(ByteSpan(honest).first(honest.size() - 1)), IsErrorSaying(ErrorCode::kDataLoss, "size"));
  EXPECT_THAT(add(ByteSpan(honest).first(8)), IsErrorSaying(ErrorCode::kDataLoss, "size"));
}

// ---- Many at once ----

UpdateTerms TermsOf(const SumOptions& options) {
  return {.mechanism = options.mechanism, .grid_radius = options.grid_radius, .entry_bound = options.entry_bound};
}

std::vector<std::int32_t> SomeGrid(std::size_t size, std::int32_t start) {
  std::vector<std::int32_t> grid(size);
  for (std::size_t i = 0; i < size; ++i) grid[i] = i < 200 ? (start + static_cast<std::int32_t>(i) * 7) % 60 - 30 : 0;
  if (size > 0) grid.back() = start % 60 - 30;
  return grid;
}

/// What a start makes of a sealed part.
std::vector<std::int64_t> ContentsFromDisk(const SumOptions& options, ByteSpan sealed) {
  UnnoisedSum sum = *UnnoisedSum::Create(options);
  EXPECT_THAT(sum.AddSealed(testing::GlassSealer(), sealed, {}), IsOk());
  return ContentsOf(sum);
}

/// Adds the same vectors one by one, and all at once, and opens what the second gave.
void ExpectSameAtOnce(const SumOptions& options, std::span<const std::uint64_t> weights) {
  UnnoisedSum one_by_one = *UnnoisedSum::Create(options);
  std::vector<VerifiedUpdate> updates;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const std::vector<std::int32_t> grid = SomeGrid(options.parameters, static_cast<std::int32_t>(i));
    const Fit fit = i % 3 == 0 ? Fit::kClipped : Fit::kWithinClip;
    updates.push_back(testing::UpdateOf(grid, TermsOf(options), fit));
    const bool weighted = weights[i] != 1;
    ASSERT_THAT(weighted                ? one_by_one.AddWeighted(grid, weights[i])
                : options.bit_steps > 0 ? one_by_one.Add(grid, fit)
                                        : one_by_one.Add(grid),
                IsOk());
  }
  std::vector<Addend> addends;
  for (std::size_t i = 0; i < weights.size(); ++i) addends.push_back({&updates[i], weights[i]});
  UnnoisedSum at_once = *UnnoisedSum::Create(options);
  AlignedBuffer room;
  const testing::GlassSealer glass;
  const auto sealed = at_once.AddAndSeal(addends, glass, {}, room);
  ASSERT_THAT(sealed, IsOk());
  EXPECT_EQ(ContentsOf(at_once), ContentsOf(one_by_one));
  EXPECT_EQ(at_once.total_weight(), one_by_one.total_weight());
  EXPECT_EQ(at_once.contributions(), weights.size());

  EXPECT_EQ(ContentsFromDisk(options, *sealed), ContentsOf(one_by_one));
  ASSERT_THAT(at_once.TakeBackSealed(glass, *sealed, {}), IsOk());
  EXPECT_THAT(ContentsOf(at_once), Each(0));
  EXPECT_EQ(at_once.total_weight(), 0U);
  EXPECT_EQ(at_once.contributions(), 0U);
}

TEST(AddAndSeal, AddsWhatOneByOneAddsUpTo) {
  constexpr std::uint64_t kOnes[] = {1, 1, 1, 1, 1};
  // Sizes around the sealer's blocks, of narrow and of wide entries.
  for (const std::size_t size : {1U, 3U, 100U, 4079U, 4080U, 8191U, 8192U, 20'000U}) {
    ExpectSameAtOnce(OptionsOf(Mechanism::kGaussian, size), kOnes);
    SumOptions tracked = OptionsOf(Mechanism::kGaussian, size);
    tracked.bit_steps = 512;
    ExpectSameAtOnce(tracked, kOnes);
    constexpr std::uint64_t kWeights[] = {1, 3'000'000'000, 7};
    ExpectSameAtOnce(OptionsOf(Mechanism::kNone, size), kWeights);
    constexpr std::uint64_t kSmallWeights[] = {1, 5, 7};  // their sum would fit narrow entries
    ExpectSameAtOnce(OptionsOf(Mechanism::kNone, size), kSmallWeights);
    SumOptions finest = tracked;
    finest.grid_radius = RadiusOf(1U << 30U);
    ExpectSameAtOnce(finest, kOnes);
  }
}

/// Each vector clipped by the reference of one whole vector, and added one by one.
UnnoisedSum ClippedOneByOne(const SumOptions& options, const std::vector<std::vector<float>>& vectors) {
  UnnoisedSum sum = *UnnoisedSum::Create(options);
  for (const std::vector<float>& values : vectors) {
    std::vector<std::int32_t> grid(values.size());
    const auto outcome = ClipToGrid(values, ClipOf(1), options.grid_radius, NormOf(options.mechanism), grid);
    EXPECT_THAT(outcome, IsOk());
    EXPECT_THAT(sum.Add(grid), IsOk());
  }
  return sum;
}

/// Adds the same floats in one batch.
void ExpectFloatsAddAsClipped(const SumOptions& options, const std::vector<std::vector<float>>& vectors) {
  const UnnoisedSum expected = ClippedOneByOne(options, vectors);
  std::vector<VerifiedUpdate> updates;
  for (const std::vector<float>& values : vectors) updates.push_back(testing::FloatsOf(values, TermsOf(options)));
  std::vector<Addend> addends;
  for (VerifiedUpdate& update : updates) addends.push_back({&update});
  UnnoisedSum sum = *UnnoisedSum::Create(options);
  AlignedBuffer room;
  const testing::GlassSealer glass;
  const auto sealed = sum.AddAndSeal(addends, glass, {}, room);
  ASSERT_THAT(sealed, IsOk());
  EXPECT_EQ(ContentsOf(sum), ContentsOf(expected));
  EXPECT_EQ(ContentsFromDisk(options, *sealed), ContentsOf(expected));
}

TEST(AddAndSeal, ClipsFloatsAsItAddsThem) {
  for (const Mechanism mechanism : {Mechanism::kGaussian, Mechanism::kLaplace}) {
    // Sizes around the sealer's blocks and the pieces of a vector; vectors within the clip norm and beyond.
    for (const std::size_t size : {1U, 3U, 2047U, 2049U, 4080U, 8192U, 20'000U}) {
      for (const std::uint32_t radius : {kRadius, 1U << 30U}) {  // narrow entries, and wide ones
        SumOptions options = OptionsOf(mechanism, size);
        options.grid_radius = RadiusOf(radius);
        std::vector<std::vector<float>> vectors(3, std::vector<float>(size));
        for (std::size_t i = 0; i < size; ++i) {
          vectors[0][i] = 1e-4F * static_cast<float>(i % 13) - 5e-4F;
          vectors[1][i] = static_cast<float>(i % 7) - 3;
        }
        vectors[2].back() = -1;
        ExpectFloatsAddAsClipped(options, vectors);
      }
    }
  }
}

// trunc(value * factor) is beyond the bound here, and what is added must not be.
TEST(AddAndSeal, AddsNoFloatsBeyondTheBound) {
  const std::vector<float> beyond = testing::LostBesideLargeOnes();
  SumOptions options = OptionsOf(Mechanism::kGaussian, beyond.size());
  options.grid_radius = RadiusOf(1U << 30U);
  VerifiedUpdate update = testing::FloatsOf(beyond, TermsOf(options));
  GridMeasure measure;
  std::vector<std::int32_t> scratch(beyond.size());
  (void)update.Piece(0, scratch, measure);
  ASSERT_FALSE(update.Holds(measure)) << "this vector does not test anything";
  const std::vector<float> ordinary(options.parameters, 1e-3F);
  ExpectFloatsAddAsClipped(options, {beyond});  // in narrow entries
  ExpectFloatsAddAsClipped(options, {ordinary, beyond, ordinary});
  EXPECT_TRUE(testing::NormIsAtMost<std::int32_t>(update.Settle(), 1U << 30U, Norm::kL2));
}

TEST(AddAndSeal, TakesFloatsBackWhenItFails) {
  SumOptions options = OptionsOf(Mechanism::kGaussian, 10'000);
  UnnoisedSum sum = *UnnoisedSum::Create(options);
  VerifiedUpdate update = testing::FloatsOf(std::vector<float>(10'000, 0.02F), TermsOf(options));
  const Addend addends[] = {{&update}, {&update}};
  AlignedBuffer room;
  testing::GlassSealer glass;
  glass.fails = true;
  EXPECT_THAT(sum.AddAndSeal(addends, glass, {}, room), IsError(ErrorCode::kInternal));
  EXPECT_THAT(ContentsOf(sum), Each(0));
  EXPECT_EQ(sum.contributions(), 0U);
}

TEST(AddAndSeal, SealsNarrowEntriesForAsLongAsTheyFit) {
  const auto size_of = [](std::uint32_t radius, std::size_t updates) {
    SumOptions options = OptionsOf(Mechanism::kGaussian, 1000);
    options.grid_radius = RadiusOf(radius);
    VerifiedUpdate update = testing::UpdateOf(SomeGrid(1000, 1), TermsOf(options));
    const std::vector<Addend> addends(updates, Addend{&update});
    AlignedBuffer room;
    return UnnoisedSum::Create(options)->AddAndSeal(addends, testing::GlassSealer(), {}, room)->size();
  };
  EXPECT_LT(size_of(1U << 30U, 1), 5000U);
  EXPECT_GT(size_of(1U << 30U, 2), 8000U);
  EXPECT_LT(size_of(1U << 20U, 2047), 5000U);
  EXPECT_GT(size_of(1U << 20U, 2048), 8000U);
}

TEST(AddAndSeal, LeavesTheSumAsItWasWhenItFails) {
  UnnoisedSum sum = SumOf(Mechanism::kGaussian);
  ASSERT_THAT(sum.Add(Grid({1, 2, 3})), IsOk());
  const UpdateTerms terms = TermsOf(sum.options());
  VerifiedUpdate good = testing::UpdateOf(Grid({5, 6, 7}), terms);
  VerifiedUpdate shorter = testing::UpdateOf(Grid({5, 6}), terms);
  UpdateTerms finer = terms;
  finer.grid_radius = RadiusOf(1U << 30U);
  VerifiedUpdate of_other_terms = testing::UpdateOf(Grid({2000, 0, 0}), finer);
  AlignedBuffer room;
  testing::GlassSealer glass;
  const auto add = [&](Addend second) {
    const Addend addends[] = {{&good}, second};
    return sum.AddAndSeal(addends, glass, {}, room);
  };
  EXPECT_THAT(add({&shorter}), IsError(ErrorCode::kInvalidArgument));
  EXPECT_THAT(add({&of_other_terms}), IsError(ErrorCode::kConflict));
  EXPECT_THAT(add({&good, 0}), IsError(ErrorCode::kInvalidArgument));
  EXPECT_THAT(add({&good, 2}), IsErrorSaying(ErrorCode::kInvalidArgument, "weight one"));
  glass.fails = true;
  EXPECT_THAT(add({&good}), IsErrorSaying(ErrorCode::kInternal, "glass broke"));
  EXPECT_THAT(ContentsOf(sum), ElementsAre(1, 2, 3));
  EXPECT_EQ(sum.contributions(), 1U);
}

TEST(AddAndSeal, LeavesTheBitsAsTheyWereWhenItFails) {
  SumOptions options = OptionsOf(Mechanism::kGaussian);
  options.bit_steps = 512;
  UnnoisedSum sum = *UnnoisedSum::Create(options);
  ASSERT_THAT(sum.Add(Grid({1, 2, 3}), Fit::kClipped), IsOk());
  VerifiedUpdate update = testing::UpdateOf(Grid({5, 6, 7}), TermsOf(options), Fit::kWithinClip);
  const Addend addends[] = {{&update}, {&update}};
  AlignedBuffer room;
  testing::GlassSealer glass;
  glass.fails = true;
  EXPECT_THAT(sum.AddAndSeal(addends, glass, {}, room), IsError(ErrorCode::kInternal));
  EXPECT_THAT(ContentsOf(sum), ElementsAre(1, 2, 3, -512));
}

TEST(AddAndSeal, CannotOverflow) {
  SumOptions options = OptionsOf(Mechanism::kNone, 1);
  UnnoisedSum sum = *UnnoisedSum::Create(options);
  VerifiedUpdate update = testing::UpdateOf(Grid({1}), TermsOf(options));
  constexpr std::uint64_t kLimit = (std::uint64_t{1} << 62U) / kRadius;
  AlignedBuffer room;
  const auto add = [&](std::uint64_t first, std::uint64_t second) {
    const Addend addends[] = {{&update, first}, {&update, second}};
    return sum.AddAndSeal(addends, testing::GlassSealer(), {}, room);
  };
  EXPECT_THAT(add(kLimit, 1), IsError(ErrorCode::kTooLarge));
  EXPECT_THAT(add(~std::uint64_t{0}, 1), IsError(ErrorCode::kTooLarge));
  EXPECT_THAT(add(1, ~std::uint64_t{0}), IsError(ErrorCode::kTooLarge));
  EXPECT_THAT(add(kLimit - 1, 1), IsOk());
  EXPECT_THAT(add(1, 1), IsError(ErrorCode::kTooLarge));
}

// Entries are moved block by block before the seal has said that they are ours.
TEST(AddSealed, LeavesTheSumAsItWasWhenTheSealDoesNotHold) {
  const auto sealer = *crypto::Aes256GcmSealer::Create(crypto::SecretKey::Random());
  for (const std::uint64_t weight : {std::uint64_t{1}, std::uint64_t{3'000'000'000}}) {
    SCOPED_TRACE(weight);
    const SumOptions options = OptionsOf(Mechanism::kNone, 30'000);
    UnnoisedSum part = *UnnoisedSum::Create(options);
    ASSERT_THAT(part.AddWeighted(SomeGrid(30'000, 5), weight), IsOk());
    UnnoisedSum sum = *UnnoisedSum::Create(options);
    ASSERT_THAT(sum.AddSealed(sealer, testing::SealedOf(part, sealer, {}), {}), IsOk());
    const std::vector<std::int64_t> before = ContentsOf(sum);
    const Bytes sealed = testing::SealedOf(part, sealer, {});
    // In the first block, in a later one, in the nonce and in the tag; and cut.
    for (const std::size_t at : {sealed.size() / 10, sealed.size() / 2, sealed.size() - 20, sealed.size() - 1}) {
      Bytes changed = sealed;
      changed[at] ^= 1U;
      EXPECT_THAT(sum.AddSealed(sealer, changed, {}), IsError(ErrorCode::kDataLoss)) << at;
      EXPECT_EQ(ContentsOf(sum), before) << at;
      EXPECT_THAT(sum.TakeBackSealed(sealer, changed, {}), IsError(ErrorCode::kDataLoss)) << at;
      EXPECT_EQ(ContentsOf(sum), before) << at;
      EXPECT_THAT(sum.AddSealed(sealer, ByteSpan(sealed).first(at), {}), IsError(ErrorCode::kDataLoss)) << at;
    }
    EXPECT_EQ(ContentsOf(sum), before);
    EXPECT_EQ(sum.contributions(), 1U);
    EXPECT_EQ(sum.total_weight(), weight);
  }
}

TEST(Seal, OfAllOfASumOpensAgainNarrowAndWide) {
  for (const std::uint32_t radius : {1U << 10U, 1U << 30U}) {
    SumOptions options = OptionsOf(Mechanism::kGaussian, 20'000);
    options.grid_radius = RadiusOf(radius);
    options.bit_steps = 512;
    UnnoisedSum sum = *UnnoisedSum::Create(options);
    for (std::int32_t i = 0; i < 5; ++i) ASSERT_THAT(sum.Add(SomeGrid(20'000, i), Fit::kClipped), IsOk());
    const testing::GlassSealer glass;
    AlignedBuffer room;
    const auto sealed = sum.Seal(glass, {}, room);
    ASSERT_THAT(sealed, IsOk());
    EXPECT_EQ(sealed->size() > 100'000, radius == 1U << 30U);
    UnnoisedSum again = *UnnoisedSum::Create(options);
    ASSERT_THAT(again.AddSealed(glass, *sealed, {}), IsOk());
    EXPECT_EQ(ContentsOf(again), ContentsOf(sum));
    EXPECT_EQ(again.contributions(), 5U);
  }
}

TEST(TakeBackSealed, TakesNothingThatIsNotInTheSum) {
  UnnoisedSum more = SumOf(Mechanism::kGaussian);
  ASSERT_THAT(more.Add(Grid({1, 2, 3})), IsOk());
  const testing::GlassSealer glass;
  EXPECT_THAT(SumOf(Mechanism::kGaussian).TakeBackSealed(glass, testing::SealedOf(more, glass, {}), {}),
              IsErrorSaying(ErrorCode::kDataLoss, "not part"));
  UnnoisedSum one = SumOf(Mechanism::kNone);
  ASSERT_THAT(one.AddWeighted(Grid({1, 2, 3}), 5), IsOk());
  UnnoisedSum two = SumOf(Mechanism::kNone);
  for (int i = 0; i < 2; ++i) ASSERT_THAT(two.Add(Grid({0, 0, 0})), IsOk());
  EXPECT_THAT(one.TakeBackSealed(glass, testing::SealedOf(two, glass, {}), {}),
              IsErrorSaying(ErrorCode::kDataLoss, "not part"))
      << "less weight, but more contributions";
  EXPECT_EQ(one.contributions(), 1U);
}

TEST(ReleaseAverage, WithoutPrivacyIsTheWeightedAverageAndReadsNoBits) {
  UnnoisedSum sum = SumOf(Mechanism::kNone);
  ASSERT_THAT(sum.AddWeighted(Grid({100, -200, 7}), 3), IsOk());
  ASSERT_THAT(sum.AddWeighted(Grid({500, 0, 7}), 1), IsOk());
  testing::NoBits bits;
  const auto divisor = static_cast<double>(sum.total_weight());
  const auto average = ReleaseAverage(std::move(sum), OpenToken(divisor), bits);
  ASSERT_THAT(average, IsOk());
  EXPECT_THAT(*average, ElementsAre(200.0F, -150.0F, 7.0F));
  EXPECT_FALSE(bits.asked);
}

TEST(ReleaseAverage, DividesByTheDeclaredCohortNotByTheActualOne) {
  // At 2^10 grid steps of noise and 1000 times as much signal the quotient shows the divisor.
  UnnoisedSum sum = SumOf(Mechanism::kGaussian, 1);
  for (int i = 0; i < 1000; ++i) ASSERT_THAT(sum.Add(Grid({1024})), IsOk());
  auto bits = testing::TestBits(21);
  const auto average = ReleaseAverage(std::move(sum), PrivateToken(Mechanism::kGaussian, 1, 4000), bits);
  ASSERT_THAT(average, IsOk());
  EXPECT_NEAR(average->front(), 256.0F, 1.5F);
}

TEST(ReleaseAverage, AddsTheNoiseThatWasCharged) {
  constexpr std::size_t kParameters = 20'000;
  for (const auto& [mechanism, variance] :
       {std::pair{Mechanism::kGaussian, 1.0}, std::pair{Mechanism::kLaplace, 2.0}}) {
    auto bits = testing::TestBits(22);
    const auto noise = ReleaseAverage(SumOf(mechanism, kParameters), PrivateToken(mechanism, 2, 1), bits);
    ASSERT_THAT(noise, IsOk());
    const double squares = std::inner_product(noise->begin(), noise->end(), noise->begin(), 0.0);
    EXPECT_NEAR(squares / kParameters / (2048.0 * 2048.0), variance, 0.1 * variance) << NameOf(mechanism);
    EXPECT_NE((*noise)[0], (*noise)[1]);
  }
}

TEST(ReleaseAverage, IsTheSameForTheSameSumAndKey) {
  const auto release = [](std::uint8_t key) {
    auto bits = testing::TestBits(key);
    UnnoisedSum sum = SumOf(Mechanism::kGaussian, 100);
    return *ReleaseAverage(std::move(sum), PrivateToken(Mechanism::kGaussian, 1, 10), bits);
  };
  EXPECT_EQ(release(1), release(1));
  EXPECT_NE(release(1), release(2));
}

TEST(ReleaseAverage, RefusesATokenOfAnotherRoundMechanismOrGrid) {
  auto bits = testing::TestBits(23);
  const auto refused = [&](UnnoisedSum sum, ReleaseToken token) {
    return ReleaseAverage(std::move(sum), std::move(token), bits);
  };
  EXPECT_THAT(refused(SumOf(Mechanism::kGaussian), PrivateToken(Mechanism::kGaussian, 1, 10, 2)),
              IsErrorSaying(ErrorCode::kConflict, "another round"));
  EXPECT_THAT(refused(SumOf(Mechanism::kGaussian), OpenToken(10)),
              IsErrorSaying(ErrorCode::kConflict, "another mechanism"));
  EXPECT_THAT(refused(SumOf(Mechanism::kLaplace), PrivateToken(Mechanism::kGaussian, 1, 10)),
              IsErrorSaying(ErrorCode::kConflict, "another mechanism"));
  EXPECT_THAT(refused(SumOf(Mechanism::kNone),
                      NoPrivacyToken(
                          {.round = RoundOf(1), .clip_norm = ClipOf(1), .grid_radius = RadiusOf(2048), .divisor = 1})),
              IsErrorSaying(ErrorCode::kConflict, "another grid"));
  for (const double bad : {0.0, 0.5, -1.0, std::nan("")}) {
    EXPECT_THAT(refused(SumOf(Mechanism::kNone), OpenToken(bad)), IsError(ErrorCode::kInvalidArgument)) << bad;
  }
}

TEST(ReleaseAverage, UsesUpSumAndTokenEvenWhenItRefuses) {
  auto bits = testing::TestBits(24);
  UnnoisedSum sum = SumOf(Mechanism::kNone);
  ReleaseToken token = OpenToken(1, 2);
  EXPECT_THAT(ReleaseAverage(std::move(sum), std::move(token), bits), IsError(ErrorCode::kConflict));
  // NOLINTBEGIN(bugprone-use-after-move): what is left behind is the point.
  EXPECT_EQ(sum.contributions(), 0U);
  EXPECT_THAT(ReleaseAverage(SumOf(Mechanism::kNone, 3, 2), std::move(token), bits),
              IsErrorSaying(ErrorCode::kGone, "spent"));
  EXPECT_THAT(ReleaseAverage(std::move(sum), OpenToken(1), bits), IsError(ErrorCode::kConflict));
  // NOLINTEND(bugprone-use-after-move)
}

constexpr std::uint32_t kBit = kRadius / 2;

UnnoisedSum TrackedSum(std::size_t parameters) {
  SumOptions options = OptionsOf(Mechanism::kGaussian, parameters);
  options.bit_steps = kBit;
  return *UnnoisedSum::Create(options);
}

ReleaseToken TrackedToken(double noise_multiplier, std::uint64_t cohort) {
  return PrivateToken(Mechanism::kGaussian, noise_multiplier, cohort, 1,
                      ClipTracking{.bit_steps = kBit, .quantile = 0.5, .learning_rate = 0.2});
}

TEST(TrackedSum, TakesABitWithEveryVectorAndNoVectorWithoutOne) {
  UnnoisedSum sum = TrackedSum(3);
  EXPECT_THAT(sum.Add(Grid({1, 2, 3})), IsErrorSaying(ErrorCode::kInvalidArgument, "without its clip bit"));
  EXPECT_THAT(SumOf(Mechanism::kGaussian).Add(Grid({1, 2, 3}), Fit::kClipped), IsError(ErrorCode::kInvalidArgument));
  EXPECT_THAT(sum.Add(Grid({1, 2, 3, 4}), Fit::kClipped), IsError(ErrorCode::kInvalidArgument))
      << "the bit is not theirs";
  EXPECT_EQ(sum.contributions(), 0U);
  SumOptions laplace = OptionsOf(Mechanism::kLaplace);
  laplace.bit_steps = 1;
  EXPECT_THAT(UnnoisedSum::Create(laplace), IsError(ErrorCode::kInvalidArgument));
}

TEST(TrackedSum, ReleasesTheShareWithinTheClipBesideTheAverage) {
  constexpr std::size_t kParameters = 20'000;
  constexpr std::uint64_t kCohort = 4000;
  UnnoisedSum sum = TrackedSum(kParameters);
  const std::vector<std::int32_t> zeros(kParameters, 0);
  for (std::uint64_t i = 0; i < kCohort; ++i)
    ASSERT_THAT(sum.Add(zeros, i < kCohort / 4 ? Fit::kClipped : Fit::kWithinClip), IsOk());
  auto bits = testing::TestBits(7);
  const auto released = ReleaseAverage(std::move(sum), TrackedToken(2, kCohort), bits);
  ASSERT_THAT(released, IsOk());
  ASSERT_EQ(released->size(), kParameters + 1);
  // Noise of the share: 2 sqrt(1.25) / (2 * 0.5 * 4000) = 0.0006.
  EXPECT_NEAR(released->back(), 0.75, 0.004);
  double squares = 0;
  for (std::size_t i = 0; i < kParameters; ++i)
    squares += std::pow(static_cast<double>((*released)[i]) * kCohort / kRadius, 2);
  // The multiplier is over vector and bit: each coordinate gets 2 sqrt(1 + 1/4). Six deviations of a mean of squares.
  EXPECT_NEAR(squares / kParameters, 4 * 1.25, 6 * 5 * std::sqrt(2.0 / kParameters));
}

TEST(TrackedSum, IsNotReleasedByATokenForOtherBits) {
  auto bits = testing::TestBits(7);
  EXPECT_THAT(ReleaseAverage(TrackedSum(3), PrivateToken(Mechanism::kGaussian, 2, 10), bits),
              IsErrorSaying(ErrorCode::kConflict, "clip bits"));
  EXPECT_THAT(ReleaseAverage(SumOf(Mechanism::kGaussian), TrackedToken(2, 10), bits), IsError(ErrorCode::kConflict));
}

TEST(NoiseStepsWithBits, AreThoseOfTheMultiplierWithoutBitsAndOfBothLengthsWithThem) {
  const auto most = testing::MultiplierOf(kMaxNoiseMultiplier);
  EXPECT_EQ(*NoiseStepsWithBits(most, RadiusOf(kRadius), 0), *NoiseSteps(most, RadiusOf(kRadius)));
  EXPECT_EQ(*NoiseStepsWithBits(testing::MultiplierOf(2), RadiusOf(kRadius), kBit), 2290U);  // 2048 sqrt(1.25) = 2289.7
  EXPECT_THAT(NoiseStepsWithBits(most, RadiusOf(kRadius), kBit), IsError(ErrorCode::kInvalidArgument));
  EXPECT_THAT(NoiseStepsWithBits(testing::MultiplierOf(0.001), RadiusOf(kRadius), kBit),
              IsError(ErrorCode::kInvalidArgument));
}

TEST(NextClipNorm, MovesTowardTheQuantileByItsRate) {
  const ClipTracking median{.bit_steps = 1, .quantile = 0.5, .learning_rate = 0.2};
  EXPECT_DOUBLE_EQ(NextClipNorm(ClipOf(2), 0.5, median).value(), 2);
  EXPECT_DOUBLE_EQ(NextClipNorm(ClipOf(2), 1, median).value(), 2 * std::exp(-0.1));
  EXPECT_DOUBLE_EQ(NextClipNorm(ClipOf(2), 0, median).value(), 2 * std::exp(0.1));
  EXPECT_EQ(NextClipNorm(ClipOf(2), 40, median), NextClipNorm(ClipOf(2), 1, median)) << "noise beyond what can be";
  EXPECT_EQ(NextClipNorm(ClipOf(0x1p64), 0, median).value(), 0x1p64);
}

TEST(PlanBitSteps, GivesTheShareADeviationOfATwentiethOrHalfTheRadius) {
  EXPECT_EQ(PlanBitSteps(testing::MultiplierOf(1), RadiusOf(1U << 20U), 1000), 10'486U);
  EXPECT_EQ(PlanBitSteps(testing::MultiplierOf(4), RadiusOf(1U << 20U), 20), 1U << 19U);
  EXPECT_EQ(PlanBitSteps(testing::MultiplierOf(0.1), RadiusOf(1024), 100'000'000), 1U);
}

}  // namespace
}  // namespace tacit::dp
