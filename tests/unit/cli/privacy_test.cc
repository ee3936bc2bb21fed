#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>

#include "cli/arguments.h"
#include "cli/commands.h"

// From the command line to the answer: these commands ask nobody.
namespace tacit::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

template <typename Arguments>
Outcome<Report> Answer(std::initializer_list<const char*> words) {
  std::vector<const char*> argv = {"tacit", "privacy"};
  argv.insert(argv.end(), words);
  auto parsed = ParseArguments(static_cast<int>(argv.size()), argv.data());
  if (!parsed) return std::unexpected(parsed.error());
  return Run(std::get<Arguments>(std::get<Invocation>(*parsed).command));
}
auto Epsilon(std::initializer_list<const char*> words) {
  return Answer<PrivacyEpsilonArguments>(words);
}
auto Calibrate(std::initializer_list<const char*> words) {
  return Answer<PrivacyCalibrateArguments>(words);
}

TEST(PrivacyEpsilon, IsThatOfTheReferenceWithItsAccountantAndRelation) {
  const auto answer = Epsilon({"epsilon", "--noise-multiplier", "1.0", "--sampling-probability", "0.01", "--steps",
                               "1000", "--delta", "1e-5", "--accountant", "pld"});
  ASSERT_TRUE(answer) << answer.error().error.message;
  EXPECT_NEAR(answer->data.at("epsilon").get<double>(), 1.8285, 0.001);
  EXPECT_EQ(answer->data.at("accountant"), "pld");
  EXPECT_EQ(answer->data.at("neighbouring"), "add-or-remove-one");
  EXPECT_THAT(answer->text, HasSubstr("epsilon 1.8"));
}

TEST(PrivacyEpsilon, IsNullWhereThereIsNoGuarantee) {
  const auto answer = Epsilon({"epsilon", "--noise-multiplier", "1e-200", "--steps", "1", "--delta", "1e-5"});
  ASSERT_TRUE(answer);
  EXPECT_TRUE(answer->data.at("epsilon").is_null());
  EXPECT_THAT(answer->text, HasSubstr("no guarantee"));
}

TEST(PrivacyEpsilon, RefusesWhatMakesNoSense) {
  for (const auto& words :
       {std::initializer_list<const char*>{"epsilon", "--noise-multiplier", "-1", "--steps", "1", "--delta", "1e-5"},
        {"epsilon", "--noise-multiplier", "1", "--steps", "1", "--delta", "2"},
        {"epsilon", "--noise-multiplier", "1", "--steps", "1", "--delta", "1e-13", "--accountant", "pld",
         "--sampling-probability", "0.1"},
        {"epsilon", "--noise-multiplier", "1", "--steps", "1", "--delta", "1e-5", "--accountant", "prv"},
        {"epsilon", "--noise-multiplier", "1", "--delta", "1e-5"}}) {
    const auto answer = Epsilon(words);
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().exit, ExitCode::kUsage);
    EXPECT_FALSE(answer.error().hint.empty());
  }
}

TEST(PrivacyEpsilon, NamesTheBoundThatASamplingProbabilityReallyHas) {
  const auto answer = Epsilon(
      {"epsilon", "--noise-multiplier", "1", "--steps", "1", "--delta", "1e-5", "--sampling-probability", "1.1"});
  ASSERT_FALSE(answer);
  EXPECT_THAT(answer.error().error.message, HasSubstr("is 1.1 and must be above 0 and at most 1"));
}

TEST(Privacy, HintsAtTheHelpOfTheSubcommand) {
  const auto refused = Calibrate({"calibrate", "--target-epsilon", "1e-9", "--steps", "1000000", "--delta", "1e-13",
                                  "--accountant", "pld", "--sampling-probability", "0.1"});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().hint, "tacit privacy calibrate --help");
  const auto far = Epsilon({"epsilon", "--noise-multiplier", "1", "--steps", "1", "--delta", "1e-13", "--accountant",
                            "pld", "--sampling-probability", "0.1"});
  ASSERT_FALSE(far);
  EXPECT_EQ(far.error().hint, "tacit privacy epsilon --help");
}

TEST(PrivacyCalibrate, FindsTheNoiseAndSaysWhatItDoes) {
  const auto answer =
      Calibrate({"calibrate", "--target-epsilon", "8", "--steps", "20", "--delta", "1e-5", "--cohort", "21"});
  ASSERT_TRUE(answer) << answer.error().error.message;
  EXPECT_NEAR(answer->data.at("noise_multiplier").get<double>(), 2.6843, 0.001);
  EXPECT_LE(answer->data.at("epsilon").get<double>(), 8);
  EXPECT_EQ(answer->data.at("utility").at("cohort_needed"), 895);
  // What is copied from the answer costs what the answer says.
  const std::string noise = answer->data.at("noise_multiplier").dump();
  EXPECT_THAT(answer->text, HasSubstr("noise multiplier " + noise + ": "));
  const auto again = Epsilon({"epsilon", "--noise-multiplier", noise.c_str(), "--steps", "20", "--delta", "1e-5"});
  EXPECT_EQ(again->data.at("epsilon"), answer->data.at("epsilon"));
}

TEST(PrivacyEpsilon, IsPureForLaplaceAtDeltaZero) {
  const auto answer =
      Epsilon({"epsilon", "--mechanism", "laplace", "--noise-multiplier", "4", "--steps", "2", "--delta", "0"});
  ASSERT_TRUE(answer) << answer.error().error.message;
  EXPECT_NEAR(answer->data.at("epsilon").get<double>(), 0.5, 1e-9);
}

TEST(PrivacyEpsilon, TakesAProbabilityOfOneForNoSampling) {
  const auto answer = Epsilon({"epsilon", "--noise-multiplier", "4", "--steps", "2", "--delta", "1e-5"});
  const auto said =
      Epsilon({"epsilon", "--noise-multiplier", "4", "--steps", "2", "--delta", "1e-5", "--sampling-probability", "1"});
  ASSERT_TRUE(said) << said.error().error.message;
  EXPECT_EQ(said->data, answer->data);
}

// An option, a value out of its range, and what the complaint says of that range.
struct OutOfRange {
  const char* command;
  const char* option;
  const char* value;
  const char* range;
};

TEST(PlanningCommands, RefuseNumbersOutOfRangeWithOptionValueAndRange) {
  const std::string steps = "from 1 to 100000000";
  const OutOfRange cases[] = {
      {"epsilon", "--steps", "-3", steps.c_str()},
      {"epsilon", "--steps", "0", steps.c_str()},
      {"epsilon", "--steps", "99999999999999999999", steps.c_str()},
      {"forecast", "--steps", "-40", steps.c_str()},
      {"calibrate", "--cohort", "-5", "from 1 to 1048576"},
      {"calibrate", "--cohort", "0", "from 1 to 1048576"},
      {"calibrate", "--target-epsilon", "0", "a finite number above 0"},
      {"forecast", "--budget", "0", "a finite number above 0"},
      {"forecast", "--budget", "-1", "a finite number above 0"},
      {"epsilon", "--delta", "1", "above 0 and below 1"},
      {"epsilon", "--delta", "0", "above 0 and below 1"},
      {"audit", "--delta", "-0.1", "above 0 and below 1"},
      {"epsilon", "--noise-multiplier", "0", "above 0 and at most 131072"},
      {"epsilon", "--noise-multiplier", "nan", "above 0 and at most 131072"},
      {"epsilon", "--sampling-probability", "0", "above 0 and at most 1"},
      {"epsilon", "--sampling-probability", "1.5", "above 0 and at most 1"},
      {"audit", "--trials", "-1", "from 100 to 10000000"},
      {"audit", "--canaries", "99", "from 100 to 20000"},
      {"audit", "--confidence", "0", "above 0 and below 1"},
      {"audit", "--confidence", "1", "above 0 and below 1"},
      {"audit", "--clip-norm", "0", "from 2^-64 to 2^64"},
      {"audit", "--grid-radius", "-1024", "from 1024 to 1073741824"},
  };
  for (const OutOfRange& bad : cases) {
    // CLI11 takes the last of several values only where it is told to: each command line names an option once.
    std::vector<std::pair<std::string, std::string>> options = {{"--delta", "1e-5"}};
    if (bad.command != std::string("calibrate")) options.emplace_back("--noise-multiplier", "1");
    if (bad.command != std::string("audit")) options.emplace_back("--steps", "10");
    if (bad.command == std::string("calibrate")) options.emplace_back("--target-epsilon", "2");
    std::erase_if(options, [&](const auto& option) { return option.first == bad.option; });
    options.emplace_back(bad.option, bad.value);
    std::vector<const char*> argv = {"tacit", "privacy", bad.command};
    for (const auto& [name, value] : options) argv.insert(argv.end(), {name.c_str(), value.c_str()});
    const auto parsed = ParseArguments(static_cast<int>(argv.size()), argv.data());
    ASSERT_FALSE(parsed) << bad.command << ' ' << bad.option << ' ' << bad.value;
    EXPECT_EQ(parsed.error().exit, ExitCode::kUsage);
    EXPECT_THAT(parsed.error().error.message, AllOf(HasSubstr(bad.option), HasSubstr(bad.value), HasSubstr(bad.range)));
  }
}

TEST(PrivacyCalibrate, FindsTheSteps) {
  const auto answer = Calibrate({"calibrate", "--target-epsilon", "2", "--noise-multiplier", "10", "--delta", "1e-6"});
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->data.at("steps"), 20);
  EXPECT_FALSE(Calibrate({"calibrate", "--target-epsilon", "2", "--delta", "1e-6"})) << "neither was given";
}

TEST(PrivacyForecast, GrowsWithTheStepsAndSaysWhatABudgetPaysFor) {
  const auto answer = Answer<PrivacyForecastArguments>(
      {"forecast", "--noise-multiplier", "10", "--steps", "100", "--delta", "1e-6", "--budget", "2"});
  ASSERT_TRUE(answer) << answer.error().error.message;
  const Json& items = answer->data.at("items");
  ASSERT_GE(items.size(), 7U);
  for (std::size_t i = 1; i < items.size(); ++i) {
    EXPECT_GT(items[i].at("epsilon").get<double>(), items[i - 1].at("epsilon").get<double>());
  }
  EXPECT_EQ(items.back().at("steps"), 100);
  EXPECT_EQ(answer->data.at("steps_within_budget"), 20);
}

auto Audit(std::initializer_list<const char*> words) {
  return Answer<PrivacyAuditArguments>(words);
}

TEST(PrivacyAudit, PutsWhatItFoundBesideWhatIsProved) {
  const auto answer = Audit({"audit", "--noise-multiplier", "1", "--delta", "1e-2", "--trials", "4000", "--canaries",
                             "200", "--confidence", "0.999999"});
  ASSERT_TRUE(answer) << answer.error().error.message;
  EXPECT_EQ(answer->exit, ExitCode::kOk);
  const Json& data = answer->data;
  EXPECT_EQ(data.at("verdict"), "consistent");
  EXPECT_NEAR(data.at("epsilon_upper").get<double>(), 2.3178, 0.001);
  EXPECT_EQ(data.at("neighbours").at("trials"), 4000);
  EXPECT_EQ(data.at("one_run").at("canaries"), 200);
  EXPECT_LE(data.at("neighbours").at("epsilon_lower").get<double>(), 2.3178);
  EXPECT_THAT(answer->text, HasSubstr("proved: epsilon is at most 2.318 at delta 0.01"));
  EXPECT_THAT(answer->text, HasSubstr("can refute a promise and never prove it"));
}

TEST(PrivacyAudit, SaysWhenItWasTooSmallToRefuteAnything) {
  const auto answer =
      Audit({"audit", "--noise-multiplier", "0.2", "--delta", "1e-6", "--trials", "1000", "--canaries", "100"});
  ASSERT_TRUE(answer) << answer.error().error.message;
  EXPECT_THAT(answer->text, HasSubstr("neither audit could have refuted this promise"));
}

TEST(PrivacyAudit, EndsWithACodeOfItsOwnWhenThePromiseIsBroken) {
  const dp::AuditReport kept{.epsilon_lower = 1, .epsilon_upper = 2, .epsilon_reach = 5};
  const dp::AuditReport broken{
      .epsilon_lower = 3.4567, .epsilon_upper = 2, .epsilon_reach = 5, .verdict = dp::AuditVerdict::kViolated};
  for (const auto& [neighbours, one_run] : {std::pair{broken, kept}, std::pair{kept, broken}}) {
    const Report report = DescribeAudit({}, neighbours, one_run);
    EXPECT_EQ(report.exit, ExitCode::kViolated);
    EXPECT_EQ(report.data.at("verdict"), "violated");
    EXPECT_THAT(report.text, HasSubstr("epsilon is at least 3.456"));
    EXPECT_THAT(report.text, HasSubstr("violated: "));
  }
  EXPECT_EQ(DescribeAudit({}, kept, kept).exit, ExitCode::kOk);
}

TEST(PrivacyAudit, NamesWhatKeepsItFromAuditing) {
  EXPECT_THAT(Audit({"audit", "--noise-multiplier", "1", "--delta", "0"}).error().error.message,
              HasSubstr("--delta: "));
  EXPECT_THAT(Audit({"audit", "--noise-multiplier", "0.00001", "--delta", "1e-5"}).error().error.message,
              HasSubstr("the accountant of tasks gives so little noise no finite epsilon"));
}

TEST(PrivacyAudit, RefusesWhatMakesNoSense) {
  for (const auto& words :
       {std::initializer_list<const char*>{"audit", "--noise-multiplier", "0", "--delta", "1e-5"},
        {"audit", "--noise-multiplier", "1", "--delta", "0"},
        {"audit", "--noise-multiplier", "1", "--delta", "1e-5", "--trials", "5"},
        {"audit", "--noise-multiplier", "1", "--delta", "1e-5", "--canaries", "5", "--trials", "100"},
        {"audit", "--noise-multiplier", "1", "--delta", "1e-5", "--confidence", "1"},
        {"audit", "--noise-multiplier", "1", "--delta", "1e-5", "--grid-radius", "1000"},
        {"audit", "--noise-multiplier", "1", "--delta", "1e-5", "--mechanism", "none"},
        {"audit", "--delta", "1e-5"}}) {
    const auto answer = Audit(words);
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().exit, ExitCode::kUsage);
    EXPECT_FALSE(answer.error().hint.empty());
  }
}

}  // namespace
}  // namespace tacit::cli
