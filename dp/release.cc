#include "dp/release.h"

#include <optional>
#include <span>
#include <utility>

#include "dp/adaptive_clip.h"

namespace tacit::dp {
namespace {

Result<void> CheckTerms(const ReleaseTerms& terms, const SumOptions& sum) {
  if (terms.round != sum.round) return Fail(ErrorCode::kConflict, "the token is for another round than the sum");
  if (terms.mechanism != sum.mechanism)
    return Fail(ErrorCode::kConflict, "the token is for another mechanism than the sum");
  if (terms.grid_radius != sum.grid_radius)
    return Fail(ErrorCode::kConflict, "the token is for another grid than the sum");
  if (terms.bit_steps != sum.bit_steps)
    return Fail(ErrorCode::kConflict, "the token is for other clip bits than the sum");
  // Written so that NaN fails. From 1 on, no entry of the average can exceed 2^62 * 2^64 / 2^10 and overflow a float.
  if (!(terms.divisor >= 1)) return Fail(ErrorCode::kInvalidArgument, "the divisor of an average must be at least 1");
  return {};
}

/// |sum| is at most 2^62 (UnnoisedSum), noise far below: nothing can overflow.
Result<void> AddNoise(std::span<std::int64_t> values, const ReleaseTerms& terms, Keystream& noise_bits,
                      NoiseSamplers& samplers) {
  if (terms.mechanism == Mechanism::kNone) return {};
  if (!terms.noise_multiplier) return Fail(ErrorCode::kInternal, "a private release without a noise multiplier");
  TACIT_TRY(const std::uint64_t steps, NoiseStepsWithBits(*terms.noise_multiplier, terms.grid_radius, terms.bit_steps));
  TACIT_TRY(const NoiseSampler sampler, samplers.For(terms.mechanism, steps));
  sampler.AddTo(values, 0, noise_bits);
  return {};
}

/// After the noise, everything is post-processing: rounding here costs accuracy, never privacy.
std::vector<float> Average(std::span<const std::int64_t> values, const ReleaseTerms& terms) {
  const double scale = terms.clip_norm.value() / terms.grid_radius.value() / terms.divisor;
  std::vector<float> average(values.size());
  for (std::size_t i = 0; i < values.size(); ++i)
    average[i] = static_cast<float>(static_cast<double>(values[i]) * scale);
  if (terms.bit_steps > 0) {
    const double bits = static_cast<double>(values.back()) / (static_cast<double>(terms.bit_steps) * terms.divisor);
    average.back() = static_cast<float>((1 + bits) / 2);
  }
  return average;
}

}  // namespace

Result<std::vector<float>> ReleaseAverage(UnnoisedSum&& sum, ReleaseToken&& token, Keystream& noise_bits) {
  NoiseSamplers samplers;
  return ReleaseAverage(std::move(sum), std::move(token), noise_bits, samplers);
}

Result<std::vector<float>> ReleaseAverage(UnnoisedSum&& sum, ReleaseToken&& token, Keystream& noise_bits,
                                          NoiseSamplers& samplers) {
  UnnoisedSum used = std::move(sum);  // overwritten on every way out
  const std::optional<ReleaseTerms> terms = std::move(token).Spend();
  if (!terms) return Fail(ErrorCode::kGone, "the token was spent before");
  TACIT_TRY_VOID(CheckTerms(*terms, used.options_));
  TACIT_TRY_VOID(AddNoise(used.values(), *terms, noise_bits, samplers));
  return Average(used.values(), *terms);
}

}  // namespace tacit::dp
