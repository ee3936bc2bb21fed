#include "server/task/detectors.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "server/task/toml_reader.h"

namespace tacit::task {

namespace {

constexpr std::size_t kLongestFileName = 128;
constexpr IntegerRange kBudget{0, std::int64_t{1} << 40U};
constexpr IntegerRange kDriftWindow{50, 10'000};
constexpr Millis kMinute{60'000};
constexpr Millis kWatchedDay{86'400'000};
// In the order of a calibration. Pictures and features are not what the models of tasks are made of.
constexpr std::array<std::string_view, 5> kScoreNames = {"unconfidence", "gradient", "excess", "energy", "input"};

std::string ReadFileName(TomlTable& table) {
  std::string name = table.Text("clean_rows");
  if (!table.HasGood("clean_rows")) return name;
  // A task's author names a file, and not a place: nothing else of the server's disk can be looked at.
  const bool is_name =
      !name.empty() && name.size() <= kLongestFileName && name.front() != '.' && std::ranges::all_of(name, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' ||
               c == '_';
      });
  if (!is_name) {
    table.Complain("clean_rows",
                   "'detectors.clean_rows' must be the name of a file in 'clean_rows' of the server's data directory: "
                   "1 to 128 letters, digits, '.', '-' and '_', and no '.' in front");
  }
  return name;
}

std::vector<std::string> ReadScores(TomlTable& table) {
  const std::string text = table.Text("scores", "unconfidence,energy,input");
  std::vector<std::string> scores;
  std::size_t named = 0;
  for (const std::string_view name : kScoreNames) {
    for (std::string_view rest = text; !rest.empty();) {
      const std::size_t comma = std::min(rest.find(','), rest.size());
      if (rest.substr(0, comma) == name) {
        ++named;
        scores.emplace_back(name);
      }
      rest.remove_prefix(std::min(comma + 1, rest.size()));
    }
  }
  const bool repeats = std::ranges::adjacent_find(scores) != scores.end();
  const auto words = static_cast<std::size_t>(std::ranges::count(text, ',')) + 1;
  if (table.Good({"scores"}) && (repeats || named != words)) {
    table.Complain(
        "scores",
        "'detectors.scores' must be some of unconfidence, gradient, excess, energy and input, each once, with "
        "commas between them");
  }
  return scores;
}

// Every calibration takes five windows of drift and a thousand rows at least, and all clean rows are in memory at once.
void CheckInputs(TomlTable& root, const DetectorsPlace& place, const Detectors& detectors) {
  const std::uint64_t rows = std::max<std::uint64_t>(1024, std::uint64_t{5} * detectors.drift_window + 24);
  if (!place.model || place.model->inputs() <= kMostCleanNumbers / rows) return;
  root.Complain("detectors", "a model with these detectors may have at most " +
                                 std::to_string(kMostCleanNumbers / rows) + " inputs, and this one has " +
                                 std::to_string(place.model->inputs()));
}

}  // namespace

std::optional<Detectors> ReadDetectors(TomlTable& root, const DetectorsPlace& place) {
  TomlTable table = root.Table("detectors");  // asked for also when absent, so that its name is suggested
  if (!root.Has("detectors")) return std::nullopt;
  Detectors detectors;
  detectors.clean_rows = ReadFileName(table);
  detectors.mode = static_cast<DetectorMode>(table.Choice("mode", {"observe", "flag", "reject"}, 0));
  detectors.target = table.Real("target", {0.0001, 0.5}, 0.05);
  detectors.within = table.Real("within", {0.0005, 0.5}, 0.02);
  detectors.scores = ReadScores(table);
  detectors.budget = static_cast<std::uint64_t>(table.Integer("budget", kBudget, 0));
  detectors.device_budget = static_cast<std::uint64_t>(table.Integer("device_budget", kBudget, 0));
  detectors.window = table.Duration("window", {kMinute, 365 * kWatchedDay}, kWatchedDay);
  detectors.drift_window = static_cast<std::uint32_t>(table.Integer("drift_window", kDriftWindow, 200));
  if (table.Good({"budget", "device_budget"}) && detectors.device_budget > 0 &&
      detectors.device_budget < detectors.budget) {
    table.Complain("device_budget", "'detectors.device_budget' must be at least 'detectors.budget': it holds for all");
  }
  if (!place.is_deployed) {
    root.Complain("detectors", "a table [detectors] needs a table [deployment]: nobody would use them");
  }
  if (place.model && place.model->classes() > kMostWatchedClasses) {
    root.Complain("detectors", "a model with detectors may have at most " + std::to_string(kMostWatchedClasses) +
                                   " classes, and this one has " + std::to_string(place.model->classes()));
  }
  CheckInputs(root, place, detectors);
  return detectors;
}

}  // namespace tacit::task
