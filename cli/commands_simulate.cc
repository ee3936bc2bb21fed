#include <pthread.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <system_error>
#include <utility>

#include "cli/commands.h"
#include "cli/fields.h"
#include "cli/text.h"
#include "common/base/check.h"
#include "common/base/files.h"
#include "common/base/text.h"
#include "server/simulate/examples.h"
#include "server/simulate/experiment.h"
#include "server/simulate/report.h"

namespace tacit::cli {
namespace {

using simulate::Experiment;
using simulate::VariantResult;

constexpr const char* kHelp = "tacit simulate --help";
constexpr std::size_t kMostTaskBytes = std::size_t{64} * 1024;
constexpr int kIndent = 2;

// Holds signals to stop back, so that what is on the disk is removed first; then they do what they always do.
class HeldSignals {
 public:
  HeldSignals() {
    sigemptyset(&held_);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&held_, signal);
    pthread_sigmask(SIG_BLOCK, &held_, &before_);
  }
  ~HeldSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  HeldSignals(const HeldSignals&) = delete;
  HeldSignals& operator=(const HeldSignals&) = delete;

  [[nodiscard]] static bool Came() {
    sigset_t pending;
    sigpending(&pending);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP})
      if (sigismember(&pending, signal) == 1) return true;
    return false;
  }

 private:
  sigset_t held_{};
  sigset_t before_{};
};

Outcome<std::string> ReadTask(const std::filesystem::path& path) {
  auto bytes = ReadFile(path, kMostTaskBytes);
  if (!bytes) return UsageFailure(bytes.error(), "tacit simulate -f FILE, with the task's description");
  return std::string(bytes->begin(), bytes->end());
}

// Before an hour of work, and not behind it.
Outcome<void> CheckPlaces(const SimulateArguments& arguments) {
  for (const auto& path : {arguments.csv, arguments.json_file, arguments.html}) {
    std::error_code ignored;
    const std::filesystem::path parent = path.has_parent_path() ? path.parent_path() : ".";
    if (path.empty() ||
        (std::filesystem::is_directory(parent, ignored) && !std::filesystem::is_directory(path, ignored)))
      continue;
    return UsageFailure(
        path.string() + " cannot be written: " + parent.string() + " is no directory, or it is one itself",
        "mkdir -p " + ShellQuote(parent.string()));
  }
  return {};
}

Outcome<void> WriteTo(const std::filesystem::path& path, const std::string& text) {
  if (path.empty()) return {};
  const auto written = WriteFileAtomic(path, AsBytes(text), kReadableByAll);
  if (written) return {};
  return UsageFailure(written.error(), "give a file that you may write");
}

void Draw(const Output& output, const simulate::Progress& progress) {
  std::array<char, 32> accuracy{};
  std::snprintf(accuracy.data(), accuracy.size(), "%.1f %%", 100 * progress.point.accuracy);
  output.Draw("run " + std::to_string(progress.run + 1) + " of " + std::to_string(progress.runs) + " (" +
              simulate::TextOf(progress.variant.settings) + "), round " + std::to_string(progress.point.round) +
              " of " + std::to_string(progress.rounds) + ": accuracy " + accuracy.data());
}

// ---- What programs read ----

Json Optional(const std::optional<double>& value) {
  return value ? FiniteOrNull(*value) : Json();
}

// A number of devices, rounds or epochs as one.
Json ValueOf(const std::optional<double>& value) {
  if (value && *value == std::floor(*value) && *value < 1e15) return static_cast<std::int64_t>(*value);
  return Optional(value);
}

Json JsonOf(const std::optional<simulate::Spread>& spread) {
  if (!spread) return {};
  return {{"mean", FiniteOrNull(spread->mean)}, {"deviation", Optional(spread->deviation)}};
}

Json JsonOf(const simulate::VariantRun& run) {
  Json rounds = Json::array();
  for (const simulate::RoundPoint& point : run.outcome.rounds) {
    rounds.push_back({{"round", point.round},
                      {"counted", point.counted},
                      {"accuracy", FiniteOrNull(point.accuracy)},
                      {"loss", FiniteOrNull(point.loss)},
                      {"epsilon", Optional(point.epsilon)}});
  }
  const auto& model = run.outcome.model;
  return {{"seed", run.seed},
          {"rounds", std::move(rounds)},
          {"abandoned", run.outcome.abandoned},
          {"ended", run.outcome.ended.empty() ? Json() : Json(run.outcome.ended)},
          {"model_sha256", model ? Json(ToHex(*model)) : Json()}};
}

Json NoiseOf(const task::Privacy& privacy) {
  if (privacy.local) return privacy.local->noise_multiplier.value();
  return privacy.noise_multiplier ? Json(privacy.noise_multiplier->value()) : Json();
}

Json JsonOf(const VariantResult& result) {
  Json settings = Json::object();
  for (const auto& [knob, value] : result.variant.settings) settings[std::string(NameOf(knob))] = ValueOf(value);
  const std::string trouble = result.Trouble();
  Json json = {{"settings", std::move(settings)},
               {"accuracy", JsonOf(result.Accuracy())},
               {"loss", JsonOf(result.Loss())},
               {"epsilon", Optional(result.Epsilon())},
               {"rounds_published", result.RoundsPublished()},
               {"trouble", trouble.empty() ? Json() : Json(trouble)},
               {"task", Json()},
               {"runs", Json::array()}};
  if (const auto& spec = result.variant.spec) {
    json["task"] = {{"mechanism", dp::NameOf(spec->privacy.mechanism)},
                    {"noise_multiplier", NoiseOf(spec->privacy)},
                    {"clip_norm", spec->privacy.clip_norm.value()},
                    {"cohort_size", spec->cohort.size},
                    {"rounds", spec->rounds}};
  }
  for (const simulate::VariantRun& run : result.runs) json["runs"].push_back(JsonOf(run));
  return json;
}

Json JsonOf(const Experiment& experiment) {
  Json json = {{"task", experiment.task},
               {"devices", experiment.plan.fleet.devices},
               {"dropout", experiment.plan.fleet.dropout},
               {"examples", experiment.examples},
               {"seed", experiment.plan.seed},
               {"repeat", experiment.plan.repeat},
               {"warning", simulate::kWarning},
               {"notes", experiment.notes},
               {"results", Json::array()}};
  for (const VariantResult& result : experiment.results) json["results"].push_back(JsonOf(result));
  return json;
}

Report Describe(const Experiment& experiment) {
  Report report{JsonOf(experiment), FormatTable(simulate::TableOf(experiment)), experiment.notes};
  bool published = false;
  for (const VariantResult& result : experiment.results) {
    published = published || result.Accuracy().has_value();
    const std::string trouble = result.Trouble();
    if (!trouble.empty()) report.notes.push_back(simulate::TextOf(result.variant.settings) + ": " + trouble);
  }
  report.notes.emplace_back(simulate::kWarning);
  if (!published) report.exit = ExitCode::kRefused;
  return report;
}

Outcome<Experiment> Experimented(const SimulateArguments& arguments, const Output& output) {
  TACIT_CLI_TRY(std::string toml, ReadTask(arguments.file));
  simulate::Plan plan{.toml = std::move(toml),
                      .file_name = arguments.file.string(),
                      .axes = arguments.axes,
                      .rounds = arguments.rounds,
                      .fleet = {.devices = arguments.devices, .dropout = arguments.dropout},
                      .threads = arguments.threads,
                      .seed = arguments.seed,
                      .repeat = arguments.repeat};
  auto variants = simulate::MakeVariants(plan);
  if (!variants) return UsageFailure(variants.error(), kHelp);
  const auto first = std::ranges::find_if(*variants, [](const auto& each) { return each.spec.has_value(); });
  const model::ModelSpec& model = Present(first->spec, "one at least can run").model;
  auto examples = simulate::LoadExamples({.data = arguments.data,
                                          .held_out = arguments.held_out,
                                          .partition = arguments.partition,
                                          .devices = arguments.devices,
                                          .classes = model.classes(),
                                          .threads = arguments.threads});
  if (!examples) return UsageFailure(examples.error(), kHelp);
  simulate::Watching watching{.on_progress = [](const simulate::Progress& /*progress*/) {},
                              .stopped = HeldSignals::Came};
  if (output.MayDraw())
    watching.on_progress = [&output](const simulate::Progress& progress) { Draw(output, progress); };
  auto experiment = simulate::RunExperiment(std::move(plan), *std::move(variants), *examples, watching);
  if (output.MayDraw()) output.Draw("");
  if (experiment) return *std::move(experiment);
  return UsageFailure(experiment.error(), kHelp);
}

}  // namespace

Outcome<Report> Simulate(const SimulateArguments& arguments, const Output& output) {
  TACIT_CLI_TRY_VOID(CheckPlaces(arguments));
  const HeldSignals held;
  TACIT_CLI_TRY(const Experiment experiment, Experimented(arguments, output));
  Report report = Describe(experiment);
  TACIT_CLI_TRY_VOID(WriteTo(arguments.csv, simulate::CsvOf(experiment)));
  TACIT_CLI_TRY_VOID(
      WriteTo(arguments.json_file, report.data.dump(kIndent, ' ', false, Json::error_handler_t::replace) + "\n"));
  TACIT_CLI_TRY_VOID(WriteTo(arguments.html, simulate::HtmlOf(experiment)));
  return report;
}

}  // namespace tacit::cli
