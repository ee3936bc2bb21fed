#include "edge_agent/detect/scores.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace tacit::detect {

std::string_view NameOf(Score score) {
  constexpr std::array<std::string_view, kScores> kNames = {"unconfidence", "gradient",    "squeezing", "excess",
                                                            "energy",       "mahalanobis", "input"};
  return kNames.at(static_cast<std::size_t>(score));
}

std::string_view NameOf(Concern concern) {
  return concern == Concern::kAdversarial ? "adversarial" : "out of distribution";
}

double LogSumExp(std::span<const float> logits) {
  const auto largest = static_cast<double>(*std::ranges::max_element(logits));
  if (!std::isfinite(largest)) return largest;
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - largest);
  return largest + std::log(sum);
}

std::uint32_t MostLikely(std::span<const float> logits) {
  return static_cast<std::uint32_t>(std::ranges::max_element(logits) - logits.begin());
}

double UnconfidenceScore(std::span<const float> logits) {
  const std::uint32_t best = MostLikely(logits);
  const auto largest = static_cast<double>(logits[best]);
  double others = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (i != best) others += std::exp(static_cast<double>(logits[i]) - largest);
  }
  // Where the others vanish beside the largest even in double, the next to it decides alone.
  if (others == 0) {
    double next = -std::numeric_limits<double>::infinity();
    for (std::size_t i = 0; i < logits.size(); ++i) {
      if (i != best) next = std::max(next, static_cast<double>(logits[i]));
    }
    return next - largest;
  }
  return std::log(others) - std::log1p(others);
}

double EnergyScore(std::span<const float> logits, double temperature) {
  const auto largest = static_cast<double>(*std::ranges::max_element(logits));
  if (!std::isfinite(largest)) return -largest;
  double sum = 0;
  for (const float logit : logits) sum += std::exp((static_cast<double>(logit) - largest) / temperature);
  return -largest - temperature * std::log(sum);
}

double GradientScore(std::span<const float> gradient) {
  double sum = 0;
  for (const float value : gradient) sum += static_cast<double>(value) * static_cast<double>(value);
  // Gradients that underflow are the least strange of all; the floor keeps the logarithm finite.
  return 0.5 * std::log(std::max(sum, std::numeric_limits<double>::min()));
}

double SoftmaxDistance(std::span<const float> logits, std::span<const float> other) {
  const double sum = LogSumExp(logits);
  const double other_sum = LogSumExp(other);
  double distance = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    distance +=
        std::abs(std::exp(static_cast<double>(logits[i]) - sum) - std::exp(static_cast<double>(other[i]) - other_sum));
  }
  return distance;
}

}  // namespace tacit::detect
