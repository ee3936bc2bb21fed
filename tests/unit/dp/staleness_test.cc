#include "dp/staleness.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <span>
#include <vector>

#include <gmock/gmock.h>

#include "common/base/random.h"
#include "dp/clip.h"
#include "dp/update.h"
#include "tests/support/matchers.h"
#include "tests/unit/dp/dp_support.h"

namespace tacit::dp {
namespace {

using tacit::testing::IsOk;
using testing::RadiusOf;

TEST(Share, FallsWithStalenessAsItsNameSays) {
  EXPECT_EQ(Share::Of(StalenessDiscount::kNone, 0).parts(), 65536U);
  EXPECT_EQ(Share::Of(StalenessDiscount::kNone, 100).parts(), 65536U);
  const std::vector<std::uint32_t> roots{65536, 46340, 37837, 32768, 29308, 26754};  // floor(65536 / sqrt(1 + s))
  const std::vector<std::uint32_t> parts{65536, 32768, 21845, 16384, 13107, 10922};  // floor(65536 / (1 + s))
  for (std::uint32_t s = 0; s < roots.size(); ++s) {
    EXPECT_EQ(Share::Of(StalenessDiscount::kInverseSqrt, s).parts(), roots[s]) << s;
    EXPECT_EQ(Share::Of(StalenessDiscount::kInverse, s).parts(), parts[s]) << s;
  }
}

TEST(Share, IsNeverNothingNorMoreThanAll) {
  for (const auto discount : {StalenessDiscount::kNone, StalenessDiscount::kInverseSqrt, StalenessDiscount::kInverse}) {
    for (std::uint32_t s = 0; s <= kMaxStaleness; ++s) {
      const Share share = Share::Of(discount, s);
      EXPECT_GE(share.parts(), 1U);
      EXPECT_LE(share.parts(), Share::kWhole);
      EXPECT_LE(share.value(), 1.0);
    }
  }
}

TEST(Share, TakesEveryEntryTowardZero) {
  constexpr std::int32_t kLargest = std::numeric_limits<std::int32_t>::max();
  const Share root = Share::Of(StalenessDiscount::kInverseSqrt, 1);  // 46340 / 65536
  EXPECT_EQ(root.ApplyTo(0), 0);
  EXPECT_EQ(root.ApplyTo(1), 0);
  EXPECT_EQ(root.ApplyTo(-1), 0) << "and not the next integer below";
  EXPECT_EQ(root.ApplyTo(1000), 707);
  EXPECT_EQ(root.ApplyTo(-1000), -707);
  EXPECT_EQ(root.ApplyTo(kLargest), 1518469119);
  EXPECT_EQ(root.ApplyTo(-kLargest), -1518469119);
  EXPECT_EQ(Share::Of(StalenessDiscount::kNone, 3).ApplyTo(-kLargest), -kLargest);
}

VerifiedUpdate UpdateOf(const std::vector<std::int32_t>& grid, Mechanism mechanism) {
  UpdateIntake intake(AlignedBuffer(grid.size() * sizeof(std::int32_t)), UpdateIntake::Entries::kGrid,
                      {.mechanism = mechanism, .grid_radius = RadiusOf(1 << 20)});
  std::memcpy(intake.Rest().data(), grid.data(), grid.size() * sizeof(std::int32_t));
  intake.Received(grid.size() * sizeof(std::int32_t));
  auto update = std::move(intake).Verify(Fit::kWithinClip);
  EXPECT_THAT(update, IsOk());
  return *std::move(update);
}

// What the noise of a buffer is sized for: whatever the staleness, an update that is shrunk is within the bound that it
// was verified for. On the bound itself, where rounding away from zero would leave it.
TEST(ShrunkUpdate, StaysWithinTheBoundItWasVerifiedFor) {
  SplitMix64 random(7);
  for (const Mechanism mechanism : {Mechanism::kGaussian, Mechanism::kLaplace}) {
    std::vector<std::int32_t> grid(1 << 10);
    const std::int32_t each = mechanism == Mechanism::kGaussian ? (1 << 20) / 32 : (1 << 20) / 1024;
    for (std::int32_t& entry : grid) entry = random.Below(2) == 0 ? each : -each;
    for (const auto discount : {StalenessDiscount::kInverseSqrt, StalenessDiscount::kInverse}) {
      for (const std::uint32_t staleness : {0U, 1U, 2U, 10U, 100U}) {
        VerifiedUpdate update = UpdateOf(grid, mechanism);
        const Share share = Share::Of(discount, staleness);
        update.Shrink(share);
        const std::span<const std::int32_t> left = update.Settle();
        EXPECT_THAT(VerifyGrid(left, RadiusOf(1 << 20), NormOf(mechanism)), IsOk());
        for (std::size_t i = 0; i < grid.size(); ++i) {
          EXPECT_LE(std::abs(left[i]), std::abs(grid[i]));
          EXPECT_EQ(left[i], share.ApplyTo(grid[i]));
        }
      }
    }
  }
}

TEST(ShrunkUpdate, OfFloatsIsClippedFirst) {
  std::vector<float> floats(1 << 10);
  std::ranges::generate(floats, [random = SplitMix64(8)]() mutable { return static_cast<float>(random.Below(9)) - 4; });
  UpdateIntake intake(AlignedBuffer(floats.size() * sizeof(float)), UpdateIntake::Entries::kFloats,
                      {.mechanism = testing::kG, .grid_radius = RadiusOf(1 << 20)});
  std::memcpy(intake.Rest().data(), floats.data(), floats.size() * sizeof(float));
  intake.Received(floats.size() * sizeof(float));
  auto update = std::move(intake).Clip(ClipOf(1));
  ASSERT_THAT(update, IsOk());
  std::vector<std::int32_t> clipped(floats.size());
  ASSERT_THAT(ClipToGrid(floats, ClipOf(1), RadiusOf(1 << 20), Norm::kL2, clipped), IsOk());

  const Share share = Share::Of(StalenessDiscount::kInverse, 2);
  update->Shrink(share);
  for (std::size_t i = 0; i < floats.size(); ++i) EXPECT_EQ(update->Settle()[i], share.ApplyTo(clipped[i])) << i;
}

}  // namespace
}  // namespace tacit::dp
