#include "dp/composed_losses.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <complex>
#include <functional>

#include "dp/numbers.h"

#include <unsupported/Eigen/FFT>

namespace tacit::dp {
namespace {

constexpr std::size_t kMinTransform = std::size_t{1} << 10U;
// How tight an answer shall be; no bound depends on these.
/// ln of the mass, under the tilted law, that may lie above one period of the transform.
constexpr double kLogAbove = -20;
/// ln of what whole periods may add to delta, relative to it.
constexpr double kLogRepeated = -20;
/// ln of how much farther from the answer than necessary a tilt may lie.
constexpr double kLogAstray = 4;
/// Coefficients below e^-45 are nothing that a double would notice.
constexpr double kLogNothing = -45;

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

/// A loss distribution in some two hundred points, for choosing the tilt and the period only: no bound depends on it.
struct Outline {
  std::vector<double> loss;
  std::vector<double> mass;
  std::uint64_t count = 0;
};

Outline OutlineOf(const RepeatedLoss& part) {
  constexpr std::size_t kPoints = 192;
  const std::vector<double>& mass = part.loss->mass;
  const auto used = static_cast<std::size_t>(std::ranges::count_if(mass, [](double each) { return each > 0; }));
  const std::size_t width = (used + kPoints - 1) / kPoints;
  Outline outline{.loss = {}, .mass = {}, .count = part.count};
  double total = 0;
  double moment = 0;
  std::size_t taken = 0;
  const auto close = [&] {
    if (taken == 0) return;
    outline.mass.push_back(total);
    outline.loss.push_back(moment / total);
    total = moment = 0;
    taken = 0;
  };
  for (std::size_t i = 0; i < mass.size(); ++i) {
    if (!(mass[i] > 0)) continue;
    total += mass[i];
    moment += mass[i] * part.loss->LossAt(i);
    if (++taken == width) close();
  }
  close();
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

/// The largest sum of finite losses.
double Highest(std::span<const RepeatedLoss> parts) {
  double highest = 0;
  for (const RepeatedLoss& part : parts)
    highest += static_cast<double>(part.count) * part.loss->LossAt(part.loss->mass.size() - 1);
  return highest;
}

double InfiniteMass(std::span<const RepeatedLoss> parts) {
  double log_finite = 0;
  for (const RepeatedLoss& part : parts)
    log_finite += static_cast<double>(part.count) * std::log1p(-std::min(part.loss->infinite, 1.0));
  return -std::expm1(log_finite) * (1 + 8 * kUnit);
}

/// Through which tilt, and around which circle, the composed losses are looked at.
struct View {
  double tilt = 0;
  double period = 0;  ///< In units of the loss.
  double guess = 0;   ///< Near the epsilon that is looked for.
};

/// Chooses a view. Any gives a valid answer.
class ViewFinder {
 public:
  explicit ViewFinder(std::span<const RepeatedLoss> parts) : reach_(Reach(parts)), highest_(Highest(parts)) {
    for (const RepeatedLoss& part : parts) outlines_.push_back(OutlineOf(part));
  }

  [[nodiscard]] View ForDelta(double log_delta) const {
    // The order at which Renyi DP would be converted: near enough to the saddle point.
    const auto epsilon_at = [&](double order) {
      return (Cumulant(outlines_, order) - log_delta + order * std::log(order) - (1 + order) * std::log1p(order)) /
             order;
    };
    const double tilt = TiltThatMinimises(epsilon_at);
    return NarrowestFrom(tilt, std::max(0.0, epsilon_at(tilt)), log_delta);
  }
  [[nodiscard]] View ForEpsilon(double epsilon) const {
    const auto log_delta_at = [&](double order) { return Cumulant(outlines_, order) - order * epsilon; };
    const double tilt = TiltThatMinimises(log_delta_at);
    constexpr double kBelowChernoff = 12;
    return NarrowestFrom(tilt, epsilon, log_delta_at(tilt) - kBelowChernoff);
  }

 private:
  [[nodiscard]] double TiltThatMinimises(const std::function<double(double)>& value) const {
    const double log_order = LowestPoint(std::log(1e-9 / reach_), std::log(LargestOrder()), 24,
                                         [&](double x) { return value(std::exp(x)); });
    return std::exp(log_order);
  }
  /// Up to twice this, e^(order loss) is an ordinary number.
  [[nodiscard]] double LargestOrder() const { return 300 / reach_; }

  /// The period that `tilt` needs: it holds what lies above the answer, and repeating it adds little.
  [[nodiscard]] double PeriodFor(double tilt, double guess, double log_delta) const;
  /// The tilt not far from the given one that needs the shortest period.
  [[nodiscard]] View NarrowestFrom(double tilt, double guess, double log_delta) const;

  std::vector<Outline> outlines_;
  double reach_;
  double highest_;
};

double ViewFinder::PeriodFor(double tilt, double guess, double log_delta) const {
  const double at_tilt = Cumulant(outlines_, tilt);
  // Chernoff's bound under the tilted law.
  const auto above = [&](double log_s) {
    const double s = std::exp(log_s);
    return (Cumulant(outlines_, tilt + s) - at_tilt - kLogAbove) / s;
  };
  const double smallest = std::log(1e-6 * std::min(tilt, 1.0) / (1 + reach_));
  const double top = std::min(above(LowestPoint(smallest, std::log(LargestOrder()), 18, above)), highest_);
  // The answer lies below the guess by a few times 1 / tilt, by how much a tail is smaller than Chernoff's bound.
  return std::max(top - guess + 6 / tilt, -(log_delta + kLogRepeated) / tilt);
}

View ViewFinder::NarrowestFrom(double tilt, double guess, double log_delta) const {
  View view{.tilt = tilt, .period = PeriodFor(tilt, guess, log_delta), .guess = guess};
  const double most = Cumulant(outlines_, tilt) - tilt * guess + kLogAstray;
  // One of the two needs is larger: repeated periods fall faster under a larger tilt, rare large losses matter less
  // under a smaller one.
  for (const double factor : {1.4, 0.8}) {
    for (double next = factor * view.tilt; next <= LargestOrder(); next *= factor) {
      if (!(Cumulant(outlines_, next) - next * guess <= most)) break;
      const double period = PeriodFor(next, guess, log_delta);
      if (!(period < view.period)) break;
      view.tilt = next;
      view.period = period;
    }
  }
  return view;
}

/// ln of the exact moment sum of one part; any value of it is a valid scale, since masses are divided by it.
double LogMoment(const LossMass& loss, double order) {
  double moment = 0;
  for (std::size_t i = 0; i < loss.mass.size(); ++i)
    if (loss.mass[i] > 0) moment += loss.mass[i] * std::exp(order * loss.LossAt(i));
  return std::log(moment);
}

/// One for each thread: it keeps its tables of sines, which take longer to make than a transform.
Eigen::FFT<double>& Transform() {
  thread_local Eigen::FFT<double> transform(Eigen::FFT<double>::impl_type(), Eigen::FFT<double>::HalfSpectrum);
  return transform;
}

using Complex = std::complex<double>;

/// The composed losses as delta at any point of the grid. With p(j) their tilted law, e^(tilt j h - scale) times the
/// law itself, and w(x) = e^(-tilt x h) (1 - e^(-x h)),
///
///   delta(j h) = e^(scale - tilt j h) sum over x >= 1 of w(x) p(j + x)  <=  the same with d(j) = sum of p(j + m size).
///
/// d has period `size`; written with its Fourier coefficients, the products of those of single steps, each of the sums
/// over x is a geometric series. No term of them is left out: only rounding is to be bounded.
class ComposedCurve {
 public:
  /// Nothing when it would take too many grid points.
  static std::optional<ComposedCurve> Of(std::span<const RepeatedLoss> parts, const View& view);

  /// ln of an upper bound of delta, without infinite losses, at the loss index * step.
  [[nodiscard]] double LogDeltaAt(std::int64_t index) const;
  [[nodiscard]] double step() const { return step_; }
  /// Probability of an unbounded loss.
  [[nodiscard]] double infinite() const { return infinite_; }

 private:
  /// Products of the transforms of parts, at the lower half of the frequencies.
  struct Product {
    std::vector<Complex> value;
    std::vector<double> log_bound;  ///< ln of the largest length that a coefficient can have.
    std::vector<double> growth;     ///< Its error, relative to that.
  };

  void Multiply(const RepeatedLoss& part, Product& product);
  void Weigh(const Product& product);

  double step_ = 0;
  double tilt_ = 0;
  std::size_t size_ = 0;
  double log_scale_ = 0;
  double log_slack_ = 0;  ///< ln of a factor that covers the rounding of single masses.
  double infinite_ = 0;
  std::vector<Complex> terms_;  ///< The sum over x is the real part of sum over k of terms_[k] e^(2 pi i j k / size).
  double error_ = 0;            ///< Absolute, of that sum.
};

void ComposedCurve::Multiply(const RepeatedLoss& part, Product& product) {
  const LossMass& loss = *part.loss;
  const auto count = static_cast<double>(part.count);
  const double log_moment = LogMoment(loss, tilt_);
  std::vector<double> folded(size_, 0.0);
  const auto modulus = static_cast<std::int64_t>(size_);
  std::int64_t at = ((loss.first % modulus) + modulus) % modulus;
  for (std::size_t i = 0; i < loss.mass.size(); ++i) {
    if (loss.mass[i] > 0)
      folded[static_cast<std::size_t>(at)] += loss.mass[i] * std::exp(tilt_ * loss.LossAt(i) - log_moment);
    if (++at == modulus) at = 0;
  }
  double total = 0;
  double squares = 0;
  for (const double each : folded) {
    total += each;
    squares += each * each;
  }
  std::vector<Complex> spectrum;
  Transform().fwd(spectrum, folded);
  // Higham 2002, theorem 24.2, with twiddle factors within 8 units: the error of all coefficients together, hence of
  // each, is at most 16 units * log2(size) times the norm.
  const auto size = static_cast<double>(size_);
  const double error = 16 * kUnit * std::log2(size) * std::sqrt(size * squares);
  const double log_largest = std::max(0.0, count * std::log(total * (1 + size * kUnit)));
  const double quiet = std::max(0.0, std::exp(kLogNothing / count) - error) * (1 - 8 * kUnit);
  for (std::size_t k = 0; k < spectrum.size(); ++k) {
    if (product.value[k] == 0.0) {
      product.log_bound[k] += log_largest;
      continue;
    }
    if (std::norm(spectrum[k]) < quiet * quiet) {  // of many steps nearly all
      product.value[k] = 0;
      product.log_bound[k] += kLogNothing;
      continue;
    }
    const double length = std::abs(spectrum[k]);
    const double log_length = std::log(length);
    const double log_longest = std::log(length + error);
    product.log_bound[k] += count * log_longest;
    product.growth[k] += count * (error / (length + error) + kUnit * (16 - 2 * std::min(log_longest, 0.0)));
    product.value[k] *= std::polar(std::exp(count * log_length), count * std::arg(spectrum[k]));
    if (product.log_bound[k] < kLogNothing) product.value[k] = 0;
  }
  const double reach = Reach({&part, 1});
  const double folds = static_cast<double>(loss.mass.size()) / size;
  log_scale_ += count * log_moment;
  log_slack_ += count * kUnit * (2 * tilt_ * reach + 2 * std::abs(log_moment) + 32 + folds);
}

void ComposedCurve::Weigh(const Product& product) {
  // Sum over x >= 1 of w(x) z^x = (r - s) z / ((1 - r z) (1 - s z)) with r = e^(-tilt h), s = e^(-(1 + tilt) h);
  // written so that nothing cancels.
  const double r = std::exp(-tilt_ * step_);
  const double s = std::exp(-(1 + tilt_) * step_);
  const double not_r = -std::expm1(-tilt_ * step_);
  const double not_s = -std::expm1(-(1 + tilt_) * step_);
  const double gap = -r * std::expm1(-step_);
  const double largest_weight = gap / (not_r * not_s);
  const auto size = static_cast<double>(size_);
  const std::size_t half = product.value.size();
  double log_dropped = -kInfinity;
  std::size_t used = 0;
  terms_.assign(half, 0.0);
  for (std::size_t k = 0; k < half; ++k) {
    if (product.value[k] == 0.0) {
      log_dropped = std::max(log_dropped, product.log_bound[k]);
      continue;
    }
    const double half_angle = M_PI * static_cast<double>(k) / size;
    const double versine = 2 * std::sin(half_angle) * std::sin(half_angle);
    const double sine = 2 * std::sin(half_angle) * std::cos(half_angle);
    const Complex weight = gap * Complex(1 - versine, sine) /
                           (Complex(not_r + r * versine, -r * sine) * Complex(not_s + s * versine, -s * sine));
    const double share = (k == 0 || k + 1 == half ? 1 : 2) / size;
    terms_[k] = share * product.value[k] * weight;
    used = k + 1;
    // The coefficient's error; and that of the weight, and of the k-th power of a point of the circle.
    error_ += share * std::abs(weight) * std::exp(product.log_bound[k]) * product.growth[k] +
              std::abs(terms_[k]) * kUnit * (64 + step_ + 16 * static_cast<double>(k));
  }
  terms_.resize(used);
  error_ = (error_ + std::exp(log_dropped) * largest_weight) * (1 + 0x1p-20);
}

std::optional<ComposedCurve> ComposedCurve::Of(std::span<const RepeatedLoss> parts, const View& view) {
  ComposedCurve curve;
  curve.step_ = parts.front().loss->step;
  curve.tilt_ = view.tilt;
  curve.infinite_ = InfiniteMass(parts);
  const double points = std::ceil(view.period / curve.step_) + 1;
  if (!(points <= static_cast<double>(kMaxGridPoints))) return std::nullopt;
  curve.size_ = std::bit_ceil(std::max(kMinTransform, static_cast<std::size_t>(std::max(points, 1.0))));
  const std::size_t half = curve.size_ / 2 + 1;
  Product product{.value = std::vector<Complex>(half, 1.0),
                  .log_bound = std::vector<double>(half, 0.0),
                  .growth = std::vector<double>(half, 0.0)};
  for (const RepeatedLoss& part : parts) curve.Multiply(part, product);
  curve.Weigh(product);
  return curve;
}

double ComposedCurve::LogDeltaAt(std::int64_t index) const {
  const auto modulus = static_cast<std::int64_t>(size_);
  std::int64_t place = index % modulus;
  if (2 * place > modulus) place -= modulus;
  const double angle = 2 * M_PI * (static_cast<double>(place) / static_cast<double>(size_));
  const double x = std::cos(angle);
  const double y = std::sin(angle);
  double real = 0;
  double imaginary = 0;
  for (std::size_t k = terms_.size(); k-- > 0;) {
    const double next = real * x - imaginary * y + terms_[k].real();
    imaginary = real * y + imaginary * x + terms_[k].imag();
    real = next;
  }
  const double exponent = tilt_ * (static_cast<double>(index) * step_);
  return log_scale_ - exponent + std::log(std::max(real, 0.0) + error_) + log_slack_ +
         4 * kUnit * (std::abs(log_scale_) + std::abs(exponent)) + 0x1p-30;
}

/// Between two grid points delta is linear in e^epsilon.
double EpsilonBetween(double lower, double step, double delta_at_lower, double delta_at_upper, double delta) {
  const double share = (delta_at_lower - delta) / (delta_at_lower - delta_at_upper);
  return lower + std::log1p(share * std::expm1(step));
}

double EpsilonOf(const ComposedCurve& curve, double guess, double delta) {
  const double left = delta - curve.infinite();
  if (!(left > 0)) return kInfinity;
  const double wanted = std::log(left);
  constexpr double kFarthest = 0x1p50;
  const double start = std::ceil(guess / curve.step());
  // Between `low`, where delta is above what is left, and `high`, where it is not.
  std::int64_t low = 0;
  std::int64_t high = start >= 1 && start < kFarthest ? static_cast<std::int64_t>(start) : 1;
  double at_low = curve.LogDeltaAt(low);
  if (at_low <= wanted) return 0;
  double at_high = curve.LogDeltaAt(high);
  while (!(at_high <= wanted)) {
    if (static_cast<double>(high) > kFarthest) return kInfinity;
    low = high;
    at_low = at_high;
    high *= 2;
    at_high = curve.LogDeltaAt(high);
  }
  for (bool by_chord = true; high - low > 1; by_chord = !by_chord) {
    const auto span = static_cast<double>(high - low);
    const double share = by_chord ? (at_low - wanted) / (at_low - at_high) : 0.5;
    const double offset = share > 0 && share < 1 ? std::clamp(std::round(share * span), 1.0, span - 1) : 1.0;
    const std::int64_t middle = low + static_cast<std::int64_t>(offset);
    const double at_middle = curve.LogDeltaAt(middle);
    (at_middle <= wanted ? high : low) = middle;
    (at_middle <= wanted ? at_high : at_low) = at_middle;
  }
  const double epsilon = EpsilonBetween(static_cast<double>(low) * curve.step(), curve.step(),
                                        std::exp(std::min(at_low, 0.0)), std::exp(at_high), left);
  return std::max(0.0, epsilon + 1e-12 * (1 + std::abs(epsilon)));
}

}  // namespace

std::optional<double> ComposedEpsilon(std::span<const RepeatedLoss> parts, double delta) {
  const View view = ViewFinder(parts).ForDelta(std::log(delta));
  const std::optional<ComposedCurve> curve = ComposedCurve::Of(parts, view);
  if (!curve) return std::nullopt;
  return EpsilonOf(*curve, view.guess, delta);
}

std::optional<double> ComposedDelta(std::span<const RepeatedLoss> parts, double epsilon) {
  const std::optional<ComposedCurve> curve = ComposedCurve::Of(parts, ViewFinder(parts).ForEpsilon(epsilon));
  if (!curve) return std::nullopt;
  // Delta falls as epsilon grows.
  const double index = std::floor(std::min(epsilon / curve->step(), 0x1p50));
  return std::min(1.0, std::exp(curve->LogDeltaAt(static_cast<std::int64_t>(index))) + curve->infinite());
}

}  // namespace tacit::dp
