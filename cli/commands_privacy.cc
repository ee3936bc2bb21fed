#include <cmath>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/fields.h"
#include "cli/text.h"
#include "common/base/text.h"
#include "dp/calibration.h"
#include "dp/planning.h"

namespace tacit::cli {
namespace {

constexpr const char* kEpsilonHelp = "tacit privacy epsilon --help";
constexpr const char* kCalibrateHelp = "tacit privacy calibrate --help";
constexpr const char* kForecastHelp = "tacit privacy forecast --help";

double NoiseOf(const dp::Step& step) {
  if (const auto* laplace = std::get_if<dp::PoissonLaplaceStep>(&step)) return laplace->noise_multiplier;
  return std::get<dp::PoissonGaussianStep>(step).noise_multiplier;
}
double SamplingOf(const dp::Step& step) {
  if (const auto* laplace = std::get_if<dp::PoissonLaplaceStep>(&step)) return laplace->sampling_probability;
  return std::get<dp::PoissonGaussianStep>(step).sampling_probability;
}
dp::Mechanism MechanismOf(const dp::Step& step) {
  return std::holds_alternative<dp::PoissonLaplaceStep>(step) ? dp::Mechanism::kLaplace : dp::Mechanism::kGaussian;
}

struct Question {
  const ScheduleArguments& schedule;
  std::uint64_t steps;
  const char* help;  ///< What to try where there is no answer.
};

Outcome<dp::CompositionReport> Compose(const Question& question, dp::LossMemory& memory) {
  const auto& [schedule, steps, help] = question;
  const dp::RepeatedStep repeated{schedule.step, steps};
  auto report = dp::ComposedEpsilon({.steps = {&repeated, 1},
                                     .delta = schedule.delta,
                                     .neighbouring = schedule.neighbouring,
                                     .accountant = schedule.accountant},
                                    memory);
  if (!report) return UsageFailure(report.error(), help);
  return *report;
}

Json Describe(const ScheduleArguments& schedule) {
  return {{"mechanism", dp::NameOf(MechanismOf(schedule.step))},
          {"sampling_probability", SamplingOf(schedule.step)},
          {"delta", schedule.delta},
          {"neighbouring", dp::NameOf(schedule.neighbouring)}};
}

dp::Target TargetOf(const ScheduleArguments& schedule, double epsilon) {
  return {.epsilon = epsilon,
          .delta = schedule.delta,
          .neighbouring = schedule.neighbouring,
          .accountant = schedule.accountant};
}

std::string Sentence(const ScheduleArguments& schedule, const dp::CompositionReport& report) {
  return "epsilon " + RoundedUp(report.epsilon) + " at delta " + RoundedUp(schedule.delta) + " (" +
         std::string(report.accountant) + ", " + std::string(dp::NameOf(schedule.neighbouring)) + ")\n";
}

/// 1, 2, 5, 10, ... below `last`, and `last`.
std::vector<std::uint64_t> Milestones(std::uint64_t last) {
  constexpr std::uint64_t kLastDecade = 1'000'000'000'000'000'000;
  std::vector<std::uint64_t> steps;
  for (std::uint64_t decade = 1; decade < last; decade *= 10) {
    for (const std::uint64_t factor : {1U, 2U, 5U})
      if (decade * factor < last) steps.push_back(decade * factor);
    if (decade == kLastDecade) break;
  }
  steps.push_back(last);
  return steps;
}

}  // namespace

Outcome<Report> Run(const PrivacyEpsilonArguments& arguments) {
  const ScheduleArguments& schedule = arguments.schedule;
  dp::LossMemory memory;
  TACIT_CLI_TRY(const dp::CompositionReport report, Compose({schedule, schedule.steps, kEpsilonHelp}, memory));
  Json data = Describe(schedule);
  data.update({{"epsilon", FiniteOrNull(report.epsilon)},
               {"accountant", report.accountant},
               {"noise_multiplier", NoiseOf(schedule.step)},
               {"steps", schedule.steps}});
  if (!std::isfinite(report.epsilon))
    return Report{.data = data, .text = "no guarantee: epsilon is infinite\n", .notes = {}};
  return Report{.data = data, .text = Sentence(schedule, report), .notes = {}};
}

Outcome<Report> Run(const PrivacyCalibrateArguments& arguments) {
  ScheduleArguments schedule = arguments.schedule;
  const dp::Target target = TargetOf(schedule, arguments.target_epsilon);
  if (arguments.find_steps) {
    const auto steps = dp::AffordableSteps(schedule.step, target);
    if (!steps) return UsageFailure(steps.error(), kCalibrateHelp);
    schedule.steps = *steps;
  } else {
    const auto noise = dp::CalibratedNoise(schedule.step, schedule.steps, target);
    if (!noise) return UsageFailure(noise.error(), kCalibrateHelp);
    std::visit(
        [&](auto& step) {
          if constexpr (requires { step.noise_multiplier; }) step.noise_multiplier = *noise;
        },
        schedule.step);
  }
  dp::LossMemory memory;
  TACIT_CLI_TRY(const dp::CompositionReport report, Compose({schedule, schedule.steps, kCalibrateHelp}, memory));
  Json data = Describe(schedule);
  data.update({{"target_epsilon", arguments.target_epsilon},
               {"epsilon", FiniteOrNull(report.epsilon)},
               {"accountant", report.accountant},
               {"noise_multiplier", NoiseOf(schedule.step)},
               {"steps", schedule.steps}});
  std::string text = arguments.find_steps ? Counted(schedule.steps, "step") + ": "
                                          : "noise multiplier " + FormatNoise(NoiseOf(schedule.step)) + ": ";
  text += Sentence(schedule, report);
  if (arguments.cohort) {
    if (const auto multiplier = dp::NoiseMultiplier::Create(NoiseOf(schedule.step))) {
      const auto utility = dp::ForecastUtility(MechanismOf(schedule.step), *multiplier, *arguments.cohort);
      data["utility"] = {{"noise_to_signal", utility.noise_to_signal},
                         {"cohort_needed", utility.cohort_needed},
                         {"meaning", utility.meaning}};
      text += "noise to signal " + RoundedUp(utility.noise_to_signal) + ": " + utility.meaning + "; " +
              std::to_string(utility.cohort_needed) + " devices a round are needed for no visible loss\n";
    }
  }
  return Report{.data = data, .text = text, .notes = {}};
}

Outcome<Report> Run(const PrivacyForecastArguments& arguments) {
  const ScheduleArguments& schedule = arguments.schedule;
  Json data = Describe(schedule);
  data["noise_multiplier"] = NoiseOf(schedule.step);
  data["items"] = Json::array();
  std::vector<std::vector<std::string>> table{{"STEPS", "EPSILON"}};
  dp::LossMemory memory;
  for (const std::uint64_t steps : Milestones(schedule.steps)) {
    TACIT_CLI_TRY(const dp::CompositionReport report, Compose({schedule, steps, kForecastHelp}, memory));
    data["accountant"] = report.accountant;
    data["items"].push_back({{"steps", steps}, {"epsilon", FiniteOrNull(report.epsilon)}});
    table.push_back({std::to_string(steps), RoundedUp(report.epsilon)});
  }
  std::string text = FormatTable(table);
  if (arguments.budget) {
    const auto steps = dp::AffordableSteps(schedule.step, TargetOf(schedule, *arguments.budget));
    if (!steps) return UsageFailure(steps.error(), kForecastHelp);
    data["budget"] = *arguments.budget;
    data["steps_within_budget"] = *steps;
    text += "a budget of " + FormatNumber(*arguments.budget) + " pays for " + Counted(*steps, "step") + "\n";
  }
  return Report{.data = data, .text = text, .notes = {}};
}

}  // namespace tacit::cli
