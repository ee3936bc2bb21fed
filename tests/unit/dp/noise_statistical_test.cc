// Draws from the sampler against the distributions it promises. Bits: AES-128-CTR under fixed keys, so that a run
// repeats; the false alarm rates below are those over the choice of the key. Every test is also run on a deliberately
// broken sampler, which it must reject.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <numbers>
#include <span>
#include <vector>

#include <gmock/gmock.h>

#include "dp/noise.h"
#include "tests/unit/dp/dp_support.h"

namespace tacit::dp {
namespace {

/// Gives so many draws.
using Sampler = std::function<std::vector<std::int64_t>(std::size_t count, std::uint8_t key)>;
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
  for (const std::int64_t draw : sample(draws, key)) seen[index_of(draw)] += 1;
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
Sampler SamplerOf(const NoiseSampler& sampler) {
  return [sampler](std::size_t count, std::uint8_t key) {
    auto bits = testing::TestBits(key);
    std::vector<std::int64_t> draws(count, 0);
    sampler.AddTo(draws, 0, bits);
    return draws;
  };
}
Sampler GaussianSampler(std::uint64_t sigma) {
  return SamplerOf(*NoiseSampler::Gaussian(sigma));
}
Sampler LaplaceSampler(std::uint64_t scale) {
  return SamplerOf(*NoiseSampler::Laplace(scale));
}
/// `draw` makes one value from a uniform number in (0, 1); it is asked as often as it likes.
Sampler BrokenSampler(const std::function<std::int64_t(const std::function<double()>&)>& draw) {
  return [draw](std::size_t count, std::uint8_t key) {
    SplitMix64 random(key);
    const std::function<double()> uniform = [&] { return (random.Uniform() + 0x1p-54); };
    std::vector<std::int64_t> draws(count);
    for (std::int64_t& each : draws) each = draw(uniform);
    return draws;
  };
}

TEST(DiscreteGaussianStatistics, PassesChiSquareAtSmallAndLargeScales) {
  EXPECT_FALSE(ChiSquareRejects(GaussianSampler(4), GaussianWeight(4), {.width = 1, .reach = 15}, 16 * kDraws, 11));
  EXPECT_FALSE(ChiSquareRejects(GaussianSampler(5), GaussianWeight(5), {.width = 1, .reach = 18}, kDraws, 12));
  EXPECT_FALSE(ChiSquareRejects(GaussianSampler(1000), GaussianWeight(1000), {.width = 50, .reach = 3500}, kDraws, 13));
}

TEST(DiscreteLaplaceStatistics, PassesChiSquareAtSmallAndLargeScales) {
  EXPECT_FALSE(ChiSquareRejects(LaplaceSampler(4), LaplaceWeight(4), {.width = 1, .reach = 30}, kDraws, 14));
  EXPECT_FALSE(ChiSquareRejects(LaplaceSampler(5), LaplaceWeight(5), {.width = 1, .reach = 40}, kDraws, 15));
  EXPECT_FALSE(ChiSquareRejects(LaplaceSampler(1000), LaplaceWeight(1000), {.width = 50, .reach = 7000}, kDraws, 16));
}

TEST(DiscreteLaplaceStatistics, ChiSquareRejectsASamplerWithTwoZeros) {
  // Zero gets both signs, so that it comes twice as often.
  const Sampler broken = BrokenSampler([](const std::function<double()>& uniform) {
    const auto magnitude = static_cast<std::int64_t>(std::floor(-4 * std::log(uniform())));
    return uniform() < 0.5 ? magnitude : -magnitude;
  });
  EXPECT_TRUE(ChiSquareRejects(broken, LaplaceWeight(4), {.width = 1, .reach = 30}, kDraws, 14));
}

TEST(DiscreteGaussianStatistics, ChiSquareRejectsARoundedContinuousGaussian) {
  // Rounding to the next integer adds a twelfth to the variance.
  const Sampler broken = BrokenSampler([](const std::function<double()>& uniform) {
    return std::llround(4 * std::sqrt(-2 * std::log(uniform())) * std::cos(2 * std::numbers::pi * uniform()));
  });
  EXPECT_TRUE(ChiSquareRejects(broken, GaussianWeight(4), {.width = 1, .reach = 15}, 16 * kDraws, 11));
}

TEST(DiscreteGaussianStatistics, ChiSquareRejectsATableThatIsNotConvolved) {
  // A stride that is too wide for the first term leaves gaps that the second does not fill.
  const Sampler broken = [](std::size_t count, std::uint8_t key) {
    const auto fine = GaussianSampler(4)(count, key);
    auto draws = GaussianSampler(4)(count, static_cast<std::uint8_t>(key + 1));
    for (std::size_t i = 0; i < count; ++i) draws[i] = fine[i] + 12 * draws[i];
    return draws;
  };
  EXPECT_TRUE(ChiSquareRejects(broken, GaussianWeight(4 * std::sqrt(145.0)), {.width = 3, .reach = 150}, kDraws, 11));
}

/// The largest distance between the draws' distribution function and that of a continuous Gaussian, times sqrt(n).
double KolmogorovStatistic(std::vector<std::int64_t> draws, double sigma) {
  std::ranges::sort(draws);
  double largest = 0;
  const auto n = static_cast<double>(draws.size());
  for (std::size_t i = 0; i < draws.size(); ++i) {
    const double wanted = std::erfc(-(static_cast<double>(draws[i])) / sigma / std::numbers::sqrt2) / 2;
    largest = std::max({largest, static_cast<double>(i + 1) / n - wanted, wanted - static_cast<double>(i) / n});
  }
  return largest * std::sqrt(n);
}

// H0: at scales where a grid step is far below the test's resolution, the draws are Gaussian. False alarm: 2
// exp(-2 * 2.7^2) = 9.3e-7 (Kolmogorov). Catches gaps and shapes that moments do not see.
constexpr double kKolmogorovLimit = 2.7;

TEST(DiscreteGaussianStatistics, PassesKolmogorovWithTwoToFiveTerms) {
  for (const std::uint64_t sigma : {10'000U, 1U << 20U, 1U << 24U, 1U << 28U}) {
    EXPECT_LT(KolmogorovStatistic(GaussianSampler(sigma)(kDraws, 19), static_cast<double>(sigma)), kKolmogorovLimit)
        << sigma;
  }
  const auto less = GaussianSampler((1U << 20U) * 99 / 100)(4 * kDraws, 19);
  EXPECT_GT(KolmogorovStatistic(less, 0x1p20), kKolmogorovLimit) << "one per cent less noise";
}

// H0: beyond six deviations lie 1.97e-9 of the draws, hence about one in half a billion; beyond five, 5.73e-7, in 2^26
// draws 38.5 with a standard deviation of 6.2. False alarm: 1e-6 (4.9 deviations). Catches a tail that is cut, or fat.
TEST(DiscreteGaussianStatistics, HasItsTail) {
  const auto sampler = *NoiseSampler::Gaussian(1000);
  auto bits = testing::TestBits(20);
  std::vector<std::int64_t> draws(1U << 20U);
  int beyond_five = 0;
  int beyond_six = 0;
  for (std::uint64_t piece = 0; piece < 64; ++piece) {
    std::ranges::fill(draws, 0);
    sampler.AddTo(draws, piece << 20U, bits);
    for (const std::int64_t draw : draws) {
      beyond_five += std::abs(draw) > 5000 ? 1 : 0;
      beyond_six += std::abs(draw) > 6000 ? 1 : 0;
    }
  }
  EXPECT_NEAR(beyond_five, 38.5, 4.9 * 6.2);
  EXPECT_LE(beyond_six, 5);
}

// H0: neighbouring lanes, and the same lanes of two shards, are independent: their correlation over 2^20 draws is
// within 4.9 / sqrt(2^20) = 0.0048 of 0. False alarm: 1e-6 for each of the 17 comparisons. Catches words used twice.
TEST(DiscreteGaussianStatistics, LanesAndShardsAreIndependent) {
  const auto correlation = [](std::span<const std::int64_t> left, std::span<const std::int64_t> right, double sigma) {
    double sum = 0;
    for (std::size_t i = 0; i < left.size(); ++i)
      sum += static_cast<double>(left[i]) / sigma * (static_cast<double>(right[i]) / sigma);
    return sum / static_cast<double>(left.size());
  };
  constexpr std::size_t kCount = 1U << 20U;
  const double limit = 4.9 / std::sqrt(static_cast<double>(kCount));
  for (const std::uint64_t sigma : {100U, 10'000U}) {
    auto bits = testing::TestBits(21);
    std::vector<std::int64_t> draws(2 * kCount, 0);
    NoiseSampler::Gaussian(sigma)->AddTo(draws, 0, bits);
    const std::span<const std::int64_t> all(draws);
    for (std::size_t lag = 1; lag <= 16; ++lag)
      EXPECT_LT(std::abs(correlation(all.first(kCount), all.subspan(lag, kCount), double(sigma))), limit) << lag;
    EXPECT_LT(std::abs(correlation(all.first(kCount), all.subspan(kCount), double(sigma))), limit);
    EXPECT_GT(correlation(all.first(kCount), all.first(kCount), double(sigma)), 0.9) << "the same words";
  }
}

struct Moments {
  double variance = 0;  ///< In units of the scale squared; the mean is known to be 0.
  double kurtosis = 0;
  double lag_correlation = 0;
};

Moments MomentsOf(const Sampler& sample, double scale, std::uint8_t key) {
  double second = 0;
  double fourth = 0;
  double lagged = 0;
  double previous = 0;
  for (const std::int64_t value : sample(kDraws, key)) {
    const double draw = static_cast<double>(value) / scale;
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
