#include "server/simulate/run.h"

#include <string>
#include <string_view>

#include <gmock/gmock.h>

#include "dp/accounting.h"
#include "tests/support/matchers.h"

namespace tacit::simulate {
namespace {

using ::tacit::testing::IsErrorSaying;
using ::tacit::testing::IsOk;
using ::testing::AllOf;
using ::testing::Each;
using ::testing::Field;
using ::testing::Ge;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Le;
using ::testing::SizeIs;

constexpr std::string_view kNone = "[privacy]\nmechanism = \"none\"\nclip_norm = 1.0\n";

std::string Gaussian(const std::string& rest) {
  return "[privacy]\nmechanism = \"gaussian\"\nclip_norm = 1.0\ndelta = 1e-5\npopulation = 60\n" + rest;
}

std::string Toml(std::string_view cohort, std::string_view privacy, std::string_view training = {}) {
  return "name = \"t\"\n[model]\nkind = \"softmax\"\ninputs = 60\nclasses = 6\n[training]\nlearning_rate = 0.5\n"
         "epochs = 3\n" +
         std::string(training) + "[rounds]\ncount = 4\n[cohort]\n" + std::string(cohort) + "deadline = \"10s\"\n" +
         std::string(privacy);
}

class Run : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    examples_ =
        new FleetExamples(*LoadExamples({.data = {}, .held_out = {}, .partition = {}, .devices = 60, .threads = 2}));
  }
  static void TearDownTestSuite() {
    delete examples_;
    examples_ = nullptr;
  }
  static Result<RunOutcome> Of(const std::string& toml, Fleet fleet = {.devices = 60}, std::uint64_t seed = 1,
                               std::size_t threads = 2) {
    const auto spec = task::ParseTask(toml, "t.toml");
    EXPECT_THAT(spec, IsOk());
    return RunTask(*spec, toml, {.examples = *examples_, .fleet = fleet, .threads = threads, .seed = seed});
  }

  static FleetExamples* examples_;
};
FleetExamples* Run::examples_ = nullptr;

TEST_F(Run, PublishesAllRoundsOfATaskAndLearns) {
  const auto outcome = Of(Toml("size = 30\n", kNone));
  ASSERT_THAT(outcome, IsOk());
  EXPECT_EQ(outcome->ended, "");
  ASSERT_THAT(outcome->rounds, SizeIs(4));
  EXPECT_THAT(outcome->rounds, Each(Field(&RoundPoint::counted, 30)));
  EXPECT_EQ(outcome->rounds.back().epsilon, std::nullopt);
  EXPECT_GT(outcome->rounds.back().accuracy, 0.7);
  EXPECT_LT(outcome->rounds.back().loss, outcome->rounds.front().loss);
}

TEST_F(Run, GivesTheSameBitsOnOneTwoAndThreeThreadsAndOthersForAnotherSeed) {
  const std::string toml =
      Toml("size = 20\nover_selection = 1.5\n", Gaussian("noise_multiplier = 1.0\nepsilon_budget = 50\n"));
  const auto one = Of(toml, {.devices = 60, .dropout = 0.1}, 7, 1);
  ASSERT_THAT(one, IsOk());
  for (const std::size_t threads : {2U, 3U}) {
    const auto more = Of(toml, {.devices = 60, .dropout = 0.1}, 7, threads);
    ASSERT_THAT(more, IsOk());
    EXPECT_EQ(one->model, more->model);
    EXPECT_EQ(one->rounds.back().loss, more->rounds.back().loss);
  }
  EXPECT_NE(one->model, Of(toml, {.devices = 60, .dropout = 0.1}, 8, 1)->model);
}

TEST_F(Run, SpendsWhatTheAccountantOfTheServerSays) {
  const auto outcome = Of(Toml("size = 60\n", Gaussian("noise_multiplier = 8.0\nepsilon_budget = 50\n")));
  ASSERT_THAT(outcome, IsOk());
  for (const RoundPoint& point : outcome->rounds) {
    const auto cost = dp::Account({.mechanism = dp::Mechanism::kGaussian,
                                   .noise_multiplier = *dp::NoiseMultiplier::Create(8),
                                   .compositions = point.round,
                                   .delta = *dp::Delta::Create(1e-5)});
    EXPECT_DOUBLE_EQ(point.epsilon.value_or(0), cost.epsilon);
  }
}

TEST_F(Run, AddsTheNoiseThatItSpendsFor) {
  const auto quiet = Of(Toml("size = 60\n", Gaussian("noise_multiplier = 1.0\nepsilon_budget = 50\n")));
  const auto loud = Of(Toml("size = 60\n", Gaussian("noise_multiplier = 200.0\nepsilon_budget = 50\n")));
  ASSERT_THAT(quiet, IsOk());
  ASSERT_THAT(loud, IsOk());
  EXPECT_GT(quiet->rounds.back().accuracy, 0.7);
  EXPECT_LT(loud->rounds.back().accuracy, 0.5) << "noise of three times the clip norm on every coordinate";
}

TEST_F(Run, EndsWithTheBudgetAndSaysSo) {
  const auto outcome = Of(Toml("size = 60\n", Gaussian("noise_multiplier = 4.0\nepsilon_budget = 1.5\n")));
  ASSERT_THAT(outcome, IsOk());
  EXPECT_THAT(outcome->rounds.size(), AllOf(Ge(1U), Le(3U)));
  EXPECT_THAT(outcome->ended, HasSubstr("budget"));
}

TEST_F(Run, DrawsCohortsWithCoins) {
  const auto outcome = Of(Toml("size = 30\nmin = 1\nover_selection = 2.0\n",
                               Gaussian("noise_multiplier = 1.0\nepsilon_budget = 50\nsampling = \"checkin_coin\"\n"
                                        "sampling_probability = 0.5\n")));
  ASSERT_THAT(outcome, IsOk());
  ASSERT_THAT(outcome->rounds, SizeIs(4));
  std::uint64_t counted = 0;
  for (const RoundPoint& point : outcome->rounds) counted += point.counted;
  // Of 240 coins; outside by chance once in 10^6, but the seed is what it is.
  EXPECT_THAT(counted, AllOf(Ge(82U), Le(158U)));
}

TEST_F(Run, CountsWhoAnswersWhereDevicesDropOut) {
  const auto outcome = Of(Toml("size = 40\nmin = 20\n", kNone), {.devices = 60, .dropout = 0.3});
  ASSERT_THAT(outcome, IsOk());
  ASSERT_THAT(outcome->rounds, SizeIs(4));
  EXPECT_THAT(outcome->rounds, Each(Field(&RoundPoint::counted, AllOf(Ge(20U), Le(38U)))));
}

TEST_F(Run, GivesUpOnATaskThatPublishesNothing) {
  const auto outcome = Of(Toml("size = 20\n", kNone, "proximal_mu = 1000000.0\nbatch_size = 4\n"));
  ASSERT_THAT(outcome, IsOk());
  EXPECT_THAT(outcome->rounds, IsEmpty());
  EXPECT_EQ(outcome->abandoned, 10U);
  EXPECT_THAT(outcome->ended, AllOf(HasSubstr("10 rounds in a row were abandoned"), HasSubstr("training diverged")));
}

TEST_F(Run, NoisesUpdatesOnDevicesWhereTheTaskSaysSo) {
  const auto outcome =
      Of(Toml("size = 60\n", std::string(kNone) + "population = 60\n[privacy.local]\nmechanism = \"gaussian\"\n"
                                                  "noise_multiplier = 1.0\ndelta = 1e-5\n"));
  ASSERT_THAT(outcome, IsOk());
  ASSERT_THAT(outcome->rounds, SizeIs(4));
  EXPECT_GT(outcome->rounds.back().epsilon.value_or(0), outcome->rounds.front().epsilon.value_or(0));
}

TEST_F(Run, RefusesATaskThatDoesNotFitTheExamples) {
  std::string toml = Toml("size = 20\n", kNone);
  toml.replace(toml.find("inputs = 60"), 11, "inputs = 61");
  EXPECT_THAT(Of(toml), IsErrorSaying(ErrorCode::kInvalidArgument, "the model takes 61 features, the data have 60"));
}

TEST_F(Run, StopsWhenItIsAskedTo) {
  const std::string toml = Toml("size = 20\n", kNone);
  const auto spec = task::ParseTask(toml, "t.toml");
  int rounds = 0;
  const auto outcome = RunTask(*spec, toml,
                               {.examples = *examples_,
                                .fleet = {.devices = 60},
                                .on_round = [&](const RoundPoint&) { ++rounds; },
                                .stopped = [&] { return rounds == 2; }});
  EXPECT_THAT(outcome, IsErrorSaying(ErrorCode::kUnavailable, "stopped"));
}

}  // namespace
}  // namespace tacit::simulate
