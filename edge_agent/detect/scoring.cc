#include "edge_agent/detect/scoring.h"

#include <algorithm>

#include "common/base/check.h"

namespace tacit::detect {
namespace {

// A row of a matrix without gaps.
std::span<const float> RowOf(std::span<const float> rows, std::size_t row, std::size_t size) {
  return rows.subspan(row * size, size);
}

// The larger of the two distances that the two squeezers move each answer by.
Result<std::vector<double>> SqueezingScores(Model& model, const Scoring& scoring, std::span<const float> input,
                                            const Answer& answer) {
  const ModelShape& shape = model.shape();
  const std::size_t rows = input.size() / shape.inputs;
  std::vector<float> squeezed(input.size());
  std::vector<double> scores(rows);
  Answer moved;
  const auto compare = [&]() -> Result<void> {
    TACIT_TRY_VOID(model.Run(squeezed, moved));
    for (std::size_t row = 0; row < rows; ++row) {
      const double distance =
          SoftmaxDistance(RowOf(answer.logits, row, shape.classes), RowOf(moved.logits, row, shape.classes));
      scores[row] = std::max(scores[row], distance);
    }
    return {};
  };
  ReduceBitDepth(input, scoring.range, scoring.bits, squeezed);
  TACIT_TRY_VOID(compare());
  const Image& image = Present(scoring.image, "squeezing is for pictures");
  for (std::size_t row = 0; row < rows; ++row) {
    MedianOfFour(RowOf(input, row, shape.inputs), image, std::span(squeezed).subspan(row * shape.inputs, shape.inputs));
  }
  TACIT_TRY_VOID(compare());
  return scores;
}

Result<std::vector<double>> GradientScores(Model& model, std::span<const float> input, const Answer& answer) {
  const ModelShape& shape = model.shape();
  const std::size_t rows = input.size() / shape.inputs;
  std::vector<std::uint32_t> likely(rows);
  for (std::size_t row = 0; row < rows; ++row) likely[row] = MostLikely(RowOf(answer.logits, row, shape.classes));
  std::vector<float> gradient(input.size());
  TACIT_TRY_VOID(model.InputGradient(input, likely, gradient));
  std::vector<double> scores(rows);
  for (std::size_t row = 0; row < rows; ++row) scores[row] = GradientScore(RowOf(gradient, row, shape.inputs));
  return scores;
}

double ScoreOfAnswer(Score score, const Scoring& scoring, std::span<const float> input, std::span<const float> logits,
                     std::span<const float> features) {
  switch (score) {
    case Score::kUnconfidence:
      return UnconfidenceScore(logits);
    case Score::kExcess:
      return -EnergyScore(logits, scoring.temperature);
    case Score::kEnergy:
      return EnergyScore(logits, scoring.temperature);
    case Score::kMahalanobis:
      return Present(scoring.features, "the distance is from them").Distance(features);
    case Score::kInput:
      return Present(scoring.inputs, "the distance is from them").Distance(input);
    case Score::kGradient:
    case Score::kSqueezing:
      break;
  }
  TACIT_CHECK(false, "the others need the model");
}

Result<std::vector<double>> ScoresOf(Score score, Model& model, const Scoring& scoring, std::span<const float> input,
                                     const Answer& answer) {
  if (score == Score::kGradient) return GradientScores(model, input, answer);
  if (score == Score::kSqueezing) return SqueezingScores(model, scoring, input, answer);
  const ModelShape& shape = model.shape();
  std::vector<double> scores(input.size() / shape.inputs);
  for (std::size_t row = 0; row < scores.size(); ++row) {
    scores[row] = ScoreOfAnswer(score, scoring, RowOf(input, row, shape.inputs),
                                RowOf(answer.logits, row, shape.classes), RowOf(answer.features, row, shape.features));
  }
  return scores;
}

}  // namespace

Result<std::vector<double>> ComputeScores(Model& model, const Scoring& scoring, std::span<const float> input,
                                          const Answer& answer) {
  const std::size_t rows = input.size() / model.shape().inputs;
  const std::size_t count = scoring.scores.size();
  std::vector<double> all(rows * count);
  for (std::size_t i = 0; i < count; ++i) {
    TACIT_TRY(const std::vector<double> scores, ScoresOf(scoring.scores[i], model, scoring, input, answer));
    for (std::size_t row = 0; row < rows; ++row) all[row * count + i] = scores[row];
  }
  return all;
}

}  // namespace tacit::detect
