#pragma once

#include <cstdint>

#include "dp/composition.h"

namespace tacit::dp {

/// What a schedule of one repeated step may cost.
struct Target {
  double epsilon;
  double delta;
  Neighbouring neighbouring = Neighbouring::kAddOrRemoveOne;
  Accountant accountant = Accountant::kTightest;
};

/// The least number of six significant decimal digits that is not below `value`, which is above 0: what people copy
/// from an answer into a task file must be no other noise than the one that was accounted for.
double RoundedUpToSixDigits(double value);

/// The least noise multiplier, to one part in 20,000, at which `count` repetitions of `step` cost at most the target,
/// rounded up to six significant decimal digits. The step's own multiplier does not matter.
/// Guarantee: what comes back meets the target.
/// Errors: kInvalidArgument as ComposedEpsilon, for a step without a noise multiplier, and for a target that no noise
///   within 2^-10 to 2^17 meets.
/// Cost: a dozen compositions.
Result<double> CalibratedNoise(const Step& step, std::uint64_t count, const Target& target);

/// How many repetitions of `step` the target pays for, at most kMaxCalibratedSteps.
/// Errors: as ComposedEpsilon.
/// Cost: two dozen compositions that share a LossMemory.
Result<std::uint64_t> AffordableSteps(const Step& step, const Target& target);
inline constexpr std::uint64_t kMaxCalibratedSteps = 100'000'000;

}  // namespace tacit::dp
