#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include "common/base/random.h"
#include "edge_agent/detect/calibration.h"
#include "edge_agent/detect/model.h"

namespace tacit::detect::testing {

/// Near enough to a standard normal number: the sum of twelve uniforms (Irwin, Hall), which needs no libm.
inline double Normal(SplitMix64& random) {
  double sum = -6;
  for (int i = 0; i < 12; ++i) sum += random.Uniform();
  return sum;
}

/// Three classes around three corners of a space of six dimensions; a linear model tells them apart, and shows its
/// input as its features.
class Clusters final : public Model {
 public:
  static constexpr std::uint32_t kInputs = 6;
  static constexpr std::uint32_t kClasses = 3;

  [[nodiscard]] const ModelShape& shape() const override { return shape_; }
  Result<void> Run(std::span<const float> input, Answer& answer) override {
    const std::size_t rows = input.size() / kInputs;
    answer.logits.resize(rows * kClasses);
    answer.features.assign(input.begin(), input.end());
    for (std::size_t row = 0; row < rows; ++row) {
      for (std::size_t c = 0; c < kClasses; ++c) {
        answer.logits[row * kClasses + c] = 2 * (input[row * kInputs + 2 * c] + input[row * kInputs + 2 * c + 1]);
      }
    }
    return {};
  }
  Result<void> InputGradient(std::span<const float> input, std::span<const std::uint32_t> classes,
                             std::span<float> gradient) override {
    Answer answer;
    (void)Run(input, answer);
    for (std::size_t row = 0; row < classes.size(); ++row) {
      const auto logits = std::span(answer.logits).subspan(row * kClasses, kClasses);
      const double sum = LogSumExp(logits);
      for (std::size_t c = 0; c < kClasses; ++c) {
        const double slope = std::exp(static_cast<double>(logits[c]) - sum) - (classes[row] == c ? 1 : 0);
        for (std::size_t i = 0; i < 2; ++i) gradient[row * kInputs + 2 * c + i] = static_cast<float>(2 * slope);
      }
    }
    return {};
  }

  struct Rows {
    std::vector<float> x;
    std::vector<std::uint32_t> y;
  };
  /// Clean rows.
  static Rows Draw(std::size_t count, std::uint64_t seed) {
    SplitMix64 random(seed);
    Rows rows;
    for (std::size_t row = 0; row < count; ++row) {
      rows.y.push_back(static_cast<std::uint32_t>(random.Below(kClasses)));
      for (std::size_t i = 0; i < kInputs; ++i) {
        rows.x.push_back(static_cast<float>((i / 2 == rows.y.back() ? 1.0 : 0.0) + 0.25 * Normal(random)));
      }
    }
    return rows;
  }

 private:
  ModelShape shape_ = {.inputs = kInputs, .classes = kClasses, .features = kInputs};
};

/// Options for a calibration of few rows.
inline CalibrationOptions FewRows() {
  CalibrationOptions options;
  options.model.fill(7);
  options.tolerance = {.target = 0.05, .within = 0.02, .confidence = 0.9};
  options.drift_window = 50;
  return options;
}

/// Shape: made once; tests change copies.
inline const Calibration& ClusterCalibration() {
  static const Calibration calibration = [] {
    Clusters model;
    const Clusters::Rows rows = Clusters::Draw(1'500, 1);
    return *Calibrate(model, {.x = rows.x, .labels = rows.y}, FewRows());
  }();
  return calibration;
}

}  // namespace tacit::detect::testing
