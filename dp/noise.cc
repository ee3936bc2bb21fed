#include "dp/noise.h"

#include <bit>
#include <cmath>
#include <string>

namespace tacit::dp {
namespace {

__extension__ using Wide = unsigned __int128;

/// True with probability exp(-1), exactly.
/// Source: Canonne, Kamath, Steinke 2020, algorithm 1 with gamma = 1. `k` cannot overflow: it reaches n with
///   probability 1/n!.
bool BernoulliExpMinusOne(RandomWords& words) {
  std::uint32_t k = 2;  // the paper's first trial, with probability 1/1, always succeeds
  while (words.Below(k) == 0) ++k;
  return k % 2 == 1;
}

/// True with probability exp(-gamma), where `gamma_trial()` is true with probability gamma <= 1, independently at each
/// call. The paper's trial with probability gamma / k is one with gamma and an independent one with 1 / k, which keeps
/// the integers small.
/// Source: Canonne, Kamath, Steinke 2020, algorithm 1.
template <typename Trial>
bool BernoulliExpMinus(Trial gamma_trial, RandomWords& words) {
  std::uint32_t k = 1;
  while ((k == 1 || words.Below(k) == 0) && gamma_trial()) ++k;
  return k % 2 == 1;
}

/// Uniform in [0, bound), exactly, by rejection; `bits` is the width of bound - 1 or of bound.
Wide BelowWide(Wide bound, unsigned bits, RandomWords& words) {
  const Wide mask = (Wide{1} << bits) - 1;
  for (;;) {
    Wide value = 0;
    for (unsigned have = 0; have < bits; have += 32) value = (value << 32U) | words.Next32();
    value &= mask;
    if (value < bound) return value;
  }
}

Result<void> CheckSteps(std::uint64_t steps) {
  if (steps >= kMinNoiseSteps && steps <= kMaxNoiseSteps) return {};
  return Fail(ErrorCode::kInvalidArgument, "a noise scale of " + std::to_string(steps) + " grid steps is outside " +
                                               std::to_string(kMinNoiseSteps) + " to " +
                                               std::to_string(kMaxNoiseSteps));
}

}  // namespace

Result<std::uint64_t> NoiseSteps(NoiseMultiplier noise_multiplier, GridRadius grid_radius) {
  const double scale = noise_multiplier.value() * grid_radius.value();  // exact: the radius is a power of two
  if (scale < kMinNoiseSteps) {
    return Fail(ErrorCode::kInvalidArgument, "the noise is below " + std::to_string(kMinNoiseSteps) +
                                                 " grid steps: choose a larger noise multiplier or grid radius");
  }
  if (scale > kMaxNoiseSteps) {
    return Fail(ErrorCode::kInvalidArgument,
                "the noise is above " + std::to_string(kMaxNoiseSteps) + " grid steps: choose a smaller grid radius");
  }
  return static_cast<std::uint64_t>(std::ceil(scale));
}

Result<DiscreteLaplace> DiscreteLaplace::Create(std::uint64_t scale) {
  TACIT_TRY_VOID(CheckSteps(scale));
  return DiscreteLaplace(static_cast<std::uint32_t>(scale));
}

std::int64_t DiscreteLaplace::Sample(RandomWords& words) const {
  for (;;) {
    const std::uint32_t remainder = words.Below(scale_);
    if (!BernoulliExpMinus([&] { return words.Below(scale_) < remainder; }, words)) continue;
    std::int64_t quotient = 0;
    while (BernoulliExpMinusOne(words)) ++quotient;
    // Fits: scale_ <= 2^27 + 1, and quotient reaches 2^32 with probability exp(-2^32).
    const std::int64_t magnitude = remainder + std::int64_t{scale_} * quotient;
    const bool negative = words.Next32() % 2 == 1;
    if (negative && magnitude == 0) continue;  // zero has one sign, or it would come twice as often
    return negative ? -magnitude : magnitude;
  }
}

Result<DiscreteGaussian> DiscreteGaussian::Create(std::uint64_t sigma) {
  TACIT_TRY_VOID(CheckSteps(sigma));
  return DiscreteGaussian(static_cast<std::uint32_t>(sigma));
}

// With sigma <= 2^27 and t = floor(sigma) + 1 <= 2^27 + 1: sigma^2 <= 2^54, t^2 < 2^54.1, so 2 sigma^2 t^2 < 2^110.
DiscreteGaussian::DiscreteGaussian(std::uint32_t sigma)
    : proposal_(sigma + 1), sigma_squared_(std::uint64_t{sigma} * sigma), denominator_(0), denominator_bits_(0) {
  const std::uint64_t t = std::uint64_t{sigma} + 1;
  denominator_ = Wide{2} * sigma_squared_ * t * t;
  const auto high = static_cast<std::uint64_t>(denominator_ >> 64U);
  const auto low = static_cast<std::uint64_t>(denominator_);
  denominator_bits_ = static_cast<unsigned>(high != 0 ? 64 + std::bit_width(high) : std::bit_width(low));
}

std::int64_t DiscreteGaussian::Sample(RandomWords& words) const {
  for (;;) {
    const std::int64_t candidate = proposal_.Sample(words);
    if (Accepts(candidate, words)) return candidate;
  }
}

// Accepts with probability exp(-(|y| - sigma^2 / t)^2 / (2 sigma^2)) = exp(-(|y| t - sigma^2)^2 / (2 sigma^2 t^2)).
bool DiscreteGaussian::Accepts(std::int64_t candidate, RandomWords& words) const {
  // The one branch that is not exact. A Laplace of scale t <= 2^27 + 1 gets here with probability below exp(-2^36 / t)
  // < 2^-738, and the exact rule would reject with probability above 1 - exp(-2^16).
  constexpr std::uint64_t kLargest = std::uint64_t{1} << 36U;
  const std::uint64_t magnitude = static_cast<std::uint64_t>(candidate < 0 ? -candidate : candidate);
  if (magnitude > kLargest) [[unlikely]]
    return false;

  // magnitude * t <= 2^36 (2^27 + 1) < 2^63.1 fits 64 bits; the square of the difference is below 2^126.2 and fits 128.
  const std::uint64_t scaled = magnitude * proposal_.scale_;
  const std::uint64_t distance = scaled > sigma_squared_ ? scaled - sigma_squared_ : sigma_squared_ - scaled;
  Wide numerator = Wide{distance} * distance;
  for (; numerator >= denominator_; numerator -= denominator_) {  // exp(-gamma) = exp(-1)^floor(gamma) exp(-rest)
    if (!BernoulliExpMinusOne(words)) return false;
  }
  return BernoulliExpMinus([&] { return BelowWide(denominator_, denominator_bits_, words) < numerator; }, words);
}

}  // namespace tacit::dp
