#pragma once

#include <cstdint>

#include "common/base/result.h"
#include "dp/random_words.h"
#include "dp/types.h"

namespace tacit::dp {

/// Smallest and largest noise scale in grid steps. Below four steps the grid shows through the noise and the accounting
/// argument of docs/PRIVACY.md does not hold; above 2^27 the integers of the sampler could overflow.
inline constexpr std::uint64_t kMinNoiseSteps = 4;
inline constexpr std::uint64_t kMaxNoiseSteps = std::uint64_t{1} << 27U;

/// The noise scale on the grid: ceil(noise_multiplier * grid_radius).
/// Guarantee: never below noise_multiplier * grid_radius (the product is exact, the radius being a power of two).
/// Errors: kInvalidArgument outside kMinNoiseSteps..kMaxNoiseSteps, saying which grid radius or multiplier would do.
Result<std::uint64_t> NoiseSteps(NoiseMultiplier noise_multiplier, GridRadius grid_radius);

/// Draws integers with P(x) proportional to exp(-|x| / scale).
///
/// Guarantee: exact, given uniform bits: integer arithmetic only, no floating point, no truncated table.
/// Privacy: the number of words consumed and the time taken depend on the values drawn (docs/PRIVACY.md, timing).
/// Threads: any; it holds no state.
/// Source: Canonne, Kamath, Steinke 2020, algorithms 1 and 2.
class DiscreteLaplace {
 public:
  /// Errors: kInvalidArgument outside kMinNoiseSteps..kMaxNoiseSteps.
  static Result<DiscreteLaplace> Create(std::uint64_t scale);
  [[nodiscard]] std::int64_t Sample(RandomWords& words) const;

 private:
  friend class DiscreteGaussian;
  explicit DiscreteLaplace(std::uint32_t scale) : scale_(scale) {}
  std::uint32_t scale_;
};

/// Draws integers with P(x) proportional to exp(-x^2 / (2 sigma^2)).
///
/// Guarantee: exact, given uniform bits, but for one branch that is taken with probability below 2^-700.
/// Privacy: the number of words consumed and the time taken depend on the values drawn (docs/PRIVACY.md, timing).
/// Threads: any; it holds no state.
/// Source: Canonne, Kamath, Steinke 2020, algorithm 3.
class DiscreteGaussian {
 public:
  /// Errors: kInvalidArgument outside kMinNoiseSteps..kMaxNoiseSteps.
  static Result<DiscreteGaussian> Create(std::uint64_t sigma);
  [[nodiscard]] std::int64_t Sample(RandomWords& words) const;

 private:
  __extension__ using Wide = unsigned __int128;

  explicit DiscreteGaussian(std::uint32_t sigma);
  [[nodiscard]] bool Accepts(std::int64_t candidate, RandomWords& words) const;

  DiscreteLaplace proposal_;
  std::uint64_t sigma_squared_;
  Wide denominator_;           ///< 2 sigma^2 t^2, t the scale of the proposal.
  unsigned denominator_bits_;  ///< Bits needed for numbers below the denominator.
};

}  // namespace tacit::dp
