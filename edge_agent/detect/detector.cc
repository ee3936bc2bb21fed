#include "edge_agent/detect/detector.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

namespace tacit::detect {

Detector::Detector(Calibration calibration, Mode mode)
    : calibration_(std::move(calibration)), mode_(mode), id_(IdOf(calibration_)) {}

Result<Detector> Detector::Create(Calibration calibration, Mode mode, const ModelShape& shape) {
  if (calibration.shape != shape) {
    return Fail(ErrorCode::kInvalidArgument, "the calibration is of a model of another shape; calibrate for this one");
  }
  return Detector(std::move(calibration), mode);
}

Verdict Detector::VerdictOf(std::span<const double> scores) const {
  const Scoring& scoring = calibration_.scoring;
  Weighed weighed = Weigh(scoring, calibration_.combination, scores);
  Verdict verdict{.decision = Decision::kAccepted,
                  .suspicious = weighed.evidence > calibration_.threshold,
                  .concern = weighed.concern,
                  .strongest = scoring.scores[weighed.strongest],
                  .evidence = weighed.evidence,
                  .threshold = calibration_.threshold,
                  .scores = {},
                  .calibration = id_,
                  .reason = {}};
  for (std::size_t i = 0; i < scores.size(); ++i) {
    verdict.scores.push_back({.score = scoring.scores[i], .value = scores[i], .evidence = weighed.evidences[i]});
  }
  if (verdict.suspicious) {
    verdict.decision = DecisionFor(mode_);
    verdict.reason = std::string(NameOf(verdict.concern)) + ", by " + std::string(NameOf(verdict.strongest));
  }
  return verdict;
}

Result<std::vector<Verdict>> Detector::Judge(Model& model, std::span<const float> input, const Answer& answer) const {
  const ModelShape& shape = calibration_.shape;
  const std::size_t rows = input.size() / shape.inputs;
  if (model.shape() != shape || input.size() != rows * shape.inputs || answer.logits.size() != rows * shape.classes ||
      answer.features.size() != rows * shape.features) {
    return Fail(ErrorCode::kInvalidArgument, "input and answer are not of the model that the calibration is of");
  }
  TACIT_TRY(const std::vector<double> scores, ComputeScores(model, calibration_.scoring, input, answer));
  const std::size_t count = calibration_.scoring.scores.size();
  std::vector<Verdict> verdicts;
  for (std::size_t row = 0; row < rows; ++row) {
    Verdict verdict = VerdictOf(std::span(scores).subspan(row * count, count));
    const auto values = input.subspan(row * shape.inputs, shape.inputs);
    if (!std::ranges::all_of(values, [](float value) { return std::isfinite(value); })) {
      verdict.suspicious = true;
      verdict.decision = DecisionFor(mode_);
      verdict.reason = "a number of the input is not finite";
    }
    verdicts.push_back(std::move(verdict));
  }
  return verdicts;
}

}  // namespace tacit::detect
