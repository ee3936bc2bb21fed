#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <variant>

#include "common/base/result.h"

namespace tacit::dp {

/// Which two data sets are told apart. A step's parameters speak of adding or removing one unit, but where it says
/// otherwise; what another relation makes of them is decided here, once.
enum class Neighbouring : std::uint8_t {
  kAddOrRemoveOne,   ///< One unit more or less.
  kReplaceWithZero,  ///< One unit's contributions become zero: as far away as adding or removing it.
  kReplaceOne,       ///< One unit becomes another: twice as far.
};
std::string_view NameOf(Neighbouring relation);
/// Errors: kInvalidArgument, listing the words.
Result<Neighbouring> ParseNeighbouring(std::string_view name);

/// Which bound is wanted.
enum class Accountant : std::uint8_t {
  kTightest,  ///< The smallest that any of the others proves.
  kExact,     ///< Closed forms: Gaussians only, or pure epsilons at delta 0.
  kPld,       ///< Privacy loss distributions.
  kRdp,       ///< Renyi DP.
};
std::string_view NameOf(Accountant accountant);
/// Errors: kInvalidArgument, listing the words.
Result<Accountant> ParseAccountant(std::string_view name);

// Steps that can be composed. Noise multipliers are the noise scale over the sensitivity of one unit: standard
// deviation over the L2 clip for Gaussians, scale b over the L1 clip for Laplace. A multiplier of 0 means no noise.

struct GaussianStep {
  double noise_multiplier;
  bool operator==(const GaussianStep&) const = default;
};
struct LaplaceStep {
  double noise_multiplier;
  bool operator==(const LaplaceStep&) const = default;
};
/// Each unit takes part with its own, independent, hidden coin.
struct PoissonGaussianStep {
  double noise_multiplier;
  double sampling_probability;
  bool operator==(const PoissonGaussianStep&) const = default;
};
struct PoissonLaplaceStep {
  double noise_multiplier;
  double sampling_probability;
  bool operator==(const PoissonLaplaceStep&) const = default;
};
/// Poisson sampling of `population` units whose cohort is cut down to `max_cohort`, at random.
struct TruncatedPoissonGaussianStep {
  double noise_multiplier;
  double sampling_probability;
  std::uint64_t population;
  std::uint64_t max_cohort;
  bool operator==(const TruncatedPoissonGaussianStep&) const = default;
};
/// `group_size` units, each with its own coin, are added or removed together.
struct GroupPoissonGaussianStep {
  double noise_multiplier;
  double sampling_probability;
  std::uint64_t group_size;
  bool operator==(const GroupPoissonGaussianStep&) const = default;
};
/// A uniform subset of the population, of fixed size; replace-one, and the multiplier is over that sensitivity.
struct FixedSizeGaussianStep {
  double noise_multiplier;
  double sampling_fraction;
  bool operator==(const FixedSizeGaussianStep&) const = default;
};
/// One coordinate on the integers, moved by `sensitivity` points.
struct DiscreteGaussianStep {
  double sigma;
  std::uint64_t sensitivity;
  bool operator==(const DiscreteGaussianStep&) const = default;
};
/// One coordinate on the integers, P(x) proportional to e^(-rate |x|).
struct DiscreteLaplaceStep {
  double rate;
  std::uint64_t sensitivity;
  bool operator==(const DiscreteLaplaceStep&) const = default;
};
/// Each of `buckets` answers; with probability `noise` a uniform one. Replace-one.
struct RandomisedResponseStep {
  double noise;
  std::uint64_t buckets;
  bool operator==(const RandomisedResponseStep&) const = default;
};
/// Anything of which only (epsilon, delta) is known.
struct BlackBoxStep {
  double epsilon;
  double delta;
  bool operator==(const BlackBoxStep&) const = default;
};
/// Skellam noise of `variance`; sensitivities in the same units.
struct SkellamStep {
  double variance;
  double l1_sensitivity;
  double l2_sensitivity;
  bool operator==(const SkellamStep&) const = default;
};
/// The sum of `units` discrete Gaussians of `local_sigma` each, on a grid; sensitivities in grid points.
struct DistributedGaussianStep {
  double local_sigma;
  std::uint64_t units;
  double l2_sensitivity;
  std::uint64_t dimension;
  bool operator==(const DistributedGaussianStep&) const = default;
};

using Step =
    std::variant<GaussianStep, LaplaceStep, PoissonGaussianStep, PoissonLaplaceStep, TruncatedPoissonGaussianStep,
                 GroupPoissonGaussianStep, FixedSizeGaussianStep, DiscreteGaussianStep, DiscreteLaplaceStep,
                 RandomisedResponseStep, BlackBoxStep, SkellamStep, DistributedGaussianStep>;

struct RepeatedStep {
  Step step;
  std::uint64_t count;
};

/// What is asked about a schedule that was declared before the first step. For parameters that are chosen on the way,
/// from what earlier steps have shown, only kRdp is a valid bound (Feldman, Zrnic 2021).
struct CompositionQuery {
  std::span<const RepeatedStep> steps;
  double delta;
  Neighbouring neighbouring = Neighbouring::kAddOrRemoveOne;
  Accountant accountant = Accountant::kTightest;
};

struct CompositionReport {
  double epsilon = 0;           ///< At the query's delta; infinite where there is no guarantee.
  std::string_view accountant;  ///< Which bound it is: `exact`, `pld` or `rdp`.
};

/// Below, a loss distribution in double precision proves nothing useful.
inline constexpr double kMinPldDelta = 1e-12;

/// What questions about the same steps share: the losses of single steps on their grids. For searches, forecasts and
/// schedules that grow: with it an answer comes several times sooner, and is the same to the last bit.
/// Cost: up to 64 MB, and what a single question needs; then it starts afresh.
/// Threads: one at a time.
class LossMemory {
 public:
  class Impl;

  LossMemory();
  LossMemory(LossMemory&& other) noexcept;
  LossMemory& operator=(LossMemory&& other) noexcept;
  ~LossMemory();

  [[nodiscard]] Impl& impl() { return *impl_; }

 private:
  std::unique_ptr<Impl> impl_;
};

/// Epsilon of a composition.
///
/// Guarantee: an upper bound. No steps, or steps that never sample, cost 0; a step without noise costs infinity;
///   delta 0 leaves pure mechanisms only; delta 1 allows everything.
/// Errors: kInvalidArgument for parameters outside their range, for a relation that a step is not defined for, and for
///   an accountant that cannot answer: PLD below kMinPldDelta or for a step that only Renyi DP is known of, Renyi DP
///   for a step it is not known of, closed forms where there is none.
/// Cost: milliseconds; less with a memory that has been asked about the same steps, whatever their counts.
/// Threads: any; pure.
Result<CompositionReport> ComposedEpsilon(const CompositionQuery& query);
Result<CompositionReport> ComposedEpsilon(const CompositionQuery& query, LossMemory& memory);

/// Delta of a composition at an epsilon, by closed form or loss distributions.
/// Errors: as ComposedEpsilon.
Result<double> ComposedDelta(const CompositionQuery& query, double epsilon);

}  // namespace tacit::dp
