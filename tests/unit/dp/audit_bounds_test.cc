#include "dp/audit_bounds.h"

#include <cmath>

#include <gmock/gmock.h>

// The expected numbers: exact binomial sums in decimal arithmetic with 60 digits, bisected 60 times.
namespace tacit::dp {
namespace {

TEST(ProbabilityLimits, AreThoseOfClopperAndPearson) {
  EXPECT_EQ(LowerLimit({.hits = 0, .trials = 100}, 1e-3), 0);
  EXPECT_NEAR(UpperLimit({.hits = 0, .trials = 100}, 1e-3), 0.06674569920300896, 1e-9);
  EXPECT_NEAR(LowerLimit({.hits = 1, .trials = 100}, 1e-3), 1.0004953285956373e-05, 1e-12);
  EXPECT_NEAR(UpperLimit({.hits = 1, .trials = 100}, 1e-3), 0.08862688870395757, 1e-9);
  EXPECT_NEAR(LowerLimit({.hits = 50, .trials = 100}, 0.025), 0.39832112950330095, 1e-9);
  EXPECT_NEAR(UpperLimit({.hits = 50, .trials = 100}, 0.025), 0.601678870496699, 1e-9);
  EXPECT_NEAR(LowerLimit({.hits = 100, .trials = 100}, 1e-6), 0.8709635899560806, 1e-9);
  EXPECT_EQ(UpperLimit({.hits = 100, .trials = 100}, 1e-6), 1);
  EXPECT_NEAR(LowerLimit({.hits = 25, .trials = 2000}, 1e-7), 0.003501395590853341, 1e-10);
  EXPECT_NEAR(UpperLimit({.hits = 25, .trials = 2000}, 1e-7), 0.030546956578045327, 1e-9);
}

TEST(ProbabilityLimits, AreRoundedOutward) {
  EXPECT_LE(LowerLimit({.hits = 50, .trials = 100}, 0.025), 0.39832112950330095);
  EXPECT_GE(UpperLimit({.hits = 50, .trials = 100}, 0.025), 0.601678870496699);
  EXPECT_GE(UpperLimit({.hits = 0, .trials = 10'000'000}, 1e-9), -std::expm1(std::log(1e-9) / 1e7));
}

TEST(GuessingProbability, IsThatOfTheTheoremWithAndWithoutDelta) {
  const auto expect = [](const Guesses& guesses, double epsilon, double delta, double exact) {
    const double probability = GuessingProbability(guesses, epsilon, delta);
    EXPECT_GE(probability, exact * (1 - 1e-14));
    EXPECT_LE(probability, exact * (1 + 1e-7));
  };
  expect({.canaries = 1000, .made = 100, .right = 95}, 2, 0, 0.01610181875317723);
  expect({.canaries = 1000, .made = 100, .right = 95}, 2, 1e-5, 0.017824634643071498);
  expect({.canaries = 1000, .made = 1000, .right = 760}, 1, 1e-6, 0.020385907388349188);
  expect({.canaries = 10000, .made = 312, .right = 300}, 2.5, 1e-8, 0.005036308840417787);
  expect({.canaries = 100, .made = 100, .right = 100}, 3, 1e-3, 0.03427004872050234);
  EXPECT_EQ(GuessingProbability({.canaries = 10, .made = 10, .right = 0}, 1, 1e-5), 1);
}

TEST(RefutedEpsilon, IsWhereTheProbabilityReachesTheDoubt) {
  EXPECT_NEAR(RefutedEpsilon({.canaries = 1000, .made = 600, .right = 600}, 1e-5, 0.05), 5.270399463506692, 1e-6);
  EXPECT_NEAR(RefutedEpsilon({.canaries = 1000, .made = 100, .right = 95}, 0, 1e-3), 1.6931098229269992, 1e-6);
  EXPECT_NEAR(RefutedEpsilon({.canaries = 1000, .made = 1000, .right = 760}, 1e-7, 1e-4), 0.8800284152675886, 1e-6);
  EXPECT_EQ(RefutedEpsilon({.canaries = 1000, .made = 100, .right = 55}, 0, 1e-3), 0);
}

// A fixed epsilon is refuted by an interval of doubts from it on: what the bisection relies on, where delta is so large
// that its term alone exceeds one.
TEST(GuessingProbability, StaysBelowTheDoubtOnAnIntervalFromZero) {
  for (const double delta : {0.0, 1e-6, 1e-3, 0.1}) {
    for (const std::uint64_t right : {60U, 90U, 100U}) {
      bool refuted = true;
      for (double epsilon = 0; epsilon < 12; epsilon += 0.01) {
        const bool now = GuessingProbability({.canaries = 5000, .made = 100, .right = right}, epsilon, delta) <= 0.01;
        EXPECT_FALSE(now && !refuted) << delta << " " << right << " " << epsilon;
        refuted = now;
      }
    }
  }
}

}  // namespace
}  // namespace tacit::dp
