#include "dp/accounting.h"

#include <cmath>
#include <limits>

#include <gmock/gmock.h>

#include "dp/formulas.h"
#include "dp/renyi.h"
#include "tests/unit/dp/dp_support.h"

namespace tacit::dp {
namespace {

using ::testing::AllOf;
using testing::DeltaOf;
using ::testing::Ge;
using testing::kG;
using testing::kL;
using testing::kNan;
using ::testing::Le;
using testing::MultiplierOf;

EpsilonReport AccountFor(Mechanism mechanism, double noise_multiplier, std::uint64_t compositions, double delta) {
  return Account({.mechanism = mechanism,
                  .noise_multiplier = MultiplierOf(noise_multiplier),
                  .compositions = compositions,
                  .delta = DeltaOf(delta)});
}

// Facts computed with published libraries (google dp_accounting 0.6.0, microsoft prv_accountant 0.2.0): the interval
// that the true epsilon lies in. A value below it would claim more privacy than there is.
struct Fact {
  const char* id;
  Mechanism mechanism;
  double noise_multiplier;
  std::uint64_t compositions;
  double delta;
  double lower;
  double upper;
  double rdp;  ///< The library's Renyi answer on its own orders; more orders may be lower.
};

constexpr Fact kFacts[] = {
    {"P01", kG, 1, 1, 1e-5, 4.377178096, 4.377178096, 4.728507067},
    {"P02", kG, 4, 1, 1e-6, 1.060701862, 1.060701862, 1.143168721},
    {"P03", kG, 0.4, 1, 1e-8, 16.63237942, 16.63237942, 17.44138156},
    {"P04", kG, 20, 1, 1e-10, 0.2803268336, 0.2803268336, 0.2952577727},
    {"P05", kG, 1, 10, 1e-5, 17.85658683, 17.85658683, 19.05359753},
    {"P06", kG, 5, 100, 1e-6, 10.99715121, 10.99715121, 11.6886268},
    {"P07", kG, 20, 1000, 1e-9, 10.3213136, 10.3213136, 10.80290305},
    {"P08, twice the sensitivity", kG, 1, 1, 1e-5, 4.377178096, 4.377178096, 4.728507067},
    {"P33, a tree of height 10", kG, 5, 10, 1e-6, 2.92160059, 2.92160059, 3.131089775},
    {"P34, a tree of sensitivity^2 79", kG, 7, 79, 1e-10, 8.526093443, 8.526093443, 8.898605013},
    {"P21", kL, 1, 1, 1e-5, 0.9999799999, 0.9999799999, 1.002824324},
    {"P22", kL, 10, 100, 1e-6, 4.692645577, 4.692667439, 4.984173965},
    {"P23", kL, 0.5, 10, 1e-5, 19.98986256, 19.98996232, 19.99033448},
};

TEST(Account, LiesBetweenTheTrueEpsilonAndOnePercentMore) {
  for (const Fact& fact : kFacts) {
    const EpsilonReport report = AccountFor(fact.mechanism, fact.noise_multiplier, fact.compositions, fact.delta);
    EXPECT_THAT(report.epsilon, AllOf(Ge(fact.lower), Le(fact.upper * 1.01))) << fact.id;
    EXPECT_LE(report.epsilon, fact.upper * 1.0003) << fact.id << ": looser than this accountant is known to be";
    EXPECT_THAT(report.epsilon_rdp, AllOf(Ge(report.epsilon), Le(fact.rdp * 1.0001))) << fact.id;
    EXPECT_EQ(report.compositions, fact.compositions);
    EXPECT_EQ(report.delta, fact.delta);
  }
}

TEST(Account, RenyiAndConcentratedBoundsAreNeverBelowTheReportedOne) {
  for (const Mechanism mechanism : {kG, kL}) {
    for (const double z : {0.005, 0.1, 1.0, 30.0, 1e4, kMaxNoiseMultiplier}) {
      for (const std::uint64_t n : {1U, 7U, 1000U, 100'000U}) {
        for (const double delta : {0.3, 1e-3, 1e-10, 1e-100}) {
          const EpsilonReport report = AccountFor(mechanism, z, n, delta);
          EXPECT_LE(report.epsilon, report.epsilon_rdp) << NameOf(mechanism) << z << " " << n << " " << delta;
          EXPECT_LE(report.epsilon, ZcdpEpsilon(report.rho_zcdp, delta) * (1 + 1e-8) + 1e-6)
              << NameOf(mechanism) << z << " " << n << " " << delta;
        }
      }
    }
  }
}

TEST(Account, GrowsWithRoundsAndShrinksWithNoise) {
  for (const Mechanism mechanism : {kG, kL}) {
    double before = 0;
    for (const std::uint64_t n : {1U, 2U, 3U, 63U, 64U, 65U, 127U, 128U, 129U, 2047U, 2048U, 2049U, 5000U}) {
      const double epsilon = AccountFor(mechanism, 20, n, 1e-6).epsilon;
      EXPECT_GE(epsilon, before) << NameOf(mechanism) << " " << n;
      before = epsilon;
      EXPECT_GT(epsilon, AccountFor(mechanism, 20.2, n, 1e-6).epsilon) << NameOf(mechanism) << " " << n;
    }
  }
}

TEST(Account, CostsNothingForNoRoundAndHasNoGuaranteeWithoutPrivacy) {
  EXPECT_EQ(AccountFor(kG, 1, 0, 1e-6).epsilon, 0);
  EXPECT_EQ(AccountFor(kL, 1, 0, 1e-6).epsilon, 0);
  EXPECT_EQ(AccountFor(Mechanism::kNone, 1, 1, 1e-6).epsilon, kInfinity);
  EXPECT_EQ(AccountFor(Mechanism::kNone, 1, 1, 1e-6).accountant, "none");
}

TEST(Account, HasNoGuaranteeForNoiseThatTheCoarsestGridWouldShowThrough) {
  EXPECT_EQ(AccountFor(kG, 1.6 / 1024, 1, 1e-6).epsilon, kInfinity);
  EXPECT_EQ(AccountFor(kG, 1, ~std::uint64_t{0}, 1e-6).epsilon, kInfinity);
}

// The tables end somewhere. Where one device moves the sum beyond the noise of the other side, an outcome gives it away
// whatever the formula says.
TEST(Account, HasNoGuaranteeWhereTheEndOfTheNoiseCouldBeSeen) {
  EXPECT_EQ(AccountFor(kG, 0.07, 1, 1e-5).epsilon, kInfinity);
  EXPECT_EQ(AccountFor(kG, 0.1, 1, 8e-7).epsilon, kInfinity);
  EXPECT_EQ(AccountFor(kL, 0.0125, 1, 1e-5).epsilon, kInfinity);
  EXPECT_LT(AccountFor(kG, 0.25, 1, 1e-5).epsilon, 30);
  EXPECT_LT(AccountFor(kL, 0.05, 1, 1e-5).epsilon, 20.001);
}

TEST(Formulas, AnswerDegenerateInputsAsAProductMust) {
  EXPECT_EQ(GaussianEpsilon(0, 1, 1e-5), kInfinity);                        // P49: no noise
  EXPECT_EQ(GaussianEpsilon(5, 100, 1e-6), GaussianEpsilon(0.5, 1, 1e-6));  // P51: composition is sqrt
  EXPECT_EQ(GaussianEpsilon(1, 0, 1e-6), 0);                                // P52: no steps
  EXPECT_EQ(GaussianEpsilon(0, 0, 0), 0);
  EXPECT_EQ(GaussianEpsilon(1, 1, 0), kInfinity);  // P53: delta 0
  EXPECT_EQ(GaussianEpsilon(1, 1, 1), 0);          // P54: delta 1
  EXPECT_EQ(GaussianEpsilon(kInfinity, 1, 1e-5), 0);
  EXPECT_EQ(LaplaceRdpEpsilon(0, 1, 1e-5), kInfinity);
  EXPECT_EQ(ZcdpEpsilon(0, 1e-5), 0);
  EXPECT_EQ(ZcdpEpsilon(kInfinity, 1e-5), kInfinity);
  EXPECT_EQ(ZcdpEpsilon(1, 0), kInfinity);
  for (const double epsilon : {GaussianEpsilon(kNan, 1, 1e-5), GaussianEpsilon(1, 1, kNan), ZcdpEpsilon(kNan, 1e-5),
                               ZcdpEpsilon(1, kNan), LaplacePureEpsilon(kNan, 1), LaplaceRdpEpsilon(1, 1, kNan)}) {
    EXPECT_EQ(epsilon, kInfinity);
  }
  EXPECT_EQ(GaussianDelta(kNan, 1, 1), 1);
  EXPECT_EQ(GaussianDelta(1, 1, kNan), 1);
}

TEST(LaplacePureEpsilon, AddsUp) {
  EXPECT_THAT(LaplacePureEpsilon(1, 1), AllOf(Ge(1.0), Le(1.0 + 1e-12)));  // P20
  EXPECT_THAT(LaplacePureEpsilon(0.1, 30), AllOf(Ge(300.0 - 1e-12), Le(300.0 + 1e-9)));
}

TEST(ZcdpEpsilon, FindsTheOptimumOverAllOrders) {
  EXPECT_THAT(ZcdpEpsilon(0.5, 1e-6), AllOf(Ge(5.2215344445), Le(5.2215344456)));    // P47
  EXPECT_THAT(ZcdpEpsilon(0.81, 1e-10), AllOf(Ge(8.9222072825), Le(8.9222072836)));  // P48
}

// With 50 digits (mpmath 1.3): delta at z, n, epsilon.
TEST(GaussianDelta, IsNeverBelowAndHardlyAboveTheTrueValue) {
  struct {
    double z;
    std::uint64_t n;
    double epsilon;
    double delta;
  } const facts[] = {{0.05, 1, 100.0, 0.99999961466855645},
                     {0.05, 1, 300.0, 2.2727748823194729e-7},
                     {0.4, 1, 16.625, 1.016945566637863e-8},
                     {1, 1, 0.0, 0.38292492254802621},
                     {1, 1, 4.5, 5.8676896497695565e-6},
                     {1, 10, 17.0, 3.1923688567776114e-5},
                     {7, 1000, 20.0, 0.0094981288641714357},
                     {100, 1, 0.0, 0.0039894061814816446},
                     {100, 1, 0.03125, 2.4789456230217143e-6},
                     {3000, 17, 0.00390625, 9.088640209338549e-7},
                     {3000, 1, 0.001953125, 1.2551056015053961e-13},
                     {131072, 1, 0.0, 3.0436880523717126e-6},
                     {131072, 1, 3.814697265625e-05, 4.0788784063599218e-13},
                     {131072, 1000000, 0.0625, 1.2000372961823361e-19},
                     {0.25, 1, 60.0, 1.4280863941977948e-39}};
  for (const auto& fact : facts) {
    const double delta = GaussianDelta(fact.z, fact.n, fact.epsilon);
    EXPECT_GE(delta, fact.delta * (1 - 1e-15)) << fact.z << " " << fact.n;
    EXPECT_LE(delta, fact.delta * (1 + 1e-6)) << fact.z << " " << fact.n;
  }
}

TEST(GaussianEpsilon, IsTheInverseOfDeltaFromAbove) {
  for (const double z : {0.05, 0.7, 3.0, 100.0, 1e5}) {
    for (const double delta : {0.1, 1e-5, 1e-12, 1e-200}) {
      const double epsilon = GaussianEpsilon(z, 3, delta);
      EXPECT_LE(GaussianDelta(z, 3, epsilon), delta * (1 + 1e-12)) << z << " " << delta;
      if (epsilon > 0) EXPECT_GT(GaussianDelta(z, 3, epsilon * (1 - 1e-6)), delta) << z << " " << delta;
    }
  }
}

// With 50 digits (mpmath 1.3).
TEST(LaplaceRenyi, KeepsItsDigitsForWeakAndStrongNoise) {
  struct {
    double z;
    double order;
    double renyi;
  } const facts[] = {{1, 2.0, 0.61912362999859288},
                     {1, 1.0009765625, 0.36820036339172968},
                     {0.01, 3.0, 99.744587188117003},
                     {0.001, 1.5, 999.42463585509642},
                     {100, 2.0, 9.9664191723252475e-5},
                     {100, 1.0009765625, 4.9882414129826547e-5},
                     {100000.0, 1.0009765625, 5.0048661295989174e-11},
                     {100000.0, 30.0, 1.4999949782626745e-9},
                     {131072, 1048577.0, 6.9683584297285789e-6}};
  for (const auto& fact : facts) {
    EXPECT_NEAR(LaplaceRenyi(fact.z, fact.order) / fact.renyi, 1, 1e-9) << fact.z << " " << fact.order;
  }
}

/// The exact hockey-stick divergence of a one-dimensional integer mechanism moved by `shift`, by summation.
template <typename Weight>
double ShiftedDelta(Weight weight, std::int64_t shift, double epsilon, std::int64_t reach) {
  double total = 0;
  double delta = 0;
  for (std::int64_t x = -reach; x <= reach + shift; ++x) {
    total += weight(static_cast<double>(x));
    delta += std::max(0.0, weight(static_cast<double>(x - shift)) - std::exp(epsilon) * weight(static_cast<double>(x)));
  }
  return delta / total;
}

// The argument of docs/PRIVACY.md, "From discrete to continuous", checked by summing the discrete distributions.
TEST(DiscreteGaussianAccounting, TheContinuousGaussianOfSmallerVarianceBoundsTheDiscreteOne) {
  bool equal_variance_would_be_wrong = false;
  for (const double sigma : {4.0, 5.0, 9.0}) {
    for (const std::int64_t shift : {1, 3, 8, 16}) {
      for (const double epsilon : {0.0, 0.1, 0.5, 1.0, 2.0, 4.0}) {
        const auto weight = [&](double x) { return std::exp(-x * x / (2 * sigma * sigma)); };
        const double exact = ShiftedDelta(weight, shift, epsilon, static_cast<std::int64_t>(30 * sigma));
        const auto sensitivity = static_cast<double>(shift);
        EXPECT_LE(exact, GaussianDelta(std::sqrt(sigma * sigma - 1.6 * 1.6) / sensitivity, 1, epsilon) + 1e-15)
            << sigma << " " << shift << " " << epsilon;
        equal_variance_would_be_wrong |= exact > GaussianDelta(sigma / sensitivity, 1, epsilon) * (1 + 1e-6);
      }
    }
  }
  EXPECT_TRUE(equal_variance_would_be_wrong);  // so the variance taken off is not for nothing
}

TEST(DiscreteGaussianAccounting, IsChargedOnTheCoarsestGridWithItsSlack) {
  constexpr double kStep = 1.0 / 1024;
  for (const double z : {5 * kStep, 0.02, 1.0}) {
    const double continuous = std::sqrt(z * z - 1.6 * 1.6 * kStep * kStep);
    EXPECT_GE(AccountFor(kG, z, 3, 1e-6).epsilon, GaussianEpsilon(continuous, 3, 1e-6)) << z;
    EXPECT_GE(AccountFor(kG, z, 3, 1e-6).rho_zcdp, 3 / (2 * continuous * continuous)) << z;
  }
  // 2^30 rounds: the slack of 2^-37 each is 1/128.
  const std::uint64_t many = std::uint64_t{1} << 30U;
  EXPECT_GE(AccountFor(kG, kMaxNoiseMultiplier, many, 1e-6).epsilon,
            GaussianEpsilon(kMaxNoiseMultiplier, many, 1e-6 * 127 / 128) + 1.0 / 128);
}

TEST(DiscreteLaplaceAccounting, IsChargedOnTheCoarsestGrid) {
  constexpr double kStep = 1.0 / 1024;
  const double z = 4 * kStep;  // where the discrete and the continuous are furthest apart
  const double continuous = 1 / (1 / z + kStep * kStep / (4 * z * z));
  // One Laplace has a closed form: delta = 1 - e^((epsilon - 1 / z) / 2).
  EXPECT_GE(AccountFor(kL, z, 1, 1e-3).epsilon, std::min(1 / z, 1 / continuous + 2 * std::log1p(-1e-3)));
}

TEST(DiscreteGaussianAccounting, TheBoundHoldsForAShiftOverTwoCoordinates) {
  constexpr double kSigma = 4;
  const auto weight = [](int x) { return std::exp(-x * x / (2 * kSigma * kSigma)); };
  for (const double epsilon : {0.0, 0.3, 1.0, 3.0}) {
    double total = 0;
    double delta = 0;
    for (int x = -60; x <= 60; ++x) {
      for (int y = -60; y <= 60; ++y) {
        total += weight(x) * weight(y);
        delta += std::max(0.0, weight(x - 3) * weight(y + 4) - std::exp(epsilon) * weight(x) * weight(y));
      }
    }
    EXPECT_LE(delta / total, GaussianDelta(std::sqrt(kSigma * kSigma - 1.6 * 1.6) / 5, 1, epsilon) + 1e-15) << epsilon;
  }
}

TEST(DiscreteLaplaceAccounting, AContinuousLaplaceOfSlightlyLargerShiftBoundsTheDiscreteOne) {
  for (const double scale : {4.0, 6.0, 100.0}) {
    for (const std::int64_t shift : {1, 4, 50}) {
      for (const double epsilon : {0.0, 0.05, 0.2, 0.5, 1.0, 5.0}) {
        const auto weight = [&](double x) { return std::exp(-std::abs(x) / scale); };
        const double exact = ShiftedDelta(weight, shift, epsilon, static_cast<std::int64_t>(50 * scale));
        const double lambda = static_cast<double>(shift) / scale + 1 / (4 * scale * scale);
        const double bound = epsilon < lambda ? -std::expm1((epsilon - lambda) / 2) : 0;
        EXPECT_LE(exact, bound + 1e-14) << scale << " " << shift << " " << epsilon;
      }
    }
  }
}

CheckinCoin CoinOf(double probability, std::uint64_t population, std::uint64_t max_cohort) {
  return {.probability = *SamplingProbability::Create(probability), .population = population, .max_cohort = max_cohort};
}

EpsilonReport AccountWithCoin(Mechanism mechanism, double noise_multiplier, std::uint64_t rounds,
                              const CheckinCoin& coin) {
  return Account({.mechanism = mechanism,
                  .noise_multiplier = MultiplierOf(noise_multiplier),
                  .compositions = rounds,
                  .delta = DeltaOf(1e-5),
                  .coin = coin});
}

TEST(AccountWithCoin, IsThatOfTheReferenceForPoissonSampledGaussians) {
  // Noise 1, sampling 0.01, 1000 steps at delta 1e-5: between 1.8284 and 1.8285 by two published loss-distribution
  // accountants (dp_accounting 0.6.0, prv_accountant 0.2.0).
  const EpsilonReport report = AccountWithCoin(kG, 1, 1000, CoinOf(0.01, 1000, 1000));
  EXPECT_THAT(report.epsilon, AllOf(Ge(1.828), Le(1.8285 * 1.01)));
  EXPECT_GE(report.epsilon_rdp, report.epsilon);
  EXPECT_EQ(report.accountant, "sampled-gaussian-pld");
}

TEST(AccountWithCoin, NeverCostsMoreThanWithoutOne) {
  for (const Mechanism mechanism : {kG, kL}) {
    for (const double q : {0.001, 0.3, 0.999}) {
      const EpsilonReport with = AccountWithCoin(mechanism, 2, 20, CoinOf(q, 1000, 1000));
      const EpsilonReport without = AccountFor(mechanism, 2, 20, 1e-5);
      EXPECT_LE(with.epsilon, without.epsilon) << q;
      EXPECT_LE(with.epsilon_rdp, without.epsilon_rdp) << q;
      EXPECT_GT(with.epsilon, 0) << q;
    }
  }
}

TEST(AccountWithCoin, ChargesForACohortThatTurnsDevicesAway) {
  // The mean is 100, its deviation 9.5: a cap of 130 is passed about once in a thousand rounds.
  const double wide = AccountWithCoin(kG, 2, 20, CoinOf(0.1, 1000, 1000)).epsilon;
  EXPECT_LE(AccountWithCoin(kG, 2, 20, CoinOf(0.1, 1000, 170)).epsilon, wide * 1.001);
  EXPECT_EQ(AccountWithCoin(kG, 2, 20, CoinOf(0.1, 1000, 130)).epsilon, kInfinity);
}

TEST(CohortOverflow, BoundsTheTailOfTheBinomial) {
  // Exact tails, summed with 50 digits: P(X > 130) and P(X > 167) of Binomial(1000, 0.1); P(X > 8) of (100, 0.01).
  const struct {
    CheckinCoin coin;
    double tail;
  } cases[] = {
      {CoinOf(0.1, 1000, 130), 0.0009694414907957432},
      {CoinOf(0.1, 1000, 167), 2.528318949561404e-11},
      {CoinOf(0.01, 100, 8), 8.385109673047421e-07},
  };
  for (const auto& each : cases) {
    EXPECT_GE(CohortOverflow(each.coin), each.tail);
    EXPECT_LE(CohortOverflow(each.coin), each.tail * 30) << "a bound, and not far off";
  }
  EXPECT_EQ(CohortOverflow(CoinOf(0.1, 1000, 1000)), 0);
  EXPECT_EQ(CohortOverflow(CoinOf(0.1, 1000, 99)), 1) << "at the mean it proves nothing";
}

}  // namespace
}  // namespace tacit::dp
