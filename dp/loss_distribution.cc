#include "dp/loss_distribution.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "common/base/check.h"
#include "dp/numbers.h"

namespace tacit::dp {
namespace {

/// Losses beyond are called infinite: e^loss must stay an ordinary number.
constexpr double kLargestLoss = 600;
/// Cells of the grid per standard deviation of a single loss. Splitting adds at most step^2 / 4 to the variance, on
/// average step^2 / 6: below one part in a thousand.
constexpr double kCellsPerDeviation = 10;
/// Up to here a cell of the grid is one step wide, beyond as many as its loss holds of them, rounded down to a power of
/// two, so that what the split adds to a square of losses is below L^2 / 2^16 there.
constexpr std::int64_t kCellsToALoss = 128;

// ---- One step ----

/// Splits P and Q of the outcomes with losses in (lower, lower + step] between the two grid points so that both stay:
/// upper mass u and lower mass p - u with (p - u) e^-lower + u e^-(lower + step) = q. What rounding can have taken from
/// the upper mass is added to it.
double UpperShare(const OutputPair::Masses& mass, const OutputPair::Masses& error, double lower, double step) {
  const double scale = std::exp(lower);
  const double split = -std::expm1(-step);
  const double exact = (mass.with - mass.without * scale) / split;
  const double slack = (error.with + error.without * scale + 8 * kUnit * mass.with) / split;
  return std::clamp(exact + slack, 0.0, mass.with);
}

double MassBetween(const OutputPair& pair, double from, double to) {
  OutputPair::Cut first;
  OutputPair::Cut last;
  pair.CutAt(from, first);
  pair.CutAt(to, last);
  return pair.Between(first, last).mass.with;
}
double TailAbove(const OutputPair& pair, double loss) {
  return MassBetween(pair, pair.Outcome(loss), kInfinity);
}
double TailUpTo(const OutputPair& pair, double loss) {
  return MassBetween(pair, -kInfinity, pair.Outcome(loss));
}

/// The smallest power of two, or its opposite, beyond which at most `truncate` of P lies; then bisected to about 1 %.
double LargestLoss(const OutputPair& pair, double truncate) {
  double high = 0x1p-40;
  while (high < kLargestLoss && TailAbove(pair, high) > truncate) high *= 2;
  double low = high / 2;
  for (int i = 0; i < 7; ++i) {
    const double middle = (low + high) / 2;
    (TailAbove(pair, middle) > truncate ? low : high) = middle;
  }
  return std::min(high, kLargestLoss);
}
double SmallestLoss(const OutputPair& pair, double truncate) {
  double low = -0x1p-40;
  while (low > -kLargestLoss && TailUpTo(pair, low) > truncate) low *= 2;
  double high = low / 2;
  for (int i = 0; i < 7; ++i) {
    const double middle = (low + high) / 2;
    (TailUpTo(pair, middle) > truncate ? high : low) = middle;
  }
  return std::max(low, -kLargestLoss);
}

/// Standard deviation of the loss under P, within a few per cent: losses are looked at between points that lie a tenth
/// of themselves apart.
double DeviationOf(const OutputPair& pair, double smallest, double largest) {
  constexpr double kRatio = 1.1;
  constexpr double kNearest = 1e-9;
  double total = 0;
  double first = 0;
  double second = 0;
  const auto add = [&](double from, double to) {
    const double mass = MassBetween(pair, pair.Outcome(from), pair.Outcome(to));
    const double middle = (from + to) / 2;
    total += mass;
    first += mass * middle;
    second += mass * middle * middle;
  };
  for (double to = smallest; to < -kNearest; to /= kRatio) add(to, to / kRatio);
  for (double to = largest; to > kNearest; to /= kRatio) add(to / kRatio, to);
  add(-kNearest, kNearest);
  if (!(total > 0.25)) return kLargestLoss;  // most losses count as infinite: any grid will do
  const double mean = first / total;
  return std::sqrt(std::max(0.0, second / total - mean * mean));
}

// ---- The grid ----

/// How many steps wide the cell above a grid point is. Its ends are multiples of that.
std::int64_t CellAbove(std::int64_t index) {
  const std::int64_t nearest = index >= 0 ? index : -index - 1;
  const auto wide = static_cast<std::uint64_t>(nearest / kCellsToALoss);
  return wide == 0 ? 1 : static_cast<std::int64_t>(std::bit_floor(wide));
}

}  // namespace

LossMass PutOnGrid(const OutputPair& pair, double step, double truncate) {
  const auto wanted_top = static_cast<std::int64_t>(std::ceil(LargestLoss(pair, truncate) / step));
  std::int64_t bottom =
      std::min(static_cast<std::int64_t>(std::floor(SmallestLoss(pair, truncate) / step)), wanted_top - 1);
  const std::int64_t widest = CellAbove(bottom);
  bottom -= ((bottom % widest) + widest) % widest;
  std::int64_t top = bottom;
  while (top < wanted_top) top += CellAbove(top);
  LossMass loss{.step = step, .first = bottom, .mass = {}, .infinite = 0};
  loss.mass.assign(static_cast<std::size_t>(top - bottom + 1), 0.0);
  double from = pair.Outcome(loss.LossAt(0));
  loss.mass.front() = MassBetween(pair, -kInfinity, from) * (1 + 8 * kUnit);
  OutputPair::Cut cut_from;
  OutputPair::Cut cut_to;
  pair.CutAt(from, cut_from);
  for (std::int64_t lower = bottom; lower < top;) {
    const auto i = static_cast<std::size_t>(lower - bottom);
    const std::int64_t wide = CellAbove(lower);
    lower += wide;
    const double to = pair.Outcome(static_cast<double>(lower) * step);
    if (!(to > from)) continue;
    pair.CutAt(to, cut_to);
    auto [mass, error] = pair.Between(cut_from, cut_to);
    mass.with += error.with;
    const double upper = UpperShare(mass, error, loss.LossAt(i), static_cast<double>(wide) * step);
    loss.mass[i] += mass.with - upper;
    loss.mass[i + static_cast<std::size_t>(wide)] += upper;
    from = to;
    cut_from.swap(cut_to);
  }
  loss.infinite = MassBetween(pair, from, kInfinity) * (1 + 8 * kUnit);
  return loss;
}

LossMass PutOnGrid(std::span<const OutputPair::Masses> outcomes, double step) {
  double lowest = kInfinity;
  double highest = -kInfinity;
  const auto loss_of = [](const OutputPair::Masses& each) { return std::log(each.with / each.without); };
  LossMass loss{.step = step, .first = 0, .mass = {}, .infinite = 0};
  for (const OutputPair::Masses& each : outcomes) {
    if (each.with <= 0) continue;
    if (!(each.without > 0) || loss_of(each) > kLargestLoss) continue;
    lowest = std::min(lowest, loss_of(each));
    highest = std::max(highest, loss_of(each));
  }
  if (lowest <= highest) {
    lowest = std::max(lowest, -kLargestLoss);
    loss.first = static_cast<std::int64_t>(std::floor(lowest / step));
    const auto last = static_cast<std::int64_t>(std::floor(highest / step)) + 1;
    loss.mass.assign(static_cast<std::size_t>(last - loss.first + 1), 0.0);
  }
  for (const OutputPair::Masses& each : outcomes) {
    if (each.with <= 0) continue;
    const double with = each.with * (1 + 8 * kUnit);
    if (!(each.without > 0) || loss_of(each) > kLargestLoss) {
      loss.infinite += with;
      continue;
    }
    if (loss_of(each) < -kLargestLoss) {
      loss.mass.front() += with;
      continue;
    }
    const auto index = static_cast<std::int64_t>(std::floor(loss_of(each) / step));
    const auto i = static_cast<std::size_t>(index - loss.first);
    const OutputPair::Masses error{.with = 8 * kUnit * with, .without = 8 * kUnit * each.without};
    const double upper = UpperShare({with, each.without}, error, static_cast<double>(index) * step, step);
    loss.mass[i] += with - upper;
    loss.mass[i + 1] += upper;
  }
  return loss;
}

double GridStepFor(const OutputPair& pair) {
  constexpr double kRough = 1e-9;
  const double smallest = SmallestLoss(pair, kRough);
  const double largest = LargestLoss(pair, kRough);
  // Losses that cluster far apart must not ask for more points than there is memory for.
  const double least = 4 * (largest - smallest) / kMaxGridPoints;
  const double wanted = DeviationOf(pair, smallest, largest) / kCellsPerDeviation;
  return std::exp2(std::floor(std::log2(std::max(wanted, least))));
}

LossMass Mixture(const LossMass& left, const LossMass& right, double weight_of_right) {
  TACIT_CHECK(left.step == right.step, "losses on one grid");
  const std::int64_t first = std::min(left.first, right.first);
  const std::int64_t end =
      std::max(left.first + std::int64_t(left.mass.size()), right.first + std::int64_t(right.mass.size()));
  LossMass both{.step = left.step, .first = first, .mass = {}, .infinite = 0};
  both.mass.assign(static_cast<std::size_t>(end - first), 0.0);
  const auto add = [&](const LossMass& part, double weight) {
    const auto shift = static_cast<std::size_t>(part.first - first);
    for (std::size_t i = 0; i < part.mass.size(); ++i) both.mass[i + shift] += weight * part.mass[i];
    both.infinite += weight * part.infinite;
  };
  add(left, 1 - weight_of_right);
  add(right, weight_of_right);
  return both;
}

}  // namespace tacit::dp
