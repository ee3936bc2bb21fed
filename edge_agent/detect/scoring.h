#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "edge_agent/detect/gaussians.h"
#include "edge_agent/detect/model.h"
#include "edge_agent/detect/scores.h"
#include "edge_agent/detect/squeeze.h"

namespace tacit::detect {

/// How an input is scored.
struct Scoring {
  std::vector<Score> scores;  ///< Each at most once, in the order of their codes; one at least.
  double temperature = 1;     ///< Of the energy.
  std::optional<Image> image;
  ValueRange range;                        ///< Of the inputs, for squeezing.
  std::uint32_t bits = 4;                  ///< That squeezing leaves.
  std::optional<ClassGaussians> features;  ///< What the distances are from.
  std::optional<ClassGaussians> inputs;
  bool operator==(const Scoring&) const = default;
};

/// The scores of rows and the model's answer to them. Shape: rows x scoring.scores, row-major; distributions are
/// there where a distance is asked for, and a picture of the model's inputs where squeezing is.
/// Errors: those of the model. Cost: that of the answer apart, unconfidence, excess and energy take a few operations a
/// class; the distance what ClassGaussians says; the gradient a forward and a backward pass, squeezing two forward
/// passes. Privacy: computed from inputs.
Result<std::vector<double>> ComputeScores(Model& model, const Scoring& scoring, std::span<const float> input,
                                          const Answer& answer);

}  // namespace tacit::detect
