#include "dp/formulas.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "dp/normal.h"
#include "dp/numbers.h"
#include "dp/renyi.h"

namespace tacit::dp {
namespace {

constexpr double kSpacing = std::numeric_limits<double>::epsilon();

/// ln delta at `epsilon` of a Gaussian whose means lie `mu` standard deviations apart; never below the true value.
///
/// Balle and Wang: delta = Phi(-a) - e^epsilon Phi(-b) with a = epsilon / mu - mu / 2, b = a + mu. Since e^epsilon
/// phi(b) = phi(a), that is phi(a) (M(a) - M(b)) with M the Mills ratio: no exponential of epsilon, and a difference
/// whose rounding is known, 2^-46 M(a), and added.
double LogGaussianDelta(double mu, double epsilon) {
  const double a = epsilon / mu - mu / 2;
  const double b = epsilon / mu + mu / 2;
  constexpr double kDifferenceError = 0x1p-46;
  // a is itself a rounded difference: its error times the slope of ln delta, at most |a| + 2 or so.
  const double slack = 1e-11 + 4 * kSpacing * b * (std::abs(a) + 2);
  if (a >= 0) {
    const double near = MillsRatio(a);
    return LogNormalDensity(a) + std::log(near - MillsRatio(b) + kDifferenceError * near) + slack;
  }
  const double first = std::erfc(a / std::numbers::sqrt2) / 2;
  const double second = std::exp(LogNormalDensity(a)) * MillsRatio(b);
  return std::min(0.0, std::log(first - second + kDifferenceError) + slack);
}

/// Distance of the means in standard deviations after composition, rounded up.
/// Source: Dong, Roth, Su 2019, composition of Gaussian DP (the squares add).
double GaussianMu(double noise_multiplier, std::uint64_t compositions) {
  return std::sqrt(static_cast<double>(compositions)) / noise_multiplier * (1 + 8 * kSpacing);
}

/// The smallest x in [low, high] where `holds`, from above: `holds(high)` is true, and so is it at the answer.
template <typename Predicate>
double SmallestHolding(double low, double high, double tolerance, Predicate holds) {
  while (high - low > tolerance * high) {
    const double middle = low + (high - low) / 2;
    if (middle <= low || middle >= high) break;
    (holds(middle) ? high : low) = middle;
  }
  return high;
}

bool CostsNothing(std::uint64_t compositions, double delta) {
  return compositions == 0 || delta >= 1;
}
bool HasNoGuarantee(double noise_multiplier, double delta) {
  return !(noise_multiplier > 0) || !(delta > 0);
}

}  // namespace

double GaussianDelta(double noise_multiplier, std::uint64_t compositions, double epsilon) {
  if (compositions == 0) return 0;
  if (!(noise_multiplier > 0) || !(epsilon >= 0)) return 1;
  const double mu = GaussianMu(noise_multiplier, compositions);
  return mu > 0 ? std::min(1.0, std::exp(LogGaussianDelta(mu, epsilon))) : 0;
}

double GaussianEpsilon(double noise_multiplier, std::uint64_t compositions, double delta) {
  if (CostsNothing(compositions, delta)) return 0;
  if (HasNoGuarantee(noise_multiplier, delta)) return kInfinity;
  const double mu = GaussianMu(noise_multiplier, compositions);
  const double target = std::log(delta);
  const auto holds = [&](double epsilon) { return LogGaussianDelta(mu, epsilon) <= target; };
  if (!(mu > 0) || holds(0)) return 0;
  // rho + 2 sqrt(rho ln(1/delta)), rho = mu^2 / 2, always suffices (Bun, Steinke 2016, proposition 1.3).
  double high = mu * mu / 2 + mu * std::sqrt(-2 * target);
  while (!holds(high)) {
    high *= 1.0625;
    if (!(high < std::numeric_limits<double>::max())) return kInfinity;
  }
  return SmallestHolding(0, high, 0x1p-48, holds);
}

double GaussianRho(double noise_multiplier, std::uint64_t compositions) {
  if (compositions == 0) return 0;
  if (!(noise_multiplier > 0)) return kInfinity;
  return static_cast<double>(compositions) / (2 * noise_multiplier * noise_multiplier) * (1 + 8 * kSpacing);
}

double ZcdpEpsilon(double rho, double delta) {
  if (rho == 0 || delta >= 1) return 0;
  if (!(rho > 0) || !(rho < kInfinity) || !(delta > 0)) return kInfinity;
  return RenyiToEpsilon([&](double order) { return order * rho; }, delta);
}

double LaplacePureEpsilon(double noise_multiplier, std::uint64_t compositions) {
  if (compositions == 0) return 0;
  if (!(noise_multiplier > 0)) return kInfinity;
  return static_cast<double>(compositions) / noise_multiplier * (1 + 8 * kSpacing);
}

double LaplaceRdpEpsilon(double noise_multiplier, std::uint64_t compositions, double delta) {
  if (CostsNothing(compositions, delta)) return 0;
  if (HasNoGuarantee(noise_multiplier, delta)) return kInfinity;
  const double times =
      static_cast<double>(compositions) * (1 + 0x1p-30);  // covers the rounding of LaplaceRenyi, 2^-53 / lambda or so
  return RenyiToEpsilon([&](double order) { return times * LaplaceRenyi(noise_multiplier, order); }, delta);
}

}  // namespace tacit::dp
