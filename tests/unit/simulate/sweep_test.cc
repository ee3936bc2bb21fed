#include "server/simulate/sweep.h"

#include <gmock/gmock.h>

#include "server/task/task_spec.h"
#include "tests/support/matchers.h"
#include "tests/support/task_text.h"

namespace tacit::simulate {
namespace {

using ::tacit::testing::IsErrorSaying;
using ::tacit::testing::IsOk;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Optional;
using ::testing::SizeIs;

constexpr std::string_view kPrivate = R"([rounds]
count = 20
max_participations = 12
[cohort]
size = 40
min = 30
over_selection = 2.0
deadline = "2h"
[privacy]
mechanism = "gaussian"
clip_norm = 1.0
noise_multiplier = 4.0
delta = 1e-5
epsilon_budget = 12
population = 400
)";

task::TaskSpec With(std::string_view rest, const std::vector<Setting>& settings) {
  const std::string toml = testing::SmallTask("t", rest);
  const auto text = WithSettings({.toml = toml, .name = "t.toml"}, settings);
  EXPECT_THAT(text, IsOk());
  auto spec = task::ParseTask(*text, "t.toml");
  EXPECT_THAT(spec, IsOk());
  return *std::move(spec);
}

TEST(Sweep, ReadsAKnobAndItsValues) {
  const auto axis = ParseAxis("noise_multiplier=0.5,1,2e0,none");
  ASSERT_THAT(axis, IsOk());
  EXPECT_EQ(axis->knob, Knob::kNoiseMultiplier);
  EXPECT_THAT(axis->values, ElementsAre(Optional(0.5), Optional(1.0), Optional(2.0), std::nullopt));
  EXPECT_EQ(TextOf(axis->values[0]), "0.5");
  EXPECT_EQ(TextOf(axis->values[3]), "none");
}

TEST(Sweep, SaysWhatIsWrongWithOne) {
  const auto says = [](std::string_view text, const std::string& part) {
    EXPECT_THAT(ParseAxis(text), IsErrorSaying(ErrorCode::kInvalidArgument, part)) << text;
  };
  says("noise_multiplyer=1", "did you mean 'noise_multiplier'?");
  says("shape=1", "there are noise_multiplier, epsilon, clip_norm, cohort, rounds, learning_rate, epochs");
  says("clip_norm", "give values, as clip_norm=1,2,4");
  says("clip_norm=", "give values");
  says("clip_norm=1,", "'' is no number above 0");
  says("clip_norm=none", "'none' is no number above 0");
  says("clip_norm=0", "'0' is no number above 0");
  says("clip_norm=-1", "'-1' is no number above 0");
  says("clip_norm=inf", "'inf' is no number above 0");
  says("clip_norm=nan", "'nan' is no number above 0");
  says("epsilon=1x", "'1x' is no number above 0, nor 'none'");
  says("cohort=1.5", "'1.5' is no whole number above 0");
  says("cohort=1e300", "no whole number above 0");
  says("epochs=2,1,2", "2 stands there twice");
}

TEST(Sweep, MakesAllCombinationsTheLastAxisChangingFirst) {
  const std::vector<Axis> axes = {*ParseAxis("clip_norm=1,2"), *ParseAxis("cohort=10,20,30")};
  const auto all = Combine(axes);
  ASSERT_THAT(all, IsOk());
  ASSERT_THAT(*all, SizeIs(6));
  EXPECT_EQ(TextOf((*all)[0]), "clip_norm = 1, cohort = 10");
  EXPECT_EQ(TextOf((*all)[1]), "clip_norm = 1, cohort = 20");
  EXPECT_EQ(TextOf((*all)[5]), "clip_norm = 2, cohort = 30");
  const auto none = Combine({});
  ASSERT_THAT(none, IsOk());
  ASSERT_THAT(*none, SizeIs(1));
  EXPECT_EQ(TextOf(none->front()), "the task as it is");
}

TEST(Sweep, RefusesAxesThatDoNotGoTogether) {
  const auto says = [](std::initializer_list<const char*> texts, const std::string& part) {
    std::vector<Axis> axes;
    for (const char* text : texts) axes.push_back(*ParseAxis(text));
    EXPECT_THAT(Combine(axes), IsErrorSaying(ErrorCode::kInvalidArgument, part));
  };
  says({"cohort=1", "cohort=2"}, "given twice");
  says({"epsilon=1", "noise_multiplier=2"}, "exclude each other");
  std::string many = "1";
  for (int i = 2; i <= 40; ++i) many += "," + std::to_string(i);
  says({("cohort=" + many).c_str(), ("rounds=" + many).c_str()}, "more than 1000 combinations");
}

TEST(Sweep, PutsANoiseMultiplierIntoATask) {
  const auto spec = With(kPrivate, {{Knob::kNoiseMultiplier, 8.0}, {Knob::kClipNorm, 0.25}});
  EXPECT_EQ(spec.privacy.promise().noise_multiplier.value(), 8);
  EXPECT_EQ(spec.privacy.clip_norm.value(), 0.25);
  EXPECT_EQ(spec.cohort.deadline, Millis(10'000)) << "nobody waits for time that is simulated";
}

TEST(Sweep, FindsTheNoiseForAnEpsilonAndRaisesTheBudgetForIt) {
  const auto little = With(kPrivate, {{Knob::kEpsilon, 1.0}});
  const auto much = With(kPrivate, {{Knob::kEpsilon, 20.0}});
  EXPECT_GT(little.privacy.promise().noise_multiplier.value(), much.privacy.promise().noise_multiplier.value());
  EXPECT_EQ(little.privacy.promise().budget.value(), 12);
  EXPECT_EQ(much.privacy.promise().budget.value(), 20);
}

TEST(Sweep, TakesAllNoiseAwayForNone) {
  const auto spec = With(kPrivate, {{Knob::kEpsilon, std::nullopt}, {Knob::kCohort, 50.0}});
  EXPECT_EQ(spec.privacy.mechanism, dp::Mechanism::kNone);
  EXPECT_EQ(spec.privacy.clip_norm.value(), 1) << "updates are clipped all the same";
  EXPECT_EQ(spec.cohort.size, 50);
}

TEST(Sweep, ScalesWhatGoesWithTheCohort) {
  const auto spec = With(kPrivate, {{Knob::kCohort, 20.0}});
  EXPECT_EQ(spec.cohort.size, 20);
  EXPECT_EQ(spec.cohort.min, 15);
  std::string coin(kPrivate);
  coin.erase(coin.find("max_participations"), 24);
  coin += "sampling = \"checkin_coin\"\nsampling_probability = 0.1\n";
  coin.replace(coin.find("over_selection = 2.0"), 20, "over_selection = 3.0");
  const auto drawn = With(coin, {{Knob::kCohort, 80.0}});
  EXPECT_DOUBLE_EQ(Present(drawn.privacy.coin, "it has one").probability.value(), 0.2);
}

TEST(Sweep, KeepsLimitsWithinFewerRounds) {
  const auto spec = With(kPrivate, {{Knob::kRounds, 5.0}});
  EXPECT_EQ(spec.rounds, 5);
  EXPECT_EQ(spec.max_participations, 5);
  EXPECT_EQ(With(kPrivate, {{Knob::kRounds, 50.0}}).max_participations, 12);
}

TEST(Sweep, SetsTheTraining) {
  const auto spec = With(kPrivate, {{Knob::kLearningRate, 0.5}, {Knob::kEpochs, 3.0}});
  EXPECT_EQ(spec.training.learning_rate, 0.5);
  EXPECT_EQ(spec.training.epochs, 3);
}

}  // namespace
}  // namespace tacit::simulate
