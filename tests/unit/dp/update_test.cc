#include "dp/update.h"

#include <cstring>
#include <limits>
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

}  // namespace
}  // namespace tacit::dp
