#include "dp/loss_pairs.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

#include "dp/numbers.h"

namespace tacit::dp {
namespace {

/// Mass of the standardised noise above x >= 0.
double UpperTail(Noise noise, double x) {
  return noise == Noise::kGaussian ? std::erfc(x / std::numbers::sqrt2) / 2 : std::exp(-x) / 2;
}

/// All shifts of both sides, each with its weight on either.
class ShiftedPair : public OutputPair {
 public:
  ShiftedPair(Noise noise, double scale, const std::vector<WeightedShift>& with,
              const std::vector<WeightedShift>& without)
      : noise_(noise), scale_(scale) {
    for (const WeightedShift& each : with) TermAt(each.shift).weight.with += each.weight;
    for (const WeightedShift& each : without) TermAt(each.shift).weight.without += each.weight;
  }

  void CutAt(double outcome, Cut& cut) const override {
    cut.resize(terms_.size());
    for (std::size_t i = 0; i < terms_.size(); ++i) {
      const double x = (outcome - terms_[i].shift) / scale_;
      cut[i] = x >= 0 ? UpperTail(noise_, x) : -UpperTail(noise_, -x);
    }
  }

  [[nodiscard]] Interval Between(const Cut& from, const Cut& to) const override {
    Interval interval;
    for (std::size_t i = 0; i < terms_.size(); ++i) {
      const bool above = std::signbit(from[i]) == std::signbit(to[i]);
      // On one side of the middle a difference of tails, across it what both leave.
      const double mass = above ? from[i] - to[i] : 1 + from[i] - to[i];
      // A tail at x deviations errs by up to 16 + 4 x^2 units of itself, from rounding x; and x^2 < -2 ln(tail).
      const double near = std::max(std::abs(from[i]), std::abs(to[i]));
      const double error = (16 - 8 * std::log(std::max(near, 1e-300))) * kUnit * near + (above ? 0 : 4 * kUnit);
      interval.mass.with += terms_[i].weight.with * mass;
      interval.mass.without += terms_[i].weight.without * mass;
      interval.error.with += terms_[i].weight.with * error;
      interval.error.without += terms_[i].weight.without * error;
    }
    return interval;
  }

 protected:
  struct Term {
    double shift;
    Masses weight;
  };
  [[nodiscard]] double scale() const { return scale_; }
  [[nodiscard]] const std::vector<Term>& terms() const { return terms_; }

 private:
  Term& TermAt(double shift) {
    const auto found = std::ranges::find(terms_, shift, &Term::shift);
    return found == terms_.end() ? terms_.emplace_back(shift, Masses{}) : *found;
  }

  Noise noise_;
  double scale_;
  std::vector<Term> terms_;
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
    for (const Term& term : terms()) farthest = std::max(farthest, std::abs(term.shift));
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
  [[nodiscard]] double LossOf(double outcome) const {
    return LogRatio(&Masses::with, outcome) - LogRatio(&Masses::without, outcome);
  }
  /// ln of the mixture's density over that of the noise around 0.
  [[nodiscard]] double LogRatio(double Masses::* side, double outcome) const {
    double largest = -kInfinity;
    const auto log_ratio = [&](const Term& term) {
      return term.shift * (2 * outcome - term.shift) / (2 * scale() * scale());
    };
    for (const Term& term : terms())
      if (term.weight.*side > 0) largest = std::max(largest, log_ratio(term));
    double sum = 0;
    if (largest < 1) {  // near ratio 1 the logarithm of the sum would lose its digits
      for (const Term& term : terms())
        if (term.weight.*side > 0) sum += term.weight.*side * std::expm1(log_ratio(term));
      return std::log1p(sum);
    }
    for (const Term& term : terms())
      if (term.weight.*side > 0) sum += term.weight.*side * std::exp(log_ratio(term) - largest);
    return largest + std::log(sum);
  }
};

}  // namespace

std::unique_ptr<OutputPair> PoissonPair(Noise noise, double scale, double q, Direction direction) {
  return std::make_unique<Sampling>(noise, scale, q, direction);
}

std::unique_ptr<OutputPair> GaussianMixturePair(double scale, const std::vector<WeightedShift>& with,
                                                const std::vector<WeightedShift>& without) {
  return std::make_unique<Mixing>(Noise::kGaussian, scale, with, without);
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
    if (mass.with > 0) outcomes.push_back(mass);  // where Q has underflowed the loss is unbounded
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
