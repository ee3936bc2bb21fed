// Draws from the samplers against the distributions they promise. Bits: AES-256-CTR under fixed keys, so that a run
// repeats; the false alarm rates below are those over the choice of the key. Every test is also run on a deliberately
// broken sampler, which it must reject.
#include <cmath>
#include <cstddef>
#include <functional>

#include <gmock/gmock.h>

#include "dp/noise.h"
#include "tests/unit/dp/dp_support.h"

namespace tacit::dp {
namespace {

using Sampler = std::function<std::int64_t(RandomWords& words)>;
using Weight = std::function<double(double x)>;

/// ln Q(a, x), the upper tail of the regularised incomplete gamma function, by its continued fraction (x > a + 1).
/// Source: Press et al., Numerical Recipes, section 6.2.
double LogUpperGamma(double a, double x) {
  double b = x + 1 - a;
  double c = 1e300;
  double d = 1 / b;
  double fraction = d;
  for (int i = 1; i < 2000; ++i) {
    const double factor = i * (a - i);
    b += 2;
    d = 1 / (factor * d + b);
    c = b + factor / c;
    fraction *= d * c;
  }
  return a * std::log(x) - x - std::lgamma(a) + std::log(fraction);
}

/// Whether a chi-square statistic is beyond what chance explains once in 10^6.
bool IsBeyondChance(double statistic, std::size_t degrees) {
  const double a = static_cast<double>(degrees) / 2;
  return statistic / 2 > a + 1 && LogUpperGamma(a, statistic / 2) < std::log(1e-6);
}

struct Bins {
  std::int64_t width;
  std::int64_t reach;  ///< The bins cover -reach .. reach; one more on each side takes the rest.
};

/// Pearson's test of `draws` draws against weights known up to their sum.
/// H0: the sampler's distribution is proportional to `weight`. False alarm: 1e-6 (chi-square; every bin expects 20
/// draws or more).
bool ChiSquareRejects(const Sampler& sample, const Weight& weight, Bins bins, std::size_t draws, std::uint8_t key) {
  const auto index_of = [&](std::int64_t x) {
    const std::int64_t clamped = std::min(std::max(x, -bins.reach - 1), bins.reach + 1);
    return static_cast<std::size_t>((clamped + bins.reach + bins.width) / bins.width);
  };
  std::vector<double> expected(index_of(bins.reach + 1) + 1, 0.0);
  double total = 0;
  for (std::int64_t x = -40 * bins.reach; x <= 40 * bins.reach; ++x) {
    const double mass = weight(static_cast<double>(x));
    expected[index_of(x)] += mass;
    total += mass;
  }
  std::vector<double> seen(expected.size(), 0.0);
  auto bits = testing::TestBits(key);
  RandomWords words(bits);
  for (std::size_t i = 0; i < draws; ++i) seen[index_of(sample(words))] += 1;
  double statistic = 0;
  for (std::size_t i = 0; i < seen.size(); ++i) {
    const double mean = expected[i] / total * static_cast<double>(draws);
    EXPECT_GE(mean, 20) << "bin " << i << " is too thin for the test";
    statistic += (seen[i] - mean) * (seen[i] - mean) / mean;
  }
  return IsBeyondChance(statistic, seen.size() - 1);
}

constexpr std::size_t kDraws = 1'000'000;

Weight GaussianWeight(double sigma) {
  return [sigma](double x) { return std::exp(-x * x / (2 * sigma * sigma)); };
}
Weight LaplaceWeight(double scale) {
  return [scale](double x) { return std::exp(-std::abs(x) / scale); };
}
Sampler GaussianSampler(std::uint64_t sigma) {
  return [sampler = *DiscreteGaussian::Create(sigma)](RandomWords& words) { return sampler.Sample(words); };
}
Sampler LaplaceSampler(std::uint64_t scale) {
  return [sampler = *DiscreteLaplace::Create(scale)](RandomWords& words) { return sampler.Sample(words); };
}

TEST(DiscreteGaussianStatistics, PassesChiSquareAtSmallAndLargeScales) {
  EXPECT_FALSE(ChiSquareRejects(GaussianSampler(4), GaussianWeight(4), {.width = 1, .reach = 15}, kDraws, 11));
  EXPECT_FALSE(ChiSquareRejects(GaussianSampler(5), GaussianWeight(5), {.width = 1, .reach = 18}, kDraws, 12));
  EXPECT_FALSE(ChiSquareRejects(GaussianSampler(1000), GaussianWeight(1000), {.width = 50, .reach = 3500}, kDraws, 13));
}

TEST(DiscreteLaplaceStatistics, PassesChiSquareAtSmallAndLargeScales) {
  EXPECT_FALSE(ChiSquareRejects(LaplaceSampler(4), LaplaceWeight(4), {.width = 1, .reach = 30}, kDraws, 14));
  EXPECT_FALSE(ChiSquareRejects(LaplaceSampler(5), LaplaceWeight(5), {.width = 1, .reach = 40}, kDraws, 15));
  EXPECT_FALSE(ChiSquareRejects(LaplaceSampler(1000), LaplaceWeight(1000), {.width = 50, .reach = 7000}, kDraws, 16));
}

/// Broken: gives zero both signs, so that it comes twice as often.
std::int64_t LaplaceWithTwoZeros(double scale, RandomWords& words) {
  const double uniform = (words.Next32() + 0.5) * 0x1p-32;
  const auto magnitude = static_cast<std::int64_t>(std::floor(-scale * std::log(uniform)));
  return words.Below(2) == 0 ? magnitude : -magnitude;
}

/// Broken: the centre of the acceptance rule, sigma^2 / t, as an integer division.
std::int64_t GaussianWithDividedCentre(std::int64_t sigma, RandomWords& words) {
  const auto proposal = *DiscreteLaplace::Create(static_cast<std::uint64_t>(sigma + 1));
  for (;;) {
    const std::int64_t y = proposal.Sample(words);
    const auto distance = static_cast<double>(std::abs(y) - sigma * sigma / (sigma + 1));
    const double uniform = (words.Next32() + 0.5) * 0x1p-32;
    if (uniform < std::exp(-distance * distance / static_cast<double>(2 * sigma * sigma))) return y;
  }
}

TEST(DiscreteLaplaceStatistics, ChiSquareRejectsASamplerWithTwoZeros) {
  const Sampler broken = [](RandomWords& words) { return LaplaceWithTwoZeros(4, words); };
  EXPECT_TRUE(ChiSquareRejects(broken, LaplaceWeight(4), {.width = 1, .reach = 30}, kDraws, 14));
}

TEST(DiscreteGaussianStatistics, ChiSquareRejectsASamplerThatRoundsItsCentre) {
  const Sampler broken = [](RandomWords& words) { return GaussianWithDividedCentre(4, words); };
  EXPECT_TRUE(ChiSquareRejects(broken, GaussianWeight(4), {.width = 1, .reach = 15}, kDraws, 11));
}

struct Moments {
  double variance = 0;  ///< In units of the scale squared; the mean is known to be 0.
  double kurtosis = 0;
  double lag_correlation = 0;
};

Moments MomentsOf(const Sampler& sample, double scale, std::uint8_t key) {
  auto bits = testing::TestBits(key);
  RandomWords words(bits);
  double second = 0;
  double fourth = 0;
  double lagged = 0;
  double previous = 0;
  for (std::size_t i = 0; i < kDraws; ++i) {
    const double draw = static_cast<double>(sample(words)) / scale;
    second += draw * draw;
    fourth += draw * draw * draw * draw;
    lagged += draw * previous;
    previous = draw;
  }
  const double n = kDraws;
  return {.variance = second / n, .kurtosis = fourth * n / (second * second), .lag_correlation = lagged / second};
}

// H0: variance, kurtosis and lag-1 correlation are those of the distribution. Each is tested at 5.2 standard deviations
// of its estimate from 10^6 draws: false alarm 2e-7 each, 6e-7 together. Catches a wrong scale (0.74 % off), a wrong
// shape, and draws that depend on each other.
constexpr double kDeviations = 5.2;
const double kRoot = 1 / std::sqrt(static_cast<double>(kDraws));

bool VarianceIsOff(double variance, double expected, double kurtosis) {
  return std::abs(variance / expected - 1) > kDeviations * std::sqrt(kurtosis - 1) * kRoot;
}

TEST(DiscreteGaussianStatistics, HasTheMomentsOfAGaussianOnTheUsualGrid) {
  const Moments moments = MomentsOf(GaussianSampler(1U << 20U), 0x1p20, 17);
  EXPECT_FALSE(VarianceIsOff(moments.variance, 1, 3));
  EXPECT_NEAR(moments.kurtosis, 3, kDeviations * std::sqrt(24.0) * kRoot);
  EXPECT_NEAR(moments.lag_correlation, 0, kDeviations * kRoot);
}

TEST(DiscreteLaplaceStatistics, HasTheMomentsOfALaplaceOnTheUsualGrid) {
  const Moments moments = MomentsOf(LaplaceSampler(1U << 20U), 0x1p20, 18);
  EXPECT_FALSE(VarianceIsOff(moments.variance, 2, 6));
  EXPECT_NEAR(moments.lag_correlation, 0, kDeviations * kRoot);
}

TEST(DiscreteGaussianStatistics, VarianceRejectsOnePercentLessNoise) {
  const Moments moments = MomentsOf(GaussianSampler((1U << 20U) * 99 / 100), 0x1p20, 17);
  EXPECT_TRUE(VarianceIsOff(moments.variance, 1, 3));
}

}  // namespace
}  // namespace tacit::dp
