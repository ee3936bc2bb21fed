#pragma once

#include <vector>

#include "common/base/keystream.h"
#include "common/base/result.h"
#include "dp/noise.h"
#include "dp/sum.h"
#include "dp/token.h"

namespace tacit::dp {

/// The one way from a round's sum to numbers: (sum + noise) * clip_norm / grid_radius / divisor.
///
/// Guarantee: the noise is that of the token's terms, drawn exactly on the grid, one independent draw per coordinate,
///   rounded up in scale. Sum and token are used up whatever happens: after an error there is no release, and the
///   charge stays spent.
///   With `bit_steps` one entry more stands at the end: the share of the declared cohort that was within the clip norm,
///   noised, so that it may lie outside 0 to 1; who did not come counts half.
/// Errors: kGone for a token that was spent; kConflict for a token of another round, mechanism or grid;
///   kInvalidArgument when the noise cannot be drawn (see NoiseSteps); kInternal if an entry would overflow.
/// Privacy: `noise_bits` must come from a cryptographic generator whose key is used for this round only; it is not read
///   for kNone.
/// Cost: about 0.15 s per million parameters.
/// Source: docs/PRIVACY.md, "The mechanism, step by step".
Result<std::vector<float>> ReleaseAverage(UnnoisedSum&& sum, ReleaseToken&& token, Keystream& noise_bits);

/// The same, with a sampler that `samplers` may have made for an earlier release.
/// Cost: without making a sampler, for small vectors nearly nothing.
Result<std::vector<float>> ReleaseAverage(UnnoisedSum&& sum, ReleaseToken&& token, Keystream& noise_bits,
                                          NoiseSamplers& samplers);

}  // namespace tacit::dp
