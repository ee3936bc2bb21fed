#include "edge_agent/detect/scores.h"

#include <array>
#include <cmath>

#include <gmock/gmock.h>

namespace tacit::detect {
namespace {

TEST(Energy, IsMinusLogSumExp) {
  constexpr std::array kLogits = {1.0F, 2.0F, 3.0F};
  EXPECT_NEAR(EnergyScore(kLogits, 1), -3.4076059644443806, 1e-12);
  constexpr std::array kSame = {0.0F, 0.0F};
  EXPECT_NEAR(EnergyScore(kSame, 1), -std::log(2.0), 1e-15);
}

TEST(Energy, ScalesWithItsTemperature) {
  constexpr std::array kSame = {4.0F, 4.0F};
  EXPECT_NEAR(EnergyScore(kSame, 2), -(4 + 2 * std::log(2.0)), 1e-12);
}

TEST(Energy, StaysFiniteForLargeLogits) {
  constexpr std::array kLogits = {3e38F, -3e38F};
  EXPECT_NEAR(EnergyScore(kLogits, 1) / -3e38, 1, 1e-6);
}

TEST(Unconfidence, IsLogOfWhatTheLikelyClassLeaves) {
  constexpr std::array kSame = {0.0F, 0.0F, 0.0F, 0.0F};
  EXPECT_NEAR(UnconfidenceScore(kSame), std::log(0.75), 1e-12);
}

TEST(Unconfidence, TellsApartAnswersWhoseSoftmaxRoundsToOne) {
  constexpr std::array kSure = {100.0F, 0.0F};
  constexpr std::array kSurer = {2000.0F, 0.0F};
  EXPECT_NEAR(UnconfidenceScore(kSure), -100, 1e-9);
  EXPECT_NEAR(UnconfidenceScore(kSurer), -2000, 1e-9);
}

TEST(GradientScore, IsLogOfTheNormAndFiniteForNone) {
  constexpr std::array kGradient = {3.0F, 4.0F};
  EXPECT_NEAR(GradientScore(kGradient), std::log(5.0), 1e-12);
  constexpr std::array kNone = {0.0F, 0.0F};
  EXPECT_TRUE(std::isfinite(GradientScore(kNone)));
}

TEST(SoftmaxDistance, IsTheSumOfDifferences) {
  constexpr std::array kHalf = {0.0F, 0.0F};
  const std::array quarters = {std::log(3.0F), 0.0F};
  EXPECT_NEAR(SoftmaxDistance(kHalf, quarters), 0.5, 1e-6);
}

TEST(Scores, BelongToOneConcernEach) {
  EXPECT_EQ(ConcernOf(Score::kSqueezing), Concern::kAdversarial);
  EXPECT_EQ(ConcernOf(Score::kExcess), Concern::kAdversarial);
  EXPECT_EQ(ConcernOf(Score::kEnergy), Concern::kOutOfDistribution);
  EXPECT_EQ(ConcernOf(Score::kInput), Concern::kOutOfDistribution);
}

}  // namespace
}  // namespace tacit::detect
