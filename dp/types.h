#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "common/base/result.h"

namespace tacit::dp {

/// A number that was checked when it was made, so that no later code can meet a bad one. There is no default value on
/// purpose: a privacy parameter that nobody chose is a mistake that nobody sees.
template <typename Rule>
class Checked {
 public:
  using Number = typename Rule::Number;

  /// Errors: kInvalidArgument, naming the parameter, the value and the range. NaN is outside every range.
  static Result<Checked> Create(Number value) {
    TACIT_TRY_VOID(Rule::Check(value));
    return Checked(value);
  }
  [[nodiscard]] Number value() const { return value_; }
  auto operator<=>(const Checked&) const = default;

 private:
  explicit Checked(Number value) : value_(value) {}
  Number value_;
};

struct EpsilonRule {
  using Number = double;
  static Result<void> Check(double value);
};
struct DeltaRule {
  using Number = double;
  static Result<void> Check(double value);
};
struct NoiseMultiplierRule {
  using Number = double;
  static Result<void> Check(double value);
};
struct SamplingProbabilityRule {
  using Number = double;
  static Result<void> Check(double value);
};
struct ClipNormRule {
  using Number = double;
  static Result<void> Check(double value);
};
struct GridRadiusRule {
  using Number = std::uint32_t;
  static Result<void> Check(std::uint32_t value);
};

/// The bound on the privacy loss.
/// Units: natural logarithm of a probability ratio; finite and above 0.
using Epsilon = Checked<EpsilonRule>;
/// The probability left outside the bound.
/// Units: 0 < delta < 1. Whether it is small enough for a fleet is the task's rule.
using Delta = Checked<DeltaRule>;
/// Noise scale over sensitivity: standard deviation over the L2 clip (Gaussian), scale b over the L1 clip (Laplace).
/// Units: above 0 and at most kMaxNoiseMultiplier, beyond which no grid could be sampled.
using NoiseMultiplier = Checked<NoiseMultiplierRule>;
/// How likely one device's coin lets it take part in one round.
/// Units: above 0 and below 1; without coins there is no sampling to speak of.
using SamplingProbability = Checked<SamplingProbabilityRule>;
/// The largest norm one device's update may have.
/// Units: those of the model's parameters; 2^-64 to 2^64, so that a grid step and its inverse are ordinary numbers.
using ClipNorm = Checked<ClipNormRule>;
/// Grid steps per clip norm: the sensitivity of the sum, exactly, in integers.
/// Units: a power of two, 2^10 to 2^30.
using GridRadius = Checked<GridRadiusRule>;

inline constexpr double kMaxNoiseMultiplier = 0x1p17;
inline constexpr std::uint32_t kMinGridRadius = std::uint32_t{1} << 10U;
inline constexpr std::uint32_t kMaxGridRadius = std::uint32_t{1} << 30U;
/// The longest vector this library takes. The slack that accounting adds per coordinate is computed for it.
inline constexpr std::size_t kMaxParameters = std::size_t{1} << 28U;

/// How a round's average is made private.
enum class Mechanism : std::uint8_t {
  kNone = 1,      ///< It is not; named so wherever it is shown.
  kGaussian = 2,  ///< Discrete Gaussian noise, L2 clip.
  kLaplace = 3,   ///< Discrete Laplace noise, L1 clip.
};

enum class Norm : std::uint8_t { kL1, kL2 };

/// The norm in which a mechanism's sensitivity is measured; kNone clips in L2 like kGaussian.
constexpr Norm NormOf(Mechanism mechanism) {
  return mechanism == Mechanism::kLaplace ? Norm::kL1 : Norm::kL2;
}

/// `none`, `gaussian` or `laplace`: the word used in tasks, answers and records.
std::string_view NameOf(Mechanism mechanism);
/// Errors: kInvalidArgument, listing the words that are allowed.
Result<Mechanism> ParseMechanism(std::string_view name);

}  // namespace tacit::dp
