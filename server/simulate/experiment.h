#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "server/simulate/run.h"
#include "server/simulate/sweep.h"

namespace tacit::simulate {

/// What is asked for.
struct Plan {
  std::string toml;       ///< The task file,
  std::string file_name;  ///< and its name in messages.
  std::vector<Axis> axes;
  std::optional<std::uint64_t> rounds = std::nullopt;  ///< In place of the task's.
  Fleet fleet;
  std::size_t threads = 1;
  std::uint64_t seed = 1;  ///< Of the first run of each combination; the others have the next ones.
  std::uint64_t repeat = 1;
};

/// A mean over the runs that published something, and how far they are apart.
struct Spread {
  double mean = 0;
  std::optional<double> deviation;  ///< Of a single run, estimated; nothing for one run.
};
/// Shape: one value at least.
Spread SpreadOf(std::span<const double> values);

/// One task of an experiment: the plan's with some settings.
struct Variant {
  std::vector<Setting> settings;
  std::string toml;
  std::optional<task::TaskSpec> spec;  ///< Nothing where it is refused,
  std::string refusal;                 ///< for this reason.
};

struct VariantRun {
  std::uint64_t seed = 0;
  RunOutcome outcome;
};

/// What came out of a variant.
struct VariantResult {
  Variant variant;
  std::vector<VariantRun> runs;

  // Of the last rounds that were published; nothing where no run published one.
  [[nodiscard]] std::optional<Spread> Accuracy() const;
  [[nodiscard]] std::optional<Spread> Loss() const;
  /// The most that a run spent.
  [[nodiscard]] std::optional<double> Epsilon() const;
  /// The fewest that a run published.
  [[nodiscard]] std::uint64_t RoundsPublished() const;
  /// Why a run did not publish all its rounds, or the variant was refused; empty where nothing went wrong.
  [[nodiscard]] std::string Trouble() const;
};

struct Experiment {
  Plan plan;
  std::string task;      ///< Its name.
  std::string examples;  ///< What devices trained on, in words.
  std::vector<std::string> notes;
  std::vector<VariantResult> results;
};

/// The tasks that a plan asks for. Errors: kInvalidArgument for a task file that is none, for axes as Combine, and,
/// with what is wrong with the first, when no variant can run.
Result<std::vector<Variant>> MakeVariants(const Plan& plan);

/// How far it has come.
struct Progress {
  std::size_t run = 0;  ///< Counted from 0.
  std::size_t runs = 0;
  const Variant& variant;
  std::uint64_t rounds = 0;  ///< Of the variant.
  const RoundPoint& point;
};

struct Watching {
  std::function<void(const Progress& progress)> on_progress = [](const Progress&) {};
  std::function<bool()> stopped = [] { return false; };
};

/// Runs every variant with every seed. A variant that publishes nothing, or that a server would not take, is a result
/// like any other. Errors: as RunTask otherwise.
Result<Experiment> RunExperiment(Plan plan, std::vector<Variant> variants, const FleetExamples& examples,
                                 const Watching& watching);

}  // namespace tacit::simulate
