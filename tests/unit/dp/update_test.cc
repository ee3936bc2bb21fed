#include "dp/update.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "dp/clip.h"
#include "tests/support/matchers.h"
#include "tests/unit/dp/dp_support.h"

namespace tacit::dp {
namespace {

using tacit::testing::IsError;
using tacit::testing::IsErrorSaying;
using tacit::testing::IsOk;
using testing::ClipOf;
using testing::RadiusOf;
using Entries = UpdateIntake::Entries;

UpdateTerms TermsOf(Mechanism mechanism, std::uint32_t entry_bound = 0) {
  return {.mechanism = mechanism, .grid_radius = RadiusOf(1024), .entry_bound = entry_bound};
}

/// Takes the entries in, so many at a time.
template <typename T>
UpdateIntake Taken(const std::vector<T>& values, Entries entries, UpdateTerms terms, std::size_t at_once = 64) {
  UpdateIntake intake(AlignedBuffer(values.size() * sizeof(T)), entries, terms);
  for (std::size_t at = 0; at < values.size(); at += at_once) {
    const std::size_t bytes = std::min(at_once, values.size() - at) * sizeof(T);
    std::memcpy(intake.Rest().data(), values.data() + at, bytes);
    intake.Received(bytes);
  }
  return intake;
}

TEST(UpdateIntake, ClipsPiecesAsClipToGridClipsTheWhole) {
  for (const auto& [name, values] : testing::AdversarialVectors()) {
    for (const Mechanism mechanism : {Mechanism::kGaussian, Mechanism::kLaplace}) {
      std::vector<std::int32_t> grid(values.size());
      const auto outcome = ClipToGrid(values, ClipOf(1), RadiusOf(1024), NormOf(mechanism), grid);
      auto update = Taken(values, Entries::kFloats, TermsOf(mechanism)).Clip(ClipOf(1));
      ASSERT_EQ(update.has_value(), outcome.has_value()) << name;
      if (!outcome) {
        EXPECT_EQ(update.error().message, outcome.error().message) << name;
        continue;
      }
      EXPECT_TRUE(std::ranges::equal(update->Settle(), grid)) << name;
      EXPECT_EQ(update->fit() == Fit::kClipped, outcome->clipped) << name;
    }
  }
}

TEST(UpdateIntake, NamesTheFirstEntryThatIsNotFinite) {
  std::vector<float> values(1000, 0.5F);
  values[777] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(Taken(values, Entries::kFloats, TermsOf(Mechanism::kGaussian)).Clip(ClipOf(1)),
              IsErrorSaying(ErrorCode::kInvalidArgument, "entry 777 is NaN"));
}

TEST(UpdateIntake, PassesIntegersOnTheBoundAndNotOneStepBeyond) {
  std::vector<std::int32_t> grid(300, 0);
  grid[10] = 1000;
  grid[290] = -24;
  const auto verify = [&](UpdateTerms terms) { return Taken(grid, Entries::kGrid, terms).Verify(Fit::kClipped); };
  auto passed = verify(TermsOf(Mechanism::kLaplace));
  ASSERT_THAT(passed, IsOk());
  EXPECT_EQ(passed->fit(), Fit::kClipped);
  EXPECT_TRUE(std::ranges::equal(passed->Settle(), grid));
  grid[299] = 1;
  EXPECT_THAT(verify(TermsOf(Mechanism::kLaplace)), IsErrorSaying(ErrorCode::kInvalidArgument, "L1 norm"));
  EXPECT_THAT(verify(TermsOf(Mechanism::kGaussian)), IsOk());
  grid[150] = 300;
  EXPECT_THAT(verify(TermsOf(Mechanism::kGaussian)), IsErrorSaying(ErrorCode::kInvalidArgument, "L2 norm"));
  EXPECT_THAT(verify(TermsOf(Mechanism::kNone, 1000)), IsOk());
  EXPECT_THAT(verify(TermsOf(Mechanism::kNone, 999)), IsErrorSaying(ErrorCode::kInvalidArgument, "entry 10"));
}

/// Takes narrow entries in, so many bytes at a time.
template <typename T>
UpdateIntake TakenNarrow(const std::vector<T>& values, Entries entries, UpdateTerms terms, std::uint32_t shift) {
  constexpr std::size_t kAtOnce = UpdateIntake::kPieceUnit;
  UpdateIntake intake(AlignedBuffer(values.size() * sizeof(std::int32_t)), entries, terms, shift);
  const ByteSpan bytes = AsBytes(std::span<const T>(values));
  EXPECT_EQ(intake.Rest().size(), bytes.size());
  for (std::size_t at = 0; at < bytes.size(); at += kAtOnce) {
    const std::size_t count = std::min(kAtOnce, bytes.size() - at);
    std::memcpy(intake.Rest().data(), bytes.data() + at, count);
    intake.Received(count);
  }
  return intake;
}

TEST(UpdateIntake, WidensNarrowEntriesToGridSteps) {
  std::vector<std::int8_t> eight(1000);
  std::vector<std::int16_t> sixteen(1000);
  for (std::size_t i = 0; i < eight.size(); ++i) {
    eight[i] = static_cast<std::int8_t>(i % 7) - 3;
    sixteen[i] = static_cast<std::int16_t>(i % 11) - 5;
  }
  auto narrow = TakenNarrow(eight, Entries::kGrid8, TermsOf(Mechanism::kGaussian), 3).Verify(Fit::kWithinClip);
  ASSERT_THAT(narrow, IsOk());
  for (std::size_t i = 0; i < eight.size(); ++i) ASSERT_EQ(narrow->Settle()[i], 8 * eight[i]);
  auto wider = TakenNarrow(sixteen, Entries::kGrid16, TermsOf(Mechanism::kGaussian), 2).Verify(Fit::kWithinClip);
  ASSERT_THAT(wider, IsOk());
  for (std::size_t i = 0; i < sixteen.size(); ++i) ASSERT_EQ(wider->Settle()[i], 4 * sixteen[i]);
}

// The bound is in grid steps: 1024 here, of a vector whose entries travel in units of 64.
TEST(UpdateIntake, MeasuresNarrowEntriesInGridSteps) {
  std::vector<std::int8_t> entries(300, 0);
  const auto verify = [&] {
    return TakenNarrow(entries, Entries::kGrid8, TermsOf(Mechanism::kLaplace), 6).Verify(Fit::kWithinClip);
  };
  entries[7] = 10;
  entries[299] = -6;
  EXPECT_THAT(verify(), IsOk());
  entries[150] = 1;
  EXPECT_THAT(verify(), IsErrorSaying(ErrorCode::kInvalidArgument, "L1 norm"));
  entries[7] = 17;
  EXPECT_THAT(verify(), IsErrorSaying(ErrorCode::kInvalidArgument, "grid radius 1024: entry 7"));
}

/// A sparse payload as its device would send it.
struct SparseBytes {
  Bytes payload;
  Sparse shape{};
};

template <typename T>
SparseBytes SparseOf(std::size_t parameters, const std::vector<std::size_t>& places, const std::vector<T>& values) {
  SparseBytes made{.payload = {}, .shape = {.parameters = parameters, .values = values.size()}};
  const ByteSpan bytes = AsBytes(std::span<const T>(values));
  made.payload.assign(bytes.begin(), bytes.end());
  Bytes bitmap((parameters + 7) / 8);
  for (const std::size_t place : places) bitmap[place / 8] |= static_cast<std::uint8_t>(1U << (place % 8));
  made.payload.insert(made.payload.end(), bitmap.begin(), bitmap.end());
  return made;
}

UpdateIntake TakenSparse(const SparseBytes& sent, Entries entries, UpdateTerms terms, std::uint32_t shift = 0,
                         std::size_t at_once = UpdateIntake::kPieceUnit) {
  UpdateIntake intake(AlignedBuffer(sent.shape.MemoryBytes()), entries, terms, shift, sent.shape);
  EXPECT_EQ(intake.Rest().size(), sent.payload.size());
  for (std::size_t at = 0; at < sent.payload.size(); at += at_once) {
    const std::size_t count = std::min(at_once, sent.payload.size() - at);
    std::memcpy(intake.Rest().data(), sent.payload.data() + at, count);
    intake.Received(count);
  }
  return intake;
}

template <typename T>
void ExpectSpread(std::size_t parameters, const std::vector<std::size_t>& places, const std::vector<T>& values,
                  std::uint32_t shift) {
  constexpr Entries kEntries = sizeof(T) == 1 ? Entries::kGrid8 : sizeof(T) == 2 ? Entries::kGrid16 : Entries::kGrid;
  const UpdateTerms terms{.mechanism = Mechanism::kNone, .grid_radius = RadiusOf(1U << 30U)};
  auto update = TakenSparse(SparseOf(parameters, places, values), kEntries, terms, shift).Verify(Fit::kWithinClip);
  ASSERT_THAT(update, IsOk());
  std::vector<std::int32_t> expected(parameters);
  for (std::size_t i = 0; i < places.size(); ++i) expected[places[i]] = std::int32_t{values[i]} * (1 << shift);
  ASSERT_EQ(update->size(), parameters);
  ASSERT_TRUE(std::ranges::equal(update->Settle(), expected)) << parameters << " parameters, width " << sizeof(T);
  std::vector<std::int32_t> scratch(parameters);
  GridMeasure measure;
  ASSERT_TRUE(std::ranges::equal(update->Piece(0, scratch, measure), expected));
}

template <typename T>
std::vector<T> SmallValues(std::size_t count, std::mt19937& random) {
  std::vector<T> values(count);
  for (T& value : values) value = static_cast<T>(std::uniform_int_distribution<int>(-100, 100)(random));
  return values;
}

// The seed is fixed: a failure is the same the next time.
TEST(SparseIntake, PutsEveryValueWhereItBelongsAtEveryWidth) {
  std::mt19937 random(20);
  for (int trial = 0; trial < 300; ++trial) {
    const std::size_t parameters = std::uniform_int_distribution<std::size_t>(1, trial % 3 == 0 ? 20 : 3000)(random);
    const std::size_t count = std::uniform_int_distribution<std::size_t>(1, parameters)(random);
    std::vector<std::size_t> all(parameters);
    std::iota(all.begin(), all.end(), std::size_t{0});
    std::vector<std::size_t> places;
    std::ranges::sample(all, std::back_inserter(places), static_cast<std::ptrdiff_t>(count), random);
    ExpectSpread(parameters, places, SmallValues<std::int8_t>(count, random), 3);
    ExpectSpread(parameters, places, SmallValues<std::int16_t>(count, random), 2);
    ExpectSpread(parameters, places, SmallValues<std::int32_t>(count, random), 0);
  }
}

// Where the values that wait and the entries that are written come closest, and farthest.
TEST(SparseIntake, WritesOverNoValueThatItStillNeeds) {
  std::mt19937 random(21);
  for (const std::size_t parameters : {1U, 7U, 8U, 9U, 63U, 64U, 65U, 1023U, 1024U, 1025U, 4099U}) {
    for (const std::size_t count : {std::size_t{1}, (parameters + 1) / 2, parameters}) {
      std::vector<std::size_t> first(count);
      std::vector<std::size_t> last(count);
      for (std::size_t i = 0; i < count; ++i) {
        first[i] = i;
        last[i] = parameters - count + i;
      }
      for (const auto& places : {first, last}) {
        ExpectSpread(parameters, places, SmallValues<std::int8_t>(count, random), 1);
        ExpectSpread(parameters, places, SmallValues<std::int16_t>(count, random), 1);
        ExpectSpread(parameters, places, SmallValues<std::int32_t>(count, random), 0);
      }
    }
  }
}

TEST(SparseIntake, RefusesBitsThatAreNotAsManyAsItsValues) {
  const auto verify = [](const std::vector<std::size_t>& places, std::size_t parameters) {
    return TakenSparse(SparseOf(parameters, places, std::vector<std::int16_t>{1, 2, 3}), Entries::kGrid16,
                       TermsOf(Mechanism::kGaussian))
        .Verify(Fit::kWithinClip);
  };
  EXPECT_THAT(verify({0, 5, 99}, 100), IsOk());
  EXPECT_THAT(verify({0, 5}, 100), IsErrorSaying(ErrorCode::kMalformed, "2 are one, and it has 3 values"));
  EXPECT_THAT(verify({}, 100), IsErrorSaying(ErrorCode::kMalformed, "0 are one"));
  EXPECT_THAT(verify({0, 5, 98, 99}, 100), IsErrorSaying(ErrorCode::kMalformed, "4 are one"));
  std::vector<std::size_t> all(3000);
  std::iota(all.begin(), all.end(), std::size_t{0});
  EXPECT_THAT(verify(all, 3000), IsErrorSaying(ErrorCode::kMalformed, "3000 are one"));
}

TEST(SparseIntake, RefusesBitsBehindTheLastEntry) {
  SparseBytes sent = SparseOf(13, {0, 12}, std::vector<std::int8_t>{1, 2});
  const auto verify = [&] {
    return TakenSparse(sent, Entries::kGrid8, TermsOf(Mechanism::kGaussian)).Verify(Fit::kWithinClip);
  };
  EXPECT_THAT(verify(), IsOk());
  sent.payload.back() = 0x30;  // entries 12 and 13, of which there is none
  EXPECT_THAT(verify(), IsErrorSaying(ErrorCode::kMalformed, "behind its last parameter"));
  sent.payload.back() = 0x80;
  EXPECT_THAT(verify(), IsErrorSaying(ErrorCode::kMalformed, "behind its last parameter"));
}

TEST(SparseIntake, HoldsTheBoundOfTheWholeVectorInGridSteps) {
  const auto verify = [](std::vector<std::int16_t> values, Mechanism mechanism) {
    return TakenSparse(SparseOf(5000, {2, 1030, 4999}, values), Entries::kGrid16, TermsOf(mechanism), 2)
        .Verify(Fit::kClipped);
  };
  const auto passed = verify({100, -100, 56}, Mechanism::kLaplace);
  ASSERT_THAT(passed, IsOk());
  EXPECT_EQ(passed->fit(), Fit::kClipped);
  EXPECT_THAT(verify({100, -100, 57}, Mechanism::kLaplace), IsErrorSaying(ErrorCode::kInvalidArgument, "L1 norm"));
  EXPECT_THAT(verify({256, 0, 0}, Mechanism::kGaussian), IsOk());
  EXPECT_THAT(verify({256, 0, 1}, Mechanism::kGaussian), IsErrorSaying(ErrorCode::kInvalidArgument, "L2 norm"));
  EXPECT_THAT(verify({0, 257, 0}, Mechanism::kGaussian),
              IsErrorSaying(ErrorCode::kInvalidArgument, "grid radius 1024: entry 1030"));
}

TEST(SparseIntake, GoesOnAfterItsMemoryWasAway) {
  const SparseBytes sent = SparseOf(4000, {7, 3000, 3999}, std::vector<std::int32_t>{3, -4, 5});
  UpdateIntake intake(AlignedBuffer(sent.shape.MemoryBytes()), Entries::kGrid, TermsOf(Mechanism::kNone), 0,
                      sent.shape);
  constexpr std::size_t kFirst = UpdateIntake::kPieceUnit;
  std::memcpy(intake.Rest().data(), sent.payload.data(), kFirst);
  intake.Received(kFirst);
  AlignedBuffer memory = intake.LendMemory();
  UpdateIntake moved = std::move(intake);
  moved.GiveMemory(std::move(memory));
  EXPECT_EQ(moved.received(), kFirst);
  ASSERT_EQ(moved.Rest().size(), sent.payload.size() - kFirst);
  std::memcpy(moved.Rest().data(), sent.payload.data() + kFirst, moved.Rest().size());
  moved.Received(moved.Rest().size());
  auto update = std::move(moved).Verify(Fit::kWithinClip);
  ASSERT_THAT(update, IsOk());
  EXPECT_EQ(update->Settle()[3000], -4);
  EXPECT_EQ(update->Settle()[3999], 5);
}

TEST(SparseIntake, ShrinksLikeAnyUpdateAndNothingElseThere) {
  auto update =
      TakenSparse(SparseOf(9, {0, 8}, std::vector<std::int32_t>{1000, -11}), Entries::kGrid, TermsOf(Mechanism::kNone))
          .Verify(Fit::kWithinClip);
  ASSERT_THAT(update, IsOk());
  update->Shrink(Share::Of(StalenessDiscount::kInverse, 1));
  EXPECT_EQ(update->Settle()[0], 500);
  EXPECT_EQ(update->Settle()[8], -5);
  EXPECT_EQ(update->Settle().size(), 9U);
}

}  // namespace
}  // namespace tacit::dp
