#include "benchmarks/detect/attacks.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include "common/base/check.h"
#include "common/base/random.h"

namespace tacit::benchmark {
namespace {

using detect::Answer;
using detect::Score;

float SignOf(float value) {
  return value > 0 ? 1.0F : value < 0 ? -1.0F : 0.0F;
}

// Moves `x` a step along the sign of `gradient`, within the ball around the victims and their range.
void StepWithin(const Victims& victims, std::span<const float> gradient, float step, float epsilon,
                std::vector<float>& x) {
  for (std::size_t i = 0; i < x.size(); ++i) {
    const float moved = x[i] + step * SignOf(gradient[i]);
    x[i] = std::clamp(std::clamp(moved, victims.x[i] - epsilon, victims.x[i] + epsilon), victims.low, victims.high);
  }
}

std::vector<float> RandomStart(const Victims& victims, float epsilon) {
  SplitMix64 random(3);
  std::vector<float> x(victims.x.begin(), victims.x.end());
  for (float& value : x) {
    value = std::clamp(value + epsilon * static_cast<float>(2 * random.Uniform() - 1), victims.low, victims.high);
  }
  return x;
}

// The largest logit of another class than `label`.
std::uint32_t Rival(std::span<const float> logits, std::uint32_t label) {
  std::uint32_t best = label == 0 ? 1 : 0;
  for (std::uint32_t i = 0; i < logits.size(); ++i) {
    if (i != label && logits[i] > logits[best]) best = i;
  }
  return best;
}

// Adds `weight` times softmax(logits / temperature) over the classes but `without`.
void AddSoftmax(std::span<const float> logits, double weight, double temperature, std::uint32_t without,
                std::span<float> slope) {
  double sum = 0;
  const auto largest = static_cast<double>(*std::ranges::max_element(logits));
  const auto term = [&](std::size_t i) {
    return i == without ? 0.0 : std::exp((static_cast<double>(logits[i]) - largest) / temperature);
  };
  for (std::size_t i = 0; i < logits.size(); ++i) sum += term(i);
  if (sum == 0) return;
  for (std::size_t i = 0; i < logits.size(); ++i) slope[i] += static_cast<float>(weight * term(i) / sum);
}

// The hash of a distribution, backwards: where each coordinate goes, and with which sign.
struct Backwards {
  explicit Backwards(const detect::ClassGaussians& from) : gaussians(from) {
    const std::size_t size = from.parts().options.features;
    const detect::FeatureHash hash = detect::ClassGaussians::HashOf(from.parts().options);
    std::vector<float> unit(size);
    std::vector<float> hashed(hash.dimension());
    for (std::size_t i = 0; i < size; ++i) {
      unit[i] = 1;
      hash.Apply(unit, hashed);
      unit[i] = 0;
      const auto place = std::ranges::find_if(hashed, [](float value) { return value != 0; });
      places.push_back(static_cast<std::size_t>(place - hashed.begin()));
      signs.push_back(*place);
    }
  }
  const detect::ClassGaussians& gaussians;
  std::vector<std::size_t> places;
  std::vector<float> signs;
};

// The steps, in whitened coordinates, from the nearest class to the values.
std::vector<double> StepsFromNearest(const Backwards& backwards, std::span<const float> values) {
  const auto& parts = backwards.gaussians.parts();
  std::vector<double> white(backwards.gaussians.dimension());
  for (std::size_t i = 0; i < values.size(); ++i) {
    white[backwards.places[i]] += static_cast<double>(backwards.signs[i] * values[i]);
  }
  const float* factor = parts.factor.data();
  for (std::size_t i = 0; i < white.size(); ++i, factor += i) {
    for (std::size_t j = 0; j < i; ++j) white[i] -= static_cast<double>(factor[j]) * white[j];
    white[i] /= static_cast<double>(factor[i]);
  }
  std::vector<double> nearest;
  double least = std::numeric_limits<double>::infinity();
  for (std::size_t first = 0; first < parts.means.size(); first += white.size()) {
    std::vector<double> steps(white.size());
    double sum = 0;
    for (std::size_t i = 0; i < steps.size(); ++i) {
      steps[i] = white[i] - static_cast<double>(parts.means[first + i]);
      sum += steps[i] * steps[i];
    }
    if (sum >= least) continue;
    nearest = std::move(steps);
    least = sum;
  }
  return nearest;
}

// Adds `weight` times the derivative, by the values, of the squared distance from the nearest class.
void AddDistance(const Backwards& backwards, std::span<const float> values, double weight, std::span<float> slope) {
  const std::vector<float>& factor = backwards.gaussians.parts().factor;
  std::vector<double> steps = StepsFromNearest(backwards, values);
  const auto at = [&](std::size_t row, std::size_t column) {
    return static_cast<double>(factor[row * (row + 1) / 2 + column]);
  };
  for (std::size_t i = steps.size(); i-- > 0;) {  // the transposed triangle, from its end
    for (std::size_t j = i + 1; j < steps.size(); ++j) steps[i] -= at(j, i) * steps[j];
    steps[i] /= at(i, i);
  }
  for (std::size_t i = 0; i < slope.size(); ++i) {
    slope[i] += static_cast<float>(2 * weight * static_cast<double>(backwards.signs[i]) * steps[backwards.places[i]]);
  }
}

// What an attacker knows of the detector.
struct Known {
  explicit Known(const detect::Calibration& known) : calibration(known) {
    if (known.scoring.features) features.emplace(*known.scoring.features);
    if (known.scoring.inputs) inputs.emplace(*known.scoring.inputs);
  }
  const detect::Calibration& calibration;
  std::optional<Backwards> features;
  std::optional<Backwards> inputs;
};

struct RowView {
  std::span<const float> input;
  std::span<const float> logits;
  std::span<const float> features;
  std::span<float> input_slope;
  std::span<float> logit_slope;
  std::span<float> feature_slope;
};

// Adds, to the slopes of a row, minus the derivative of the evidence of every score of it that says something.
void AddEvidence(const Known& known, std::span<const double> scores, const RowView& row) {
  constexpr double kSays = 1.0;  // what a third of the clean rows reach
  const detect::Calibration& calibration = known.calibration;
  const double temperature = calibration.scoring.temperature;
  const auto none = static_cast<std::uint32_t>(row.logits.size());
  for (std::size_t i = 0; i < scores.size(); ++i) {
    const detect::EvidenceCurve& curve = calibration.combination.scores[i];
    if (curve(scores[i]) < kSays) continue;
    const double step = 1e-3 * std::max(1.0, std::abs(scores[i]));
    const double weight = -(curve(scores[i] + step) - curve(scores[i] - step)) / (2 * step);
    switch (calibration.scoring.scores[i]) {
      case Score::kUnconfidence:
        AddSoftmax(row.logits, weight, 1, detect::MostLikely(row.logits), row.logit_slope);
        AddSoftmax(row.logits, -weight, 1, none, row.logit_slope);
        break;
      case Score::kExcess:
        AddSoftmax(row.logits, weight, temperature, none, row.logit_slope);
        break;
      case Score::kEnergy:
        AddSoftmax(row.logits, -weight, temperature, none, row.logit_slope);
        break;
      case Score::kMahalanobis:
        AddDistance(Present(known.features, "it is a score"), row.features, weight, row.feature_slope);
        break;
      case Score::kInput:
        AddDistance(Present(known.inputs, "it is a score"), row.input, weight, row.input_slope);
        break;
      case Score::kGradient:   // falls with the confidence that the attack is told to have
      case Score::kSqueezing:  // has no derivative: the attack does not aim at it
        break;
    }
  }
}

}  // namespace

std::vector<float> Fgsm(Mlp& model, const Victims& victims, float epsilon) {
  std::vector<float> gradient(victims.x.size());
  (void)model.InputGradient(victims.x, victims.y, gradient);
  std::vector<float> x(victims.x.begin(), victims.x.end());
  StepWithin(victims, gradient, epsilon, epsilon, x);
  return x;
}

std::vector<float> Pgd(Mlp& model, const Victims& victims, float epsilon, int steps) {
  std::vector<float> x = RandomStart(victims, epsilon);
  std::vector<float> gradient(x.size());
  for (int step = 0; step < steps; ++step) {
    (void)model.InputGradient(x, victims.y, gradient);
    StepWithin(victims, gradient, epsilon / 10, epsilon, x);
  }
  return x;
}

std::vector<float> CarliniWagner(Mlp& model, const Victims& victims, double confidence) {
  constexpr int kSteps = 150;
  constexpr double kRate = 0.02;
  const std::size_t inputs = model.shape().inputs;
  const std::size_t classes = model.shape().classes;
  const std::size_t rows = victims.y.size();
  std::vector<float> best(victims.x.begin(), victims.x.end());
  std::vector<double> least(rows, std::numeric_limits<double>::infinity());
  for (const double loss_weight : {0.03, 0.3, 3.0, 30.0}) {
    std::vector<float> x(victims.x.begin(), victims.x.end());
    std::vector<double> mean(x.size());
    std::vector<double> variance(x.size());
    std::vector<float> gradient(x.size());
    for (int step = 1; step <= kSteps; ++step) {
      Answer answer;
      (void)model.Run(x, answer);
      Answer slopes{.logits = std::vector<float>(answer.logits.size()), .features = {}};
      for (std::size_t row = 0; row < rows; ++row) {
        const auto logits = std::span(answer.logits).subspan(row * classes, classes);
        const std::uint32_t rival = Rival(logits, victims.y[row]);
        const double lead = static_cast<double>(logits[rival]) - static_cast<double>(logits[victims.y[row]]);
        double distance = 0;
        for (std::size_t i = row * inputs; i < (row + 1) * inputs; ++i) {
          distance += std::pow(static_cast<double>(x[i]) - static_cast<double>(victims.x[i]), 2);
        }
        if (lead > confidence && distance < least[row]) {
          least[row] = distance;
          const auto from = x.begin() + static_cast<std::ptrdiff_t>(row * inputs);
          std::copy_n(from, inputs, best.begin() + static_cast<std::ptrdiff_t>(row * inputs));
        }
        if (lead > confidence) continue;
        slopes.logits[row * classes + victims.y[row]] = static_cast<float>(loss_weight);
        slopes.logits[row * classes + rival] = -static_cast<float>(loss_weight);
      }
      model.Pullback(slopes, gradient);
      const double mean_bias = 1 - std::pow(0.9, step);
      const double variance_bias = 1 - std::pow(0.999, step);
      for (std::size_t i = 0; i < x.size(); ++i) {  // Adam, on the pixels themselves, which are then cut to their range
        const double slope =
            static_cast<double>(gradient[i]) + 2 * (static_cast<double>(x[i]) - static_cast<double>(victims.x[i]));
        mean[i] = 0.9 * mean[i] + 0.1 * slope;
        variance[i] = 0.999 * variance[i] + 0.001 * slope * slope;
        const double unbiased = mean[i] / mean_bias;
        const double spread = std::sqrt(variance[i] / variance_bias) + 1e-8;
        x[i] = std::clamp(x[i] - static_cast<float>(kRate * unbiased / spread), victims.low, victims.high);
      }
    }
  }
  return best;
}

std::vector<float> AdaptivePgd(Mlp& model, const Victims& victims, float epsilon,
                               const detect::Calibration& calibration) {
  constexpr int kSteps = 120;
  constexpr float kLead = 0.5F;
  const std::size_t inputs = model.shape().inputs;
  const std::size_t classes = model.shape().classes;
  const std::size_t features = model.shape().features;
  const std::size_t scores = calibration.scoring.scores.size();
  const std::size_t rows = victims.y.size();
  std::vector<float> x(victims.x.begin(), victims.x.end());
  std::vector<float> best = x;
  std::vector<double> least(rows, std::numeric_limits<double>::infinity());
  std::vector<float> gradient(x.size());
  const Known known(calibration);
  Answer answer;
  for (int step = 0; step <= kSteps; ++step) {
    (void)model.Run(x, answer);
    const auto measured = detect::ComputeScores(model, calibration.scoring, x, answer);
    // Scores that ask the model may have moved what it remembers.
    (void)model.Run(x, answer);
    Answer slopes{.logits = std::vector<float>(rows * classes), .features = std::vector<float>(rows * features)};
    std::vector<float> input_slope(x.size());
    for (std::size_t row = 0; row < rows; ++row) {
      const RowView view{.input = std::span<const float>(x).subspan(row * inputs, inputs),
                         .logits = std::span(answer.logits).subspan(row * classes, classes),
                         .features = std::span(answer.features).subspan(row * features, features),
                         .input_slope = std::span(input_slope).subspan(row * inputs, inputs),
                         .logit_slope = std::span(slopes.logits).subspan(row * classes, classes),
                         .feature_slope = std::span(slopes.features).subspan(row * features, features)};
      const auto of_row = std::span(*measured).subspan(row * scores, scores);
      const std::uint32_t rival = Rival(view.logits, victims.y[row]);
      const float lead = view.logits[rival] - view.logits[victims.y[row]];
      const double evidence = detect::Weigh(calibration.scoring, calibration.combination, of_row).evidence;
      if (lead > 0 && evidence < least[row]) {
        least[row] = evidence;
        const auto from = x.begin() + static_cast<std::ptrdiff_t>(row * inputs);
        std::copy_n(from, inputs, best.begin() + static_cast<std::ptrdiff_t>(row * inputs));
      }
      if (lead < kLead) {
        view.logit_slope[rival] += 1.0F;
        view.logit_slope[victims.y[row]] -= 1.0F;
      } else {
        AddEvidence(known, of_row, view);
      }
    }
    model.Pullback(slopes, gradient);
    for (std::size_t i = 0; i < gradient.size(); ++i) gradient[i] += input_slope[i];
    // Large steps at first to leave the class, small ones at last to settle where nothing is said.
    const float size = epsilon * (step < kSteps / 2 ? 0.1F : step < kSteps * 3 / 4 ? 0.03F : 0.01F);
    StepWithin(victims, gradient, size, epsilon, x);
  }
  return best;
}

}  // namespace tacit::benchmark
