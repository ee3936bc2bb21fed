#include "dp/loss_distribution.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <complex>
#include <functional>
#include <limits>
#include <optional>

#include "common/base/check.h"

#include <unsupported/Eigen/FFT>

namespace tacit::dp {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kUnit = 0x1p-53;
/// Losses beyond are called infinite: e^loss must stay an ordinary number.
constexpr double kLargestLoss = 600;
/// Cells of the grid per standard deviation of a single loss. Splitting adds at most step^2 / 4 to the variance, on
/// average step^2 / 6: below one part in a thousand.
constexpr double kCellsPerDeviation = 10;
constexpr std::size_t kMaxGridPoints = std::size_t{1} << 22U;
constexpr std::size_t kMinTransform = std::size_t{1} << 10U;
/// ln of the mass, under the tilted law, that may lie outside the transform's window.
constexpr double kLogOutside = -40;

/// The minimum of a function with one valley on [low, high], roughly.
double LowestPoint(double low, double high, int steps, const std::function<double(double)>& value) {
  constexpr double kGolden = 0.6180339887498949;
  double left = high - kGolden * (high - low);
  double right = low + kGolden * (high - low);
  double at_left = value(left);
  double at_right = value(right);
  for (int i = 0; i < steps; ++i) {
    if (at_left < at_right) {
      high = right;
      right = left;
      at_right = at_left;
      left = high - kGolden * (high - low);
      at_left = value(left);
    } else {
      low = left;
      left = right;
      at_left = at_right;
      right = low + kGolden * (high - low);
      at_right = value(right);
    }
  }
  return at_left < at_right ? left : right;
}

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

// ---- The law of a sum of losses, seen through exponential tilting ----

/// A loss distribution in a few hundred points, for choosing the tilt and the window only: no bound depends on it.
struct Outline {
  std::vector<double> loss;
  std::vector<double> mass;
  std::uint64_t count = 0;
};

Outline OutlineOf(const RepeatedLoss& part) {
  constexpr std::size_t kPoints = 512;
  const std::vector<double>& mass = part.loss->mass;
  const std::size_t width = (mass.size() + kPoints - 1) / kPoints;
  Outline outline{.loss = {}, .mass = {}, .count = part.count};
  for (std::size_t i = 0; i < mass.size(); i += width) {
    double total = 0;
    double moment = 0;
    for (std::size_t j = i; j < std::min(i + width, mass.size()); ++j) {
      total += mass[j];
      moment += mass[j] * part.loss->LossAt(j);
    }
    if (total <= 0) continue;
    outline.mass.push_back(total);
    outline.loss.push_back(moment / total);
  }
  return outline;
}

/// ln E[e^(order loss)] of the sum.
double Cumulant(std::span<const Outline> outlines, double order) {
  double sum = 0;
  for (const Outline& each : outlines) {
    double moment = 0;
    for (std::size_t i = 0; i < each.loss.size(); ++i) moment += each.mass[i] * std::exp(order * each.loss[i]);
    sum += static_cast<double>(each.count) * std::log(moment);
  }
  return sum;
}

/// Largest absolute value of a single loss.
double Reach(std::span<const RepeatedLoss> parts) {
  double reach = 0;
  for (const RepeatedLoss& part : parts) {
    reach = std::max({reach, std::abs(part.loss->LossAt(0)), std::abs(part.loss->LossAt(part.loss->mass.size() - 1))});
  }
  return reach;
}

/// The composed losses under a tilt: probability of the loss j * step is
/// e^(log_scale - tilt * loss) * density[j - first], up to `error` in each density.
struct TiltedSum {
  double step = 0;
  double tilt = 0;
  double log_scale = 0;
  std::int64_t first = 0;
  std::vector<double> density;
  double error = 0;
  double log_slack = 0;     ///< ln of a factor that covers the rounding of single masses.
  double above_window = 0;  ///< Probability, untilted, of losses above the last density.
  double infinite = 0;      ///< Probability of an unbounded loss.
};

double InfiniteMass(std::span<const RepeatedLoss> parts) {
  double log_finite = 0;
  for (const RepeatedLoss& part : parts)
    log_finite += static_cast<double>(part.count) * std::log1p(-std::min(part.loss->infinite, 1.0));
  return -std::expm1(log_finite) * (1 + 8 * kUnit);
}

/// ln of the exact moment sum of one part; any value of it is a valid scale, since masses are divided by it.
double LogMoment(const LossMass& loss, double order) {
  double moment = 0;
  for (std::size_t i = 0; i < loss.mass.size(); ++i) moment += loss.mass[i] * std::exp(order * loss.LossAt(i));
  return std::log(moment);
}

/// One for each thread: it keeps its tables of sines, which take longer to make than a transform.
Eigen::FFT<double>& Transform() {
  thread_local Eigen::FFT<double> transform(Eigen::FFT<double>::impl_type(), Eigen::FFT<double>::HalfSpectrum);
  return transform;
}

class Composer {
 public:
  explicit Composer(std::span<const RepeatedLoss> parts) : parts_(parts), reach_(Reach(parts)) {
    for (const RepeatedLoss& part : parts) outlines_.push_back(OutlineOf(part));
  }

  [[nodiscard]] double TiltForDelta(double log_delta) const {
    // The order at which Renyi DP would be converted: near enough to the saddle point.
    return TiltThatMinimises([&](double order) {
      return (Cumulant(outlines_, order) - log_delta + order * std::log(order) - (1 + order) * std::log1p(order)) /
             order;
    });
  }
  [[nodiscard]] double TiltForEpsilon(double epsilon) const {
    return TiltThatMinimises([&](double order) { return Cumulant(outlines_, order) - order * epsilon; });
  }

  /// Nothing when it would take too many grid points.
  [[nodiscard]] std::optional<TiltedSum> Compose(double tilt) const;

 private:
  using Spectrum = std::vector<std::complex<double>>;

  [[nodiscard]] double TiltThatMinimises(const std::function<double(double)>& value) const {
    const double log_order = LowestPoint(std::log(1e-9 / reach_), std::log(LargestOrder()), 48,
                                         [&](double x) { return value(std::exp(x)); });
    return std::exp(log_order);
  }
  /// Up to twice this, e^(order loss) is an ordinary number.
  [[nodiscard]] double LargestOrder() const { return 300 / reach_; }

  struct Window {
    std::int64_t first = 0;
    std::size_t size = 0;
    double order_above = 0;  ///< The order that bounds what lies above the window best.
  };
  [[nodiscard]] Window WindowFor(double tilt) const;
  /// Multiplies the spectrum of one part into `product`; returns what its rounding adds, relative to the product.
  void Multiply(const RepeatedLoss& part, double tilt, std::size_t size, Spectrum& product, std::vector<double>& bound,
                std::vector<double>& growth, TiltedSum& sum) const;

  std::span<const RepeatedLoss> parts_;
  std::vector<Outline> outlines_;
  double reach_;
};

Composer::Window Composer::WindowFor(double tilt) const {
  const double at_tilt = Cumulant(outlines_, tilt);
  // Chernoff's bound on both sides, under the tilted law.
  const double largest = std::log(LargestOrder());
  const double smallest = std::log(1e-6 * std::min(tilt, 1.0) / (1 + reach_));
  const auto above = [&](double log_s) {
    const double s = std::exp(log_s);
    return (Cumulant(outlines_, tilt + s) - at_tilt - kLogOutside) / s;
  };
  const auto below = [&](double log_s) {
    const double s = std::exp(log_s);
    return (Cumulant(outlines_, tilt - s) - at_tilt - kLogOutside) / s;
  };
  const double best_above = LowestPoint(smallest, largest, 40, above);
  const double best_below = LowestPoint(smallest, largest, 40, below);
  const double step = parts_.front().loss->step;
  // No sum lies outside the sums of the ends.
  double lowest = 0;
  double highest = 0;
  for (const RepeatedLoss& part : parts_) {
    lowest += static_cast<double>(part.count) * static_cast<double>(part.loss->first);
    highest += static_cast<double>(part.count) *
               static_cast<double>(part.loss->first + std::int64_t(part.loss->mass.size()) - 1);
  }
  const double top = std::min(std::ceil(above(best_above) / step) + 1, highest);
  const double bottom = std::max(std::floor(-below(best_below) / step) - 1, lowest);
  const double points = std::clamp(top - bottom + 1, 1.0, 0x1p40);
  if (!(points >= 1)) return {0, std::size_t{1} << 41U, 0};  // not a number: no window is large enough
  const std::size_t size = std::max(kMinTransform, std::bit_ceil(static_cast<std::size_t>(points)));
  return {static_cast<std::int64_t>(bottom), size, tilt + std::exp(best_above)};
}

void Composer::Multiply(const RepeatedLoss& part, double tilt, std::size_t size, Spectrum& product,
                        std::vector<double>& bound, std::vector<double>& growth, TiltedSum& sum) const {
  const LossMass& loss = *part.loss;
  const auto count = static_cast<double>(part.count);
  const double log_moment = LogMoment(loss, tilt);
  std::vector<double> folded(size, 0.0);
  const auto modulus = static_cast<std::int64_t>(size);
  std::int64_t at = ((loss.first % modulus) + modulus) % modulus;
  for (std::size_t i = 0; i < loss.mass.size(); ++i) {
    folded[static_cast<std::size_t>(at)] += loss.mass[i] * std::exp(tilt * loss.LossAt(i) - log_moment);
    if (++at == modulus) at = 0;
  }
  double squares = 0;
  for (const double each : folded) squares += each * each;
  Spectrum spectrum;
  Transform().fwd(spectrum, folded);
  // Higham 2002, theorem 24.2, with twiddle factors within 8 units: the error of all coefficients together, hence of
  // each, is at most 16 units * log2(size) times the norm.
  const double levels = std::log2(static_cast<double>(size));
  const double error = 16 * kUnit * levels * std::sqrt(static_cast<double>(size) * squares);
  for (std::size_t k = 0; k < spectrum.size(); ++k) {
    const double length = std::abs(spectrum[k]);
    const double log_longest = std::log(length + error);
    bound[k] += count * log_longest;
    growth[k] += count * (error / (length + error) + kUnit * (16 - 2 * std::min(log_longest, 0.0)));
    if (bound[k] < -90) {  // nothing that a double would notice
      product[k] = 0;
      continue;
    }
    product[k] *= std::polar(std::exp(count * std::log(length)), count * std::arg(spectrum[k]));
  }
  sum.log_scale += count * log_moment;
  sum.log_slack += count * kUnit * (2 * tilt * reach_ + 2 * std::abs(log_moment) + 32);
}

std::optional<TiltedSum> Composer::Compose(double tilt) const {
  const Window window = WindowFor(tilt);
  if (window.size > kMaxGridPoints) return std::nullopt;
  TiltedSum sum{.step = parts_.front().loss->step,
                .tilt = tilt,
                .log_scale = 0,
                .first = window.first,
                .density = {},
                .error = 0,
                .log_slack = 0,
                .above_window = 0,
                .infinite = InfiniteMass(parts_)};
  const std::size_t half = window.size / 2 + 1;
  Spectrum product(half, 1.0);
  std::vector<double> bound(half, 0.0);   // ln of the largest length that a coefficient can have
  std::vector<double> growth(half, 0.0);  // its rounding, relative to that
  for (const RepeatedLoss& part : parts_) Multiply(part, tilt, window.size, product, bound, growth, sum);
  double errors = 0;
  double squares = 0;
  for (std::size_t k = 0; k < half; ++k) {
    const double twice = k == 0 || k + 1 == half ? 1 : 2;
    // A coefficient that was dropped is wrong by all of itself.
    errors += twice * std::exp(bound[k]) * (product[k] == 0.0 ? 1.0 : growth[k]);
    squares += twice * std::norm(product[k]);
  }
  const auto size = static_cast<double>(window.size);
  sum.error = (errors / size + 16 * kUnit * std::log2(size) * std::sqrt(squares / size)) * (1 + 0x1p-20);
  std::vector<double> circle(window.size);
  Transform().inv(circle, product, static_cast<Eigen::Index>(window.size));
  const auto modulus = static_cast<std::int64_t>(window.size);
  const std::int64_t start = ((window.first % modulus) + modulus) % modulus;
  std::ranges::rotate(circle, circle.begin() + start);
  sum.density = std::move(circle);
  double log_above = -window.order_above * (static_cast<double>(window.first + modulus - 1) * sum.step);
  for (const RepeatedLoss& part : parts_)
    log_above += static_cast<double>(part.count) * LogMoment(*part.loss, window.order_above);
  sum.above_window = std::exp(log_above) * (1 + 0x1p-20);
  return sum;
}

/// Walks down the grid and keeps, for the point it stands on, E[(1 - e^(point - loss))+ e^(tilt (point - loss))] of the
/// densities above it: all terms positive, nothing cancels.
class DeltaWalk {
 public:
  explicit DeltaWalk(const TiltedSum& sum)
      : sum_(sum),
        decay_(std::exp(-sum.tilt * sum.step)),
        decay_both_(std::exp(-(1 + sum.tilt) * sum.step)),
        gain_(-std::expm1(-sum.step)),
        next_(sum.density.size()) {}

  [[nodiscard]] bool AtBottom() const { return next_ == 0; }
  /// The loss at the point reached.
  [[nodiscard]] double Loss() const {
    return static_cast<double>(sum_.first + static_cast<std::int64_t>(next_)) * sum_.step;
  }
  /// delta at that loss, without what lies outside the window.
  [[nodiscard]] double LogDelta() const {
    return sum_.log_scale + sum_.log_slack - sum_.tilt * Loss() + std::log(weighted_) + 0x1p-30;
  }
  void StepDown() {
    const double above = next_ < sum_.density.size() ? std::max(sum_.density[next_], 0.0) + sum_.error : 0.0;
    weighted_ = decay_ * gain_ * (above + mass_) + decay_both_ * weighted_;
    mass_ = decay_ * (above + mass_);
    --next_;
  }

 private:
  const TiltedSum& sum_;
  double decay_;
  double decay_both_;
  double gain_;
  std::size_t next_;
  double mass_ = 0;
  double weighted_ = 0;
};

/// Between two grid points delta is linear in e^epsilon.
double EpsilonBetween(double lower, double step, double delta_at_lower, double delta_at_upper, double delta) {
  const double share = (delta_at_lower - delta) / (delta_at_lower - delta_at_upper);
  return lower + std::log1p(share * std::expm1(step));
}

double EpsilonOf(const TiltedSum& sum, double delta) {
  const double left = delta - (sum.infinite + sum.above_window);
  if (!(left > 0)) return kInfinity;
  DeltaWalk walk(sum);
  double above = 0;  // delta one point higher
  while (!walk.AtBottom()) {
    walk.StepDown();
    const double here = std::exp(walk.LogDelta());
    if (std::isnan(here)) return kInfinity;
    if (here > left) {
      const double epsilon = EpsilonBetween(walk.Loss(), sum.step, here, above, left);
      return std::max(0.0, epsilon + 1e-12 * (1 + std::abs(epsilon)));
    }
    if (walk.Loss() <= 0) return 0;
    above = here;
  }
  return std::max(0.0, walk.Loss());
}

}  // namespace

LossMass PutOnGrid(const OutputPair& pair, double step, double truncate) {
  const auto top = static_cast<std::int64_t>(std::ceil(LargestLoss(pair, truncate) / step));
  const auto bottom = std::min(static_cast<std::int64_t>(std::floor(SmallestLoss(pair, truncate) / step)), top - 1);
  LossMass loss{.step = step, .first = bottom, .mass = {}, .infinite = 0};
  loss.mass.assign(static_cast<std::size_t>(top - bottom + 1), 0.0);
  double from = pair.Outcome(static_cast<double>(bottom) * step);
  loss.mass.front() = MassBetween(pair, -kInfinity, from) * (1 + 8 * kUnit);
  OutputPair::Cut cut_from;
  OutputPair::Cut cut_to;
  pair.CutAt(from, cut_from);
  for (std::size_t i = 0; i + 1 < loss.mass.size(); ++i) {
    const double to = pair.Outcome(loss.LossAt(i + 1));
    if (!(to > from)) continue;
    pair.CutAt(to, cut_to);
    auto [mass, error] = pair.Between(cut_from, cut_to);
    mass.with += error.with;
    const double upper = UpperShare(mass, error, loss.LossAt(i), step);
    loss.mass[i] += mass.with - upper;
    loss.mass[i + 1] += upper;
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

std::optional<double> ComposedEpsilon(std::span<const RepeatedLoss> parts, double delta) {
  const Composer composer(parts);
  const std::optional<TiltedSum> sum = composer.Compose(composer.TiltForDelta(std::log(delta)));
  if (!sum) return std::nullopt;
  return EpsilonOf(*sum, delta);
}

std::optional<double> ComposedDelta(std::span<const RepeatedLoss> parts, double epsilon) {
  const Composer composer(parts);
  const std::optional<TiltedSum> composed = composer.Compose(composer.TiltForEpsilon(epsilon));
  if (!composed) return std::nullopt;
  const TiltedSum& sum = *composed;
  DeltaWalk walk(sum);
  double delta = 0;
  while (!walk.AtBottom()) {
    walk.StepDown();
    delta = std::exp(walk.LogDelta());
    if (walk.Loss() <= epsilon) break;
  }
  return std::min(1.0, delta + sum.infinite + sum.above_window);
}

}  // namespace tacit::dp
