#include "edge_agent/detect/conformal.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <utility>

namespace tacit::detect {
namespace {

// The continued fraction of I_x(a, b), for x < (a + 1) / (a + b + 2), where it converges fast.
double BetaFraction(double x, double a, double b) {
  constexpr double kTiny = 1e-300;
  constexpr int kSteps = 10000;
  const auto nonzero = [](double value) { return std::abs(value) < kTiny ? kTiny : value; };
  double c = 1;
  double d = 1 / nonzero(1 - (a + b) * x / (a + 1));
  double value = d;
  for (int m = 1; m <= kSteps; ++m) {
    const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / nonzero(1 + even * d);
    c = nonzero(1 + even / c);
    value *= d * c;
    const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / nonzero(1 + odd * d);
    c = nonzero(1 + odd / c);
    value *= d * c;
    if (std::abs(d * c - 1) < 1e-14) break;
  }
  return value;
}

bool IsInRange(const Tolerance& tolerance) {
  return tolerance.target >= 0.0001 && tolerance.target <= 0.5 && tolerance.within >= 0.0005 && tolerance.within < 1 &&
         tolerance.confidence > 0 && tolerance.confidence < 1;
}

}  // namespace

std::size_t ConformalRank(std::size_t rows, double alpha) {
  // 20 rows at 5 % are exact only without the last bit of (n + 1)(1 - alpha).
  return static_cast<std::size_t>(std::ceil(static_cast<double>(rows + 1) * (1 - alpha) * (1 - 1e-12)));
}

Result<double> ConformalThreshold(std::vector<double> clean, double alpha) {
  const std::size_t rank = ConformalRank(clean.size(), alpha);
  if (rank > clean.size() || rank == 0) {
    const auto needed = static_cast<std::size_t>(std::ceil(1 / alpha)) - 1;
    return Fail(ErrorCode::kInvalidArgument, "a false-positive rate of " + std::to_string(alpha) + " needs at least " +
                                                 std::to_string(needed) + " clean rows, and there are " +
                                                 std::to_string(clean.size()));
  }
  const auto place = clean.begin() + static_cast<std::ptrdiff_t>(rank - 1);
  std::ranges::nth_element(clean, place);
  return *place;
}

double RegularisedBeta(double x, double a, double b) {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  const double log_front = std::lgamma(a + b) - std::lgamma(a) - std::lgamma(b) + a * std::log(x) + b * std::log1p(-x);
  if (x < (a + 1) / (a + b + 2)) return std::exp(log_front) * BetaFraction(x, a, b) / a;
  return 1 - std::exp(log_front) * BetaFraction(1 - x, b, a) / b;
}

double ConfidenceOf(std::size_t rows, const Tolerance& tolerance) {
  const std::size_t rank = ConformalRank(rows, tolerance.target);
  if (rank > rows) return 0;
  const auto above = static_cast<double>(rows + 1 - rank);
  const auto below = static_cast<double>(rank);
  return RegularisedBeta(std::min(1.0, tolerance.target + tolerance.within), above, below) -
         RegularisedBeta(std::max(0.0, tolerance.target - tolerance.within), above, below);
}

Result<std::size_t> RowsFor(const Tolerance& tolerance) {
  constexpr std::size_t kMostRows = 10'000'000;
  if (!IsInRange(tolerance)) {
    return Fail(ErrorCode::kInvalidArgument,
                "a tolerance needs a target in [0.0001, 0.5], a width of at least 0.0005 and a confidence below 1");
  }
  // Confidence grows with the rows but for a saw that has a tooth for every 1 / target of them: least at the ends of a
  // tooth, so those of this one and the next decide.
  const auto tooth = static_cast<std::size_t>(std::ceil(1 / tolerance.target));
  const auto enough = [&](std::size_t teeth) {
    const std::size_t first = teeth * tooth - 1;
    return std::ranges::all_of(std::array{first, first + tooth - 1, first + tooth, first + 2 * tooth - 1},
                               [&](std::size_t rows) { return ConfidenceOf(rows, tolerance) >= tolerance.confidence; });
  };
  std::size_t teeth = 1;
  while (!enough(teeth)) {
    teeth *= 2;
    if (teeth * tooth > kMostRows) {
      return Fail(ErrorCode::kInvalidArgument, "this tolerance takes more than ten million clean rows");
    }
  }
  std::size_t low = teeth / 2;
  while (teeth - low > 1) {
    const std::size_t middle = low + (teeth - low) / 2;
    (enough(middle) ? teeth : low) = middle;
  }
  return teeth * tooth - 1;
}

}  // namespace tacit::detect
