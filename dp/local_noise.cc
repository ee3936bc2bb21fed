#include "dp/local_noise.h"

#include <algorithm>
#include <array>
#include <limits>
#include <string>

#include "common/base/check.h"
#include "dp/noise.h"
#include "dp/planning.h"
#include "dp/wipe.h"

namespace tacit::dp {
namespace {

/// Beyond 16 deviations of a Gaussian lies e^-128 of it, beyond 40 scales of a Laplace e^-40.
constexpr std::uint64_t kGaussianReach = 16;
constexpr std::uint64_t kLaplaceReach = 40;
constexpr std::uint64_t kLargestEntry = std::numeric_limits<std::int32_t>::max();
constexpr std::size_t kChunk = 8192;
static_assert(kChunk % kNoiseGroup == 0, "each chunk begins where a group of draws does");

std::uint64_t ReachOf(Mechanism mechanism) {
  return mechanism == Mechanism::kLaplace ? kLaplaceReach : kGaussianReach;
}

/// "Replace one" moves a vector by up to twice the clip norm.
NoiseMultiplier OverReplaceOne(NoiseMultiplier noise_multiplier) {
  const auto half = NoiseMultiplier::Create(noise_multiplier.value() / 2);
  TACIT_CHECK(half.has_value(), "half of a multiplier is one");
  return *half;
}

}  // namespace

Result<std::uint32_t> LocalEntryBound(Mechanism mechanism, NoiseMultiplier noise_multiplier, GridRadius grid_radius) {
  TACIT_TRY(const std::uint64_t steps, NoiseSteps(noise_multiplier, grid_radius));
  const std::uint64_t bound = grid_radius.value() + ReachOf(mechanism) * steps;
  if (bound <= kLargestEntry) return static_cast<std::uint32_t>(bound);
  return Fail(ErrorCode::kInvalidArgument, "noised entries of up to " + std::to_string(bound) +
                                               " grid steps do not fit 32 bits: choose a smaller grid radius");
}

Result<void> AddLocalNoise(const LocalNoise& noise, GridRadius grid_radius, Keystream& bits,
                           std::span<std::int32_t> grid) {
  TACIT_TRY(const std::uint32_t bound, LocalEntryBound(noise.mechanism, noise.noise_multiplier, grid_radius));
  TACIT_TRY(const std::uint64_t steps, NoiseSteps(noise.noise_multiplier, grid_radius));
  TACIT_TRY(const NoiseSampler sampler,
            noise.mechanism == Mechanism::kLaplace ? NoiseSampler::Laplace(steps) : NoiseSampler::Gaussian(steps));
  const auto most = static_cast<std::int64_t>(bound);
  std::array<std::int64_t, kChunk> wide{};
  for (std::size_t at = 0; at < grid.size(); at += kChunk) {
    const std::span<std::int32_t> part = grid.subspan(at, std::min(kChunk, grid.size() - at));
    const std::span<std::int64_t> values = std::span(wide).first(part.size());
    std::ranges::copy(part, values.begin());
    sampler.AddTo(values, at, bits);
    std::ranges::transform(values, part.begin(), [&](std::int64_t value) {
      return static_cast<std::int32_t>(std::clamp(value, -most, most));
    });
  }
  WipeMemory(wide.data(), sizeof wide);
  return {};
}

EpsilonReport LocalCost(const LocalNoise& noise, std::uint64_t releases) {
  return Account({.mechanism = noise.mechanism,
                  .noise_multiplier = OverReplaceOne(noise.noise_multiplier),
                  .compositions = releases,
                  .delta = noise.delta});
}

Release LocalRelease(const LocalNoise& noise) {
  return {.mechanism = noise.mechanism, .noise_multiplier = OverReplaceOne(noise.noise_multiplier)};
}

Result<NoiseMultiplier> CalibrateLocalNoise(const LocalTarget& target) {
  TACIT_TRY(const NoiseMultiplier half, CalibrateNoise({.mechanism = target.mechanism,
                                                        .epsilon = target.epsilon,
                                                        .delta = target.delta,
                                                        .compositions = target.releases}));
  return NoiseMultiplier::Create(2 * half.value());
}

GridRadius PlanLocalGridRadius(Mechanism mechanism, NoiseMultiplier noise_multiplier, std::uint64_t cohort) {
  GridRadius radius = PlanGridRadius(mechanism, noise_multiplier, cohort);
  while (radius.value() > kMinGridRadius && !LocalEntryBound(mechanism, noise_multiplier, radius)) {
    const auto half = GridRadius::Create(radius.value() / 2);
    TACIT_CHECK(half.has_value(), "half of a power of two above the smallest radius");
    radius = *half;
  }
  return radius;
}

}  // namespace tacit::dp
