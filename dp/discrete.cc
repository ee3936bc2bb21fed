#include "dp/discrete.h"

#include <cmath>

namespace tacit::dp {
namespace {

// tau = 1.6 grid steps are taken off the variance, seen from the coarsest grid.
constexpr double kSmoothingVariance = 1.6 * 1.6 / (double{kMinGridRadius} * kMinGridRadius);

}  // namespace

double ContinuousGaussianMultiplier(NoiseMultiplier noise_multiplier) {
  const double variance = noise_multiplier.value() * noise_multiplier.value() * (1 - 0x1p-50) - kSmoothingVariance;
  return variance > 0 ? std::sqrt(variance) * (1 - 0x1p-50) : 0;
}

double ContinuousLaplaceMultiplier(NoiseMultiplier noise_multiplier) {
  const double z = noise_multiplier.value();
  return z / (1 + 1 / (4 * z * kMinGridRadius * kMinGridRadius)) * (1 - 0x1p-50);
}

}  // namespace tacit::dp
