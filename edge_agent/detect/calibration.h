#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "edge_agent/detect/conformal.h"
#include "edge_agent/detect/distance_test.h"
#include "edge_agent/detect/drift.h"
#include "edge_agent/detect/evidence.h"
#include "edge_agent/detect/model.h"
#include "edge_agent/detect/scoring.h"

namespace tacit::detect {

/// How the evidence of the scores of an input becomes one number: the most that any of its concerns has, each of them
/// being the most that any of its scores has, taken through a curve again, so that a concern with many scores does not
/// count for more.
struct Combination {
  std::vector<EvidenceCurve> scores;                             ///< As Scoring::scores.
  std::array<std::optional<EvidenceCurve>, kConcerns> concerns;  ///< There where a score speaks for it.
  bool operator==(const Combination&) const = default;
};

/// All that a device needs to judge the answers of one model. Frozen: made where clean rows are, carried in the model's
/// bundle. Privacy: holds means, a covariance and quantiles of the clean rows; made of public or released data, or as
/// private as those.
struct Calibration {
  Digest256 model{};  ///< Of the bytes of the model that it belongs to.
  ModelShape shape;
  double target = 0;       ///< The false-positive rate of all scores together.
  std::uint32_t rows = 0;  ///< Clean rows that the threshold was taken from.
  Scoring scoring;
  Combination combination;
  double threshold = 0;  ///< Evidence above it is suspicious.
  DriftReference drift;
  DistanceReference distances;
  bool operator==(const Calibration&) const = default;
};

struct CalibrationOptions {
  Digest256 model{};
  Tolerance tolerance;
  /// Squeezing needs an image; the gradient a model that has one; the distance a model that shows its features.
  std::vector<Score> scores = {Score::kUnconfidence, Score::kEnergy, Score::kMahalanobis, Score::kInput};
  double temperature = 1;
  std::optional<Image> image = std::nullopt;
  ValueRange range = {};
  std::uint32_t squeeze_bits = 4;
  std::uint32_t drift_window = 200;
  double drift_false_alarms = 0.01;
  std::uint32_t distance_dimension = 256;  ///< Of inputs that are compared with those asked before.
  std::uint32_t anchors_per_class = 32;    ///< Inputs kept of each asker and class.
  std::uint64_t seed = 1;                  ///< Of the order of the rows, of hashes and of simulated windows.
};

/// Rows that the model was not trained on, drawn as what it will see. Shape: `x` rows x inputs, finite; one of `labels`
/// a row, or none: then what the model says is taken.
struct CleanRows {
  std::span<const float> x;
  std::span<const std::uint32_t> labels;
};

/// How many clean rows Calibrate needs for a model of this shape. Errors: kInvalidArgument for options out of their
/// ranges, or that the model cannot serve.
Result<std::size_t> RowsNeeded(const ModelShape& shape, const CalibrationOptions& options);

/// Fits everything that is learned on a half of the rows, in random order, and takes the threshold from the other half.
/// Guarantee: on one new row that is exchangeable with the clean ones, the probability of suspicion is the target at
///   most, over the draw of all rows; given the rows, the rate is within the tolerance at its confidence (RowsFor). It
///   says nothing of rows from elsewhere, such as other people, cameras or seasons.
/// Errors: kInvalidArgument as RowsNeeded, and with too few rows, saying how many it takes; those of the model.
/// Cost: two passes of the model over a part of the rows, what the scores cost over the rest, and at most a second.
/// Source: split conformal prediction: Papadopoulos et al. 2002; Angelopoulos, Bates 2021, section 1.
Result<Calibration> Calibrate(Model& model, const CleanRows& rows, const CalibrationOptions& options);

/// What the scores of one input amount to.
struct Weighed {
  double evidence = 0;
  Concern concern = Concern::kAdversarial;
  std::size_t strongest = 0;      ///< Place in Scoring::scores.
  std::vector<double> evidences;  ///< Of each score.
};
[[nodiscard]] Weighed Weigh(const Scoring& scoring, const Combination& combination, std::span<const double> scores);

/// The most bytes that a calibration is read from.
inline constexpr std::size_t kMaxCalibrationBytes = std::size_t{4} << 20U;

/// The one form of a calibration: what its id and a bundle's digest are taken of.
Bytes Serialise(const Calibration& calibration);

/// Reads what Serialise wrote, and nothing else: the same bytes come out again. Errors: kTooLarge, kMalformed with the
/// place; nothing is allocated beyond what the bytes hold.
Result<Calibration> ParseCalibration(ByteSpan bytes);

/// SHA-256 of its bytes.
Digest256 IdOf(const Calibration& calibration);

}  // namespace tacit::detect
