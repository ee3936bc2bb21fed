#include "dp/noise.h"

#include <cmath>
#include <string>
#include <utility>

#include "common/base/check.h"

namespace tacit::dp {
namespace {

/// The largest scale that one table holds 13.2 deviations of.
constexpr std::uint64_t kTableSigma = 155;
constexpr std::int64_t kMiddle = AliasTable::kPlaces / 2;
/// ln 2^110, rounded up: what a table of a geometric may leave beyond its end is e^-77.
constexpr std::uint64_t kTailExponent = 77;

Result<void> CheckSteps(std::uint64_t steps) {
  if (steps >= kMinNoiseSteps && steps <= kMaxNoiseSteps) return {};
  return Fail(ErrorCode::kInvalidArgument, "a noise scale of " + std::to_string(steps) + " grid steps is outside " +
                                               std::to_string(kMinNoiseSteps) + " to " +
                                               std::to_string(kMaxNoiseSteps));
}

/// x_0 + stride x_1 + stride^2 x_2 + ...: the variance of one is that of a term times `squares`.
struct Convolution {
  std::size_t terms;
  std::uint64_t stride;
  std::uint64_t squares;  ///< 1 + stride^2 + stride^4 + ...
};

Convolution ConvolutionFor(std::uint64_t sigma) {
  for (std::size_t terms = 1;; ++terms) {
    for (std::uint64_t stride = 1; stride <= kLargestStride; ++stride) {
      std::uint64_t squares = 0;
      std::uint64_t power = 1;
      for (std::size_t i = 0; i < terms; ++i, power *= stride * stride) squares += power;
      if (Wide{sigma} * sigma <= Wide{kTableSigma} * kTableSigma * squares) return {terms, stride, squares};
      if (terms == 1) break;
    }
    TACIT_CHECK(terms < NoisePlan::kMostLevels, "five terms reach beyond the largest scale");
  }
}

}  // namespace

Result<std::uint64_t> NoiseSteps(NoiseMultiplier noise_multiplier, GridRadius grid_radius) {
  const double scale = noise_multiplier.value() * grid_radius.value();  // exact: the radius is a power of two
  if (scale < kMinNoiseSteps) {
    return Fail(ErrorCode::kInvalidArgument, "the noise is below " + std::to_string(kMinNoiseSteps) +
                                                 " grid steps: choose a larger noise multiplier or grid radius");
  }
  if (scale > kMaxNoiseSteps) {
    return Fail(ErrorCode::kInvalidArgument,
                "the noise is above " + std::to_string(kMaxNoiseSteps) + " grid steps: choose a smaller grid radius");
  }
  return static_cast<std::uint64_t>(std::ceil(scale));
}

Result<NoiseSampler> NoiseSampler::Gaussian(std::uint64_t sigma) {
  TACIT_TRY_VOID(CheckSteps(sigma));
  const Convolution convolution = ConvolutionFor(sigma);
  NoiseSampler sampler;
  sampler.tables_.emplace_back(AliasTable::Gaussian(convolution.squares, sigma));
  NoisePlan& plan = sampler.plan_;
  plan.levels = convolution.terms;
  plan.tables.fill(sampler.tables_.front().get());
  const auto stride = static_cast<std::int64_t>(convolution.stride);
  plan.factor = static_cast<std::uint32_t>(stride);
  plan.high_factor = stride * stride;
  plan.highest_factor = plan.high_factor * plan.high_factor;
  std::int64_t power = 1;
  for (std::size_t i = 0; i < plan.levels; ++i, power *= stride) plan.centre += kMiddle * power;
  return sampler;
}

Result<NoiseSampler> NoiseSampler::Laplace(std::uint64_t scale) {
  TACIT_TRY_VOID(CheckSteps(scale));
  NoiseSampler sampler;
  sampler.tables_.emplace_back(AliasTable::Sign(scale));
  // The digits of a geometric variable, in base kPlaces, are independent; the last one takes what is left of the tail.
  std::uint64_t place_value = 1;
  sampler.tables_.emplace_back(AliasTable::Geometric(place_value, scale));
  while (AliasTable::kPlaces * place_value < kTailExponent * scale) {
    place_value *= AliasTable::kPlaces;
    sampler.tables_.emplace_back(AliasTable::Geometric(place_value, scale));
  }
  NoisePlan& plan = sampler.plan_;
  plan.has_sign = true;
  plan.levels = sampler.tables_.size();
  TACIT_CHECK(plan.levels < NoisePlan::kMostLevels, "three digits reach beyond the largest scale");
  for (std::size_t i = 0; i < plan.levels; ++i) plan.tables[i] = sampler.tables_[i].get();
  plan.factor = AliasTable::kPlaces;
  plan.high_factor = std::int64_t{AliasTable::kPlaces} * AliasTable::kPlaces;
  return sampler;
}

bool NoiseSampler::Has(Path path) {
  switch (path) {
    case Path::kFastest:
    case Path::kPortable:
      return true;
    case Path::kAvx2:
      return HasAvx2();
    case Path::kAvx512:
      return HasAvx512();
  }
  return false;
}

void NoiseSampler::AddTo(std::span<std::int64_t> values, std::uint64_t first, Keystream& bits, Path path) const {
  TACIT_CHECK(first % kNoiseGroup == 0, "vectors are cut between groups");
  TACIT_CHECK(Has(path), "a path was asked for that this processor lacks");
  const std::uint64_t group = first / kNoiseGroup;
  if (path == Path::kFastest) path = HasAvx512() ? Path::kAvx512 : HasAvx2() ? Path::kAvx2 : Path::kPortable;
  if (plan_.levels > kMostLevelsOfFastLoops || bits.AesKey() == nullptr) path = Path::kPortable;
  if (path == Path::kAvx512) return AddNoiseAvx512(plan_, values, group, bits);
  if (path == Path::kAvx2) return AddNoiseAvx2(plan_, values, group, bits);
  AddNoisePortable(plan_, values, group, bits);
}

Result<NoiseSampler> NoiseSamplers::For(Mechanism mechanism, std::uint64_t steps) {
  const std::pair key{mechanism, steps};
  const auto found = made_.find(key);
  if (found != made_.end()) return found->second;
  TACIT_TRY(NoiseSampler sampler,
            mechanism == Mechanism::kLaplace ? NoiseSampler::Laplace(steps) : NoiseSampler::Gaussian(steps));
  return made_.emplace(key, std::move(sampler)).first->second;
}

}  // namespace tacit::dp
