#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "benchmarks/detect/mlp.h"
#include "edge_agent/data/dataset.h"
#include "edge_agent/detect/calibration.h"

namespace tacit::benchmark {

/// A trained model, clean rows that it has not seen, and what attackers and detectors are told.
struct Scene {
  std::string name;
  data::Dataset training;
  data::Dataset calibration;
  data::Dataset held_out;
  Mlp model;
  float low = 0;
  float high = 1;
  std::optional<detect::Image> image;
  std::vector<float> epsilons;  ///< Of attacks, in the largest change of a number.
};

/// Fashion-MNIST: 20,000 rows to train on, 6,000 to calibrate on, the official test rows held out.
Scene FashionScene(const std::filesystem::path& shared);

/// The activity recordings: people who are in all three parts, with different rows.
Scene PeopleScene(const std::filesystem::path& shared);
/// The people of the test split, of whom the model and the calibration have seen nothing.
data::Dataset OtherPeople(const std::filesystem::path& shared);

/// A calibration of a scene's model on its rows; ends the process where that fails.
detect::Calibration CalibrationOf(Scene& scene, double target, const std::vector<detect::Score>& scores);
inline const std::vector<detect::Score> kShipped = detect::CalibrationOptions{}.scores;

/// The share of inputs that a calibration finds suspicious.
double SuspiciousShare(Scene& scene, const detect::Calibration& calibration, std::span<const float> input);

/// The rows of these places that the model classifies rightly, at most `most`.
data::Dataset RightRows(Scene& scene, std::size_t most);

void MeasureFalsePositives(Scene& scene);
void MeasureAttacks(Scene& scene);
void MeasureStrangers(Scene& scene);
void MeasureExtraction(Scene& scene);
void MeasureDrift(Scene& scene);

}  // namespace tacit::benchmark
