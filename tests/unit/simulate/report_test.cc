#include "server/simulate/report.h"

#include <gmock/gmock.h>

#include "tests/support/matchers.h"
#include "tests/support/task_text.h"

namespace tacit::simulate {
namespace {

using ::tacit::testing::IsErrorSaying;
using ::tacit::testing::IsOk;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

constexpr std::string_view kTask = R"([rounds]
count = 2
[cohort]
size = 4
[privacy]
mechanism = "gaussian"
clip_norm = 1.0
noise_multiplier = 4.0
delta = 1e-5
epsilon_budget = 12
population = 100
)";

Plan TwoNoises() {
  return {.toml = testing::SmallTask("t", kTask),
          .file_name = "t.toml",
          .axes = {*ParseAxis("noise_multiplier=4,none")},
          .fleet = {.devices = 10},
          .repeat = 2};
}

RunOutcome Outcome(double accuracy, std::optional<double> epsilon) {
  return {.rounds = {{.round = 1, .counted = 4, .accuracy = 0.5, .loss = 1, .epsilon = epsilon},
                     {.round = 2, .counted = 4, .accuracy = accuracy, .loss = 0.5, .epsilon = epsilon}},
          .abandoned = 0,
          .ended = {}};
}

Experiment Made() {
  Experiment experiment{
      .plan = TwoNoises(), .task = "t<t", .examples = "ten rows", .notes = {"a note & more"}, .results = {}};
  auto variants = MakeVariants(experiment.plan);
  EXPECT_THAT(variants, IsOk());
  experiment.results.push_back({(*variants)[0], {{1, Outcome(0.8, 1.25)}, {2, Outcome(0.84, 1.25)}}});
  experiment.results.push_back({(*variants)[1], {{1, Outcome(0.9, {})}, {2, {.rounds = {}, .ended = "no, \"none\""}}}});
  return experiment;
}

TEST(Spread, IsMeanAndDeviationOfASingleRun) {
  EXPECT_EQ(SpreadOf(std::vector<double>{3}).deviation, std::nullopt);
  const Spread spread = SpreadOf(std::vector<double>{1, 2, 6});
  EXPECT_DOUBLE_EQ(spread.mean, 3);
  EXPECT_DOUBLE_EQ(Present(spread.deviation, "of three"), std::sqrt(7.0));
}

TEST(Variants, AreTasksOfTheirOwn) {
  const auto variants = MakeVariants(TwoNoises());
  ASSERT_THAT(variants, IsOk());
  ASSERT_THAT(*variants, SizeIs(2));
  EXPECT_EQ(Present((*variants)[1].spec, "it can run").privacy.mechanism, dp::Mechanism::kNone);
}

TEST(Variants, ThatCannotRunSayWhyAndStopNobodyElse) {
  Plan plan = TwoNoises();
  plan.axes = {*ParseAxis("cohort=4,20")};
  const auto variants = MakeVariants(plan);
  ASSERT_THAT(variants, IsOk());
  EXPECT_TRUE((*variants)[0].spec.has_value());
  EXPECT_FALSE((*variants)[1].spec.has_value());
  EXPECT_THAT((*variants)[1].refusal, HasSubstr("give --devices 20 or more"));
  plan.axes = {*ParseAxis("cohort=20,30")};
  EXPECT_THAT(MakeVariants(plan), IsErrorSaying(ErrorCode::kInvalidArgument, "give --devices 20 or more"));
  plan.toml += "x = 1\n";
  EXPECT_THAT(MakeVariants(plan), IsErrorSaying(ErrorCode::kInvalidArgument, "t.toml:"));
}

TEST(Table, HasWhatWasVariedAndWhatCameOfIt) {
  EXPECT_THAT(TableOf(Made()),
              ElementsAre(ElementsAre("NOISE_MULTIPLIER", "NOISE", "NOISE/SIGNAL", "EPSILON", "ROUNDS", "ACCURACY"),
                          ElementsAre("4", "4", "1", "1.25", "2 of 2", "82.0 \u00b1 2.8 %"),
                          ElementsAre("none", "none", "-", "no promise", "0 of 2", "90.0 %")));
}

TEST(Csv, HasARowForEachRoundAndForWhatWentWrong) {
  EXPECT_EQ(CsvOf(Made()),
            "set_noise_multiplier,noise,seed,round,counted,accuracy,loss,epsilon,ended\r\n"
            "4,4,1,1,4,0.500000,1.000000,1.25,\r\n"
            "4,4,1,2,4,0.800000,0.500000,1.25,\r\n"
            "4,4,2,1,4,0.500000,1.000000,1.25,\r\n"
            "4,4,2,2,4,0.840000,0.500000,1.25,\r\n"
            "none,none,1,1,4,0.500000,1.000000,,\r\n"
            "none,none,1,2,4,0.900000,0.500000,,\r\n"
            "none,none,2,,,,,,\"no, \"\"none\"\"\"\r\n");
}

TEST(Html, SaysWhatItIsAndNeedsNothingElse) {
  const std::string html = HtmlOf(Made());
  EXPECT_THAT(html, HasSubstr("Simulation of t&lt;t"));
  EXPECT_THAT(html, HasSubstr(std::string(kWarning)));
  EXPECT_THAT(html, HasSubstr("a note &amp; more"));
  EXPECT_THAT(html, HasSubstr("seed 2: 0 rounds published, then no, &quot;none&quot;"));
  EXPECT_THAT(html, HasSubstr("default-src 'none'"));
  for (const char* outside : {"<script", "src=\"", "href=\"", "url(", "@import"})
    EXPECT_THAT(html, Not(HasSubstr(outside)));
}

}  // namespace
}  // namespace tacit::simulate
