#include "dp/planning.h"

#include <cmath>

#include <gmock/gmock.h>

#include "dp/noise.h"
#include "tests/support/matchers.h"
#include "tests/unit/dp/dp_support.h"

namespace tacit::dp {
namespace {

using tacit::testing::IsErrorSaying;
using tacit::testing::IsOk;
using testing::DeltaOf;
using testing::EpsilonOf;
using testing::kG;
using testing::kL;
using testing::MultiplierOf;

CalibrationTarget TargetOf(Mechanism mechanism, double epsilon, double delta, std::uint64_t compositions) {
  return {.mechanism = mechanism, .epsilon = EpsilonOf(epsilon), .delta = DeltaOf(delta), .compositions = compositions};
}

double EpsilonAt(const CalibrationTarget& target, double noise_multiplier) {
  return Account({.mechanism = target.mechanism,
                  .noise_multiplier = MultiplierOf(noise_multiplier),
                  .compositions = target.compositions,
                  .delta = target.delta})
      .epsilon;
}

TEST(CalibrateNoise, MeetsTheTargetWithHardlyAnyNoiseToSpare) {
  for (const CalibrationTarget& target :
       {TargetOf(kG, 1, 1e-5, 1), TargetOf(kG, 8, 1e-5, 20), TargetOf(kG, 0.01, 1e-10, 1000),
        TargetOf(kG, 200, 1e-8, 3), TargetOf(kG, 1e5, 1e-8, 1), TargetOf(kL, 1, 1e-5, 1), TargetOf(kL, 2, 1e-6, 50),
        TargetOf(kL, 30, 1e-6, 10)}) {
    const auto z = CalibrateNoise(target);
    ASSERT_THAT(z, IsOk());
    EXPECT_LE(EpsilonAt(target, z->value()), target.epsilon.value()) << z->value();
    EXPECT_GT(EpsilonAt(target, z->value() * 0.999), target.epsilon.value()) << z->value();
  }
}

TEST(CalibrateNoise, AgreesWithThePublishedCalibrationAndRoundsUpToSixDigits) {
  EXPECT_EQ(CalibrateNoise(TargetOf(kG, 1, 1e-5, 1))->value(), 3.73064);  // P38: 3.7306316
}

TEST(CalibrateNoise, RefusesWhatNoNoiseCanMeet) {
  EXPECT_THAT(CalibrateNoise(TargetOf(kG, 1e-6, 1e-12, 1'000'000)),
              IsErrorSaying(ErrorCode::kInvalidArgument, "larger epsilon or delta, or fewer rounds"));
  EXPECT_THAT(CalibrateNoise(TargetOf(Mechanism::kNone, 1, 1e-5, 1)),
              IsErrorSaying(ErrorCode::kInvalidArgument, "no noise to calibrate"));
  EXPECT_THAT(CalibrateNoise(TargetOf(kG, 1, 1e-5, 0)), IsErrorSaying(ErrorCode::kInvalidArgument, "0 rounds"));
}

BudgetQuestion QuestionOf(Mechanism mechanism, double z, double epsilon, std::uint64_t max_participations) {
  return {.mechanism = mechanism,
          .noise_multiplier = MultiplierOf(z),
          .delta = DeltaOf(1e-6),
          .budget = EpsilonOf(epsilon),
          .max_participations = max_participations};
}

TEST(RoundsWithinBudget, IsTheLargestNumberThatFits) {
  EXPECT_EQ(RoundsWithinBudget(QuestionOf(kG, 10, 2, 1000)), 20U);  // P41
  for (const BudgetQuestion& question :
       {QuestionOf(kG, 3, 8, 5000), QuestionOf(kL, 20, 4, 5000), QuestionOf(kL, 100, 4, 50'000)}) {
    const std::uint64_t rounds = RoundsWithinBudget(question);
    const auto epsilon = [&](std::uint64_t n) {
      return Account({.mechanism = question.mechanism,
                      .noise_multiplier = question.noise_multiplier,
                      .compositions = n,
                      .delta = question.delta})
          .epsilon;
    };
    ASSERT_NE(rounds, kUnlimitedRounds);
    EXPECT_LE(epsilon(rounds), question.budget.value()) << rounds;
    EXPECT_GT(epsilon(rounds + 1), question.budget.value()) << rounds;
  }
}

TEST(RoundsWithinBudget, IsUnlimitedWhenTheParticipationLimitKeepsTheBudget) {
  EXPECT_EQ(RoundsWithinBudget(QuestionOf(kG, 10, 2, 20)), kUnlimitedRounds);
  EXPECT_EQ(RoundsWithinBudget(QuestionOf(kG, 10, 2, 21)), 20U);
}

TEST(RoundsWithinBudget, IsZeroWithoutPrivacyAndForABudgetBelowOneRound) {
  EXPECT_EQ(RoundsWithinBudget(QuestionOf(Mechanism::kNone, 1, 100, 10)), 0U);
  EXPECT_EQ(RoundsWithinBudget(QuestionOf(kG, 1, 0.1, 10)), 0U);
}

TEST(ForecastUtility, SaysWhatANoiseMultiplierNeedsOfTheCohort) {
  const UtilityForecast few = ForecastUtility(kG, MultiplierOf(2.85), 21);
  EXPECT_NEAR(few.noise_to_signal, 0.1357, 1e-4);
  EXPECT_EQ(few.cohort_needed, 950U);
  EXPECT_THAT(few.meaning, ::testing::HasSubstr("up to all of it in larger models"));
  EXPECT_THAT(few.meaning, ::testing::Not(::testing::HasSubstr("950"))) << "said once, by cohort_needed";
  EXPECT_THAT(ForecastUtility(kG, MultiplierOf(2.85), few.cohort_needed).meaning,
              ::testing::HasSubstr("no visible loss of accuracy"));
  EXPECT_GT(ForecastUtility(kL, MultiplierOf(2.85), 21).noise_to_signal, few.noise_to_signal * 1.4);
  EXPECT_THAT(ForecastUtility(Mechanism::kNone, MultiplierOf(1), 21).meaning, ::testing::HasSubstr("no privacy"));
}

TEST(PlanGridRadius, KeepsTruncationFarBelowTheNoiseOfTheAverage) {
  EXPECT_EQ(PlanGridRadius(kG, MultiplierOf(1), 1000).value(), 1U << 20U);
  EXPECT_EQ(PlanGridRadius(kG, MultiplierOf(1), 100'000).value(), 1U << 23U);  // 64 m / z = 6.4 million
  EXPECT_EQ(PlanGridRadius(Mechanism::kNone, std::nullopt, 21).value(), 1U << 24U);
}

TEST(PlanGridRadius, AlwaysGivesAGridWhoseNoiseCanBeSampled) {
  for (const double z : {1e-8, 1e-3, 1.0, 200.0, 5e4, kMaxNoiseMultiplier}) {
    for (const std::uint64_t cohort : {std::uint64_t{1}, std::uint64_t{1000}, std::uint64_t{100'000'000}}) {
      EXPECT_THAT(NoiseSteps(MultiplierOf(z), PlanGridRadius(kG, MultiplierOf(z), cohort)), IsOk())
          << z << " " << cohort;
    }
  }
}

}  // namespace
}  // namespace tacit::dp
