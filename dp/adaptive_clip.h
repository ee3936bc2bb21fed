#pragma once

#include <cstdint>

#include "common/base/result.h"
#include "dp/types.h"

namespace tacit::dp {

/// Lets the clip norm of a task follow a quantile of its devices' norms. Each device sends one bit more, whether its
/// update was within the clip norm, as one coordinate more of the same vector: `bit_steps` up when it was, down when it
/// was clipped. Vector and bit are one mechanism with one noise, and the noise multiplier is over the length of both.
///
/// Source: Andrew, Thakkar, McMahan, Ramaswamy 2021 (adaptive clipping): algorithm 1, and for what the bit costs
///   theorem 1, of which this is the integer form.
struct ClipTracking {
  std::uint32_t bit_steps;  ///< Grid steps, 1 to the grid radius.
  double quantile;          ///< Of the devices, whose updates are to be within the clip norm; between 0 and 1.
  double learning_rate;     ///< Above 0: by how much ln(clip norm) follows a difference of 1 in that share.

  bool operator==(const ClipTracking&) const = default;
};

/// Errors: kInvalidArgument, naming what is out of range.
Result<void> CheckTracking(const ClipTracking& tracking, GridRadius grid_radius);

/// The noise scale on the grid that makes a vector of at most `grid_radius` together with its bit as private as
/// `noise_multiplier` says: NoiseSteps of z sqrt(1 + (bit_steps / R)^2), rounded up. Without bits, of z.
/// Errors: kInvalidArgument as NoiseSteps, and when that is beyond what a multiplier may be.
Result<std::uint64_t> NoiseStepsWithBits(NoiseMultiplier noise_multiplier, GridRadius grid_radius,
                                         std::uint32_t bit_steps);

/// Bits that are told apart from the noise well enough: the share of devices within the clip norm comes out with a
/// standard deviation of 0.05, unless that would take more than half of the radius.
std::uint32_t PlanBitSteps(NoiseMultiplier noise_multiplier, GridRadius grid_radius, std::uint64_t cohort);

/// The clip norm of the next round, from the noised share of devices that were within this one's.
/// Privacy: post-processing of a release.
ClipNorm NextClipNorm(ClipNorm now, double share_within, const ClipTracking& tracking);

}  // namespace tacit::dp
