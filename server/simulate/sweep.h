#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"

namespace tacit::simulate {

/// What of a task a sweep can vary.
enum class Knob : std::uint8_t {
  kNoiseMultiplier,
  kEpsilon,  ///< The noise is found that spends this much over all rounds.
  kClipNorm,
  kCohort,  ///< With it, in proportion: the least cohort, and the probability of a coin.
  kRounds,
  kLearningRate,
  kEpochs,
};
std::string_view NameOf(Knob knob);

/// One value of a knob; nothing is "none": no noise, and nothing promised.
struct Setting {
  Knob knob;
  std::optional<double> value;
  bool operator==(const Setting&) const = default;
};
/// `0.5`, `none`.
std::string TextOf(const std::optional<double>& value);
/// `noise_multiplier = 0.5, cohort = 100`; `the task as it is` for none.
std::string TextOf(std::span<const Setting> settings);

/// A knob and the values it takes.
struct Axis {
  Knob knob;
  std::vector<std::optional<double>> values;
};

/// `noise_multiplier=0.5,1,2`. Errors: kInvalidArgument, with what is expected; for a name that is unknown, with the
/// nearest one.
Result<Axis> ParseAxis(std::string_view text);

/// More runs than this are a mistake.
inline constexpr std::size_t kMostCombinations = 1000;

/// Every combination of one value from each axis, the last axis changing first; one without settings for no axes.
/// Errors: kInvalidArgument for two axes of one knob, for noise and epsilon together, and for more than
/// kMostCombinations.
Result<std::vector<std::vector<Setting>>> Combine(std::span<const Axis> axes);

/// A task file and its name in messages.
struct TaskText {
  std::string_view toml;
  std::string_view name;
};

/// The same task file with these settings in it, as text that is read like any other. The budget is raised where an
/// epsilon is above it. Errors: kInvalidArgument for text that is no TOML.
Result<std::string> WithSettings(const TaskText& task, std::span<const Setting> settings);

}  // namespace tacit::simulate
