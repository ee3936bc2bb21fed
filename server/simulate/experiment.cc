#include "server/simulate/experiment.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "common/base/check.h"
#include "common/base/text.h"

namespace tacit::simulate {
namespace {

const task::TaskSpec& SpecOf(const Variant& variant) {
  return Present(variant.spec, "only a variant that can run is run");
}

std::optional<Spread> LastOf(const std::vector<VariantRun>& runs, double RoundPoint::* figure) {
  std::vector<double> values;
  for (const VariantRun& run : runs)
    if (!run.outcome.rounds.empty()) values.push_back(run.outcome.rounds.back().*figure);
  if (values.empty()) return std::nullopt;
  return SpreadOf(values);
}

Variant MakeVariant(const Plan& plan, std::vector<Setting> settings) {
  const std::string words = TextOf(settings);
  // First, so that a sweep over rounds has its way.
  std::vector<Setting> all;
  if (plan.rounds) all.push_back({Knob::kRounds, static_cast<double>(*plan.rounds)});
  all.insert(all.end(), settings.begin(), settings.end());
  Variant variant{.settings = std::move(settings), .toml = {}, .spec = {}, .refusal = {}};
  auto toml = WithSettings({.toml = plan.toml, .name = plan.file_name}, all);
  if (!toml) {
    variant.refusal = toml.error().message;
    return variant;
  }
  variant.toml = *std::move(toml);
  auto spec = task::ParseTask(variant.toml, plan.file_name + " with " + words);
  if (spec) {
    const auto fits = CheckFleet(*spec, plan.fleet);
    if (!fits) variant.refusal = fits.error().message;
    if (fits) variant.spec = *std::move(spec);
  } else {
    variant.refusal = spec.error().message;
  }
  return variant;
}

void AddOnce(std::vector<std::string>& notes, std::vector<std::string> more) {
  for (std::string& note : more)
    if (std::ranges::find(notes, note) == notes.end()) notes.push_back(std::move(note));
}

}  // namespace

Spread SpreadOf(std::span<const double> values) {
  TACIT_CHECK(!values.empty(), "there is a mean of something only");
  const auto count = static_cast<double>(values.size());
  Spread spread{.mean = std::accumulate(values.begin(), values.end(), 0.0) / count, .deviation = std::nullopt};
  if (values.size() < 2) return spread;
  double squares = 0;
  for (const double value : values) squares += (value - spread.mean) * (value - spread.mean);
  spread.deviation = std::sqrt(squares / (count - 1));
  return spread;
}

std::optional<Spread> VariantResult::Accuracy() const {
  return LastOf(runs, &RoundPoint::accuracy);
}

std::optional<Spread> VariantResult::Loss() const {
  return LastOf(runs, &RoundPoint::loss);
}

std::optional<double> VariantResult::Epsilon() const {
  std::optional<double> most;
  for (const VariantRun& run : runs) {
    if (run.outcome.rounds.empty()) continue;
    const std::optional<double>& spent = run.outcome.rounds.back().epsilon;
    if (spent) most = std::max(most.value_or(0), *spent);
  }
  return most;
}

std::uint64_t VariantResult::RoundsPublished() const {
  std::optional<std::uint64_t> fewest;
  for (const VariantRun& run : runs)
    fewest = std::min<std::uint64_t>(fewest.value_or(UINT64_MAX), run.outcome.rounds.size());
  return fewest.value_or(0);
}

std::string VariantResult::Trouble() const {
  if (!variant.refusal.empty()) return variant.refusal;
  const auto found = std::ranges::find_if(runs, [](const VariantRun& run) { return !run.outcome.ended.empty(); });
  if (found == runs.end()) return {};
  return "seed " + std::to_string(found->seed) + ": " + Counted(found->outcome.rounds.size(), "round") +
         " published, then " + found->outcome.ended;
}

Result<std::vector<Variant>> MakeVariants(const Plan& plan) {
  // By itself first: what is wrong with it has its place in the file that somebody wrote.
  TACIT_TRY_VOID(task::ParseTask(plan.toml, plan.file_name));
  TACIT_TRY(auto combinations, Combine(plan.axes));
  if (combinations.size() * plan.repeat > kMostCombinations) {
    return Fail(ErrorCode::kInvalidArgument, std::to_string(combinations.size()) + " combinations, " +
                                                 std::to_string(plan.repeat) + " times each, are more than " +
                                                 std::to_string(kMostCombinations) + " runs");
  }
  std::vector<Variant> variants;
  for (std::vector<Setting>& settings : combinations) variants.push_back(MakeVariant(plan, std::move(settings)));
  const bool any = std::ranges::any_of(variants, [](const Variant& each) { return each.spec.has_value(); });
  if (any) return variants;
  return Fail(ErrorCode::kInvalidArgument, variants.front().refusal);
}

Result<Experiment> RunExperiment(Plan plan, std::vector<Variant> variants, const FleetExamples& examples,
                                 const Watching& watching) {
  Experiment experiment{
      .plan = std::move(plan), .task = {}, .examples = examples.description, .notes = {}, .results = {}};
  const Plan& asked = experiment.plan;
  const auto running = std::ranges::count_if(variants, [](const Variant& each) { return each.spec.has_value(); });
  const std::size_t runs = static_cast<std::size_t>(running) * asked.repeat;
  std::size_t run = 0;
  for (Variant& variant : variants) {
    VariantResult result{.variant = std::move(variant), .runs = {}};
    for (std::uint64_t i = 0; i < asked.repeat && result.variant.spec; ++i, ++run) {
      const task::TaskSpec& spec = SpecOf(result.variant);
      experiment.task = spec.id.str();
      AddOnce(experiment.notes, NotesOn(spec, asked.fleet));
      const auto on_round = [&](const RoundPoint& point) {
        watching.on_progress(
            {.run = run, .runs = runs, .variant = result.variant, .rounds = spec.rounds, .point = point});
      };
      TACIT_TRY(RunOutcome outcome, RunTask(spec, result.variant.toml,
                                            {.examples = examples,
                                             .fleet = asked.fleet,
                                             .threads = asked.threads,
                                             .seed = asked.seed + i,
                                             .on_round = on_round,
                                             .stopped = watching.stopped}));
      result.runs.push_back({asked.seed + i, std::move(outcome)});
    }
    experiment.results.push_back(std::move(result));
  }
  return experiment;
}

}  // namespace tacit::simulate
