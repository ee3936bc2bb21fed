#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace tacit::detect {

/// Numbers that are larger the stranger an input is. The codes are those of a calibration's bytes.
enum class Score : std::uint8_t {
  kUnconfidence = 0,  ///< What the most likely class leaves over.
  kGradient = 1,      ///< Norm of the loss's derivative by the input.
  kSqueezing = 2,     ///< How far the answer moves when the input is simplified.
  kExcess = 3,        ///< Logits larger than clean inputs have: the mark of an attack that wants to be sure.
  kEnergy = 4,        ///< Logits smaller than clean inputs have.
  kMahalanobis = 5,   ///< Distance of the features from those of every class.
  kInput = 6,         ///< The same distance, of the input itself.
};
inline constexpr std::size_t kScores = 7;
[[nodiscard]] std::string_view NameOf(Score score);

/// What a score speaks for: each belongs to one of the two.
enum class Concern : std::uint8_t { kAdversarial = 0, kOutOfDistribution = 1 };
inline constexpr std::size_t kConcerns = 2;
[[nodiscard]] std::string_view NameOf(Concern concern);
[[nodiscard]] constexpr Concern ConcernOf(Score score) {
  return score >= Score::kEnergy ? Concern::kOutOfDistribution : Concern::kAdversarial;
}

/// log sum exp(logit), without overflow.
[[nodiscard]] double LogSumExp(std::span<const float> logits);

/// The first of the largest logits. Shape: one logit at least.
[[nodiscard]] std::uint32_t MostLikely(std::span<const float> logits);

/// log(1 - max softmax): in the order of 1 - max softmax, and finer where that rounds to 0.
/// Source: Hendrycks, Gimpel 2017, section 2 (maximum softmax probability).
[[nodiscard]] double UnconfidenceScore(std::span<const float> logits);

/// -T log sum exp(logit / T). Source: Liu et al. 2020, equation 4.
[[nodiscard]] double EnergyScore(std::span<const float> logits, double temperature);

/// log of the Euclidean norm of the derivative of the loss for the most likely class, by the input.
/// Source: the score of Lee, AlRegib 2020 (gradients as uncertainty), taken by the input.
[[nodiscard]] double GradientScore(std::span<const float> gradient);

/// Sum of |p - q| over the classes, of two answers as softmax. Source: Xu, Evans, Qi 2018, equation 1.
[[nodiscard]] double SoftmaxDistance(std::span<const float> logits, std::span<const float> other);

}  // namespace tacit::detect
