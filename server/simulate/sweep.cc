#include "server/simulate/sweep.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <sstream>
#include <utility>

#include "common/base/check.h"
#include "common/base/text.h"
#include "common/base/toml.h"
#include "server/task/task_spec.h"

namespace tacit::simulate {
namespace {

struct KnobTraits {
  Knob knob;
  std::string_view name;
  bool whole;
  bool takes_none;
};
constexpr std::array<KnobTraits, 7> kKnobs{{{Knob::kNoiseMultiplier, "noise_multiplier", false, true},
                                            {Knob::kEpsilon, "epsilon", false, true},
                                            {Knob::kClipNorm, "clip_norm", false, false},
                                            {Knob::kCohort, "cohort", true, false},
                                            {Knob::kRounds, "rounds", true, false},
                                            {Knob::kLearningRate, "learning_rate", false, false},
                                            {Knob::kEpochs, "epochs", true, false}}};
// Above what any whole number of a task may be, and exact as a double.
constexpr double kLargestWhole = 1e9;

const KnobTraits& TraitsOf(Knob knob) {
  return *std::ranges::find(kKnobs, knob, &KnobTraits::knob);
}

std::unexpected<Error> Refuse(std::string_view text, const std::string& why) {
  return Fail(ErrorCode::kInvalidArgument, "--sweep " + Excerpt(text) + ": " + why);
}

Result<std::optional<double>> ParseValue(const KnobTraits& traits, std::string_view sweep, std::string_view text) {
  if (text == "none" && traits.takes_none) return std::optional<double>();
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool number = error == std::errc() && end == text.data() + text.size() && std::isfinite(value) && value > 0;
  if (number && (!traits.whole || (value == std::floor(value) && value <= kLargestWhole))) return std::optional(value);
  return Refuse(sweep, Excerpt(text) + " is no " + (traits.whole ? "whole number" : "number") + " above 0" +
                           (traits.takes_none ? ", nor 'none'" : ""));
}

toml::table& TableIn(toml::table& root, std::string_view name) {
  if (root.get_as<toml::table>(name) == nullptr) root.insert_or_assign(name, toml::table());
  return *root.get_as<toml::table>(name);
}

double NumberIn(const toml::table& table, std::string_view key, double fallback) {
  const toml::node* const node = table.get(key);
  return node == nullptr ? fallback : node->value<double>().value_or(fallback);
}

// A limit of a whole number that must not be above another one.
void Lower(toml::table& table, std::string_view key, std::int64_t most) {
  if (NumberIn(table, key, 0) > static_cast<double>(most)) table.insert_or_assign(key, most);
}

void SetNoNoise(toml::table& privacy) {
  privacy.insert_or_assign("mechanism", "none");
  for (const char* key : {"noise_multiplier", "target_epsilon", "delta", "epsilon_budget", "sampling",
                          "sampling_probability", "clip_quantile", "clip_learning_rate"})
    privacy.erase(key);
}

void SetEpsilon(toml::table& privacy, double epsilon) {
  privacy.erase("noise_multiplier");
  privacy.insert_or_assign("target_epsilon", epsilon);
  if (NumberIn(privacy, "epsilon_budget", 0) < epsilon) privacy.insert_or_assign("epsilon_budget", epsilon);
}

void SetNoiseMultiplier(toml::table& privacy, double noise_multiplier) {
  privacy.erase("target_epsilon");
  privacy.insert_or_assign("noise_multiplier", noise_multiplier);
}

void SetCohort(toml::table& root, double size) {
  toml::table& cohort = TableIn(root, "cohort");
  const double share = size / NumberIn(cohort, "size", size);
  cohort.insert_or_assign("size", static_cast<std::int64_t>(size));
  if (cohort.contains("min")) {
    const double least = std::ceil(NumberIn(cohort, "min", 1) * share - 1e-9);
    cohort.insert_or_assign("min", static_cast<std::int64_t>(std::clamp(least, 1.0, size)));
  }
  toml::table& privacy = TableIn(root, "privacy");
  if (privacy.contains("sampling_probability")) {
    const double probability = NumberIn(privacy, "sampling_probability", 1) * share;
    privacy.insert_or_assign("sampling_probability", std::min(probability, 1.0));
  }
}

void SetRounds(toml::table& rounds, std::int64_t count) {
  rounds.insert_or_assign("count", count);
  for (const char* key : {"max_participations", "min_separation"}) Lower(rounds, key, count);
}

void Set(toml::table& root, const Setting& setting) {
  toml::table& privacy = TableIn(root, "privacy");
  if (!setting.value) return SetNoNoise(privacy);
  const double value = *setting.value;
  switch (setting.knob) {
    case Knob::kNoiseMultiplier:
      return SetNoiseMultiplier(privacy, value);
    case Knob::kEpsilon:
      return SetEpsilon(privacy, value);
    case Knob::kClipNorm:
      privacy.insert_or_assign("clip_norm", value);
      return;
    case Knob::kCohort:
      return SetCohort(root, value);
    case Knob::kRounds:
      return SetRounds(TableIn(root, "rounds"), static_cast<std::int64_t>(value));
    case Knob::kLearningRate:
      TableIn(root, "training").insert_or_assign("learning_rate", value);
      return;
    case Knob::kEpochs:
      TableIn(root, "training").insert_or_assign("epochs", static_cast<std::int64_t>(value));
      return;
  }
}

}  // namespace

std::string_view NameOf(Knob knob) {
  return TraitsOf(knob).name;
}

std::string TextOf(const std::optional<double>& value) {
  if (!value) return "none";
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.10g", *value);
  return text.data();
}

std::string TextOf(std::span<const Setting> settings) {
  std::string text;
  for (const auto& [knob, value] : settings)
    text += (text.empty() ? "" : ", ") + std::string(NameOf(knob)) + " = " + TextOf(value);
  return text.empty() ? "the task as it is" : text;
}

Result<Axis> ParseAxis(std::string_view text) {
  const std::size_t equals = text.find('=');
  const std::string_view name = text.substr(0, equals);
  const auto found = std::ranges::find(kKnobs, name, &KnobTraits::name);
  if (found == kKnobs.end()) {
    std::vector<std::string> known;
    std::string all;
    for (const KnobTraits& each : kKnobs) {
      known.emplace_back(each.name);
      all += (all.empty() ? "" : ", ") + known.back();
    }
    return Refuse(text, "there is no " + Excerpt(name) + " to vary" + DidYouMean(name, known) + "; there are " + all);
  }
  if (equals == std::string_view::npos || equals + 1 == text.size())
    return Refuse(text, "give values, as " + std::string(name) + "=1,2,4");
  Axis axis{.knob = found->knob, .values = {}};
  for (std::string_view rest = text.substr(equals + 1);;) {
    const std::size_t comma = rest.find(',');
    TACIT_TRY(const std::optional<double> value, ParseValue(*found, text, rest.substr(0, comma)));
    if (std::ranges::find(axis.values, value) != axis.values.end())
      return Refuse(text, TextOf(value) + " stands there twice");
    axis.values.push_back(value);
    if (comma == std::string_view::npos) return axis;
    rest.remove_prefix(comma + 1);
  }
}

Result<std::vector<std::vector<Setting>>> Combine(std::span<const Axis> axes) {
  std::vector<std::vector<Setting>> all(1);
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const Knob knob = axes[i].knob;
    const auto before = axes.first(i);
    const auto has = [&](Knob other) { return std::ranges::find(before, other, &Axis::knob) != before.end(); };
    if (has(knob)) return Refuse(NameOf(knob), "is given twice; put all values into one");
    const bool noise = knob == Knob::kNoiseMultiplier || knob == Knob::kEpsilon;
    if (noise && (has(Knob::kNoiseMultiplier) || has(Knob::kEpsilon)))
      return Refuse(NameOf(knob), "noise_multiplier and epsilon exclude each other: one is found from the other");
    std::vector<std::vector<Setting>> longer;
    if (all.size() * axes[i].values.size() > kMostCombinations)
      return Refuse(NameOf(knob), "there would be more than " + std::to_string(kMostCombinations) + " combinations");
    for (const std::vector<Setting>& settings : all) {
      for (const std::optional<double>& value : axes[i].values) {
        longer.push_back(settings);
        longer.back().push_back({knob, value});
      }
    }
    all = std::move(longer);
  }
  return all;
}

Result<std::string> WithSettings(const TaskText& task, std::span<const Setting> settings) {
  TACIT_TRY(toml::table root, ParseToml(task.toml, task.name, task::kMaxTaskBytes));
  for (const Setting& setting : settings) Set(root, setting);
  if (!root.contains("asynchronous")) TableIn(root, "cohort").insert_or_assign("deadline", "10s");
  std::ostringstream text;
  text << root << "\n";
  return text.str();
}

}  // namespace tacit::simulate
