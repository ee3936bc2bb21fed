#pragma once

#include "dp/types.h"

namespace tacit::dp {

// What the exact noise on the grid is accounted as (docs/PRIVACY.md, "From discrete to continuous").

/// How far the draws of one release can be, in total variation, from those that are accounted for: five tables of 4096
/// places that are rounded at 2^-124 each, and tails below 2^-110, make 2^-109 a draw; up to 2^28 draws
/// (docs/PRIVACY.md, "The sampler").
inline constexpr double kSamplerDistance = 0x1p-80;

/// The multiplier of the continuous Gaussian that the discrete one is a post-processing of, rounded down; 0 when there
/// is none.
double ContinuousGaussianMultiplier(NoiseMultiplier noise_multiplier);

/// The multiplier of a continuous Laplace that is nowhere harder to tell apart than the discrete one, rounded down: 1 /
/// z + 1 / (4 z^2 R^2) = 1 / z', seen from the coarsest grid.
double ContinuousLaplaceMultiplier(NoiseMultiplier noise_multiplier);

}  // namespace tacit::dp
