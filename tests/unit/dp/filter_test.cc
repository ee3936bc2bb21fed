#include "dp/filter.h"

#include <array>
#include <cmath>

#include <gmock/gmock.h>

#include "dp/composition.h"
#include "dp/discrete.h"
#include "dp/renyi.h"
#include "tests/support/matchers.h"
#include "tests/unit/dp/dp_support.h"

namespace tacit::dp {
namespace {

using tacit::testing::IsErrorSaying;
using tacit::testing::IsOk;
using testing::DeltaOf;
using testing::EpsilonOf;
using testing::MultiplierOf;

Release GaussianOf(double noise_multiplier) {
  return {.mechanism = Mechanism::kGaussian, .noise_multiplier = MultiplierOf(noise_multiplier)};
}

Release LaplaceOf(double noise_multiplier) {
  return {.mechanism = Mechanism::kLaplace, .noise_multiplier = MultiplierOf(noise_multiplier)};
}

FilterPromise PromiseOf(double epsilon, const Release& typical) {
  return {.epsilon = EpsilonOf(epsilon), .delta = DeltaOf(1e-6), .max_releases = 1U << 20U, .typical = typical};
}

std::uint64_t Fitting(const RenyiFilter& filter, const Release& release) {
  double spent = 0;
  for (std::uint64_t count = 0;; ++count) {
    spent += filter.CostOf(release);
    if (!filter.Admits(spent)) return count;
  }
}

double TightestOf(std::span<const RepeatedStep> steps) {
  return ComposedEpsilon({.steps = steps, .delta = 1e-6})->epsilon;
}

TEST(RenyiFilter, PaysForAsManyAlikeAsRenyiAccountingOverAllOrdersNearly) {
  for (const double epsilon : {0.5, 2.0, 8.0}) {
    for (const double z : {5.0, 20.0, 100.0}) {
      const auto filter = RenyiFilter::Create(PromiseOf(epsilon, GaussianOf(z)));
      if (!filter) continue;
      std::uint64_t by_orders = 0;
      while (Account({.mechanism = Mechanism::kGaussian,
                      .noise_multiplier = MultiplierOf(z),
                      .compositions = by_orders + 1,
                      .delta = DeltaOf(1e-6)})
                 .epsilon_rdp <= epsilon) {
        ++by_orders;
      }
      const std::uint64_t fitting = Fitting(*filter, GaussianOf(z));
      EXPECT_LE(fitting, by_orders) << epsilon << ' ' << z;
      EXPECT_GE(static_cast<double>(fitting), 0.99 * static_cast<double>(by_orders) - 1) << epsilon << ' ' << z;
    }
  }
}

TEST(RenyiFilter, NeverShowsLessThanTheTightestAccountantOfWhatWasReleased) {
  const auto filter = *RenyiFilter::Create(PromiseOf(8, GaussianOf(10)));
  struct Mix {
    double many;
    double few;
    std::uint64_t count_of_many;
    std::uint64_t count_of_few;
  };
  for (const Mix& mix : {Mix{10, 3, 50, 4}, Mix{10, 40, 10, 1000}, Mix{1.5, 100, 1, 100}, Mix{20, 5, 300, 1}}) {
    const double spent = static_cast<double>(mix.count_of_many) * filter.CostOf(GaussianOf(mix.many)) +
                         static_cast<double>(mix.count_of_few) * filter.CostOf(GaussianOf(mix.few));
    const std::array<RepeatedStep, 2> steps{
        {{GaussianStep{ContinuousGaussianMultiplier(MultiplierOf(mix.many))}, mix.count_of_many},
         {GaussianStep{ContinuousGaussianMultiplier(MultiplierOf(mix.few))}, mix.count_of_few}}};
    EXPECT_GE(filter.EpsilonOf(spent), TightestOf(steps)) << mix.many << ' ' << mix.few;
  }
  EXPECT_EQ(filter.EpsilonOf(0), 0);
}

TEST(RenyiFilter, WhatItAdmitsIsWithinItsEpsilonAndWhatItDoesNotIsBeyond) {
  for (const Release& typical : {GaussianOf(4), LaplaceOf(3), LaplaceOf(60)}) {
    const auto filter = RenyiFilter::Create(PromiseOf(3, typical));
    ASSERT_THAT(filter, IsOk());
    EXPECT_TRUE(filter->Admits(filter->budget()));
    EXPECT_LE(filter->EpsilonOf(filter->budget()), 3);
    const double beyond = filter->budget() * (1 + 1e-12) + 1e-12;
    EXPECT_FALSE(filter->Admits(beyond));
    EXPECT_GT(filter->EpsilonOf(filter->budget() + 1e-6), 3);
  }
}

TEST(RenyiFilter, AddsGaussianAndLaplaceReleasesUp) {
  const auto filter = *RenyiFilter::Create(PromiseOf(6, LaplaceOf(10)));
  const double spent = 5 * filter.CostOf(LaplaceOf(10)) + 20 * filter.CostOf(GaussianOf(30));
  const std::array<RepeatedStep, 2> steps{{{LaplaceStep{10}, 5}, {GaussianStep{30}, 20}}};
  EXPECT_GE(filter.EpsilonOf(spent), TightestOf(steps));
}

TEST(RenyiFilter, CountsASampledReleaseForNoMoreThanOneOfAllDevices) {
  const CheckinCoin coin{.probability = *SamplingProbability::Create(0.01), .population = 1000, .max_cohort = 1000};
  for (const Mechanism mechanism : {Mechanism::kGaussian, Mechanism::kLaplace}) {
    const Release whole{.mechanism = mechanism, .noise_multiplier = MultiplierOf(2)};
    const Release sampled{.mechanism = mechanism, .noise_multiplier = MultiplierOf(2), .coin = coin};
    for (const double order : {1.1, 1.5, 2.0, 2.5, 7.3, 33.3, 200.0}) {
      EXPECT_LE(RenyiOf(sampled, order), RenyiOf(whole, order)) << order;
    }
    const auto filter = *RenyiFilter::Create(PromiseOf(2, sampled));
    EXPECT_GT(Fitting(filter, sampled), 20 * (Fitting(filter, whole) + 1));
  }
}

TEST(RenyiFilter, TakesWhatFullCohortsTurnAwayOffItsDelta) {
  CheckinCoin coin{.probability = *SamplingProbability::Create(0.1), .population = 1000, .max_cohort = 125};
  const Release sampled{.mechanism = Mechanism::kGaussian, .noise_multiplier = MultiplierOf(2), .coin = coin};
  EXPECT_THAT(RenyiFilter::Create(PromiseOf(2, sampled)), IsErrorSaying(ErrorCode::kInvalidArgument, "finer"));
}

TEST(RenyiFilter, AddsWhatReleasesMayDifferByAtAPointFromWhatIsAccountedFor) {
  const auto filter = *RenyiFilter::Create(PromiseOf(2, GaussianOf(20)));
  const double order = filter.order();
  const double factors =
      0x1p20 * 0x1p-37 * (2 * order - 1) / (order - 1);  // docs/PRIVACY.md, "Noise that is changed on the way"
  EXPECT_GE(filter.EpsilonOf(1), 1 + RenyiConversion(order, 1e-6) + factors);
  EXPECT_LE(filter.EpsilonOf(1), 1 + RenyiConversion(order, 1e-6) + 1.1 * factors);
}

TEST(RenyiFilter, RefusesAPromiseThatPaysForNothing) {
  EXPECT_THAT(RenyiFilter::Create(PromiseOf(0.5, GaussianOf(1))),
              IsErrorSaying(ErrorCode::kInvalidArgument, "does not pay for one release"));
}

}  // namespace
}  // namespace tacit::dp
