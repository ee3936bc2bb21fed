#include "edge_agent/detect/shapiro_wilk.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <span>

#include "common/base/check.h"

namespace tacit::detect {
namespace {

double Polynomial(std::span<const double> coefficients, double x) {
  double value = 0;
  for (std::size_t i = coefficients.size(); i-- > 0;) value = value * x + coefficients[i];
  return value;
}

// PPND7: about seven digits. Source: Wichura 1988.
double NormalQuantile(double p) {
  constexpr std::array kCentreTop = {3.3871327179, 50.434271938, 159.29113202, 59.109374720};
  constexpr std::array kCentreBottom = {1.0, 17.895169469, 78.757757664, 67.187563600};
  constexpr std::array kMiddleTop = {1.4234372777, 2.7568153900, 1.3067284816, 0.17023821103};
  constexpr std::array kMiddleBottom = {1.0, 0.73700164250, 0.12021132975};
  constexpr std::array kTailTop = {6.6579051150, 3.0812263860, 0.42868294337, 0.017337203997};
  constexpr std::array kTailBottom = {1.0, 0.24197894225, 0.012258202635};
  const double q = p - 0.5;
  if (std::abs(q) <= 0.425) {
    const double r = 0.180625 - q * q;
    return q * Polynomial(kCentreTop, r) / Polynomial(kCentreBottom, r);
  }
  const double r = std::sqrt(-std::log(q < 0 ? p : 1 - p));
  const double z = r <= 5 ? Polynomial(kMiddleTop, r - 1.6) / Polynomial(kMiddleBottom, r - 1.6)
                          : Polynomial(kTailTop, r - 5) / Polynomial(kTailBottom, r - 5);
  return q < 0 ? -z : z;
}

// The weights of the smallest half of n ordered values, largest first; those of the others are the same, negative.
std::vector<double> ShapiroWeights(std::size_t n) {
  constexpr std::array kFirst = {0.0, 0.221157, -0.147981, -2.07119, 4.434685, -2.706056};
  constexpr std::array kSecond = {0.0, 0.042981, -0.293762, -1.752461, 5.682633, -3.582633};
  if (n == 3) return {std::sqrt(0.5)};
  std::vector<double> weights(n / 2);
  double squares = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    weights[i] = -NormalQuantile((static_cast<double>(i) + 0.625) / (static_cast<double>(n) + 0.25));
    squares += 2 * weights[i] * weights[i];
  }
  const double root = 1 / std::sqrt(static_cast<double>(n));
  const double norm = std::sqrt(squares);
  const double first = Polynomial(kFirst, root) + weights[0] / norm;
  double rest = squares - 2 * weights[0] * weights[0];
  double left = 1 - 2 * first * first;
  const std::size_t fixed = n > 5 ? 2 : 1;
  double second = 0;
  if (fixed == 2) {
    second = Polynomial(kSecond, root) + weights[1] / norm;
    rest -= 2 * weights[1] * weights[1];
    left -= 2 * second * second;
  }
  const double scale = std::sqrt(rest / left);
  for (double& weight : weights) weight /= scale;
  weights[0] = first;
  if (fixed == 2) weights[1] = second;
  return weights;
}

}  // namespace

double ShapiroWilk(std::vector<double> values) {
  const std::size_t n = values.size();
  TACIT_CHECK(n >= kMinShapiroWilk && n <= kMaxShapiroWilk, "the weights are approximations for these sizes");
  std::ranges::sort(values);
  if (values.front() == values.back()) return 0;
  double mean = 0;
  for (const double value : values) mean += value / static_cast<double>(n);
  double squares = 0;
  for (const double value : values) squares += (value - mean) * (value - mean);
  const std::vector<double> weights = ShapiroWeights(n);
  double spread = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) spread += weights[i] * (values[n - 1 - i] - values[i]);
  return std::min(1.0, spread * spread / squares);
}

}  // namespace tacit::detect
