#include "server/task/task_spec.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>
#include <vector>

#include "common/base/check.h"
#include "dp/noise.h"
#include "dp/planning.h"
#include "server/task/learning.h"
#include "server/task/toml_reader.h"

namespace tacit::task {

namespace {

constexpr std::int64_t kMaxCohort = 1 << 20;
constexpr double kMaxOverSelection = 10;
constexpr std::int64_t kMaxRounds = 1'000'000;
constexpr std::int64_t kMaxExamples = 1'000'000'000;
constexpr std::int64_t kMaxInteger = std::numeric_limits<std::int64_t>::max();
constexpr RealRange kFraction{0, 1, Ends::kWithoutMax};
constexpr RealRange kLearningRate{0, 1e6, Ends::kWithoutMin};

constexpr std::array kMechanisms = {dp::Mechanism::kNone, dp::Mechanism::kGaussian, dp::Mechanism::kLaplace};
constexpr std::array kLocalMechanisms = {dp::Mechanism::kGaussian, dp::Mechanism::kLaplace};
constexpr std::array kOptimizers = {Optimizer::kFedAvg, Optimizer::kFedAvgM, Optimizer::kFedAdam};
constexpr std::array kWeightings = {Weighting::kUniform, Weighting::kExamples};

std::string Decimal(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.6g", value);
  return text.data();
}

/// The checked value of a key that was read well, or nothing, with the type's own words as the problem.
template <typename Checked>
std::optional<Checked> Check(TomlTable& table, std::string_view key, typename Checked::Number value) {
  if (!table.HasGood(key)) return std::nullopt;
  Result<Checked> checked = Checked::Create(value);
  if (checked) return *checked;
  table.Complain(key, "'" + std::string(key) + "': " + checked.error().message);
  return std::nullopt;
}

std::optional<TaskId> ReadName(TomlTable root) {
  const std::string name = root.Text("name");
  if (!root.HasGood("name")) return std::nullopt;
  Result<TaskId> id = TaskId::Parse(name);
  if (id) return *id;
  root.Complain("name", "'name': " + id.error().message);
  return std::nullopt;
}

enum class Pace : std::uint8_t { kRounds, kAsynchronous };

Cohort ReadCohort(TomlTable table, Pace pace) {
  Cohort cohort;
  const std::int64_t size = table.Integer("size", {1, kMaxCohort});
  cohort.size = static_cast<std::uint32_t>(size);
  if (pace == Pace::kAsynchronous) {
    table.Refuse("min", "has no place beside [asynchronous]: a buffer waits until it has 'size' updates");
    table.Refuse("deadline",
                 "has no place beside [asynchronous]: a buffer waits until it is full, for as long as it takes");
    table.Refuse("over_selection",
                 "has no place beside [asynchronous]: 'asynchronous.concurrency' says how many devices work at a time");
    cohort.min = cohort.size;
    return cohort;
  }
  const std::int64_t most = table.HasGood("size") ? size : kMaxCohort;
  cohort.min = static_cast<std::uint32_t>(table.Integer("min", {1, most}, size));
  cohort.over_selection = table.Real("over_selection", {1, kMaxOverSelection}, 1.0);
  cohort.deadline = table.Duration("deadline", {Millis(100), Millis(7 * 86'400'000LL)}, Millis(60'000));
  return cohort;
}

/// The optimiser's own numbers; one that the chosen optimiser does not use would mislead whoever reads the file.
void ReadOptimizer(TomlTable& table, Aggregation& aggregation) {
  aggregation.optimizer = kOptimizers[table.Choice("optimizer", {"fedavg", "fedavgm", "fedadam"}, 0)];
  const bool adam = aggregation.optimizer == Optimizer::kFedAdam;
  const bool momentum = aggregation.optimizer == Optimizer::kFedAvgM;
  // FedAdam's steps have the size of the learning rate whatever the updates are, so no default can fit.
  aggregation.server_learning_rate =
      table.Real("learning_rate", kLearningRate, adam ? std::nullopt : std::optional(1.0));
  if (momentum) {
    aggregation.momentum = table.Real("momentum", kFraction, 0.9);
  } else if (table.Good({"optimizer"})) {
    table.Refuse("momentum", "is for optimizer \"fedavgm\"");
  }
  if (adam) {
    aggregation.beta1 = table.Real("beta1", kFraction, 0.9);
    aggregation.beta2 = table.Real("beta2", kFraction, 0.99);
    aggregation.tau = table.Real("tau", {0, 1e6, Ends::kWithoutMin}, 1e-3);
  } else {
    for (const std::string_view key : {"beta1", "beta2", "tau"}) table.Refuse(key, "is for optimizer \"fedadam\"");
  }
}

Aggregation ReadAggregation(TomlTable table) {
  Aggregation aggregation;
  ReadOptimizer(table, aggregation);
  aggregation.weighting = kWeightings[table.Choice("weighting", {"uniform", "examples"}, 0)];
  if (aggregation.weighting == Weighting::kExamples) {
    aggregation.max_examples = static_cast<std::uint64_t>(table.Integer("max_examples", {1, kMaxExamples}));
  } else if (table.Good({"weighting"})) {
    table.Refuse("max_examples", "is for weighting \"examples\"");
  }
  return aggregation;
}

/// [privacy.local] as it was read.
struct LocalKeys {
  std::optional<dp::Mechanism> mechanism;
  std::optional<dp::NoiseMultiplier> noise_multiplier;
  std::optional<dp::Epsilon> target_epsilon;
  std::optional<dp::Delta> delta;
};

/// [privacy] as it was read; what is absent or bad is empty.
struct PrivacyKeys {
  std::optional<dp::Mechanism> mechanism;
  std::optional<dp::ClipNorm> clip_norm;
  std::optional<dp::GridRadius> grid_radius;
  std::optional<dp::NoiseMultiplier> noise_multiplier;
  std::optional<dp::Epsilon> target_epsilon;
  std::optional<dp::Delta> delta;
  std::optional<dp::Epsilon> epsilon_budget;
  std::uint64_t population = 0;
  bool coin = false;
  std::optional<dp::SamplingProbability> sampling_probability;
  bool tracks = false;
  double clip_quantile = 0;
  double clip_learning_rate = 0;
  bool has_local = false;
  LocalKeys local;
};

template <typename Checked>
std::optional<Checked> ReadOptional(TomlTable& table, std::string_view key) {
  return Check<Checked>(table, key, table.Real(key, kAnyFinite, 0.0));
}

std::optional<dp::GridRadius> ReadGridRadius(TomlTable& table) {
  const std::int64_t radius =
      table.Integer("grid_radius", {dp::kMinGridRadius, dp::kMaxGridRadius}, std::int64_t{dp::kMinGridRadius});
  return Check<dp::GridRadius>(table, "grid_radius", static_cast<std::uint32_t>(radius));
}

/// One of two ways to say how much noise there is.
void RequireNoise(TomlTable& table, const std::string& name) {
  const bool multiplier = table.Has("noise_multiplier");
  const bool target = table.Has("target_epsilon");
  if (multiplier && target) {
    table.Complain("target_epsilon",
                   "'" + name + ".noise_multiplier' and '" + name + ".target_epsilon' exclude each other");
  } else if (!multiplier && !target) {
    table.Complain("noise_multiplier", "missing key '" + name + ".noise_multiplier' or '" + name +
                                           ".target_epsilon': privacy has no default");
  }
}

LocalKeys ReadLocalKeys(TomlTable table) {
  LocalKeys keys;
  const std::size_t mechanism = table.Choice("mechanism", {"gaussian", "laplace"});
  if (table.HasGood("mechanism")) keys.mechanism = kLocalMechanisms[mechanism];
  keys.noise_multiplier = ReadOptional<dp::NoiseMultiplier>(table, "noise_multiplier");
  keys.target_epsilon = ReadOptional<dp::Epsilon>(table, "target_epsilon");
  keys.delta = Check<dp::Delta>(table, "delta", table.Real("delta", kAnyFinite));
  RequireNoise(table, "privacy.local");
  return keys;
}

PrivacyKeys ReadPrivacyKeys(TomlTable& table) {
  PrivacyKeys keys;
  const std::size_t mechanism = table.Choice("mechanism", {"none", "gaussian", "laplace"});
  if (table.HasGood("mechanism")) keys.mechanism = kMechanisms[mechanism];
  keys.clip_norm = Check<dp::ClipNorm>(table, "clip_norm", table.Real("clip_norm", kAnyFinite));
  keys.grid_radius = ReadGridRadius(table);
  keys.noise_multiplier = ReadOptional<dp::NoiseMultiplier>(table, "noise_multiplier");
  keys.target_epsilon = ReadOptional<dp::Epsilon>(table, "target_epsilon");
  keys.delta = ReadOptional<dp::Delta>(table, "delta");
  keys.epsilon_budget = ReadOptional<dp::Epsilon>(table, "epsilon_budget");
  keys.population = static_cast<std::uint64_t>(table.Integer("population", {1, kMaxInteger}, 0));
  keys.tracks = table.Has("clip_quantile");
  keys.clip_quantile = table.Real("clip_quantile", {0, 1, Ends::kOpen}, 0.5);
  keys.clip_learning_rate = table.Real("clip_learning_rate", {0, 10, Ends::kWithoutMin}, 0.2);
  keys.coin = table.Choice("sampling", {"none", "checkin_coin"}, 0) == 1;
  keys.sampling_probability = ReadOptional<dp::SamplingProbability>(table, "sampling_probability");
  const TomlTable local = table.Table("local");  // asked for also when absent, so that its name is suggested
  keys.has_local = table.Has("local");
  if (keys.has_local) keys.local = ReadLocalKeys(local);
  return keys;
}

void RequireNoPrivacy(TomlTable& table) {
  for (const std::string_view key : {"noise_multiplier", "target_epsilon", "delta", "epsilon_budget", "sampling",
                                     "sampling_probability", "clip_quantile", "clip_learning_rate"}) {
    table.Refuse(key, "has no meaning with mechanism \"none\", which promises nothing; remove it, or name a mechanism");
  }
}

/// A delta of 1 / population would allow a mechanism that publishes one device whole.
void CheckDelta(TomlTable& table, const std::string& name, dp::Delta delta, std::uint64_t population) {
  const double limit = 1 / static_cast<double>(population);
  if (delta.value() < limit) return;
  table.Complain("delta", "'" + name + "' must be below 1 / population = " + Decimal(limit) + ", got " +
                              Decimal(delta.value()) + ": at that delta one device may be published whole");
}

void CheckNoiseKeys(TomlTable& table, const PrivacyKeys& keys) {
  RequireNoise(table, "privacy");
  if (keys.target_epsilon && keys.epsilon_budget && *keys.target_epsilon > *keys.epsilon_budget) {
    table.Complain("target_epsilon",
                   "'privacy.target_epsilon' is above 'privacy.epsilon_budget', so the rounds planned for "
                   "it could not all run");
  }
}

void CheckPopulation(TomlTable& table, const PrivacyKeys& keys, TomlTable cohort, const Cohort& read) {
  if (!table.HasGood("population") || !cohort.HasGood("size") || keys.population >= read.size) return;
  table.Complain("population", "'privacy.population' is " + std::to_string(keys.population) +
                                   ", less than the cohort of " + std::to_string(read.size));
}

/// Notes a problem where a cohort that the server draws would not be the one that is accounted for.
void CheckCoin(TomlTable& table, const PrivacyKeys& keys, const Cohort& cohort) {
  if (!keys.coin) {
    table.Refuse("sampling_probability",
                 "is for sampling \"checkin_coin\"; devices that come when they like are not "
                 "sampled, and nothing is amplified");
    return;
  }
  if (!table.Has("sampling_probability")) {
    table.Complain("sampling", "missing key 'privacy.sampling_probability': the coin's is public and fixed");
  }
  if (!keys.sampling_probability || keys.population == 0) return;
  const double q = keys.sampling_probability->value();
  const double mean = static_cast<double>(keys.population) * q;
  const double needed = std::ceil(mean + kCoinMargin * std::sqrt(mean * (1 - q)));
  if (static_cast<double>(cohort.MaxAdmitted()) >= std::min(needed, static_cast<double>(keys.population))) return;
  table.Complain("sampling_probability",
                 "the coins let in " + Decimal(mean) + " of " + std::to_string(keys.population) +
                     " devices on average; cohort.size * cohort.over_selection is " +
                     std::to_string(cohort.MaxAdmitted()) + " and must be at least " + Decimal(needed) +
                     ", seven standard deviations above: turning devices away would say who else came");
}

void CheckTracking(TomlTable& table, const PrivacyKeys& keys) {
  if (!keys.tracks) {
    table.Refuse("clip_learning_rate", "is for a clip norm that follows 'privacy.clip_quantile'");
  } else if (keys.mechanism != dp::Mechanism::kGaussian) {
    table.Refuse("clip_quantile", "is for mechanism \"gaussian\": vector and clip bit share one L2 bound");
  }
}

void RequireMechanism(TomlTable& table, const PrivacyKeys& keys) {
  for (const std::string_view key : {"delta", "epsilon_budget", "population"}) {
    if (!table.Has(key)) {
      table.Complain(key, "missing key 'privacy." + std::string(key) + "': privacy has no default");
    }
  }
  CheckNoiseKeys(table, keys);
  if (keys.delta && table.HasGood("population")) CheckDelta(table, "privacy.delta", *keys.delta, keys.population);
}

/// Noise of the devices stands alone: what noise of the server would add to it could not be accounted for, and what is
/// not noised would tell.
void CheckLocal(TomlTable root, TomlTable& table, const PrivacyKeys& keys, const Aggregation& aggregation) {
  if (!keys.has_local) return;
  if (keys.mechanism != dp::Mechanism::kNone) {
    table.Complain("local",
                   "'privacy.local' is for mechanism \"none\": noised updates have no small norm that the server's own "
                   "noise could be sized for; choose noise of the devices or noise of the server");
  }
  if (aggregation.weighting == Weighting::kExamples) {
    root.Table("aggregation")
        .Complain("weighting",
                  "'aggregation.weighting' must be \"uniform\" with 'privacy.local': how many examples a device has is "
                  "part of its data, and would leave it without noise");
  }
  TomlTable local = table.Table("local");
  if (keys.local.delta && table.HasGood("population"))
    CheckDelta(local, "privacy.local.delta", *keys.local.delta, keys.population);
}

/// A weight that a device claims would multiply its share of the sum beyond what the noise is sized for.
void CheckWeighting(TomlTable table, const PrivacyKeys& keys, const Aggregation& aggregation) {
  if (aggregation.weighting == Weighting::kUniform || keys.mechanism == dp::Mechanism::kNone) return;
  table.Complain("weighting", "'aggregation.weighting' must be \"uniform\" with mechanism \"" +
                                  std::string(dp::NameOf(*keys.mechanism)) +
                                  "\": a weight that a device claims would break the bound the noise is sized for");
}

/// Notes a problem where a buffer's sum would not be what its noise is sized for, or its divisor not a fixed number.
void CheckAsynchronous(TomlTable root, TomlTable& privacy, const PrivacyKeys& keys, const Aggregation& aggregation) {
  if (keys.coin) {
    privacy.Complain("sampling",
                     "'privacy.sampling' must be \"none\" with [asynchronous]: a coin is one round's, and updates that "
                     "come when they are ready are no sample of any round; nothing is amplified");
  }
  if (keys.tracks) {
    privacy.Complain("clip_quantile",
                     "'privacy.clip_quantile' has no place beside [asynchronous]: an update is on the grid of the clip "
                     "norm that it was leased with, and the buffer it comes to would be on another");
  }
  if (aggregation.weighting == Weighting::kExamples) {
    root.Table("aggregation")
        .Complain(
            "weighting",
            "'aggregation.weighting' must be \"uniform\" with [asynchronous]: a buffer is divided by 'cohort.size', "
            "and its updates weigh by their staleness alone");
  }
}

PrivacyKeys ReadPrivacy(TomlTable root, const Cohort& cohort, const Aggregation& aggregation) {
  TomlTable table = root.Table("privacy");
  PrivacyKeys keys = ReadPrivacyKeys(table);
  CheckPopulation(table, keys, root.Table("cohort"), cohort);
  if (!keys.mechanism) return keys;
  if (*keys.mechanism == dp::Mechanism::kNone) {
    RequireNoPrivacy(table);
  } else {
    RequireMechanism(table, keys);
    CheckCoin(table, keys, cohort);
    CheckTracking(table, keys);
  }
  CheckLocal(root, table, keys, aggregation);
  if (root.Has("asynchronous")) CheckAsynchronous(root, table, keys, aggregation);
  CheckWeighting(root.Table("aggregation"), keys, aggregation);
  return keys;
}

/// Whether a device comes again must not depend on coins that fell before: those are secret.
void RefuseLimits(TomlTable& rounds) {
  for (const std::string_view key : {"max_participations", "min_separation"}) {
    rounds.Refuse(key,
                  "has no place beside sampling \"checkin_coin\": a limit that a device reaches would tell of its "
                  "secret coins; the coins themselves limit how often it comes");
  }
}

std::optional<dp::CheckinCoin> CoinOf(const PrivacyKeys& keys, const Cohort& cohort) {
  if (!keys.coin || !keys.sampling_probability) return std::nullopt;
  return dp::CheckinCoin{
      .probability = *keys.sampling_probability, .population = keys.population, .max_cohort = cohort.MaxAdmitted()};
}

Result<std::optional<dp::NoiseMultiplier>> PlanNoise(const PrivacyKeys& keys, const TaskSpec& spec) {
  if (!keys.target_epsilon) return keys.noise_multiplier;
  TACIT_TRY(const dp::NoiseMultiplier calibrated,
            dp::CalibrateNoise({.mechanism = Present(keys.mechanism, "every task names one"),
                                .epsilon = *keys.target_epsilon,
                                .delta = Present(keys.delta, "a mechanism that adds noise needs one"),
                                .compositions = spec.Compositions(),
                                .coin = spec.privacy.coin}));
  return calibrated;
}

/// Notes a problem when the sampler cannot draw the noise on this grid, or the sum of a full cohort could overflow.
void CheckGrid(TomlTable table, const Privacy& privacy, const TaskSpec& spec) {
  const std::string_view key = table.Has("grid_radius") ? "grid_radius" : "noise_multiplier";
  const auto complain = [&](const Error& error) {
    table.Complain(key, "'privacy." + std::string(key) + "': " + error.message);
  };
  if (privacy.noise_multiplier) {
    const auto steps = dp::NoiseStepsWithBits(*privacy.noise_multiplier, privacy.grid_radius, privacy.bit_steps());
    if (!steps) return complain(steps.error());
  }
  if (privacy.local) {
    const auto bound =
        dp::LocalEntryBound(privacy.local->mechanism, privacy.local->noise_multiplier, privacy.grid_radius);
    if (!bound) return complain(bound.error());
  }
  // Noised entries have weight one and fit 32 bits: the largest cohort's sum of them is far below.
  static_assert(kMaxCohort * kMaxOverSelection * 0x1p31 < 0x1p62);
  const double largest_sum = static_cast<double>(spec.cohort.MaxAdmitted()) *
                             static_cast<double>(spec.aggregation.max_examples) * privacy.grid_radius.value();
  if (largest_sum < 0x1p62) return;
  table.Complain(key,
                 "the sum of a full cohort could overflow: cohort.size * cohort.over_selection * "
                 "aggregation.max_examples * grid_radius must be below 2^62; lower max_examples or grid_radius");
}

Result<dp::NoiseMultiplier> PlanLocalNoise(const LocalKeys& keys, const TaskSpec& spec) {
  if (!keys.target_epsilon) return Present(keys.noise_multiplier, "one of the two was demanded");
  return dp::CalibrateLocalNoise({.mechanism = Present(keys.mechanism, "every local noise names one"),
                                  .epsilon = *keys.target_epsilon,
                                  .delta = Present(keys.delta, "local noise needs one"),
                                  .releases = spec.Compositions()});
}

/// Fills in what the file left to the planner, of noise that the devices add.
void PlanLocal(TomlTable table, const PrivacyKeys& keys, const std::optional<PlannedPrivacy>& planned, TaskSpec& spec) {
  Privacy& privacy = spec.privacy;
  auto noise = planned && planned->noise_multiplier ? *planned->noise_multiplier : PlanLocalNoise(keys.local, spec);
  if (!noise) {
    TomlTable local = table.Table("local");
    return local.Complain("target_epsilon", "'privacy.local.target_epsilon': " + noise.error().message);
  }
  privacy.local = dp::LocalNoise{.mechanism = Present(keys.local.mechanism, "every local noise names one"),
                                 .noise_multiplier = *noise,
                                 .delta = Present(keys.local.delta, "local noise needs one")};
  privacy.grid_radius =
      planned ? planned->grid_radius
              : keys.grid_radius.value_or(dp::PlanLocalGridRadius(privacy.local->mechanism, *noise, spec.cohort.size));
  CheckGrid(table, privacy, spec);
}

/// Fills in what the file left to the planner.
void PlanPrivacy(TomlTable table, const PrivacyKeys& keys, const std::optional<PlannedPrivacy>& planned,
                 TaskSpec& spec) {
  Privacy& privacy = spec.privacy;
  if (keys.has_local) return PlanLocal(table, keys, planned, spec);
  if (planned) {
    privacy.noise_multiplier = planned->noise_multiplier;
    privacy.grid_radius = planned->grid_radius;
  } else {
    auto noise = PlanNoise(keys, spec);
    if (!noise) {
      return table.Complain("target_epsilon", "'privacy.target_epsilon': " + noise.error().message);
    }
    privacy.noise_multiplier = *noise;
    privacy.grid_radius = keys.grid_radius.value_or(dp::PlanGridRadius(privacy.mechanism, *noise, spec.cohort.size));
  }
  if (keys.tracks && privacy.noise_multiplier) {
    const std::uint32_t bit_steps =
        planned ? planned->bit_steps
                : dp::PlanBitSteps(*privacy.noise_multiplier, privacy.grid_radius, spec.cohort.size);
    privacy.tracking = {
        .bit_steps = bit_steps, .quantile = keys.clip_quantile, .learning_rate = keys.clip_learning_rate};
  }
  CheckGrid(table, privacy, spec);
}

Result<TaskSpec> Parse(std::string_view toml, std::string_view file_name,
                       const std::optional<PlannedPrivacy>& planned) {
  TACIT_TRY(TomlFile file, TomlFile::Parse(toml, file_name, kMaxTaskBytes));
  TomlTable root = file.Root();
  const std::optional<TaskId> name = ReadName(root);
  const std::optional<model::ModelSpec> model = ReadModel(root.Table("model"));
  const auto seed = static_cast<std::uint64_t>(root.Table("model").Integer("seed", {0, kMaxInteger}, 0));
  const Training training = ReadTraining(root.Table("training"));
  const Pace pace = root.Has("asynchronous") ? Pace::kAsynchronous : Pace::kRounds;
  const Cohort cohort = ReadCohort(root.Table("cohort"), pace);
  const std::optional<Asynchronous> asynchronous = ReadAsynchronous(root, cohort.size);
  TomlTable rounds = root.Table("rounds");
  const std::int64_t count = rounds.Integer("count", {1, kMaxRounds});
  const std::int64_t most = rounds.HasGood("count") ? count : kMaxRounds;
  const std::int64_t participations = rounds.Integer("max_participations", {1, most}, count);
  const std::int64_t separation = rounds.Integer("min_separation", {1, most}, 1);
  const Aggregation aggregation = ReadAggregation(root.Table("aggregation"));
  const Updates updates = ReadUpdates(root);
  const std::optional<Watermark> watermark = ReadWatermark(root, model);
  const std::optional<Deployment> deployment = ReadDeployment(root);
  const std::optional<Detectors> detectors = ReadDetectors(root, {model, deployment.has_value()});
  const PrivacyKeys keys = ReadPrivacy(root, cohort, aggregation);
  if (keys.coin) RefuseLimits(rounds);
  TACIT_TRY_VOID(file.Finish());

  TACIT_CHECK(name && model && keys.mechanism && keys.clip_norm, "what is missing or bad was noted as a problem");
  TaskSpec spec{
      .id = *name,
      .model = *model,
      .model_seed = seed,
      .training = training,
      .cohort = cohort,
      .rounds = static_cast<std::uint64_t>(count),
      .max_participations = static_cast<std::uint64_t>(participations),
      .min_separation = static_cast<std::uint64_t>(separation),
      .privacy = {.mechanism = *keys.mechanism,
                  .clip_norm = *keys.clip_norm,
                  .grid_radius = keys.grid_radius.value_or(dp::PlanGridRadius(*keys.mechanism, {}, cohort.size)),
                  .noise_multiplier = {},
                  .delta = keys.delta,
                  .epsilon_budget = keys.epsilon_budget,
                  .population = keys.population,
                  .coin = CoinOf(keys, cohort),
                  .tracking = {},
                  .local = {}},
      .aggregation = aggregation,
      .asynchronous = asynchronous,
      .updates = updates,
      .watermark = watermark,
      .deployment = deployment,
      .detectors = detectors};
  PlanPrivacy(root.Table("privacy"), keys, planned, spec);
  TACIT_TRY_VOID(file.Finish());
  return spec;
}

}  // namespace

std::string_view NameOf(Optimizer optimizer) {
  switch (optimizer) {
    case Optimizer::kFedAvg:
      return "fedavg";
    case Optimizer::kFedAvgM:
      return "fedavgm";
    case Optimizer::kFedAdam:
      return "fedadam";
  }
  return "unknown";
}

std::string_view NameOf(Weighting weighting) {
  return weighting == Weighting::kUniform ? "uniform" : "examples";
}

std::uint64_t Cohort::MaxAdmitted() const {
  // 10 * 1.1 is a little over 11 in floating point; that must not admit a twelfth.
  constexpr double kRounding = 1e-9;
  return static_cast<std::uint64_t>(std::ceil(static_cast<double>(size) * over_selection - kRounding));
}

std::uint32_t Privacy::entry_bound() const {
  if (!local) return 0;
  const auto bound = dp::LocalEntryBound(local->mechanism, local->noise_multiplier, grid_radius);
  TACIT_CHECK(bound.has_value(), "a task whose noise has no bound is refused when it is parsed");
  return *bound;
}

std::uint64_t TaskSpec::Compositions() const {
  return std::min(rounds, max_participations);
}

std::uint32_t TaskSpec::TopK() const {
  if (updates.top_k == 0) return 0;
  // Of at most 2^28 parameters.
  return std::max(1U, static_cast<std::uint32_t>(updates.top_k * static_cast<double>(model.ParameterCount())));
}

dp::BudgetPolicy TaskSpec::Policy(dp::HashFunction hash) const {
  const Privacy::Promise promise = privacy.promise();
  return {.task = id,
          .mechanism = privacy.mechanism,
          .noise_multiplier = promise.noise_multiplier,
          .clip_norm = privacy.clip_norm,
          .grid_radius = privacy.grid_radius,
          .cohort = cohort.size,
          .delta = promise.delta,
          .budget = promise.budget,
          .max_participations = max_participations,
          .min_separation = min_separation,
          .coin = privacy.coin,
          .tracking = privacy.tracking,
          .hash = hash};
}

PlannedPrivacy PlanOf(const TaskSpec& spec) {
  const Privacy& privacy = spec.privacy;
  return {privacy.local ? privacy.local->noise_multiplier : privacy.noise_multiplier, privacy.grid_radius,
          privacy.bit_steps()};
}

Result<TaskSpec> ParseTask(std::string_view toml, std::string_view file_name) {
  return Parse(toml, file_name, std::nullopt);
}

Result<TaskSpec> RestoreTask(std::string_view toml, std::string_view file_name, const PlannedPrivacy& planned) {
  return Parse(toml, file_name, planned);
}

}  // namespace tacit::task
