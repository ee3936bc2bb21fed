#include "dp/calibration.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <type_traits>

namespace tacit::dp {
namespace {

constexpr double kLeastNoise = 0x1p-10;
constexpr double kMostNoise = 0x1p17;
constexpr double kTolerance = 5e-5;

Result<double> EpsilonOf(const Step& step, std::uint64_t count, const Target& target, LossMemory& memory) {
  const RepeatedStep repeated{step, count};
  TACIT_TRY(const CompositionReport report, ComposedEpsilon({.steps = {&repeated, 1},
                                                             .delta = target.delta,
                                                             .neighbouring = target.neighbouring,
                                                             .accountant = target.accountant},
                                                            memory));
  return report.epsilon;
}

Result<Step> WithNoise(const Step& step, double noise_multiplier) {
  return std::visit(
      [&](auto changed) -> Result<Step> {
        if constexpr (requires { changed.noise_multiplier; }) {
          changed.noise_multiplier = noise_multiplier;
          return Step(changed);
        } else {
          return Fail(ErrorCode::kInvalidArgument, "this kind of step has no noise multiplier to choose");
        }
      },
      step);
}

}  // namespace

double RoundedUpToSixDigits(double value) {
  std::array<char, 32> text{};
  const double step = std::pow(10.0, std::floor(std::log10(value)) - 5);
  for (double candidate = value;; candidate += step / 2) {
    const auto end =
        std::to_chars(text.data(), text.data() + text.size(), candidate, std::chars_format::scientific, 5).ptr;
    double rounded = 0;
    std::from_chars(text.data(), end, rounded);
    if (rounded >= value) return rounded;
  }
}

Result<double> CalibratedNoise(const Step& step, std::uint64_t count, const Target& target) {
  const auto excess = [&](double noise) -> Result<double> {
    TACIT_TRY(const Step tried, WithNoise(step, noise));
    LossMemory memory;  // another noise is another step
    TACIT_TRY(const double epsilon, EpsilonOf(tried, count, target, memory));
    return std::log(epsilon) - std::log(target.epsilon);
  };
  if (!(target.epsilon > 0)) return Fail(ErrorCode::kInvalidArgument, "the target epsilon must be above 0");
  double low = 1;
  TACIT_TRY(double at_low, excess(low));
  double high = low;
  double at_high = at_low;
  while (at_high > 0) {  // more noise
    if (high >= kMostNoise)
      return Fail(ErrorCode::kInvalidArgument, "no noise multiplier up to 131072 meets the target");
    low = high;
    at_low = at_high;
    high *= 2;
    TACIT_TRY(at_high, excess(high));
  }
  while (at_low <= 0) {  // less noise
    if (low <= kLeastNoise) return RoundedUpToSixDigits(low);
    high = low;
    at_high = at_low;
    low /= 2;
    TACIT_TRY(at_low, excess(low));
  }
  // Epsilon falls nearly as a power of the noise: a chord between logarithms lands close, and a nudge past the root
  // brings the other end along.
  while (high / low - 1 > kTolerance) {
    const double log_span = std::log(high / low);
    double share = 0.5;
    if (std::isfinite(at_low)) share = at_low / (at_low - at_high);
    const double nudge = kTolerance / 3 / log_span;
    share = std::min(std::max(share + (at_low > -at_high ? nudge : -nudge), 0.02), 0.98);
    const double middle = low * std::exp(share * log_span);
    TACIT_TRY(const double at_middle, excess(middle));
    if (at_middle <= 0) {
      high = middle;
      at_high = at_middle;
    } else {
      low = middle;
      at_low = at_middle;
    }
  }
  return RoundedUpToSixDigits(high);
}

Result<std::uint64_t> AffordableSteps(const Step& step, const Target& target) {
  LossMemory memory;
  const auto fits = [&](std::uint64_t count) -> Result<bool> {
    TACIT_TRY(const double epsilon, EpsilonOf(step, count, target, memory));
    return epsilon <= target.epsilon;
  };
  TACIT_TRY(const bool any, fits(1));
  if (!any) return 0U;
  std::uint64_t good = 1;
  std::uint64_t bad = 2;
  while (true) {
    if (good == kMaxCalibratedSteps) return good;
    TACIT_TRY(const bool more, fits(bad));
    if (!more) break;
    good = bad;
    bad = std::min(bad * 4, kMaxCalibratedSteps);
  }
  while (bad - good > 1) {
    const std::uint64_t middle = good + (bad - good) / 2;
    TACIT_TRY(const bool holds, fits(middle));
    (holds ? good : bad) = middle;
  }
  return good;
}

}  // namespace tacit::dp
