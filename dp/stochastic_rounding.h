#pragma once

#include <cstdint>
#include <span>

#include "common/base/keystream.h"
#include "common/base/result.h"
#include "dp/types.h"
#include "dp/vector_kernels.h"

namespace tacit::dp {

/// Makes a clipped grid vector fit a narrower width: entries become multiples of 2^shift grid steps, each rounded up or
/// down by a coin so that on average nothing is lost, and are left divided by it. A vector whose rounding would leave
/// the bound is first scaled down, by what the coins are expected to add to its norm.
///
/// Guarantee: entries * 2^shift have an exact integer norm of at most `grid_radius`, as VerifyGrid asks; every entry
///   fits `width`. Apart from the scaling the rounding is unbiased, in exact integers.
/// Privacy: the sensitivity is what the server's check enforces, and it holds whatever the coins are; they add no
///   privacy and cost none (docs/PRIVACY.md).
/// Shape: `grid` holds what ClipToGrid made with `grid_radius` and `norm`.
/// Returns: the shift; 0 when the entries fit as they are.
/// Errors: kInvalidArgument when the coins alone would reach the bound: more parameters than the width can carry.
/// Cost: a few passes over memory.
/// Source: Kairouz, Liu, Steinke 2021 (rounding by coins, repeated until the norm holds); Alistarh et al. 2017 (QSGD).
Result<std::uint32_t> RoundToWidth(std::span<std::int32_t> grid, Width width, GridRadius grid_radius, Norm norm,
                                   Keystream& bits);

}  // namespace tacit::dp
