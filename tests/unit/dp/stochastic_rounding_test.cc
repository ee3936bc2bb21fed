#include "dp/stochastic_rounding.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include <gmock/gmock.h>

#include "common/crypto/digest.h"
#include "common/crypto/random.h"
#include "dp/clip.h"
#include "tests/support/matchers.h"
#include "tests/unit/dp/dp_support.h"

namespace tacit::dp {
namespace {

using tacit::testing::IsErrorSaying;
using tacit::testing::IsOk;
using testing::NormIsAtMost;
using testing::RadiusOf;

constexpr std::uint32_t kWideRadius = 1U << 20U;

crypto::AesKeystream CoinsOf(std::uint32_t key) {
  return crypto::AesKeystream(*crypto::SecretKey::FromBytes(crypto::Sha256(ByteWriter().U32(key).bytes())));
}

/// A vector of the longest norm there may be, with some entries far larger than the others.
std::vector<std::int32_t> FullVector(std::size_t size, Norm norm, std::uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(size);
  for (float& value : values) value = normal(random) * (random() % 100 == 0 ? 8.0F : 1.0F);
  std::vector<std::int32_t> grid(size);
  EXPECT_THAT(ClipToGrid(values, testing::ClipOf(1e-3), RadiusOf(kWideRadius), norm, grid), IsOk());
  return grid;
}

TEST(RoundToWidth, KeepsTheNormWhateverTheCoins) {
  for (const Norm norm : {Norm::kL1, Norm::kL2}) {
    for (const Width width : {Width::k8, Width::k16}) {
      for (std::uint32_t key = 1; key <= 20; ++key) {
        std::vector<std::int32_t> grid = FullVector(norm == Norm::kL1 ? 500 : 20'000, norm, key);
        auto coins = CoinsOf(key);
        const auto shift = RoundToWidth(grid, width, RadiusOf(kWideRadius), norm, coins);
        ASSERT_THAT(shift, IsOk());
        const std::int32_t most = width == Width::k8 ? 127 : 32'767;
        for (std::int32_t& q : grid) {
          ASSERT_LE(std::abs(q), most);
          q <<= *shift;
        }
        EXPECT_TRUE(NormIsAtMost(std::span<const std::int32_t>(grid), kWideRadius, norm));
      }
    }
  }
}

TEST(RoundToWidth, LeavesWhatFitsAsItIs) {
  std::vector<std::int32_t> grid = {0, 127, -127, 1};
  const std::vector<std::int32_t> before = grid;
  auto coins = CoinsOf(1);
  EXPECT_EQ(RoundToWidth(grid, Width::k8, RadiusOf(kWideRadius), Norm::kL2, coins), 0U);
  EXPECT_EQ(grid, before);
  grid = {1 << 29, -(1 << 30)};
  const std::vector<std::int32_t> wide = grid;
  EXPECT_EQ(RoundToWidth(grid, Width::k32, RadiusOf(1U << 30U), Norm::kL2, coins), 0U);
  EXPECT_EQ(grid, wide);
}

TEST(RoundToWidth, TossesNoCoinForWhatIsExact) {
  std::vector<std::int32_t> grid(4096);
  std::ranges::generate(
      grid, [random = std::minstd_rand(1)]() mutable { return 2 * (static_cast<std::int32_t>(random() % 255) - 127); });
  const std::vector<std::int32_t> before = grid;
  auto coins = CoinsOf(1);
  ASSERT_EQ(RoundToWidth(grid, Width::k8, RadiusOf(kWideRadius), Norm::kL2, coins), 1U);
  for (std::size_t i = 0; i < grid.size(); ++i) ASSERT_EQ(2 * grid[i], before[i]) << i;
}

// The mean of many roundings is the vector: within six standard deviations of a coin, which is at most half a step.
TEST(RoundToWidth, LosesNothingOnAverage) {
  constexpr std::uint32_t kTimes = 4000;
  const std::vector<std::int32_t> exact = {40'000, -40'000, 300, -300, 100, -100, 12'345, -54'321, 1, -1};
  std::vector<double> sum(exact.size(), 0);
  std::uint32_t shift = 0;
  for (std::uint32_t i = 0; i < kTimes; ++i) {
    std::vector<std::int32_t> grid = exact;
    auto coins = CoinsOf(i);
    const auto used = RoundToWidth(grid, Width::k8, RadiusOf(kWideRadius), Norm::kL2, coins);
    ASSERT_THAT(used, IsOk());
    shift = *used;
    for (std::size_t j = 0; j < grid.size(); ++j) sum[j] += grid[j];
  }
  const double step = std::ldexp(1.0, static_cast<int>(shift));
  EXPECT_EQ(shift, 9U);
  for (std::size_t j = 0; j < exact.size(); ++j)
    EXPECT_NEAR(sum[j] * step / kTimes, exact[j], 6 * step / 2 / std::sqrt(kTimes)) << j;
}

TEST(RoundToWidth, RefusesMoreParametersThanTheWidthCarries) {
  // One large entry asks for long steps; coins of half a million small ones then weigh more than the vector.
  std::vector<std::int32_t> grid(500'000, 700);
  grid[0] = 900'000;
  auto coins = CoinsOf(1);
  EXPECT_THAT(RoundToWidth(grid, Width::k8, RadiusOf(kWideRadius), Norm::kL2, coins),
              IsErrorSaying(ErrorCode::kInvalidArgument, "use a wider encoding"));
}

}  // namespace
}  // namespace tacit::dp
