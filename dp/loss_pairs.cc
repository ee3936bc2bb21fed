#include "dp/loss_pairs.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "dp/normal.h"

namespace tacit::dp {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kUnit = 0x1p-53;

/// e^-from - e^-to over 2, or the same on the other side, or across the middle.
double LaplaceBetween(double from, double to) {
  if (from >= 0) return from == kInfinity ? 0 : std::exp(-from) * -std::expm1(from - to) / 2;
  if (to <= 0) return to == -kInfinity ? 0 : std::exp(to) * -std::expm1(from - to) / 2;
  return 1 - std::exp(from) / 2 - std::exp(-to) / 2;
}

/// Mass of the standardised noise between two points.
double NoiseBetween(Noise noise, double from, double to) {
  return noise == Noise::kGaussian ? NormalBetween(from, to) : LaplaceBetween(from, to);
}

/// What rounding of the two tails and of their arguments can have changed.
double NoiseError(Noise noise, double from, double to) {
  const double near = from >= 0 ? from : to <= 0 ? -to : 0;
  if (near == kInfinity) return 0;
  const double tail = NoiseBetween(noise, near, kInfinity) * (near > 0 ? 1 : 2);
  return kUnit * (8 + 2 * near * (noise == Noise::kGaussian ? near : 1)) * tail;
}

class ShiftedPair : public OutputPair {
 public:
  ShiftedPair(Noise noise, double scale, std::vector<WeightedShift> with, std::vector<WeightedShift> without)
      : noise_(noise), scale_(scale), with_(std::move(with)), without_(std::move(without)) {}

  [[nodiscard]] Masses Between(double from, double to) const override {
    return {Sum(with_, from, to, NoiseBetween), Sum(without_, from, to, NoiseBetween)};
  }
  [[nodiscard]] Masses Error(double from, double to) const override {
    return {Sum(with_, from, to, NoiseError), Sum(without_, from, to, NoiseError)};
  }

 protected:
  [[nodiscard]] double scale() const { return scale_; }
  [[nodiscard]] const std::vector<WeightedShift>& with() const { return with_; }
  [[nodiscard]] const std::vector<WeightedShift>& without() const { return without_; }

 private:
  template <typename Function>
  [[nodiscard]] double Sum(const std::vector<WeightedShift>& shifts, double from, double to, Function each) const {
    double sum = 0;
    for (const WeightedShift& one : shifts)
      sum += one.weight * each(noise_, (from - one.shift) / scale_, (to - one.shift) / scale_);
    return sum;
  }

  Noise noise_;
  double scale_;
  std::vector<WeightedShift> with_;
  std::vector<WeightedShift> without_;
};

std::vector<WeightedShift> Sampled(double q, double shift) {
  if (q == 1) return {{1, shift}};
  return {{1 - q, 0}, {q, shift}};
}

// The loss of an outcome x is ln(1 - q + q e^r), r the log-ratio of the noise around 1 and around 0, or its opposite.
class Sampling final : public ShiftedPair {
 public:
  Sampling(Noise noise, double scale, double q, Direction direction)
      : ShiftedPair(noise, scale, direction == Direction::kRemove ? Sampled(q, 1) : std::vector<WeightedShift>{{1, 0}},
                    direction == Direction::kRemove ? std::vector<WeightedShift>{{1, 0}} : Sampled(q, -1)),
        noise_(noise),
        q_(q),
        sign_(direction == Direction::kRemove ? 1 : -1) {}

  [[nodiscard]] double Outcome(double loss) const override {
    const double inside = std::expm1(sign_ * loss) / q_;
    if (inside <= -1) return -sign_ * kInfinity;
    const double ratio = q_ == 1 ? sign_ * loss : std::log1p(inside);
    if (noise_ == Noise::kGaussian) return sign_ * (0.5 + scale() * scale() * ratio);
    const double limit = 1 / scale();
    // All outcomes beyond the two centres have the largest or the smallest ratio.
    if (sign_ > 0) return ratio < -limit ? -kInfinity : ratio >= limit ? kInfinity : (1 + scale() * ratio) / 2;
    return ratio > limit ? -kInfinity : ratio <= -limit ? kInfinity : -(1 + scale() * ratio) / 2;
  }

 private:
  Noise noise_;
  double q_;
  double sign_;
};

class Mixing final : public ShiftedPair {
 public:
  using ShiftedPair::ShiftedPair;

  [[nodiscard]] double Outcome(double loss) const override {
    double farthest = 0;
    for (const auto& shifts : {with(), without()})
      for (const WeightedShift& one : shifts) farthest = std::max(farthest, std::abs(one.shift));
    // Beyond forty deviations there is nothing that a double could hold.
    double high = farthest + 40 * scale();
    double low = -high;
    if (LossOf(high) <= loss) return kInfinity;
    if (LossOf(low) > loss) return -kInfinity;
    while (high - low > 4 * kUnit * (std::abs(low) + std::abs(high))) {
      const double middle = low + (high - low) / 2;
      if (middle <= low || middle >= high) break;
      (LossOf(middle) <= loss ? low : high) = middle;
    }
    return low;
  }

 private:
  [[nodiscard]] double LossOf(double outcome) const { return LogRatio(with(), outcome) - LogRatio(without(), outcome); }
  /// ln of the mixture's density over that of the noise around 0.
  [[nodiscard]] double LogRatio(const std::vector<WeightedShift>& shifts, double outcome) const {
    double largest = -kInfinity;
    const auto log_ratio = [&](const WeightedShift& one) {
      return one.shift * (2 * outcome - one.shift) / (2 * scale() * scale());
    };
    for (const WeightedShift& one : shifts) largest = std::max(largest, log_ratio(one));
    double sum = 0;
    if (largest < 1) {  // near ratio 1 the logarithm of the sum would lose its digits
      for (const WeightedShift& one : shifts) sum += one.weight * std::expm1(log_ratio(one));
      return std::log1p(sum);
    }
    for (const WeightedShift& one : shifts) sum += one.weight * std::exp(log_ratio(one) - largest);
    return largest + std::log(sum);
  }
};

}  // namespace

std::unique_ptr<OutputPair> PoissonPair(Noise noise, double scale, double q, Direction direction) {
  return std::make_unique<Sampling>(noise, scale, q, direction);
}

std::unique_ptr<OutputPair> GaussianMixturePair(double scale, std::vector<WeightedShift> with,
                                                std::vector<WeightedShift> without) {
  return std::make_unique<Mixing>(Noise::kGaussian, scale, std::move(with), std::move(without));
}

std::vector<OutputPair::Masses> RandomisedResponseOutcomes(double noise, std::uint64_t buckets) {
  const auto k = static_cast<double>(buckets);
  const double other = noise / k;
  const double same = 1 - noise + other;
  return {{same, other}, {other, same}, {(k - 2) * other, (k - 2) * other}};
}

std::vector<OutputPair::Masses> WorstCaseOutcomes(double epsilon, double delta) {
  const double rest = 1 - delta;
  const double high = rest / (1 + std::exp(-epsilon));
  const double low = rest / (1 + std::exp(epsilon));
  return {{delta, 0}, {high, low}, {low, high}, {0, delta}};
}

std::vector<OutputPair::Masses> DiscreteGaussianOutcomes(double sigma, std::uint64_t shift) {
  const auto reach = static_cast<std::int64_t>(std::ceil(39 * sigma)) + static_cast<std::int64_t>(shift);
  const auto weight = [&](std::int64_t x) {
    const double scaled = static_cast<double>(x) / sigma;
    return std::exp(-scaled * scaled / 2);
  };
  double total = 0;
  for (std::int64_t x = -reach; x <= reach; ++x) total += weight(x);
  std::vector<OutputPair::Masses> outcomes;
  for (std::int64_t x = -reach; x <= reach; ++x) {
    const OutputPair::Masses mass{weight(x - static_cast<std::int64_t>(shift)) / total, weight(x) / total};
    if (mass.with > 0 && mass.without > 0) outcomes.push_back(mass);
  }
  outcomes.push_back({.with = 1e-300, .without = 0});  // what lies beyond
  return outcomes;
}

std::vector<OutputPair::Masses> DiscreteLaplaceOutcomes(double rate, std::uint64_t shift) {
  const double half = 1 / (1 + std::exp(-rate));  // P(x <= 0)
  const double point = std::tanh(rate / 2);       // P(0)
  const double far = std::exp(-rate * static_cast<double>(shift));
  std::vector<OutputPair::Masses> outcomes{{half * far, half}, {half, half * far}};
  for (std::uint64_t x = 1; x < shift; ++x) {
    outcomes.push_back({.with = point * std::exp(-rate * static_cast<double>(shift - x)),
                        .without = point * std::exp(-rate * static_cast<double>(x))});
  }
  return outcomes;
}

}  // namespace tacit::dp
