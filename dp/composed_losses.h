#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "dp/loss_distribution.h"

namespace tacit::dp {

/// `count` independent repetitions of the same step.
struct RepeatedLoss {
  const LossMass* loss;
  std::uint64_t count;
};

/// The smallest epsilon at which the composition of all `parts` is (epsilon, delta)-indistinguishable in their
/// direction. All grids have the same step.
///
/// Guarantee: never below the value of the losses given. Composition is a product of Fourier transforms of losses
/// tilted
///   by e^(lambda loss), lambda such that the losses that decide sit in the middle; delta is a sum over its
///   coefficients, to which a bound on every rounding error is added before epsilon is read off. Infinity when losses
///   that are infinite take all of `delta`. Nothing when the grid is so fine that a transform of 2^22 points would not
///   do.
/// Cost: one transform for each part; below 2 ms for 10^5 steps.
/// Source: Koskela, Jaelkoe, Honkela 2020 (Fourier accountant); the series and its error bound: docs/PRIVACY.md.
std::optional<double> ComposedEpsilon(std::span<const RepeatedLoss> parts, double delta);

/// The smallest delta at `epsilon`, likewise.
std::optional<double> ComposedDelta(std::span<const RepeatedLoss> parts, double epsilon);

}  // namespace tacit::dp
