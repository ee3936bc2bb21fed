#include "dp/audit_bounds.h"

#include <algorithm>
#include <cmath>

namespace tacit::dp {
namespace {

constexpr int kBisections = 60;
constexpr double kNegligible = 0x1p-60;  // of a sum whose terms fall faster than geometrically

/// A probability and what it leaves, each with its own relative precision.
struct Coin {
  double heads;
  double tails;
};

/// More than rounding can have changed the logarithm of a binomial probability by.
double LogSlack(double trials) {
  return 1e-9 + 0x1p-48 * std::lgamma(trials + 1);
}

double LogMass(double hits, double trials, Coin coin) {
  return std::lgamma(trials + 1) - std::lgamma(hits + 1) - std::lgamma(trials - hits + 1) +
         (hits > 0 ? hits * std::log(coin.heads) : 0) + (hits < trials ? (trials - hits) * std::log(coin.tails) : 0);
}

/// P[Bin >= hits] over P[Bin = hits]; small and quick for `hits` above the mean.
double SumUpward(double hits, double trials, Coin coin) {
  double term = 1;
  double sum = 1;
  for (double k = hits; k < trials && term > kNegligible * sum; ++k) {
    term *= (trials - k) / (k + 1) * (coin.heads / coin.tails);
    sum += term;
  }
  return sum;
}

/// P[Bin(trials, coin) >= hits], and up to twice LogSlack more.
double TailAtLeast(std::uint64_t hits, std::uint64_t trials, Coin coin) {
  if (hits == 0 || coin.tails <= 0) return 1;
  if (hits > trials || coin.heads <= 0) return 0;
  const auto n = static_cast<double>(trials);
  const auto k = static_cast<double>(hits);
  const double slack = LogSlack(n);
  if (k > n * coin.heads) {
    return std::min(1.0, std::exp(LogMass(k, n, coin) + std::log(SumUpward(k, n, coin)) + slack));
  }
  // Below the mean the complement is the short sum: tails in the place of heads.
  const Coin turned{coin.tails, coin.heads};
  const double misses = n - k + 1;
  const double below = std::exp(LogMass(misses, n, turned) + std::log(SumUpward(misses, n, turned)) - slack);
  return std::clamp(1 - below, 0.0, 1.0);
}

/// max over i of P[right - i <= W < right] / i. Masses fall below the mode, so once one is below the mean of those
/// above it, no further one raises that mean.
double LargestMeanMassBelow(std::uint64_t right, std::uint64_t made, Coin coin) {
  const auto n = static_cast<double>(made);
  double log_mass = LogMass(static_cast<double>(right), n, coin);
  double sum = 0;
  double best = 0;
  double taken = 0;
  for (auto k = static_cast<double>(right); k > 0; --k) {
    log_mass += std::log(k / (n - k + 1) * (coin.tails / coin.heads));  // now that of k - 1
    const double mass = std::exp(log_mass);
    sum += mass;
    best = std::max(best, sum / ++taken);
    if (k < n * coin.heads && mass < sum / taken) break;
  }
  return best * std::exp(2 * LogSlack(n));
}

}  // namespace

double LowerLimit(Observed observed, double doubt) {
  double low = 0;
  double high = static_cast<double>(observed.hits) / static_cast<double>(observed.trials);
  for (int i = 0; i < kBisections; ++i) {
    const double middle = (low + high) / 2;
    (TailAtLeast(observed.hits, observed.trials, {middle, 1 - middle}) <= doubt ? low : high) = middle;
  }
  return low;
}

double UpperLimit(Observed observed, double doubt) {
  const std::uint64_t misses = observed.trials - observed.hits;
  double low = static_cast<double>(observed.hits) / static_cast<double>(observed.trials);
  double high = 1;
  for (int i = 0; i < kBisections; ++i) {
    const double middle = (low + high) / 2;
    (TailAtLeast(misses, observed.trials, {1 - middle, middle}) <= doubt ? high : low) = middle;
  }
  return high;
}

double GuessingProbability(const Guesses& guesses, double epsilon, double delta) {
  if (guesses.right == 0) return 1;
  const Coin coin{1 / (1 + std::exp(-epsilon)), 1 / (1 + std::exp(epsilon))};
  const double pure = TailAtLeast(guesses.right, guesses.made, coin);
  if (delta == 0 || pure >= 1) return pure;
  const double shift = LargestMeanMassBelow(guesses.right, guesses.made, coin);
  return std::min(1.0, pure + 2 * static_cast<double>(guesses.canaries) * delta * shift);
}

double RefutedEpsilon(const Guesses& guesses, double delta, double doubt) {
  const auto refutes = [&](double epsilon) { return GuessingProbability(guesses, epsilon, delta) <= doubt; };
  if (!refutes(0)) return 0;
  double low = 0;
  double high = 1;
  for (; refutes(high); high *= 2) low = high;
  for (int i = 0; i < kBisections; ++i) {
    const double middle = (low + high) / 2;
    (refutes(middle) ? low : high) = middle;
  }
  return low;
}

}  // namespace tacit::dp
