#include "dp/formulas.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numbers>
#include <vector>

namespace tacit::dp {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kUnit = std::numeric_limits<double>::epsilon();

/// (1 - Phi(x)) / phi(x) for x >= 0, within 2^-48 of it.
/// Source: Abramowitz, Stegun 26.2.14 (Laplace's continued fraction). All terms are positive, so evaluating it
///   backwards loses nothing; n terms leave a relative rest of about exp(-2 x sqrt(n)), below 2^-60 for the n used here
///   (compared with 50 digits for x from 2 to 200).
double MillsRatio(double x) {
  if (x < 2) return std::sqrt(std::numbers::pi / 2) * std::exp(x * x / 2) * std::erfc(x / std::numbers::sqrt2);
  double fraction = x;
  for (auto term = static_cast<int>(600 / (x * x)) + 20; term > 0; --term) fraction = x + term / fraction;
  return 1 / fraction;
}

double LogNormalDensity(double x) {
  return -x * x / 2 - std::log(2 * std::numbers::pi) / 2;
}

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
  const double slack = 1e-11 + 4 * kUnit * b * (std::abs(a) + 2);
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
  return std::sqrt(static_cast<double>(compositions)) / noise_multiplier * (1 + 8 * kUnit);
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

/// min over orders of renyi(order) + ln(1 - 1/order) - ln(delta order) / (order - 1), with x = order - 1 searched on a
/// logarithmic scale.
/// Source: Canonne, Kamath, Steinke 2020, proposition 12.
template <typename Renyi>
double ConvertRenyi(Renyi renyi, double delta) {
  const auto epsilon_at = [&](double log_x) {
    const double x = std::exp(log_x);
    const double log_order = std::log1p(x);
    return renyi(1 + x) + (log_x - log_order) - (std::log(delta) + log_order) / x;
  };
  constexpr double kLowest = -7;  // below, the Renyi divergence of Laplace loses digits
  constexpr double kHighest = 20;
  constexpr int kPoints = 109;
  constexpr double kStep = (kHighest - kLowest) / (kPoints - 1);
  double best_at = kLowest;
  for (int i = 1; i < kPoints; ++i) {
    if (epsilon_at(kLowest + i * kStep) < epsilon_at(best_at)) best_at = kLowest + i * kStep;
  }
  double low = best_at - kStep;
  double high = best_at + kStep;
  for (int i = 0; i < 60; ++i) {  // by thirds: the function has one valley between its neighbours
    const double left = low + (high - low) / 3;
    const double right = high - (high - low) / 3;
    (epsilon_at(left) < epsilon_at(right) ? high : low) = epsilon_at(left) < epsilon_at(right) ? right : left;
  }
  const double best = std::min(epsilon_at(best_at), epsilon_at(low));
  return std::max(0.0, best + std::abs(best) * 1e-12 + 1e-12);
}

/// Loss probabilities of one Laplace mechanism on the grid loss_i = lambda - i lambda / cells, i = 0 .. 2 cells.
///
/// Each loss between two grid points is split between them so that its mass and the mean of e^-loss stay: every
/// hockey-stick divergence E[(1 - e^(eps - L))+] is convex in e^-loss, so it can only grow. For Laplace the integrals
/// close: with h the grid step, the interior masses are e^(-i h / 2) tanh(h / 4), which is the loss distribution of a
/// discrete Laplace. All terms positive, no cancellation.
std::vector<double> LaplaceLosses(double lambda, std::size_t cells) {
  const double step = lambda / static_cast<double>(cells);
  const double split = std::tanh(step / 4);
  std::vector<double> mass(2 * cells + 1);
  for (std::size_t i = 0; i < mass.size(); ++i) mass[i] = std::exp(-static_cast<double>(i) * step / 2) * split;
  mass.front() = (1 + split) / 2;
  mass.back() = std::exp(-lambda) * (1 + split) / 2;
  return mass;
}

/// The distribution of the sum of two independent losses. Direct sums of positive terms keep every entry's relative
/// error below terms * 2^-53, deep in the tails too; a Fourier transform would not.
std::vector<double> Convolve(const std::vector<double>& left, const std::vector<double>& right) {
  std::vector<double> both(left.size() + right.size() - 1, 0.0);
  for (std::size_t j = 0; j < right.size(); ++j) {
    for (std::size_t i = 0; i < left.size(); ++i) both[i + j] += left[i] * right[j];
  }
  return both;
}

/// E[(1 - e^(epsilon - L))+] for losses top - i step, raised by what rounding can have taken.
double LossDelta(const std::vector<double>& mass, double top, double step, double epsilon) {
  double delta = 1e-290;  // products that fell below the smallest double
  for (std::size_t i = 0; i < mass.size(); ++i) {
    const double above = top - static_cast<double>(i) * step - epsilon;
    if (above <= 0) break;
    delta -= mass[i] * std::expm1(-above);
  }
  return delta * (1 + 0x1p-30);
}

/// Grid cells per unit of lambda: a power of two, so that the grids of more compositions are parts of those of fewer
/// and the bound grows with them.
std::size_t LossCells(std::uint64_t compositions) {
  std::size_t cells = 1;
  while (cells * 2 * compositions <= kMaxLossDistributionSteps) cells *= 2;
  return cells;
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
  return static_cast<double>(compositions) / (2 * noise_multiplier * noise_multiplier) * (1 + 8 * kUnit);
}

double ZcdpEpsilon(double rho, double delta) {
  if (rho == 0 || delta >= 1) return 0;
  if (!(rho > 0) || !(rho < kInfinity) || !(delta > 0)) return kInfinity;
  return ConvertRenyi([&](double order) { return order * rho; }, delta);
}

double LaplacePureEpsilon(double noise_multiplier, std::uint64_t compositions) {
  if (compositions == 0) return 0;
  if (!(noise_multiplier > 0)) return kInfinity;
  return static_cast<double>(compositions) / noise_multiplier * (1 + 8 * kUnit);
}

double LaplaceRenyi(double noise_multiplier, double order) {
  const double lambda = 1 / noise_multiplier;
  const double x = order - 1;
  const double total = 2 * order - 1;
  // ln( order/total e^(x lambda) + x/total e^(-order lambda) ) / x, around whichever of 0 and x lambda keeps the
  // digits.
  if (x * lambda > 1) return lambda + std::log((order + x * std::exp(-total * lambda)) / total) / x;
  return std::log1p((order * std::expm1(x * lambda) + x * std::expm1(-order * lambda)) / total) / x;
}

double LaplaceRdpEpsilon(double noise_multiplier, std::uint64_t compositions, double delta) {
  if (CostsNothing(compositions, delta)) return 0;
  if (HasNoGuarantee(noise_multiplier, delta)) return kInfinity;
  const double times =
      static_cast<double>(compositions) * (1 + 0x1p-30);  // covers the rounding of LaplaceRenyi, 2^-53 / lambda or so
  return ConvertRenyi([&](double order) { return times * LaplaceRenyi(noise_multiplier, order); }, delta);
}

double LaplacePldEpsilon(double noise_multiplier, std::uint64_t compositions, double delta) {
  if (CostsNothing(compositions, delta)) return 0;
  if (HasNoGuarantee(noise_multiplier, delta) || compositions > kMaxLossDistributionSteps) return kInfinity;
  const double lambda = 1 / noise_multiplier * (1 + kUnit);
  const std::size_t cells = LossCells(compositions);
  const std::vector<double> once = LaplaceLosses(lambda, cells);
  std::vector<double> mass = once;
  for (std::uint64_t i = 1; i < compositions; ++i) mass = Convolve(mass, once);
  const double top = static_cast<double>(compositions) * lambda;
  const double step = lambda / static_cast<double>(cells);
  const auto holds = [&](double epsilon) { return LossDelta(mass, top, step, epsilon) <= delta; };
  if (holds(0)) return 0;
  return SmallestHolding(0, top, 1e-10, holds) * (1 + 1e-12);
}

}  // namespace tacit::dp
