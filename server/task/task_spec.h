#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/ids.h"
#include "common/base/result.h"
#include "common/model/spec.h"
#include "dp/ledger.h"
#include "dp/local_noise.h"
#include "dp/types.h"
#include "server/task/asynchronous.h"
#include "server/task/deployment.h"
#include "server/task/detectors.h"
#include "server/task/updates.h"
#include "server/task/watermark.h"

/// What a federation is asked to do: one task, parsed once from a TOML file into values that cannot be bad.
namespace tacit::task {

/// Hardened training: a share of the rows is changed, within `epsilon`, so that the loss grows. Source: Madry et al.
/// 2018, section 2.1.
struct Adversarial {
  double epsilon = 0;  ///< The largest change of a number.
  std::uint32_t steps = 1;
  double step_size = 0;  ///< The change of a number in one step.
  double share = 1;      ///< Of the rows.
  double input_min = 0;  ///< What every number is kept within.
  double input_max = 1;
};

/// Local training on a device, of plain SGD with momentum on the task's loss.
struct Training {
  std::uint32_t epochs = 1;
  std::uint32_t batch_size = 32;
  double learning_rate = 0.1;
  double momentum = 0;
  double proximal_mu = 0;  ///< Weight of the FedProx term (Li et al. 2020); 0 is FedAvg.
  std::optional<Adversarial> adversarial = std::nullopt;
};

struct Cohort {
  /// Updates a round aims at. In the DP modes, and in every asynchronous task, also the divisor of the average.
  std::uint32_t size = 0;
  /// Fewer than this at the deadline abandons the round. `size`, in an asynchronous task: its rounds have no deadline.
  std::uint32_t min = 0;
  /// Devices admitted to a round, as a multiple of `size`, because some never answer.
  double over_selection = 1;
  Millis deadline{};

  /// The most updates one round can count: ceil(size * over_selection).
  [[nodiscard]] std::uint64_t MaxAdmitted() const;
};

/// Invariants: with kNone all optional members but `local` are empty; otherwise all but `coin`, `tracking` and `local`
/// are set, delta < 1 / population, and noise_multiplier * grid_radius is a scale that the exact samplers accept.
struct Privacy {
  dp::Mechanism mechanism;
  dp::ClipNorm clip_norm;
  dp::GridRadius grid_radius;
  std::optional<dp::NoiseMultiplier> noise_multiplier;
  std::optional<dp::Delta> delta;
  std::optional<dp::Epsilon> epsilon_budget;
  std::uint64_t population = 0;  ///< Devices that could take part; 0 when not told (kNone only).
  /// Set with sampling "checkin_coin": the server draws each round's cohort. Its max_cohort is the task's MaxAdmitted,
  /// at least kCoinMargin standard deviations above the mean.
  std::optional<dp::CheckinCoin> coin;
  /// Set with `clip_quantile`: `clip_norm` is that of the first round.
  std::optional<dp::ClipTracking> tracking;
  /// Set with a table [privacy.local], and mechanism "none": each device noises its own update before it sends it.
  std::optional<dp::LocalNoise> local;
  /// The largest entry of a noised update; 0 where devices add no noise.
  [[nodiscard]] std::uint32_t entry_bound() const;
  [[nodiscard]] std::uint32_t bit_steps() const { return tracking ? tracking->bit_steps : 0; }

  /// What a promise consists of. Not for kNone, which makes none.
  struct Promise {
    dp::NoiseMultiplier noise_multiplier;
    dp::Delta delta;
    dp::Epsilon budget;
  };
  [[nodiscard]] Promise promise() const {
    constexpr const char* kWhy = "a mechanism that adds noise was parsed with all three";
    return {Present(noise_multiplier, kWhy), Present(delta, kWhy), Present(epsilon_budget, kWhy)};
  }
};

enum class Optimizer : std::uint8_t { kFedAvg, kFedAvgM, kFedAdam };
std::string_view NameOf(Optimizer optimizer);

enum class Weighting : std::uint8_t {
  kUniform,   ///< Every device weighs one: the only weighting a DP mechanism allows.
  kExamples,  ///< By what the device says it trained on, capped at max_examples.
};
std::string_view NameOf(Weighting weighting);

/// The server's step from the (noised) average to the next model. Source: Reddi et al. 2021, "Adaptive federated
/// optimization".
struct Aggregation {
  Optimizer optimizer = Optimizer::kFedAvg;
  double server_learning_rate = 1;
  double momentum = 0;  ///< FedAvgM.
  double beta1 = 0;     ///< FedAdam, with beta2 and tau.
  double beta2 = 0;
  double tau = 0;
  Weighting weighting = Weighting::kUniform;
  std::uint64_t max_examples = 1;  ///< The largest weight one device can have; 1 when uniform.
};

struct TaskSpec {
  TaskId id;
  model::ModelSpec model;
  std::uint64_t model_seed = 0;
  Training training;
  Cohort cohort;
  std::uint64_t rounds = 0;
  std::uint64_t max_participations = 0;  ///< Rounds one device may be counted in; 1..rounds. All, with a coin.
  std::uint64_t min_separation = 1;      ///< From one round a device is counted in to its next; 1..rounds.
  Privacy privacy;
  Aggregation aggregation;
  std::optional<Asynchronous> asynchronous;  ///< Set with a table [asynchronous].
  Updates updates;
  std::optional<Watermark> watermark;    ///< Set with a table [watermark].
  std::optional<Deployment> deployment;  ///< Set with a table [deployment].
  std::optional<Detectors> detectors;    ///< Set with a table [detectors], and [deployment].

  /// How many values a sparse update has: floor(top_k * parameters), but one at least; 0 where none are taken.
  [[nodiscard]] std::uint32_t TopK() const;
  /// How many releases one device's data can be part of: what epsilon is accounted for.
  [[nodiscard]] std::uint64_t Compositions() const;
  /// What its ledger is kept under. Not for kNone.
  [[nodiscard]] dp::BudgetPolicy Policy(dp::HashFunction hash) const;
};

/// A cohort's cap in standard deviations of what the coins let in: beyond it nobody is turned away in practice, and
/// what little can happen is accounted for.
inline constexpr double kCoinMargin = 7;

/// Longest task file that is read.
inline constexpr std::size_t kMaxTaskBytes = 64 * 1024;

/// Parses a task file. Privacy parameters have no defaults; a given `target_epsilon` is turned into a noise multiplier.
/// `file_name` only appears in messages.
/// Errors: kInvalidArgument with every problem of the file, one a line, each `file:line:column: what`; kTooLarge.
/// Cost: milliseconds when noise is calibrated.
Result<TaskSpec> ParseTask(std::string_view toml, std::string_view file_name);

/// What `ParseTask` may work out rather than read.
struct PlannedPrivacy {
  std::optional<dp::NoiseMultiplier> noise_multiplier;  ///< The server's, or the devices' own.
  dp::GridRadius grid_radius;
  std::uint32_t bit_steps = 0;  ///< Of a clip norm that follows a quantile.
};
PlannedPrivacy PlanOf(const TaskSpec& spec);

/// Parses a task that was accepted before, keeping what was planned then: a planner that a new release improves must
/// not change the mechanism of a task that has begun to spend. Errors: as ParseTask.
Result<TaskSpec> RestoreTask(std::string_view toml, std::string_view file_name, const PlannedPrivacy& planned);

}  // namespace tacit::task
