#pragma once

#include <span>
#include <vector>

#include "edge_agent/detect/calibration.h"
#include "edge_agent/detect/verdict.h"

namespace tacit::detect {

/// Judges the inputs of one model by one calibration. Threads: one at a time, as its model.
class Detector {
 public:
  /// Errors: kInvalidArgument for a calibration of a model of another shape.
  static Result<Detector> Create(Calibration calibration, Mode mode, const ModelShape& shape);

  /// One verdict a row, on what the model answered to it. An input that is not finite is suspicious whatever it scores.
  /// Shape: `input` rows x inputs of the model that the calibration is of, and its answer. Errors: kInvalidArgument for
  /// other sizes; those of the model.
  Result<std::vector<Verdict>> Judge(Model& model, std::span<const float> input, const Answer& answer) const;

  [[nodiscard]] const Calibration& calibration() const { return calibration_; }
  [[nodiscard]] const Digest256& id() const { return id_; }

 private:
  Detector(Calibration calibration, Mode mode);
  [[nodiscard]] Verdict VerdictOf(std::span<const double> scores) const;

  Calibration calibration_;
  Mode mode_;
  Digest256 id_;
};

}  // namespace tacit::detect
