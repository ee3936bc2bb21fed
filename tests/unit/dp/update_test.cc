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
      const auto update = Taken(values, Entries::kFloats, TermsOf(mechanism)).Clip(ClipOf(1));
      ASSERT_EQ(update.has_value(), outcome.has_value()) << name;
      if (!outcome) {
        EXPECT_EQ(update.error().message, outcome.error().message) << name;
        continue;
      }
      EXPECT_TRUE(std::ranges::equal(update->grid(), grid)) << name;
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
  const auto passed = verify(TermsOf(Mechanism::kLaplace));
  ASSERT_THAT(passed, IsOk());
  EXPECT_EQ(passed->fit(), Fit::kClipped);
  EXPECT_TRUE(std::ranges::equal(passed->grid(), grid));
  grid[299] = 1;
  EXPECT_THAT(verify(TermsOf(Mechanism::kLaplace)), IsErrorSaying(ErrorCode::kInvalidArgument, "L1 norm"));
  EXPECT_THAT(verify(TermsOf(Mechanism::kGaussian)), IsOk());
  grid[150] = 300;
  EXPECT_THAT(verify(TermsOf(Mechanism::kGaussian)), IsErrorSaying(ErrorCode::kInvalidArgument, "L2 norm"));
  EXPECT_THAT(verify(TermsOf(Mechanism::kNone, 1000)), IsOk());
  EXPECT_THAT(verify(TermsOf(Mechanism::kNone, 999)), IsErrorSaying(ErrorCode::kInvalidArgument, "entry 10"));
}

}  // namespace
}  // namespace tacit::dp
