#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <optional>
#include <utility>

#include "common/crypto/digest.h"
#include "edge_agent/detect/byte_reader.h"
#include "edge_agent/detect/calibration.h"

namespace tacit::detect {
namespace {

constexpr std::uint32_t kMagic = 0x31434454;  // "TDC1"
constexpr std::size_t kKnotBytes = 2 * sizeof(double);

template <typename Number>
void WriteNumbers(ByteWriter& out, const std::vector<Number>& values) {
  out.U32(static_cast<std::uint32_t>(values.size())).Raw(AsBytes(std::span<const Number>(values)));
}

void WriteCurve(ByteWriter& out, const EvidenceCurve& curve) {
  out.U32(static_cast<std::uint32_t>(curve.knots().size()));
  for (const auto& knot : curve.knots()) out.F64(knot.score).F64(knot.evidence);
  out.F64(curve.tail());
}

void WriteFloat(ByteWriter& out, float value) {
  out.U32(std::bit_cast<std::uint32_t>(value));
}

void WriteGaussians(ByteWriter& out, const std::optional<ClassGaussians>& gaussians) {
  out.U8(gaussians ? 1 : 0);
  if (!gaussians) return;
  out.U64(gaussians->parts().options.seed);
  WriteNumbers(out, gaussians->parts().factor);
  WriteNumbers(out, gaussians->parts().means);
}

void WriteScoring(ByteWriter& out, const Scoring& scoring) {
  out.U32(static_cast<std::uint32_t>(scoring.scores.size()));
  for (const Score score : scoring.scores) out.U8(static_cast<std::uint8_t>(score));
  out.F64(scoring.temperature).U8(scoring.image ? 1 : 0);
  if (scoring.image) out.U32(scoring.image->channels).U32(scoring.image->height).U32(scoring.image->width);
  WriteFloat(out, scoring.range.low);
  WriteFloat(out, scoring.range.high);
  out.U32(scoring.bits);
  WriteGaussians(out, scoring.features);
  WriteGaussians(out, scoring.inputs);
}

bool AreFinite(const std::vector<float>& values) {
  return std::ranges::all_of(values, [](float value) { return std::isfinite(value); });
}

EvidenceCurve ReadCurve(ByteReader& in) {
  std::vector<EvidenceCurve::Knot> knots(in.Count(EvidenceCurve::kMaxKnots, kKnotBytes));
  for (auto& knot : knots) {
    knot.score = in.Take<double>();
    knot.evidence = in.Take<double>();
  }
  const auto tail = in.Take<double>();
  Result<EvidenceCurve> curve = EvidenceCurve::FromKnots(std::move(knots), tail);
  in.Require(curve.has_value(), "has a curve of evidence that does not rise");
  return std::move(curve).value_or(EvidenceCurve());
}

std::vector<Score> ReadScores(ByteReader& in) {
  std::vector<Score> scores(in.Count(kScores, 1));
  for (Score& score : scores) {
    const auto code = in.Take<std::uint8_t>();
    in.Require(code < kScores, "has a score that is not known");
    score = static_cast<Score>(in.failed() ? 0 : code);
  }
  in.Require(!scores.empty() && std::ranges::adjacent_find(scores, std::greater_equal()) == scores.end(),
             "has no scores, or one twice, or in another order");
  return scores;
}

bool FitsSqueezing(const ModelShape& shape, const Scoring& scoring) {
  if (!scoring.image) return false;
  const Image& image = *scoring.image;
  return image.channels <= Image::kMaxChannels && std::min(image.height, image.width) >= Image::kMinSide &&
         std::max(image.height, image.width) <= Image::kMaxSide &&
         std::uint64_t{image.channels} * image.height * image.width == shape.inputs &&
         scoring.range.low < scoring.range.high && std::isfinite(scoring.range.high - scoring.range.low) &&
         scoring.bits >= 1 && scoring.bits <= 16;
}

std::optional<ClassGaussians> ReadGaussians(ByteReader& in, std::uint32_t features, const ModelShape& shape) {
  if (!in.Flag()) return std::nullopt;
  constexpr std::size_t kMost = ClassGaussians::kMaxDimension;
  ClassGaussians::Parts parts;
  parts.options = {.features = features, .classes = shape.classes, .seed = in.Take<std::uint64_t>()};
  parts.factor = in.Numbers<float>(kMost * (kMost + 1) / 2);
  parts.means = in.Numbers<float>(kMost * ModelShape::kMaxClasses);
  in.Require(AreFinite(parts.factor) && AreFinite(parts.means), "has features whose distribution is not finite");
  if (in.failed()) return std::nullopt;
  Result<ClassGaussians> gaussians = ClassGaussians::FromParts(std::move(parts));
  in.Require(gaussians.has_value(), "has means and a covariance that do not belong together");
  if (!gaussians) return std::nullopt;
  return *std::move(gaussians);
}

Scoring ReadScoring(ByteReader& in, const ModelShape& shape) {
  Scoring scoring;
  scoring.scores = ReadScores(in);
  scoring.temperature = in.Take<double>();
  if (in.Flag()) {
    Image& image = scoring.image.emplace();
    image.channels = in.Take<std::uint32_t>();
    image.height = in.Take<std::uint32_t>();
    image.width = in.Take<std::uint32_t>();
  }
  scoring.range.low = in.Take<float>();
  scoring.range.high = in.Take<float>();
  scoring.bits = in.Take<std::uint32_t>();
  scoring.features = ReadGaussians(in, shape.features, shape);
  scoring.inputs = ReadGaussians(in, shape.inputs, shape);
  const auto has = [&](Score score) { return std::ranges::find(scoring.scores, score) != scoring.scores.end(); };
  in.Require(scoring.temperature >= 0.01 && scoring.temperature <= 1000, "has a temperature out of [0.01, 1000]");
  in.Require(std::isfinite(scoring.range.low) && std::isfinite(scoring.range.high), "has a range that is not finite");
  in.Require(
      has(Score::kMahalanobis) == scoring.features.has_value() && has(Score::kInput) == scoring.inputs.has_value(),
      "has a distance from nothing, or one that no score is of");
  in.Require(!has(Score::kSqueezing) || FitsSqueezing(shape, scoring), "squeezes what is no picture");
  return scoring;
}

ModelShape ReadShape(ByteReader& in) {
  ModelShape shape;
  shape.inputs = in.Take<std::uint32_t>();
  shape.classes = in.Take<std::uint32_t>();
  shape.features = in.Take<std::uint32_t>();
  in.Require(shape.inputs >= 1 && shape.inputs <= ModelShape::kMaxInputs && shape.classes >= 2 &&
                 shape.classes <= ModelShape::kMaxClasses && shape.features <= ModelShape::kMaxFeatures,
             "has a model of sizes that none has");
  return shape;
}

Combination ReadCombination(ByteReader& in, const Scoring& scoring) {
  Combination combination;
  for (std::size_t i = 0; i < scoring.scores.size() && !in.failed(); ++i) {
    combination.scores.push_back(ReadCurve(in));
  }
  for (std::size_t i = 0; i < kConcerns && !in.failed(); ++i) {
    const bool speaks =
        std::ranges::any_of(scoring.scores, [&](Score score) { return ConcernOf(score) == static_cast<Concern>(i); });
    if (speaks) combination.concerns.at(i) = ReadCurve(in);
  }
  return combination;
}

void WriteBins(ByteWriter& out, const DriftBins& bins) {
  WriteNumbers(out, bins.edges);
  WriteNumbers(out, bins.counts);
  out.F64(bins.threshold);
}

// Of a number, or of as many classes.
DriftBins ReadBins(ByteReader& in, std::optional<std::uint32_t> classes) {
  DriftBins bins;
  bins.edges = in.Numbers<float>(classes ? 0 : DriftReference::kMaxBins - 1);
  bins.counts = in.Numbers<std::uint32_t>(classes.value_or(DriftReference::kMaxBins));
  bins.threshold = in.Take<double>();
  in.Require(AreFinite(bins.edges) && std::ranges::adjacent_find(bins.edges, std::greater_equal()) == bins.edges.end(),
             "has bins whose ends do not rise");
  in.Require(bins.counts.size() == classes.value_or(static_cast<std::uint32_t>(bins.edges.size()) + 1),
             "has another number of bins than of ends");
  in.Require(std::ranges::any_of(bins.counts, [](std::uint32_t count) { return count > 0; }), "has bins without a row");
  in.Require(std::isfinite(bins.threshold) && bins.threshold >= 0, "has a threshold that no distance has");
  return bins;
}

DriftReference ReadDrift(ByteReader& in, const ModelShape& shape) {
  DriftReference drift;
  drift.window = in.Take<std::uint32_t>();
  in.Require(drift.window >= DriftReference::kMinWindow && drift.window <= DriftReference::kMaxWindow,
             "has a drift window of a size that none has");
  drift.seed = in.Take<std::uint64_t>();
  for (std::size_t i = 0; i < kDriftStatistics && !in.failed(); ++i) {
    drift.bins.at(i) = ReadBins(in, i < kDriftNumbers ? std::nullopt : std::optional(shape.classes));
  }
  return drift;
}

void WriteDistances(ByteWriter& out, const DistanceReference& distances) {
  out.U32(distances.dimension).U32(distances.anchors_per_class).U64(distances.seed);
  WriteNumbers(out, distances.scales);
  WriteBins(out, distances.bins);
  out.F64(distances.normality);
}

DistanceReference ReadDistances(ByteReader& in, const ModelShape& shape) {
  DistanceReference distances;
  distances.dimension = in.Take<std::uint32_t>();
  distances.anchors_per_class = in.Take<std::uint32_t>();
  in.Require(distances.dimension >= 1 && distances.dimension <= DistanceReference::kMaxDimension &&
                 distances.dimension <= shape.inputs && distances.anchors_per_class >= 1 &&
                 distances.anchors_per_class <= DistanceReference::kMaxAnchors,
             "compares inputs in sizes that none has");
  distances.seed = in.Take<std::uint64_t>();
  distances.scales = in.Numbers<float>(shape.classes);
  in.Require(distances.scales.size() == shape.classes && AreFinite(distances.scales) &&
                 std::ranges::all_of(distances.scales, [](float scale) { return scale > 0; }),
             "has no scale for each class");
  distances.bins = ReadBins(in, std::nullopt);
  distances.normality = in.Take<double>();
  in.Require(distances.normality >= 0 && distances.normality <= 1, "has a normality out of [0, 1]");
  return distances;
}

}  // namespace

Bytes Serialise(const Calibration& calibration) {
  ByteWriter out;
  out.U32(kMagic).Raw(calibration.model);
  out.U32(calibration.shape.inputs).U32(calibration.shape.classes).U32(calibration.shape.features);
  out.F64(calibration.target).U32(calibration.rows).F64(calibration.threshold);
  WriteScoring(out, calibration.scoring);
  for (const EvidenceCurve& curve : calibration.combination.scores) WriteCurve(out, curve);
  for (const auto& curve : calibration.combination.concerns) {
    if (curve) WriteCurve(out, *curve);
  }
  out.U32(calibration.drift.window).U64(calibration.drift.seed);
  for (const DriftBins& bins : calibration.drift.bins) WriteBins(out, bins);
  WriteDistances(out, calibration.distances);
  return std::move(out).Take();
}

Result<Calibration> ParseCalibration(ByteSpan bytes) {
  if (bytes.size() > kMaxCalibrationBytes) {
    return Fail(ErrorCode::kTooLarge, "a calibration has at most 4 MiB");
  }
  ByteReader in(bytes);
  in.Require(in.Take<std::uint32_t>() == kMagic, "is no calibration");
  Calibration calibration;
  calibration.model = in.Take<Digest256>();
  calibration.shape = ReadShape(in);
  calibration.target = in.Take<double>();
  in.Require(calibration.target > 0 && calibration.target <= 0.5, "has a target out of (0, 0.5]");
  calibration.rows = in.Take<std::uint32_t>();
  in.Require(calibration.rows > 0, "was made of no rows");
  calibration.threshold = in.Take<double>();
  in.Require(calibration.threshold >= 0 && calibration.threshold <= EvidenceCurve::kMost,
             "has a threshold that no evidence reaches");
  if (!in.failed()) calibration.scoring = ReadScoring(in, calibration.shape);
  if (!in.failed()) calibration.combination = ReadCombination(in, calibration.scoring);
  if (!in.failed()) calibration.drift = ReadDrift(in, calibration.shape);
  if (!in.failed()) calibration.distances = ReadDistances(in, calibration.shape);
  TACIT_TRY_VOID(in.Done("the calibration"));
  return calibration;
}

Digest256 IdOf(const Calibration& calibration) {
  return crypto::Sha256(Serialise(calibration));
}

}  // namespace tacit::detect
