#include "dp/composition.h"

#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <vector>

#include <gmock/gmock.h>

#include "common/base/random.h"
#include "dp/calibration.h"
#include "dp/composed_losses.h"
#include "dp/formulas.h"
#include "dp/loss_distribution.h"
#include "dp/loss_pairs.h"
#include "tests/support/matchers.h"
#include "tests/unit/dp/dp_support.h"

namespace tacit::dp {
namespace {

using ::tacit::testing::IsErrorSaying;
using ::tacit::testing::IsOk;
using ::testing::AllOf;
using ::testing::Ge;
using ::testing::Le;
using ::testing::Optional;

Result<CompositionReport> Ask(std::vector<RepeatedStep> steps, double delta, Accountant accountant,
                              Neighbouring relation = Neighbouring::kAddOrRemoveOne) {
  return ComposedEpsilon({.steps = steps, .delta = delta, .neighbouring = relation, .accountant = accountant});
}
double Spent(const Step& step, std::uint64_t count, double delta, Accountant accountant = Accountant::kPld) {
  return Ask({{step, count}}, delta, accountant).value().epsilon;
}

// Not within the last digit, but never below, and close: grid and rounding may only add.
auto AtLeast(double wanted, double slack) {
  return AllOf(Ge(wanted * (1 - 1e-9)), Le(wanted * (1 + slack) + 1e-6));
}

TEST(Pld, OfGaussiansIsTheClosedFormFromAbove) {
  for (const double z : {0.3, 1.0, 4.0, 30.0}) {
    for (const std::uint64_t count : {1U, 10U, 1000U}) {
      for (const double delta : {1e-3, 1e-6, 1e-10}) {
        const double exact = GaussianEpsilon(z, count, delta);
        if (exact > 500) continue;
        EXPECT_THAT(Spent(GaussianStep{z}, count, delta), AtLeast(exact, 0.003)) << z << " " << count << " " << delta;
      }
    }
  }
}

// Rows P09 to P18, P22 to P25, P30, P42 to P46 of the reference table, lower bound and best known value.
TEST(Pld, AgreesWithOtherLibraries) {
  struct Fact {
    Step step;
    std::uint64_t count;
    double delta;
    double lower;
    double upper;
  };
  const std::vector<Fact> facts = {
      {PoissonGaussianStep{2.0, 0.1}, 1, 1e-6, 0.4909198537, 0.4909198537},
      {PoissonGaussianStep{0.6, 0.001}, 1, 1e-5, 0.09847106923, 0.09847106923},
      {PoissonGaussianStep{1.0, 0.01}, 1000, 1e-5, 1.826104814, 1.828236946},
      {PoissonGaussianStep{1.1, 0.004266666667}, 14062, 1e-5, 2.379452998, 2.381600484},
      {PoissonGaussianStep{4.0, 0.5}, 100, 1e-6, 6.539268911, 6.541547339},
      {PoissonGaussianStep{0.4, 0.001}, 1000, 1e-5, 7.010784412, 7.013479119},
      {PoissonGaussianStep{20.0, 0.5}, 100000, 1e-6, 68.06995978, 68.08171044},
      {PoissonGaussianStep{1.3, 0.02}, 5000, 1e-10, 8.8826111, 8.888093643},
      {LaplaceStep{10.0}, 100, 1e-6, 4.692645577, 4.692667439},
      {LaplaceStep{0.5}, 10, 1e-5, 19.98986256, 19.98996232},
      {PoissonLaplaceStep{1.0, 0.01}, 1000, 1e-6, 1.279290603, 1.286423938},
      {PoissonLaplaceStep{2.0, 0.1}, 100, 1e-5, 1.891854876, 1.892438724},
      {DiscreteGaussianStep{10, 1}, 1, 1e-6, 0.3967849291, 0.3967900927},
      {DiscreteLaplaceStep{0.5, 1}, 10, 1e-6, 4.999785471, 4.999885471},
      {GroupPoissonGaussianStep{1.0, 0.01, 3}, 1000, 1e-6, 7.15, 7.189971861},
      {BlackBoxStep{0.1, 1e-8}, 100, 1e-5, 4.32, 4.329636714},
  };
  for (const Fact& fact : facts) {
    const double epsilon = Spent(fact.step, fact.count, fact.delta);
    EXPECT_GE(epsilon, fact.lower * (1 - 1e-9)) << fact.upper;
    EXPECT_LE(epsilon, fact.upper * 1.0015) << fact.upper;
  }
}

// In double precision an untilted transform drowns the tail that decides in rounding: other libraries report less than
// a certified lower bound here. The values are of an 80-bit evaluation.
TEST(Pld, DoesNotLoseTheTailOfManySteps) {
  EXPECT_THAT(Spent(PoissonGaussianStep{1.0, 0.01}, 100'000, 1e-10), AtLeast(34.6172, 0.001));
  EXPECT_THAT(Spent(PoissonGaussianStep{10, 0.5}, 10'000, 1e-9), AtLeast(41.94789, 0.001));
}

TEST(Pld, IsNeverAboveRenyi) {
  for (const double z : {0.5, 1.0, 3.0}) {
    for (const double q : {0.001, 0.05, 0.7}) {
      const PoissonGaussianStep step{z, q};
      EXPECT_LE(Spent(step, 300, 1e-6), Spent(step, 300, 1e-6, Accountant::kRdp) * 1.001) << z << " " << q;
    }
  }
}

TEST(Pld, GrowsWithStepsAndSamplingAndShrinksWithNoiseAndDelta) {
  SplitMix64 random(7);
  for (int i = 0; i < 60; ++i) {
    const double z = 0.5 + 3 * random.Uniform();
    const double q = 0.002 + 0.3 * random.Uniform();
    const auto count = 1 + random.Below(2000);
    const double delta = std::pow(10, -3 - 7 * random.Uniform());
    const double epsilon = Spent(PoissonGaussianStep{z, q}, count, delta);
    constexpr double kGridNoise = 1 + 2e-3;
    EXPECT_LE(epsilon, Spent(PoissonGaussianStep{z, q}, count + count / 10 + 1, delta) * kGridNoise);
    EXPECT_LE(epsilon, Spent(PoissonGaussianStep{z, q * 1.1}, count, delta) * kGridNoise);
    EXPECT_GE(epsilon * kGridNoise, Spent(PoissonGaussianStep{z * 1.1, q}, count, delta));
    EXPECT_GE(epsilon * kGridNoise, Spent(PoissonGaussianStep{z, q}, count, delta * 1.5));
  }
}

TEST(Pld, OfMixedStepsIsThatOfTheirConcatenation) {
  const PoissonGaussianStep step{1.0, 0.01};
  const double whole = Spent(step, 1000, 1e-6);
  const double parts = Ask({{step, 400}, {GaussianStep{20}, 0}, {step, 600}}, 1e-6, Accountant::kPld)->epsilon;
  EXPECT_NEAR(parts, whole, whole * 1e-6);
  EXPECT_GT(Ask({{step, 1000}, {LaplaceStep{20}, 10}}, 1e-6, Accountant::kPld)->epsilon, whole);
}

// ---- Asked again ----

Result<CompositionReport> AskAgain(LossMemory& memory, std::vector<RepeatedStep> steps, double delta,
                                   Accountant accountant = Accountant::kPld) {
  return ComposedEpsilon({.steps = steps, .delta = delta, .accountant = accountant}, memory);
}

// Steps from one to a hundred thousand: grids of other fineness, other truncations, and orders of asking.
TEST(LossMemory, ChangesNoAnswer) {
  LossMemory memory;
  for (const Step& step : {Step(PoissonGaussianStep{1.0, 0.01}), Step(LaplaceStep{10}), Step(GaussianStep{30}),
                           Step(TruncatedPoissonGaussianStep{1.0, 0.01, 10'000, 150})}) {
    for (const std::uint64_t count : {1'000U, 1'010U, 1U, 100'000U, 16U, 17U}) {
      const double cold = Spent(step, count, 1e-6);
      EXPECT_EQ(AskAgain(memory, {{step, count}}, 1e-6)->epsilon, cold) << count;
      EXPECT_EQ(AskAgain(memory, {{step, count}}, 1e-6)->epsilon, cold) << count;
    }
  }
}

TEST(LossMemory, TellsStepsAndRelationsApart) {
  LossMemory memory;
  const auto ask = [&](const std::vector<RepeatedStep>& steps, Neighbouring relation) {
    const CompositionQuery query{
        .steps = steps, .delta = 1e-6, .neighbouring = relation, .accountant = Accountant::kPld};
    const double again = ComposedEpsilon(query, memory)->epsilon;
    EXPECT_EQ(again, ComposedEpsilon(query)->epsilon);
    return again;
  };
  const PoissonGaussianStep step{1.0, 0.01};
  const double one = ask({{step, 500}}, Neighbouring::kAddOrRemoveOne);
  EXPECT_GT(ask({{step, 500}}, Neighbouring::kReplaceOne), one);
  EXPECT_LT(ask({{PoissonGaussianStep{1.0, 0.009}, 500}}, Neighbouring::kAddOrRemoveOne), one);
  EXPECT_GT(ask({{step, 500}, {LaplaceStep{20}, 10}}, Neighbouring::kAddOrRemoveOne), one);
  EXPECT_GT(ask({{step, 500}, {GaussianStep{20}, 10}}, Neighbouring::kAddOrRemoveOne), one);
}

// The certified lower bound of another library at 1000 steps holds for more of them too.
TEST(LossMemory, StaysAboveWhatIsCertified) {
  LossMemory memory;
  double last = 1.826104814 * (1 - 1e-9);
  for (std::uint64_t count = 1000; count <= 1100; count += 10) {
    const double epsilon = AskAgain(memory, {{PoissonGaussianStep{1.0, 0.01}, count}}, 1e-5)->epsilon;
    EXPECT_GT(epsilon, last) << count;
    last = epsilon;
  }
}

TEST(LossMemory, ForgetsRatherThanGrow) {
  LossMemory memory;
  for (int i = 0; i < 40; ++i) {
    const PoissonGaussianStep step{1 + 0.01 * i, 0.01};
    EXPECT_THAT(AskAgain(memory, {{step, 10}}, 1e-5), IsOk());
  }
  const PoissonGaussianStep first{1, 0.01};
  EXPECT_EQ(AskAgain(memory, {{first, 10}}, 1e-5)->epsilon, Spent(first, 10, 1e-5));
}

TEST(ComposedDelta, InvertsComposedEpsilon) {
  for (const Step& step : {Step(PoissonGaussianStep{1.0, 0.01}), Step(LaplaceStep{10}), Step(GaussianStep{5})}) {
    const std::vector<RepeatedStep> steps{{step, 200}};
    const double epsilon = ComposedEpsilon({.steps = steps, .delta = 1e-6})->epsilon;
    const auto delta = ComposedDelta({.steps = steps, .delta = 0}, epsilon);
    ASSERT_THAT(delta, IsOk());
    EXPECT_NEAR(*delta / 1e-6, 1, 0.03);
  }
  const std::vector<RepeatedStep> gaussian{{GaussianStep{1}, 1}};
  EXPECT_NEAR(*ComposedDelta({.steps = gaussian, .delta = 0}, 1), GaussianDelta(1, 1, 1), 1e-12);
}

// One sampled step has a closed form (Mironov, Talwar, Zhang 2019; Zhu, Dong, Wang 2022): the grid never claims less.
TEST(PutOnGrid, KeepsEveryHockeyStickDivergenceFromAbove) {
  const double z = 0.9;
  const double q = 0.05;
  for (const Direction direction : {Direction::kRemove, Direction::kAdd}) {
    const auto pair = PoissonPair(Noise::kGaussian, z, q, direction);
    const LossMass loss = PutOnGrid(*pair, 0x1p-9, 1e-15);
    double total = loss.infinite;
    for (const double mass : loss.mass) {
      EXPECT_GE(mass, 0);
      total += mass;
    }
    EXPECT_NEAR(total, 1, 1e-9);
    for (const double epsilon : {0.0, 0.001, 0.01, 0.04, 0.3, 1.0, 2.0}) {
      double on_grid = loss.infinite;
      for (std::size_t i = 0; i < loss.mass.size(); ++i) {
        if (loss.LossAt(i) > epsilon) on_grid -= loss.mass[i] * std::expm1(epsilon - loss.LossAt(i));
      }
      double exact = 0;
      if (direction == Direction::kRemove) {
        exact = q * GaussianDelta(z, 1, std::log1p(std::expm1(epsilon) / q));
      } else {
        const double c = 1 - std::exp(epsilon) * (1 - q);
        exact = c > 0 ? c * GaussianDelta(z, 1, std::max(0.0, epsilon + std::log(q) - std::log(c))) : 0;
      }
      EXPECT_GE(on_grid, exact * (1 - 1e-9)) << epsilon;
      EXPECT_LE(on_grid, exact * 1.02 + 1e-7) << epsilon;
    }
  }
}

// The transform, its tilt, its window and its error bound, against sums that are done one by one.
TEST(ComposedLosses, AgreeWithDirectConvolutionFromAbove) {
  const std::vector<OutputPair::Masses> outcomes = RandomisedResponseOutcomes(0.7, 3);
  const LossMass once = PutOnGrid(outcomes, 0x1p-6);
  std::vector<double> mass = once.mass;
  std::int64_t first = once.first;
  for (int i = 1; i < 20; ++i) {
    std::vector<double> next(mass.size() + once.mass.size() - 1, 0.0);
    for (std::size_t j = 0; j < mass.size(); ++j)
      for (std::size_t k = 0; k < once.mass.size(); ++k) next[j + k] += mass[j] * once.mass[k];
    mass = next;
    first += once.first;
  }
  const RepeatedLoss part{&once, 20};
  for (const double epsilon : {0.5, 3.0, 8.0, 12.0, 17.0}) {
    double direct = 0;
    for (std::size_t i = 0; i < mass.size(); ++i) {
      const double loss = static_cast<double>(first + static_cast<std::int64_t>(i)) * once.step;
      if (loss > epsilon) direct -= mass[i] * std::expm1(epsilon - loss);
    }
    const double found = ComposedDelta(std::span(&part, 1), epsilon).value_or(-1);
    EXPECT_GE(found, direct * (1 - 1e-12)) << epsilon;
    EXPECT_LE(found, direct * (1 + 1e-6) + 1e-60) << epsilon;
  }
}

// Long cells, far from loss 0, keep the divergences of single steps to which only they contribute.
TEST(PutOnGrid, WidensItsCellsWhereLossesAreLarge) {
  const auto pair = PoissonPair(Noise::kGaussian, 1.0, 0.01, Direction::kRemove);
  const LossMass loss = PutOnGrid(*pair, 0x1p-11, 1e-16);
  const auto used = std::ranges::count_if(loss.mass, [](double mass) { return mass > 0; });
  EXPECT_LT(used * 5, static_cast<std::int64_t>(loss.mass.size()));
  for (const double epsilon : {0.1, 0.7, 1.3, 2.0}) {
    double on_grid = loss.infinite;
    for (std::size_t i = 0; i < loss.mass.size(); ++i)
      if (loss.LossAt(i) > epsilon) on_grid -= loss.mass[i] * std::expm1(epsilon - loss.LossAt(i));
    const double exact = 0.01 * GaussianDelta(1.0, 1, std::log1p(std::expm1(epsilon) / 0.01));
    EXPECT_GE(on_grid, exact * (1 - 1e-9)) << epsilon;
    EXPECT_LE(on_grid, exact * (1 + 2e-3)) << epsilon;
  }
}

// Sums whose law does not narrow to a bell: lattices, whose spectrum returns, few steps, and every size of delta.
TEST(ComposedLosses, AreBoundedFromAboveForEveryDelta) {
  for (const auto& [noise, step] : {std::pair{0.7, 0x1p-6}, std::pair{0.1, 0x1p-3}, std::pair{0.99, 0x1p-11}}) {
    const std::vector<OutputPair::Masses> outcomes = RandomisedResponseOutcomes(noise, 3);
    const LossMass once = PutOnGrid(outcomes, step);
    for (const std::uint64_t count : {1U, 2U, 12U}) {
      std::vector<double> mass = once.mass;
      for (std::uint64_t i = 1; i < count; ++i) {
        std::vector<double> next(mass.size() + once.mass.size() - 1, 0.0);
        for (std::size_t j = 0; j < mass.size(); ++j)
          for (std::size_t k = 0; k < once.mass.size(); ++k) next[j + k] += mass[j] * once.mass[k];
        mass = next;
      }
      const auto delta_at = [&](double epsilon) {
        double delta = 0;
        for (std::size_t i = 0; i < mass.size(); ++i) {
          const double loss = static_cast<double>(once.first * std::int64_t(count) + std::int64_t(i)) * step;
          if (loss > epsilon) delta -= mass[i] * std::expm1(epsilon - loss);
        }
        return delta;
      };
      const RepeatedLoss part{&once, count};
      for (double delta = 0.5; delta > 1e-12; delta /= 7) {
        const double epsilon = ComposedEpsilon(std::span(&part, 1), delta).value_or(kInfinity);
        EXPECT_LE(delta_at(epsilon), delta * (1 + 1e-9)) << noise << " " << count << " " << delta;
        // Not more than the rounding allowed above the least epsilon that will do.
        if (epsilon > 1e-6)
          EXPECT_GE(delta_at(epsilon * (1 - 1e-5) - 1e-9), delta) << noise << " " << count << " " << delta;
      }
    }
  }
}

// Of Gaussian steps the composition is known exactly, here taken step by step and not joined as ComposedEpsilon does.
TEST(ComposedLosses, OfManyGaussiansAreTheClosedFormFromAbove) {
  for (const double z : {3.0, 20.0, 300.0}) {
    const auto pair = PoissonPair(Noise::kGaussian, z, 1, Direction::kRemove);
    const LossMass loss = PutOnGrid(*pair, GridStepFor(*pair) / 2, 1e-22);
    for (const std::uint64_t count : {2U, 10U, 300U, 10'000U, 1'000'000U}) {
      for (const double delta : {0.3, 1e-3, 1e-6, 1e-11}) {
        const double exact = GaussianEpsilon(z, count, delta);
        if (exact > 1000) continue;
        const RepeatedLoss part{&loss, count};
        EXPECT_THAT(ComposedEpsilon(std::span(&part, 1), delta), Optional(AtLeast(exact, 0.003)))
            << z << " " << count << " " << delta;
      }
    }
  }
}

TEST(Renyi, OfSampledGaussiansAgreesWithOtherLibraries) {
  EXPECT_NEAR(Spent(PoissonGaussianStep{1.0, 0.01}, 1000, 1e-5, Accountant::kRdp), 2.1014, 0.01);
  EXPECT_NEAR(Spent(PoissonGaussianStep{0.4, 0.001}, 1000, 1e-5, Accountant::kRdp), 8.8670, 0.07);
  EXPECT_NEAR(Spent(PoissonGaussianStep{0.6, 0.001}, 1, 1e-5, Accountant::kRdp), 1.8895, 0.02);
  EXPECT_NEAR(
      Ask({{FixedSizeGaussianStep{2.0, 0.01}, 1000}}, 1e-5, Accountant::kRdp, Neighbouring::kReplaceOne)->epsilon,
      1.445298, 1e-3);
}

TEST(ComposedEpsilon, AnswersDegenerateQuestions) {
  const auto tightest = [](const Step& step, std::uint64_t count, double delta) {
    return Spent(step, count, delta, Accountant::kTightest);
  };
  EXPECT_EQ(tightest(PoissonGaussianStep{0, 1}, 1, 1e-5), kInfinity);
  EXPECT_EQ(tightest(PoissonGaussianStep{0, 0}, 1, 1e-5), 0);
  EXPECT_EQ(tightest(PoissonGaussianStep{1, 0}, 1000, 1e-5), 0);
  EXPECT_EQ(tightest(PoissonGaussianStep{1, 0.01}, 0, 1e-5), 0);
  EXPECT_EQ(tightest(GaussianStep{1}, 1, 0), kInfinity);
  EXPECT_EQ(tightest(GaussianStep{1}, 1, 1), 0);
  EXPECT_THAT(tightest(LaplaceStep{2}, 6, 0), AtLeast(3, 1e-9));
  EXPECT_THAT(tightest(PoissonGaussianStep{5, 1}, 100, 1e-6), AtLeast(GaussianEpsilon(5, 100, 1e-6), 1e-9));
}

TEST(ComposedEpsilon, RefusesWhatItCannotAnswer) {
  EXPECT_THAT(Ask({{GaussianStep{-1}, 1}}, 1e-5, Accountant::kPld),
              IsErrorSaying(ErrorCode::kInvalidArgument, "noise"));
  EXPECT_THAT(Ask({{GaussianStep{std::nan("")}, 1}}, 1e-5, Accountant::kPld),
              IsErrorSaying(ErrorCode::kInvalidArgument, "noise"));
  EXPECT_THAT(Ask({{PoissonGaussianStep{1, 1.5}, 1}}, 1e-5, Accountant::kPld),
              IsErrorSaying(ErrorCode::kInvalidArgument, "sampling probability"));
  EXPECT_THAT(Ask({{GaussianStep{1}, 1}}, 2, Accountant::kPld), IsErrorSaying(ErrorCode::kInvalidArgument, "delta"));
  EXPECT_THAT(Ask({{GaussianStep{1}, 1}}, 1e-13, Accountant::kPld),
              IsErrorSaying(ErrorCode::kInvalidArgument, "below 1e-12"));
  EXPECT_THAT(Ask({{FixedSizeGaussianStep{1, 0.1}, 1}}, 1e-5, Accountant::kPld, Neighbouring::kReplaceOne),
              IsErrorSaying(ErrorCode::kInvalidArgument, "ask for rdp"));
  EXPECT_THAT(Ask({{FixedSizeGaussianStep{1, 0.1}, 1}}, 1e-5, Accountant::kRdp),
              IsErrorSaying(ErrorCode::kInvalidArgument, "replace-one only"));
  EXPECT_THAT(Ask({{GroupPoissonGaussianStep{1, 0.1, 2}, 1}}, 1e-5, Accountant::kRdp),
              IsErrorSaying(ErrorCode::kInvalidArgument, "ask for pld"));
  EXPECT_THAT(Ask({{PoissonGaussianStep{1, 0.1}, 1}}, 1e-5, Accountant::kExact),
              IsErrorSaying(ErrorCode::kInvalidArgument, "no closed form"));
  EXPECT_THAT(ParseAccountant("prv"), IsErrorSaying(ErrorCode::kInvalidArgument, "'pld'"));
  EXPECT_THAT(ParseNeighbouring("swap"), IsErrorSaying(ErrorCode::kInvalidArgument, "'replace-one'"));
}

TEST(ComposedEpsilon, CountsReplacingOneUnitAsTwiceTheDistance) {
  const auto replaced = [](const Step& step) {
    return Ask({{step, 3}}, 1e-5, Accountant::kTightest, Neighbouring::kReplaceOne)->epsilon;
  };
  EXPECT_EQ(replaced(GaussianStep{2}), Spent(GaussianStep{1}, 3, 1e-5, Accountant::kTightest));
  EXPECT_EQ(replaced(LaplaceStep{2}), Spent(LaplaceStep{1}, 3, 1e-5, Accountant::kTightest));
  EXPECT_EQ(replaced(DiscreteLaplaceStep{0.1, 3}), Spent(DiscreteLaplaceStep{0.1, 6}, 3, 1e-5, Accountant::kTightest));
  EXPECT_THAT(Ask({{PoissonGaussianStep{1.0, 0.01}, 1000}}, 1e-5, Accountant::kPld, Neighbouring::kReplaceOne)->epsilon,
              AtLeast(2.843445813, 0.0015));
}

// Sampling everybody is not sampling, under every relation.
TEST(ComposedEpsilon, AgreesAtTheEdgeOfSampling) {
  for (const auto relation :
       {Neighbouring::kAddOrRemoveOne, Neighbouring::kReplaceWithZero, Neighbouring::kReplaceOne}) {
    const double plain = Ask({{GaussianStep{1}, 3}}, 1e-5, Accountant::kTightest, relation)->epsilon;
    EXPECT_EQ(Ask({{PoissonGaussianStep{1, 1}, 3}}, 1e-5, Accountant::kTightest, relation)->epsilon, plain);
    EXPECT_NEAR(Ask({{PoissonGaussianStep{1, 0.999999}, 3}}, 1e-5, Accountant::kPld, relation)->epsilon / plain, 1,
                0.003);
    EXPECT_EQ(Ask({{PoissonLaplaceStep{1, 1}, 3}}, 1e-5, Accountant::kTightest, relation)->epsilon,
              Ask({{LaplaceStep{1}, 3}}, 1e-5, Accountant::kTightest, relation)->epsilon);
  }
}

// A shift so wide that the noise around 0 underflows where that around the shift lies: no finite epsilon holds.
TEST(ComposedEpsilon, LosesNoMassOfDistributionsThatHardlyOverlap) {
  for (const std::uint64_t shift : {36U, 40U, 43U, 44U, 50U, 60U}) {
    const double epsilon = Spent(DiscreteGaussianStep{1, shift}, 1, 1e-5, Accountant::kTightest);
    EXPECT_GT(epsilon, 0.9 * static_cast<double>(shift * shift) / 2) << shift;
  }
}

TEST(ComposedEpsilon, AnswersForNextToNoNoise) {
  EXPECT_EQ(Spent(GaussianStep{0.01}, 1, 1e-5), kInfinity);
  EXPECT_EQ(Spent(PoissonGaussianStep{0.01, 0.5}, 1, 1e-5), kInfinity);
  const auto joined = Ask({{GaussianStep{0.01}, 1}, {LaplaceStep{1}, 1}}, 1e-5, Accountant::kPld);
  ASSERT_THAT(joined, IsOk());
  EXPECT_EQ(joined->epsilon, kInfinity);
  EXPECT_THAT(Ask({{DistributedGaussianStep{0.1, 2, 1, 1}, 1}}, 1e-5, Accountant::kRdp),
              IsErrorSaying(ErrorCode::kInvalidArgument, "from 0.5 on"));
}

TEST(CalibratedNoise, MeetsItsTargetAndHardlyMore) {
  const auto noise = CalibratedNoise(PoissonGaussianStep{0, 0.01}, 1000, {.epsilon = 2, .delta = 1e-6});
  ASSERT_THAT(noise, IsOk());
  EXPECT_NEAR(*noise / 1.02903, 1, 0.002);
  EXPECT_LE(Spent(PoissonGaussianStep{*noise, 0.01}, 1000, 1e-6, Accountant::kTightest), 2);
  EXPECT_NEAR(*CalibratedNoise(GaussianStep{0}, 1, {.epsilon = 1, .delta = 1e-5}) / 3.7306316, 1, 0.0002);
  // What is shown of it is all of it.
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.6g", *noise);
  EXPECT_EQ(std::strtod(text.data(), nullptr), *noise);
  EXPECT_THAT(CalibratedNoise(BlackBoxStep{0.1, 0}, 1, {.epsilon = 1, .delta = 1e-5}),
              IsErrorSaying(ErrorCode::kInvalidArgument, "no noise multiplier to choose"));
  EXPECT_THAT(CalibratedNoise(GaussianStep{0}, 1, {.epsilon = 0, .delta = 1e-5}),
              IsErrorSaying(ErrorCode::kInvalidArgument, "above 0"));
}

TEST(AffordableSteps, AreThoseThatTheTargetPaysFor) {
  const Target target{.epsilon = 3, .delta = 1e-6};
  const auto steps = AffordableSteps(PoissonGaussianStep{1.0, 0.01}, target);
  ASSERT_THAT(steps, IsOk());
  EXPECT_LE(*steps, 2061U);
  EXPECT_GE(*steps, 2055U);
  EXPECT_EQ(*AffordableSteps(GaussianStep{10}, {.epsilon = 2, .delta = 1e-6}), 20U);
  EXPECT_EQ(*AffordableSteps(GaussianStep{0.1}, {.epsilon = 2, .delta = 1e-6}), 0U);
}

}  // namespace
}  // namespace tacit::dp
