#pragma once

#include <cstdint>
#include <span>

#include "common/base/keystream.h"
#include "common/base/result.h"
#include "dp/accounting.h"
#include "dp/filter.h"
#include "dp/types.h"

namespace tacit::dp {

/// What every device of a task adds to its own clipped update before the update leaves it, so that nobody needs to be
/// trusted with what it was: local differential privacy.
///
/// The neighbouring relation is "replace one": any update of the device against any other, which is what local privacy
/// means, and twice as far as the zero-out of a sum. That a device took part, and when, is not hidden.
struct LocalNoise {
  Mechanism mechanism;               ///< Not kNone.
  NoiseMultiplier noise_multiplier;  ///< Noise scale over the clip norm, as everywhere.
  Delta delta;                       ///< What the epsilon of a task is stated at.

  bool operator==(const LocalNoise&) const = default;
};

/// The largest entry, either way, of a noised vector: the grid radius and 16 standard deviations (40 scales of Laplace
/// noise) beyond it. What lies further out, once in 10^16 draws, is cut to it.
/// Errors: kInvalidArgument when the noise cannot be drawn on this grid, or the bound is not below 2^31.
Result<std::uint32_t> LocalEntryBound(Mechanism mechanism, NoiseMultiplier noise_multiplier, GridRadius grid_radius);

/// Adds noise to a vector that ClipToGrid made, in place.
///
/// Guarantee: what comes out depends on the update through its sum with exact draws only, and no entry is above
///   LocalEntryBound.
/// Errors: as LocalEntryBound; the vector is then as it was.
/// Privacy: `bits` must come from a cryptographic generator whose key is used for this vector only.
/// Cost: as NoiseSampler, and 64 KiB.
Result<void> AddLocalNoise(const LocalNoise& noise, GridRadius grid_radius, Keystream& bits,
                           std::span<std::int32_t> grid);

/// What `releases` noised updates of one device cost it, all with the same noise, at `noise.delta`.
/// Guarantee: as `Account`, under "replace one".
EpsilonReport LocalCost(const LocalNoise& noise, std::uint64_t releases);

/// One noised update as a filter sees it: under "replace one".
Release LocalRelease(const LocalNoise& noise);

struct LocalTarget {
  Mechanism mechanism;
  Epsilon epsilon;
  Delta delta;
  std::uint64_t releases;
};
/// The least noise that keeps `releases` updates within the target. Errors: as CalibrateNoise.
Result<NoiseMultiplier> CalibrateLocalNoise(const LocalTarget& target);

/// The grid of a task that does not name one: that of PlanGridRadius for the average of a full cohort, but never so
/// fine that a noised entry would not fit 32 bits.
GridRadius PlanLocalGridRadius(Mechanism mechanism, NoiseMultiplier noise_multiplier, std::uint64_t cohort);

}  // namespace tacit::dp
