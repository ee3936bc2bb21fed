#include "dp/renyi.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "dp/normal.h"
#include "dp/numbers.h"

namespace tacit::dp {
namespace {

double LogAdd(double left, double right) {
  const double high = std::max(left, right);
  const double low = std::min(left, right);
  return low == -kInfinity ? high : high + std::log1p(std::exp(low - high));
}

double LogChoose(double n, double k) {
  return std::lgamma(n + 1) - std::lgamma(k + 1) - std::lgamma(n - k + 1);
}

bool IsWhole(double order) {
  return order >= 2 && order == std::floor(order);
}

/// ln E_Q[(P/Q)^order] for a whole order: a binomial sum of positive terms.
double LogMomentWhole(double noise_multiplier, double q, double order) {
  const double log_odds = std::log(q) - std::log1p(-q);
  const double half = 1 / (2 * noise_multiplier * noise_multiplier);
  double log_coefficient = order * std::log1p(-q);
  double sum = log_coefficient;
  for (double i = 1; i <= order; ++i) {
    log_coefficient += std::log((order - i + 1) / i) + log_odds;
    sum = LogAdd(sum, log_coefficient + (i * i - i) * half);
  }
  return sum;
}

/// The same for any order: the integral is cut where both parts of the mixture are equal, and each half expanded in the
/// smaller part. Terms alternate, so what cancelled is added back.
double LogMomentReal(double noise_multiplier, double q, double order) {
  const double variance = noise_multiplier * noise_multiplier;
  const double middle = variance * std::log(1 / q - 1) + 0.5;
  double positive = -kInfinity;
  double negative = -kInfinity;
  double log_coefficient = 0;
  bool is_positive = true;
  double last = 0;  // signs alternate from here on, so what is left out is less than this
  for (int i = 0; i < 2000; ++i) {
    const double k = i;
    const double rest = order - k;
    const double below = log_coefficient + k * std::log(q) + rest * std::log1p(-q) + (k * k - k) / (2 * variance) +
                         LogNormalTail((k - middle) / noise_multiplier);
    const double above = log_coefficient + rest * std::log(q) + k * std::log1p(-q) +
                         (rest * rest - rest) / (2 * variance) + LogNormalTail((middle - rest) / noise_multiplier);
    double& sum = is_positive ? positive : negative;
    last = LogAdd(below, above);
    sum = LogAdd(sum, last);
    if (k > order && last < positive - 34) break;
    log_coefficient += std::log(std::abs(rest) / (k + 1));
    is_positive = is_positive == (rest > 0);
  }
  const double net = positive + std::log1p(-std::exp(negative - positive));
  return LogAdd(net, LogAdd(last, positive + std::log(1e-13)));
}

double LowestOverOrders(const std::function<double(double)>& epsilon_at, double low, double high) {
  for (int i = 0; i < 60; ++i) {  // by thirds: the function has one valley between its neighbours
    const double left = low + (high - low) / 3;
    const double right = high - (high - low) / 3;
    if (epsilon_at(left) < epsilon_at(right)) {
      high = right;
    } else {
      low = left;
    }
  }
  return epsilon_at(low);
}

/// By order - 1, which keeps its digits near 1.
double Conversion(double x, double delta) {
  const double log_order = std::log1p(x);
  return (std::log(x) - log_order) - (std::log(delta) + log_order) / x;
}

double Converted(double renyi, double x, double delta) {
  return renyi + Conversion(x, delta);
}

double Raised(double epsilon) {
  return std::max(0.0, epsilon + std::abs(epsilon) * 1e-12 + 1e-12);
}

struct BestOrder {
  double order;
  double epsilon;
};

// A true divergence gives one valley: a convex function of order - 1, over that. Far past the best order the large
// ones, whose sums are the long ones, are then left out; but a bound of a divergence may have two.
constexpr double kPast = 8;
constexpr double kAlwaysOfDivergence = 128;
constexpr double kAlwaysOfBound = 4096;

/// Looks at all orders up to `always`.
BestOrder BestWholeOrder(const std::function<double(double)>& renyi, double delta, double always) {
  const auto epsilon_at = [&](double order) { return Converted(renyi(order), order - 1, delta); };
  BestOrder best{2, epsilon_at(2)};
  const auto look_at = [&](double order) {
    const double epsilon = epsilon_at(order);
    if (epsilon < best.epsilon) best = {order, epsilon};
  };
  for (double order = 3; order <= std::clamp(kPast * best.order, always, 4096.0); order = std::ceil(order * 1.4))
    look_at(order);
  for (double step = std::max(1.0, std::floor(best.order / 5)); step >= 1; step = std::floor(step / 2)) {
    const double middle = best.order;
    if (middle - step >= 2) look_at(middle - step);
    look_at(middle + step);
  }
  // ln E_Q[(P/Q)^order] is convex in the order, so that between two whole orders a straight line is an upper bound.
  const double whole = best.order;
  for (const double low : {whole - 1, whole}) {
    if (low < 2) continue;
    const double at_low = (low - 1) * renyi(low);
    const double at_high = low * renyi(low + 1);
    for (double share = 0.125; share < 1; share += 0.125) {
      const double x = low - 1 + share;
      best.epsilon = std::min(best.epsilon, Converted((at_low + share * (at_high - at_low)) / x, x, delta));
    }
  }
  return best;
}

}  // namespace

double GaussianRenyi(double noise_multiplier, double order) {
  return order / (2 * noise_multiplier * noise_multiplier);
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

double PoissonGaussianRenyi(double noise_multiplier, double sampling_probability, double order) {
  if (sampling_probability == 1) return GaussianRenyi(noise_multiplier, order);
  const double log_moment = IsWhole(order) ? LogMomentWhole(noise_multiplier, sampling_probability, order)
                                           : LogMomentReal(noise_multiplier, sampling_probability, order);
  if (std::isnan(log_moment)) return kInfinity;
  return std::max(0.0, log_moment + std::abs(log_moment) * 1e-12 + 1e-13) / (order - 1);
}

double PoissonLaplaceRenyi(double noise_multiplier, double sampling_probability, double order) {
  if (!IsWhole(order)) return kInfinity;
  const double q = sampling_probability;
  if (q == 1) return LaplaceRenyi(noise_multiplier, order);
  double sum = (order - 1) * std::log1p(-q) + std::log1p((order - 1) * q);
  for (double i = 2; i <= order; ++i) {
    sum = LogAdd(sum, (i > 2 ? std::log(3) : 0) + LogChoose(order, i) + (order - i) * std::log1p(-q) + i * std::log(q) +
                          (i - 1) * LaplaceRenyi(noise_multiplier, i));
  }
  return std::max(0.0, sum + std::abs(sum) * 1e-12 + 1e-13) / (order - 1);
}

double FixedSizeGaussianRenyi(double noise_multiplier, double sampling_fraction, double order) {
  constexpr double kLargestOrder = 256;  // the work grows with its square
  if (!IsWhole(order) || order > kLargestOrder) return kInfinity;
  const double variance = noise_multiplier * noise_multiplier;
  const auto log_ratio_moment = [&](double i) { return i * (i - 1) / (2 * variance); };  // ln E_Q[(P/Q)^i]
  // E_Q[(P/Q - 1)^j] for even j: the terms alternate, and what rounding can have taken is added.
  const auto log_central = [&](double j) {
    const double largest = log_ratio_moment(j);
    double sum = 0;
    double size = 0;
    double log_choose = 0;
    for (double i = 0; i <= j; ++i) {
      const double term = std::exp(log_choose + log_ratio_moment(i) - largest);
      sum += std::fmod(j - i, 2) == 0 ? term : -term;
      size += term;
      log_choose += std::log((j - i) / (i + 1));
    }
    return largest + std::log(std::max(sum, 0.0) + size * (8 + largest + 4 * j) * 4 * kUnit);
  };
  double log_sum = 0;
  for (double i = 2; i <= order; ++i) {
    const double weight = i * std::log(sampling_fraction) + LogChoose(order, i);
    const double any = std::numbers::ln2 + log_ratio_moment(i);
    double least = any;
    if (weight + any > log_sum - 40) {  // else it does not matter
      const double both = log_central(2 * std::floor(i / 2)) + log_central(2 * std::ceil(i / 2));
      least = std::min(any, std::log(4) + both / 2);
    }
    log_sum = LogAdd(log_sum, weight + least);
  }
  return log_sum / (order - 1);
}

double SkellamRenyi(double variance, double l1, double l2, double order) {
  if (!IsWhole(order)) return kInfinity;
  return order * l2 * l2 / (2 * variance) +
         std::min(((2 * order - 1) * l2 * l2 + 6 * l1) / (4 * variance * variance), 3 * l1 / (2 * variance));
}

double FiniteRenyi(std::span<const OutputPair::Masses> outcomes, double order) {
  double forward = 0;
  double backward = 0;
  for (const OutputPair::Masses& each : outcomes) {
    if (each.with == 0 && each.without == 0) continue;
    if (each.with == 0 || each.without == 0) return kInfinity;
    const double loss = std::log(each.with / each.without);
    forward += each.with * std::exp((order - 1) * loss);
    backward += each.without * std::exp(-(order - 1) * loss);
  }
  return (std::log(std::max(forward, backward)) + 1e-13) / (order - 1);
}

double RenyiConversion(double order, double delta) {
  return Conversion(order - 1, delta);
}

double RenyiToEpsilon(const std::function<double(double)>& renyi, double delta) {
  const auto epsilon_at = [&](double log_x) {
    const double x = std::exp(log_x);
    return Converted(renyi(1 + x), x, delta);
  };
  constexpr double kLowest = -7;  // below, the Renyi divergence of Laplace loses digits
  constexpr double kHighest = 20;
  constexpr int kPoints = 109;
  constexpr double kStep = (kHighest - kLowest) / (kPoints - 1);
  double best_at = kLowest;
  for (int i = 1; i < kPoints; ++i) {
    if (epsilon_at(kLowest + i * kStep) < epsilon_at(best_at)) best_at = kLowest + i * kStep;
  }
  return Raised(std::min(epsilon_at(best_at), LowestOverOrders(epsilon_at, best_at - kStep, best_at + kStep)));
}

double WholeOrdersToEpsilon(const std::function<double(double)>& renyi, double delta) {
  return Raised(BestWholeOrder(renyi, delta, kAlwaysOfBound).epsilon);
}

double RealOrdersToEpsilon(const std::function<double(double)>& renyi, double delta) {
  const BestOrder whole = BestWholeOrder(renyi, delta, kAlwaysOfDivergence);
  constexpr double kLargestUncertain = 12;  // beyond, a straight line between whole orders is as good
  if (whole.order > kLargestUncertain) return Raised(whole.epsilon);
  const auto epsilon_at = [&](double order) { return Converted(renyi(order), order - 1, delta); };
  // Walks down the valley in ever smaller strides: few evaluations, because a moment between whole orders is a series
  // of up to two thousand terms.
  constexpr double kNearestToOne = 0.02;
  const double first = whole.order - 1;
  double x = first;
  double lowest = epsilon_at(1 + x);
  const auto improves = [&](double next) {
    if (next < kNearestToOne) return false;
    const double epsilon = epsilon_at(1 + next);
    if (!(epsilon < lowest)) return false;
    lowest = epsilon;
    x = next;
    return true;
  };
  for (double stride = 0.8 / first; stride > 0.07 / first; stride /= 2) {
    const double ratio = std::exp(stride);
    if (improves(x / ratio)) {
      while (improves(x / ratio)) continue;
    } else {
      while (improves(x * ratio)) continue;
    }
  }
  return Raised(std::min(whole.epsilon, lowest));
}

}  // namespace tacit::dp
