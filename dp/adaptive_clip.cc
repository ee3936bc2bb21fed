#include "dp/adaptive_clip.h"

#include <algorithm>
#include <cmath>

#include "dp/noise.h"

namespace tacit::dp {
namespace {

constexpr double kDeviationOfShare = 0.05;
constexpr double kLargestBit = 0.5;

}  // namespace

Result<void> CheckTracking(const ClipTracking& tracking, GridRadius grid_radius) {
  if (tracking.bit_steps == 0 || tracking.bit_steps > grid_radius.value())
    return Fail(ErrorCode::kInvalidArgument, "a clip bit must be from 1 grid step to the grid radius");
  // Written so that NaN fails.
  if (!(tracking.quantile > 0 && tracking.quantile < 1))
    return Fail(ErrorCode::kInvalidArgument, "the quantile that a clip norm follows must be above 0 and below 1");
  if (!(tracking.learning_rate > 0 && tracking.learning_rate <= 10))
    return Fail(ErrorCode::kInvalidArgument, "the learning rate of a clip norm must be above 0 and at most 10");
  return {};
}

Result<std::uint64_t> NoiseStepsWithBits(NoiseMultiplier noise_multiplier, GridRadius grid_radius,
                                         std::uint32_t bit_steps) {
  if (bit_steps == 0) return NoiseSteps(noise_multiplier, grid_radius);
  const double share = static_cast<double>(bit_steps) / grid_radius.value();
  TACIT_TRY(const NoiseMultiplier joint,
            NoiseMultiplier::Create(noise_multiplier.value() * std::sqrt(1 + share * share) * (1 + 0x1p-50)));
  return NoiseSteps(joint, grid_radius);
}

std::uint32_t PlanBitSteps(NoiseMultiplier noise_multiplier, GridRadius grid_radius, std::uint64_t cohort) {
  // A bit of b R against noise z R on a sum that is divided by 2 b R m: deviation z / (2 b m).
  const double wanted =
      noise_multiplier.value() / (2 * kDeviationOfShare * static_cast<double>(std::max<std::uint64_t>(cohort, 1)));
  const double steps = std::ceil(std::min(wanted, kLargestBit) * grid_radius.value());
  return static_cast<std::uint32_t>(std::max(steps, 1.0));
}

ClipNorm NextClipNorm(ClipNorm now, double share_within, const ClipTracking& tracking) {
  const double difference = std::clamp(share_within, 0.0, 1.0) - tracking.quantile;
  const auto next = ClipNorm::Create(now.value() * std::exp(-tracking.learning_rate * difference));
  return next ? *next : now;  // at the ends of what a clip norm may be
}

}  // namespace tacit::dp
