#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "common/base/keystream.h"
#include "common/base/result.h"
#include "dp/noise_kernels.h"
#include "dp/types.h"

namespace tacit::dp {

/// Smallest and largest noise scale in grid steps. Below four steps the grid shows through the noise and the accounting
/// argument of docs/PRIVACY.md does not hold; above 2^28 the tables would not reach.
inline constexpr std::uint64_t kMinNoiseSteps = 4;
inline constexpr std::uint64_t kMaxNoiseSteps = std::uint64_t{1} << 28U;

/// The noise scale on the grid: ceil(noise_multiplier * grid_radius).
/// Guarantee: never below noise_multiplier * grid_radius (the product is exact, the radius being a power of two).
/// Errors: kInvalidArgument outside kMinNoiseSteps..kMaxNoiseSteps, saying which grid radius or multiplier would do.
Result<std::uint64_t> NoiseSteps(NoiseMultiplier noise_multiplier, GridRadius grid_radius);

/// Adds independent integers with P(x) proportional to exp(-x^2 / (2 sigma^2)), or to exp(-|x| / scale), to values.
///
/// Guarantee: given uniform bits, every P(x) of the Gaussian is within one part in 2^66 of what it should be; beyond
///   that, and for Laplace altogether, the total variation distance of a draw is below 2^-109 (docs/PRIVACY.md, "The
///   sampler"). The same stream gives the same values, however a vector is cut into calls and on every processor.
/// Privacy: what is read, and in which order, does not depend on what is drawn, but for a look at more bits once in
/// 2^20
///   words. Whoever has the stream can subtract the noise.
/// Threads: any; it does not change.
/// Source: alias method: Walker 1977; convolution: Micciancio, Walter 2017; digits of a geometric: docs/PRIVACY.md.
class NoiseSampler {
 public:
  /// Errors: kInvalidArgument outside kMinNoiseSteps..kMaxNoiseSteps.
  static Result<NoiseSampler> Gaussian(std::uint64_t sigma);
  static Result<NoiseSampler> Laplace(std::uint64_t scale);

  /// Loops that draw the same values. Those of wide registers need AES as the stream and at most four tables, which
  /// Gaussians above 124 million are beyond; then they leave it to the portable one.
  enum class Path : std::uint8_t { kFastest, kPortable, kAvx2, kAvx512 };
  /// Whether this processor has what a path needs.
  static bool Has(Path path);

  /// Adds a draw to each value; values[0] is coordinate `first` of the whole, a multiple of kNoiseGroup. The sums must
  /// fit: |value| <= 2^62 is enough. `path` is one that this processor has.
  void AddTo(std::span<std::int64_t> values, std::uint64_t first, Keystream& bits, Path path = Path::kFastest) const;

 private:
  NoiseSampler() = default;

  std::vector<std::shared_ptr<const AliasTable>> tables_;
  NoisePlan plan_;
};

/// The samplers that were made so far, for whoever releases many small vectors. What a sampler draws depends on
/// mechanism and scale alone, so one that is found here is as good as a new one.
/// Threads: one.
/// Cost: milliseconds for a scale that is new, nothing after that.
class NoiseSamplers {
 public:
  /// Errors: kInvalidArgument for a scale outside kMinNoiseSteps..kMaxNoiseSteps.
  Result<NoiseSampler> For(Mechanism mechanism, std::uint64_t steps);

 private:
  std::map<std::pair<Mechanism, std::uint64_t>, NoiseSampler> made_;
};

}  // namespace tacit::dp
