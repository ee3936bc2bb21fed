#include "dp/local_noise.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include <gmock/gmock.h>

#include "dp/clip.h"
#include "dp/planning.h"
#include "dp/release.h"
#include "tests/support/matchers.h"
#include "tests/unit/dp/dp_support.h"

namespace tacit::dp {
namespace {

using tacit::testing::IsError;
using tacit::testing::IsErrorSaying;
using tacit::testing::IsOk;
using testing::DeltaOf;
using testing::EpsilonOf;
using testing::MultiplierOf;
using testing::RadiusOf;

LocalNoise NoiseOf(Mechanism mechanism, double noise_multiplier) {
  return {.mechanism = mechanism, .noise_multiplier = MultiplierOf(noise_multiplier), .delta = DeltaOf(1e-6)};
}

std::vector<std::int32_t> Noised(const LocalNoise& noise, GridRadius radius, std::vector<std::int32_t> grid,
                                 std::uint8_t key) {
  auto bits = testing::TestBits(key);
  EXPECT_THAT(AddLocalNoise(noise, radius, bits, grid), IsOk());
  return grid;
}

double DeviationOf(const std::vector<std::int32_t>& values) {
  double squares = 0;
  for (const std::int32_t value : values) squares += static_cast<double>(value) * value;
  return std::sqrt(squares / static_cast<double>(values.size()));
}

TEST(LocalNoise, HasTheScaleThatIsAccountedForAndIsIndependentOfTheVector) {
  const GridRadius radius = RadiusOf(1U << 12U);
  for (const auto& [mechanism, factor] : {std::pair{Mechanism::kGaussian, 1.0}, {Mechanism::kLaplace, std::sqrt(2)}}) {
    const LocalNoise noise = NoiseOf(mechanism, 3);
    // A deviation of 100,000 draws is within 1.5 % of the true one but once in 10^9 runs; a halved one is 50 % off.
    const std::vector<std::int32_t> zero = Noised(noise, radius, std::vector<std::int32_t>(100'000), 1);
    EXPECT_NEAR(DeviationOf(zero) / (3 * 4096 * factor), 1, 0.03);
    std::vector<std::int32_t> update(100'000);
    update[7] = 4096;
    std::vector<std::int32_t> expected = zero;
    expected[7] += 4096;
    EXPECT_EQ(Noised(noise, radius, update, 1), expected);
    EXPECT_NE(Noised(noise, radius, update, 2), expected);
    // Two windows of noise that agree would cancel in their difference.
    for (const std::ptrdiff_t window : {16, 1024, 8192, 16'384}) {
      EXPECT_FALSE(std::equal(zero.begin(), zero.begin() + window, zero.begin() + window)) << window;
    }
  }
}

TEST(LocalNoise, KeepsEveryEntryWithinItsBound) {
  const GridRadius radius = RadiusOf(1U << 10U);
  const LocalNoise noise = NoiseOf(Mechanism::kGaussian, 1);
  const std::uint32_t bound = *LocalEntryBound(noise.mechanism, noise.noise_multiplier, radius);
  EXPECT_EQ(bound, 1024 + 16 * 1024);
  // No vector that was clipped looks like this: what is shown is the cut.
  const auto far = static_cast<std::int32_t>(4 * bound);
  const std::vector<std::int32_t> noised = Noised(noise, radius, {far, -far, 0}, 3);
  EXPECT_EQ(noised[0], static_cast<std::int32_t>(bound));
  EXPECT_EQ(noised[1], -static_cast<std::int32_t>(bound));
  EXPECT_THAT(VerifyEntries(noised, bound), IsOk());
  EXPECT_THAT(VerifyEntries(noised, bound - 1), IsErrorSaying(ErrorCode::kInvalidArgument, "entry 0"));
}

TEST(LocalNoise, IsRefusedWhereItsEntriesWouldNotFit) {
  EXPECT_THAT(LocalEntryBound(Mechanism::kGaussian, MultiplierOf(128), RadiusOf(1U << 20U)),
              IsErrorSaying(ErrorCode::kInvalidArgument, "do not fit 32 bits"));
  EXPECT_THAT(LocalEntryBound(Mechanism::kGaussian, MultiplierOf(0.001), RadiusOf(1U << 10U)),
              IsError(ErrorCode::kInvalidArgument));
  for (const double z : {0.5, 8.0, 100.0, 5000.0, 50'000.0}) {
    for (const Mechanism mechanism : {Mechanism::kGaussian, Mechanism::kLaplace}) {
      const GridRadius radius = PlanLocalGridRadius(mechanism, MultiplierOf(z), 1000);
      EXPECT_THAT(LocalEntryBound(mechanism, MultiplierOf(z), radius), IsOk()) << z;
    }
  }
}

TEST(LocalCost, IsThatOfTwiceTheSensitivity) {
  const LocalNoise noise = NoiseOf(Mechanism::kGaussian, 8);
  const EpsilonReport half = Account({.mechanism = Mechanism::kGaussian,
                                      .noise_multiplier = MultiplierOf(4),
                                      .compositions = 10,
                                      .delta = DeltaOf(1e-6)});
  EXPECT_EQ(LocalCost(noise, 10).epsilon, half.epsilon);
  EXPECT_EQ(LocalCost(noise, 0).epsilon, 0);
  // A hair below the pure epsilon of one Laplace release, replace-one: 2 / z.
  EXPECT_NEAR(LocalCost(NoiseOf(Mechanism::kLaplace, 4), 1).epsilon, 0.5, 1e-5);
  EXPECT_EQ(LocalRelease(noise).noise_multiplier.value(), 4);
}

TEST(LocalCost, CalibratesToTheTargetAndNotFarBelow) {
  for (const Mechanism mechanism : {Mechanism::kGaussian, Mechanism::kLaplace}) {
    const auto z =
        CalibrateLocalNoise({.mechanism = mechanism, .epsilon = EpsilonOf(4), .delta = DeltaOf(1e-6), .releases = 20});
    ASSERT_THAT(z, IsOk());
    EXPECT_LE(LocalCost(NoiseOf(mechanism, z->value()), 20).epsilon, 4);
    EXPECT_GT(LocalCost(NoiseOf(mechanism, 0.99 * z->value()), 20).epsilon, 4);
  }
}

TEST(LocalCost, AveragesOutWithARootOfTheCohort) {
  const UtilityForecast forecast = ForecastLocalUtility(Mechanism::kGaussian, MultiplierOf(3), 10'000);
  EXPECT_NEAR(forecast.noise_to_signal, 0.03, 1e-12);
  EXPECT_NEAR(static_cast<double>(forecast.cohort_needed), 1e6, 2);
}

TEST(LocalSum, TakesNoisedVectorsUpToTheirEntryBoundAndAveragesThemExactly) {
  const GridRadius radius = RadiusOf(1U << 10U);
  const LocalNoise noise = NoiseOf(Mechanism::kGaussian, 2);
  const std::uint32_t bound = *LocalEntryBound(noise.mechanism, noise.noise_multiplier, radius);
  const SumOptions options{.round = {testing::TaskOf("t"), 1},
                           .mechanism = Mechanism::kNone,
                           .grid_radius = radius,
                           .parameters = 3,
                           .entry_bound = bound};
  auto sum = *UnnoisedSum::Create(options);
  const auto most = static_cast<std::int32_t>(bound);
  EXPECT_THAT(sum.Add(std::vector<std::int32_t>{most, -most, most}), IsOk());
  EXPECT_THAT(sum.Add(std::vector<std::int32_t>{most + 1, 0, 0}),
              IsErrorSaying(ErrorCode::kInvalidArgument, "bound on noised entries"));
  EXPECT_THAT(sum.Add(std::vector<std::int32_t>{1024, 0, -most}), IsOk());
  testing::GlassSealer glass;
  const Bytes sealed = testing::SealedOf(sum, glass, {});
  auto again = *UnnoisedSum::Create(options);
  EXPECT_THAT(again.AddSealed(glass, sealed, {}), IsOk());
  for (const std::uint32_t other_bound : {0U, bound + 1}) {
    auto other = options;
    other.entry_bound = other_bound;
    EXPECT_THAT(UnnoisedSum::Create(other)->AddSealed(glass, sealed, {}),
                IsErrorSaying(ErrorCode::kDataLoss, "another round, grid"));
  }
  testing::NoBits bits;
  const auto average = ReleaseAverage(
      std::move(sum),
      NoPrivacyToken({.round = options.round, .clip_norm = testing::ClipOf(1), .grid_radius = radius, .divisor = 2}),
      bits);
  ASSERT_THAT(average, IsOk());
  EXPECT_FLOAT_EQ((*average)[0], static_cast<float>(bound + 1024) / 2 / 1024);
  EXPECT_FLOAT_EQ((*average)[1], static_cast<float>(-static_cast<double>(bound)) / 2 / 1024);
  EXPECT_FLOAT_EQ((*average)[2], 0);
}

TEST(LocalSum, HasNoPlaceUnderNoiseOfTheServer) {
  EXPECT_THAT(UnnoisedSum::Create({.round = {testing::TaskOf("t"), 1},
                                   .mechanism = Mechanism::kGaussian,
                                   .grid_radius = RadiusOf(1U << 10U),
                                   .parameters = 3,
                                   .entry_bound = 5000}),
              IsErrorSaying(ErrorCode::kInvalidArgument, "noised already"));
}

}  // namespace
}  // namespace tacit::dp
