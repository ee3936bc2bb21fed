#pragma once

#include <cstdint>
#include <span>

#include "common/base/result.h"
#include "dp/types.h"
#include "dp/vector_kernels.h"

namespace tacit::dp {

struct ClipOutcome {
  bool clipped = false;  ///< Whether the vector was longer than the clip norm and was scaled down.
};

/// Clips a device's update and puts it on the integer grid of `clip_norm` / `grid_radius`.
///
/// Guarantee: for all inputs, either an error or a `grid` whose exact integer norm is at most `grid_radius`; every
///   rounding goes toward zero. A vector that floating point left above the bound is moved toward zero until the
///   integers hold it. That is what makes the sensitivity of the sum `grid_radius` exactly, whatever the device, the
///   compiler or the CPU did.
/// Shape: `grid` is as long as `delta`, at most kMaxParameters; it may be the very same memory, and may not overlap in
///   part.
/// Errors: kInvalidArgument for NaN or infinity, naming the first index, and for lengths that differ or are too large.
///   `grid` is then unspecified.
/// Privacy: whether a vector was clipped or refused depends on the device's data: no metric or log may show it for one
///   device.
/// Threads: any.
/// Cost: three passes over memory, no allocation.
/// Source: Casacuberta, Shoemate, Vadhan, Wagaman 2022 (sensitivity lost to floating point); Mironov 2012.
Result<ClipOutcome> ClipToGrid(std::span<const float> delta, ClipNorm clip_norm, GridRadius grid_radius, Norm norm,
                               std::span<std::int32_t> grid);

/// Moves every entry that is not zero one step toward zero, again and again, until the exact integer norm is at most
/// `grid_radius`. The last step of ClipToGrid, apart so that it can be shown to hold on vectors that the scaling never
/// makes.
/// Guarantee: ends, and the norm holds.
/// Cost: one pass for every step that the largest entry must lose.
void ShrinkToNorm(std::span<std::int32_t> grid, GridRadius grid_radius, Norm norm);

/// Passes only vectors whose exact integer norm is at most `grid_radius`: what a device that quantised by itself must
/// send.
///
/// Guarantee: passes if and only if sum(q_i^2) <= grid_radius^2 (kL2) or sum(|q_i|) <= grid_radius (kL1), with no
///   rounding anywhere.
/// Errors: kInvalidArgument, naming the first entry beyond `grid_radius`, or saying that the norm is too large.
/// Threads: any.
/// Cost: one pass.
Result<void> VerifyGrid(std::span<const std::int32_t> grid, GridRadius grid_radius, Norm norm);

/// Passes only vectors without NaN and infinity. Errors: kInvalidArgument, naming the first index. Cost: one pass.
Result<void> CheckFinite(std::span<const float> values);

/// Passes only vectors with no entry beyond `bound`, either way: what a device that noised its own update may send.
/// Errors: kInvalidArgument, naming the first one that is.
/// Threads: any.
/// Cost: one pass.
Result<void> VerifyEntries(std::span<const std::int32_t> grid, std::uint32_t bound);

// The same with a measure that was taken before, which must be that of the vector; for UpdateIntake.
namespace internal {

struct Measured {
  std::span<const float> values;
  const FloatMeasure& measure;
  ClipNorm clip_norm;
  GridRadius grid_radius;
  Norm norm;
};
/// How a vector gets within the bound: by trunc(value * factor), but for what floating point did not see.
struct Scale {
  double factor = 0;
  bool clipped = false;
};
Result<Scale> ScaleOf(const Measured& delta);
/// Puts the vector on the grid so that the bound holds. `grid` may be the very memory of `values`.
void PutOnGrid(std::span<const float> values, double factor, GridRadius grid_radius, Norm norm,
               std::span<std::int32_t> grid);
Result<void> CheckGrid(std::span<const std::int32_t> grid, const GridMeasure& measure, GridRadius grid_radius,
                       Norm norm);
Result<void> CheckEntries(std::span<const std::int32_t> grid, const GridMeasure& measure, std::uint32_t bound);

}  // namespace internal

}  // namespace tacit::dp
