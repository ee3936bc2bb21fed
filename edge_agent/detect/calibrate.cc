#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <utility>

#include "common/base/random.h"
#include "edge_agent/detect/calibration.h"

namespace tacit::detect {
namespace {

constexpr std::size_t kRowsAtOnce = 128;

bool Has(const std::vector<Score>& scores, Score score) {
  return std::ranges::find(scores, score) != scores.end();
}

Result<void> CheckSqueezing(const ModelShape& shape, const CalibrationOptions& options) {
  if (!Has(options.scores, Score::kSqueezing)) return {};
  if (!options.image || std::min(options.image->height, options.image->width) < Image::kMinSide) {
    return Fail(ErrorCode::kInvalidArgument,
                "squeezing is for pictures of at least " + std::to_string(Image::kMinSide) + " pixels either way");
  }
  const Image& image = *options.image;
  if (std::max(image.height, image.width) > Image::kMaxSide || image.channels > Image::kMaxChannels ||
      std::uint64_t{image.channels} * image.height * image.width != shape.inputs) {
    return Fail(ErrorCode::kInvalidArgument, "the picture has another size than the model's input");
  }
  if (options.squeeze_bits < 1 || options.squeeze_bits > 16 || !(options.range.low < options.range.high) ||
      !std::isfinite(options.range.high - options.range.low)) {
    return Fail(ErrorCode::kInvalidArgument, "squeezing leaves 1 to 16 bits of a range from low to high");
  }
  return {};
}

Result<void> CheckCalibration(const ModelShape& shape, const CalibrationOptions& options) {
  if (shape.inputs == 0 || shape.inputs > ModelShape::kMaxInputs || shape.classes < 2 ||
      shape.classes > ModelShape::kMaxClasses || shape.features > ModelShape::kMaxFeatures) {
    return Fail(ErrorCode::kInvalidArgument, "the model's sizes are beyond what detectors can hold");
  }
  const auto is_unordered = [](Score a, Score b) { return a >= b; };
  if (options.scores.empty() || std::ranges::adjacent_find(options.scores, is_unordered) != options.scores.end()) {
    return Fail(ErrorCode::kInvalidArgument, "a calibration needs scores, each once, in their order");
  }
  if (Has(options.scores, Score::kMahalanobis) && shape.features == 0) {
    return Fail(ErrorCode::kInvalidArgument, "the distance of features needs a model that shows them");
  }
  if (!(options.temperature >= 0.01 && options.temperature <= 1000)) {
    return Fail(ErrorCode::kInvalidArgument, "a temperature is in [0.01, 1000]");
  }
  if (options.distance_dimension < 1 || options.distance_dimension > DistanceReference::kMaxDimension ||
      options.anchors_per_class < 1 || options.anchors_per_class > DistanceReference::kMaxAnchors) {
    return Fail(ErrorCode::kInvalidArgument, "inputs are compared in 1 to 4096 dimensions, with 1 to 1024 of a class");
  }
  return CheckSqueezing(shape, options);
}

// Appends the hash of a row.
void Append(const FeatureHash& hash, std::span<const float> row, std::vector<float>& all) {
  all.resize(all.size() + hash.dimension());
  hash.Apply(row, std::span(all).last(hash.dimension()));
}

// Where the parts of the shuffled rows end: the first is for the distributions of features, the second for the curves,
// the rest for the threshold.
struct Partition {
  std::size_t fit = 0;
  std::size_t rank = 0;
};
Partition PartitionOf(std::size_t rows) {
  return {.fit = rows * 3 / 10, .rank = rows / 2};
}

// Runs a model over rows in a fixed random order, and keeps what the calibration needs.
class Calibrator {
 public:
  Calibrator(Model& model, const CleanRows& rows, const CalibrationOptions& options)
      : model_(&model), rows_(rows), options_(options), order_(rows.x.size() / model.shape().inputs) {
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    SplitMix64 random(options.seed);
    for (std::size_t i = order_.size(); i > 1; --i) std::swap(order_[i - 1], order_[random.Below(i)]);
  }

  Result<Calibration> Run();

 private:
  // Calls `take(row of the order, input, answer)` for each part of the rows from `first` to `end`.
  template <typename Take>
  Result<void> InParts(std::size_t first, std::size_t end, Take take) {
    const std::size_t inputs = model_->shape().inputs;
    std::vector<float> batch;
    Answer answer;
    for (; first < end; first += kRowsAtOnce) {
      const std::size_t count = std::min(kRowsAtOnce, end - first);
      batch.resize(count * inputs);
      for (std::size_t i = 0; i < count; ++i) {
        std::ranges::copy(rows_.x.subspan(order_[first + i] * inputs, inputs),
                          batch.begin() + static_cast<std::ptrdiff_t>(i * inputs));
      }
      TACIT_TRY_VOID(model_->Run(batch, answer));
      TACIT_TRY_VOID(take(first, std::span<const float>(batch), std::as_const(answer)));
    }
    return {};
  }

  [[nodiscard]] std::uint32_t LabelOf(std::size_t place, std::span<const float> logits) const {
    return rows_.labels.empty() ? MostLikely(logits) : rows_.labels[order_[place]];
  }

  Result<void> FitGaussians(std::size_t end, Scoring& scoring);
  Result<std::vector<double>> ScoreRest(std::size_t first, const Scoring& scoring);
  Result<void> FitStreams(Calibration& calibration);
  static Result<Combination> FitCombination(const Scoring& scoring, std::span<const double> scores);

  Model* model_;
  CleanRows rows_;
  const CalibrationOptions& options_;
  std::vector<std::size_t> order_;
};

Result<void> Calibrator::FitGaussians(std::size_t end, Scoring& scoring) {
  const ModelShape& shape = model_->shape();
  const ClassGaussians::Options of_features{
      .features = shape.features, .classes = shape.classes, .seed = options_.seed};
  const ClassGaussians::Options of_inputs{.features = shape.inputs, .classes = shape.classes, .seed = options_.seed};
  const FeatureHash feature_hash = ClassGaussians::HashOf(of_features);
  const FeatureHash input_hash = ClassGaussians::HashOf(of_inputs);
  std::vector<float> features;
  std::vector<float> inputs;
  std::vector<std::uint32_t> labels;
  TACIT_TRY_VOID(
      InParts(0, end, [&](std::size_t first, std::span<const float> input, const Answer& answer) -> Result<void> {
        for (std::size_t row = 0; row < input.size() / shape.inputs; ++row) {
          const std::span<const float> all_features(answer.features);
          Append(feature_hash, all_features.subspan(row * shape.features, shape.features), features);
          Append(input_hash, input.subspan(row * shape.inputs, shape.inputs), inputs);
          labels.push_back(LabelOf(first + row, std::span(answer.logits).subspan(row * shape.classes, shape.classes)));
        }
        return {};
      }));
  if (Has(scoring.scores, Score::kMahalanobis)) {
    TACIT_TRY(scoring.features, ClassGaussians::Fit(of_features, features, labels));
  }
  if (Has(scoring.scores, Score::kInput)) {
    TACIT_TRY(scoring.inputs, ClassGaussians::Fit(of_inputs, inputs, labels));
  }
  return {};
}

Result<std::vector<double>> Calibrator::ScoreRest(std::size_t first, const Scoring& scoring) {
  std::vector<double> all;
  TACIT_TRY_VOID(InParts(first, order_.size(),
                         [&](std::size_t, std::span<const float> input, const Answer& answer) -> Result<void> {
                           TACIT_TRY(const std::vector<double> scores, ComputeScores(*model_, scoring, input, answer));
                           all.insert(all.end(), scores.begin(), scores.end());
                           return {};
                         }));
  return all;
}

Result<void> Calibrator::FitStreams(Calibration& calibration) {
  const ModelShape& shape = model_->shape();
  const DriftNumbersOf numbers_of(shape.inputs, options_.seed);
  const FeatureHash hash({.inputs = shape.inputs, .dimension = options_.distance_dimension, .seed = options_.seed});
  std::vector<DriftNumbers> numbers;
  std::vector<float> hashed;
  std::vector<std::uint32_t> classes;
  TACIT_TRY_VOID(
      InParts(0, order_.size(), [&](std::size_t, std::span<const float> input, const Answer& answer) -> Result<void> {
        for (std::size_t row = 0; row < input.size() / shape.inputs; ++row) {
          const auto logits = std::span(answer.logits).subspan(row * shape.classes, shape.classes);
          const auto of_row = input.subspan(row * shape.inputs, shape.inputs);
          numbers.push_back(numbers_of(of_row, logits));
          Append(hash, of_row, hashed);
          classes.push_back(MostLikely(logits));
        }
        return {};
      }));
  const DriftOptions drift{.window = options_.drift_window,
                           .false_alarms = options_.drift_false_alarms,
                           .seed = options_.seed,
                           .classes = shape.classes};
  TACIT_TRY(calibration.drift, FitDrift(drift, {.numbers = numbers, .classes = classes}));
  const DistanceOptions distances{.inputs = shape.inputs,
                                  .classes = shape.classes,
                                  .dimension = options_.distance_dimension,
                                  .anchors_per_class = options_.anchors_per_class,
                                  .seed = options_.seed};
  TACIT_TRY(calibration.distances, FitDistances(distances, {.hashed = hashed, .classes = classes}));
  return {};
}

Result<Combination> Calibrator::FitCombination(const Scoring& scoring, std::span<const double> scores) {
  const std::size_t count = scoring.scores.size();
  Combination combination;
  std::array<std::vector<double>, kConcerns> most;
  for (std::size_t i = 0; i < count; ++i) {
    std::vector<double> clean;
    for (std::size_t at = i; at < scores.size(); at += count) clean.push_back(scores[at]);
    TACIT_TRY(EvidenceCurve curve, EvidenceCurve::Fit(clean));
    std::vector<double>& of_concern = most.at(static_cast<std::size_t>(ConcernOf(scoring.scores[i])));
    of_concern.resize(clean.size());
    for (std::size_t row = 0; row < clean.size(); ++row) {
      of_concern[row] = std::max(of_concern[row], curve(clean[row]));
    }
    combination.scores.push_back(std::move(curve));
  }
  for (std::size_t i = 0; i < kConcerns; ++i) {
    if (most.at(i).empty()) continue;
    TACIT_TRY(combination.concerns.at(i), EvidenceCurve::Fit(std::move(most.at(i))));
  }
  return combination;
}

Result<Calibration> Calibrator::Run() {
  const Partition parts = PartitionOf(order_.size());
  Calibration calibration{.model = options_.model,
                          .shape = model_->shape(),
                          .target = options_.tolerance.target,
                          .rows = static_cast<std::uint32_t>(order_.size() - parts.rank),
                          .scoring = {.scores = options_.scores,
                                      .temperature = options_.temperature,
                                      .image = options_.image,
                                      .range = options_.range,
                                      .bits = options_.squeeze_bits,
                                      .features = std::nullopt,
                                      .inputs = std::nullopt},
                          .combination = {},
                          .threshold = 0,
                          .drift = {},
                          .distances = {}};
  TACIT_TRY_VOID(FitGaussians(parts.fit, calibration.scoring));
  TACIT_TRY(const std::vector<double> scores, ScoreRest(parts.fit, calibration.scoring));
  const std::size_t count = calibration.scoring.scores.size();
  const std::span<const double> ranked = std::span(scores).first((parts.rank - parts.fit) * count);
  TACIT_TRY(calibration.combination, FitCombination(calibration.scoring, ranked));
  std::vector<double> evidence;
  for (std::size_t at = ranked.size(); at < scores.size(); at += count) {
    evidence.push_back(
        Weigh(calibration.scoring, calibration.combination, std::span(scores).subspan(at, count)).evidence);
  }
  TACIT_TRY(calibration.threshold, ConformalThreshold(std::move(evidence), calibration.target));
  TACIT_TRY_VOID(FitStreams(calibration));
  return calibration;
}

Result<void> CheckRows(const ModelShape& shape, const CleanRows& rows) {
  if (rows.x.size() % shape.inputs != 0 ||
      (!rows.labels.empty() && rows.labels.size() != rows.x.size() / shape.inputs)) {
    return Fail(ErrorCode::kInvalidArgument, "clean rows have another size than the model's input or their labels");
  }
  if (!std::ranges::all_of(rows.x, [](float value) { return std::isfinite(value); })) {
    return Fail(ErrorCode::kInvalidArgument, "a clean row has a number that is not finite");
  }
  if (!std::ranges::all_of(rows.labels, [&](std::uint32_t label) { return label < shape.classes; })) {
    return Fail(ErrorCode::kInvalidArgument, "a clean row has a label that is no class of the model");
  }
  return {};
}

}  // namespace

Weighed Weigh(const Scoring& scoring, const Combination& combination, std::span<const double> scores) {
  Weighed weighed;
  std::array<double, kConcerns> most{};
  std::array<std::size_t, kConcerns> strongest{};
  for (std::size_t i = 0; i < scores.size(); ++i) {
    const double evidence = combination.scores[i](scores[i]);
    weighed.evidences.push_back(evidence);
    const auto concern = static_cast<std::size_t>(ConcernOf(scoring.scores[i]));
    // At least: a concern whose scores all say nothing still has a strongest one of its own.
    if (evidence >= most.at(concern)) {
      most.at(concern) = evidence;
      strongest.at(concern) = i;
    }
  }
  bool is_first = true;
  for (std::size_t concern = 0; concern < kConcerns; ++concern) {
    const auto& of_concern = combination.concerns.at(concern);
    if (!of_concern) continue;
    const double evidence = (*of_concern)(most.at(concern));
    if (!is_first && evidence <= weighed.evidence) continue;
    is_first = false;
    weighed.evidence = evidence;
    weighed.concern = static_cast<Concern>(concern);
    weighed.strongest = strongest.at(concern);
  }
  return weighed;
}

Result<std::size_t> RowsNeeded(const ModelShape& shape, const CalibrationOptions& options) {
  TACIT_TRY_VOID(CheckCalibration(shape, options));
  TACIT_TRY(const std::size_t for_threshold, RowsFor(options.tolerance));
  std::size_t needed = std::max<std::size_t>(2 * for_threshold, 5 * EvidenceCurve::kMinRows);
  needed = std::max<std::size_t>(needed, std::size_t{5} * options.drift_window);
  needed = std::max(needed, 2 * kStreamRows);
  for (const auto& [score, size] : {std::pair(Score::kMahalanobis, shape.features), {Score::kInput, shape.inputs}}) {
    if (!Has(options.scores, score)) continue;
    const std::size_t dimension = std::min<std::size_t>(size, ClassGaussians::kMaxDimension);
    needed = std::max(needed, (2 * dimension * 10 + 2) / 3);
  }
  return needed + 10;  // what the rounding of the parts may take
}

Result<Calibration> Calibrate(Model& model, const CleanRows& rows, const CalibrationOptions& options) {
  TACIT_TRY(const std::size_t needed, RowsNeeded(model.shape(), options));
  TACIT_TRY_VOID(CheckRows(model.shape(), rows));
  const std::size_t count = rows.x.size() / model.shape().inputs;
  if (count < needed) {
    return Fail(ErrorCode::kInvalidArgument, "a calibration to this tolerance needs " + std::to_string(needed) +
                                                 " clean rows, and there are " + std::to_string(count));
  }
  return Calibrator(model, rows, options).Run();
}

}  // namespace tacit::detect
