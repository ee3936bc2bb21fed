#include "dp/normal.h"

#include <cmath>
#include <numbers>

namespace tacit::dp {

double MillsRatio(double x) {
  if (x < 2) return std::sqrt(std::numbers::pi / 2) * std::exp(x * x / 2) * std::erfc(x / std::numbers::sqrt2);
  double fraction = x;
  for (auto term = static_cast<int>(600 / (x * x)) + 20; term > 0; --term) fraction = x + term / fraction;
  return 1 / fraction;
}

double LogNormalDensity(double x) {
  return -x * x / 2 - std::log(2 * std::numbers::pi) / 2;
}

double LogNormalTail(double x) {
  if (x < 37) return std::log(std::erfc(x / std::numbers::sqrt2) / 2);
  return LogNormalDensity(x) + std::log(MillsRatio(x));
}

}  // namespace tacit::dp
