#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
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

void WriteScoring(ByteWriter& out, const Scoring& scoring) {
  out.U32(static_cast<std::uint32_t>(scoring.scores.size()));
  for (const Score score : scoring.scores) out.U8(static_cast<std::uint8_t>(score));
  out.F64(scoring.temperature).U8(scoring.image ? 1 : 0);
  if (scoring.image) out.U32(scoring.image->channels).U32(scoring.image->height).U32(scoring.image->width);
  WriteFloat(out, scoring.range.low);
  WriteFloat(out, scoring.range.high);
  out.U32(scoring.bits).U8(scoring.gaussians ? 1 : 0);
  if (!scoring.gaussians) return;
  const ClassGaussians::Parts& parts = scoring.gaussians->parts();
  out.U64(parts.options.seed);
  WriteNumbers(out, parts.factor);
  WriteNumbers(out, parts.means);
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

void ReadGaussians(ByteReader& in, const ModelShape& shape, Scoring& scoring) {
  if (!in.Flag()) return;
  constexpr std::size_t kMost = ClassGaussians::kMaxDimension;
  ClassGaussians::Parts parts;
  parts.options = {.features = shape.features, .classes = shape.classes, .seed = in.Take<std::uint64_t>()};
  parts.factor = in.Numbers<float>(kMost * (kMost + 1) / 2);
  parts.means = in.Numbers<float>(kMost * ModelShape::kMaxClasses);
  const auto is_finite = [](float value) { return std::isfinite(value); };
  in.Require(std::ranges::all_of(parts.factor, is_finite) && std::ranges::all_of(parts.means, is_finite),
             "has features whose distribution is not finite");
  if (in.failed()) return;
  Result<ClassGaussians> gaussians = ClassGaussians::FromParts(std::move(parts));
  in.Require(gaussians.has_value(), "has means and a covariance that do not belong together");
  if (gaussians) scoring.gaussians = *std::move(gaussians);
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
  ReadGaussians(in, shape, scoring);
  const auto has = [&](Score score) { return std::ranges::find(scoring.scores, score) != scoring.scores.end(); };
  in.Require(scoring.temperature >= 0.01 && scoring.temperature <= 1000, "has a temperature out of [0.01, 1000]");
  in.Require(std::isfinite(scoring.range.low) && std::isfinite(scoring.range.high), "has a range that is not finite");
  in.Require(has(Score::kMahalanobis) == scoring.gaussians.has_value(), "has a distance without, or for nothing");
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

void WriteDrift(ByteWriter& out, const DriftReference& drift) {
  out.U32(drift.window).U64(drift.seed);
  for (const DriftBins& bins : drift.bins) {
    WriteNumbers(out, bins.edges);
    WriteNumbers(out, bins.counts);
    out.F64(bins.threshold);
  }
}

DriftReference ReadDrift(ByteReader& in, const ModelShape& shape) {
  DriftReference drift;
  drift.window = in.Take<std::uint32_t>();
  in.Require(drift.window >= DriftReference::kMinWindow && drift.window <= DriftReference::kMaxWindow,
             "has a drift window of a size that none has");
  drift.seed = in.Take<std::uint64_t>();
  for (std::size_t i = 0; i < kDriftStatistics && !in.failed(); ++i) {
    DriftBins& bins = drift.bins.at(i);
    const bool is_number = i < kDriftNumbers;
    bins.edges = in.Numbers<float>(is_number ? DriftReference::kMaxBins - 1 : 0);
    bins.counts = in.Numbers<std::uint32_t>(is_number ? DriftReference::kMaxBins : shape.classes);
    bins.threshold = in.Take<double>();
    in.Require(std::ranges::all_of(bins.edges, [](float edge) { return std::isfinite(edge); }) &&
                   std::ranges::adjacent_find(bins.edges, std::greater_equal()) == bins.edges.end(),
               "has bins whose ends do not rise");
    in.Require(bins.counts.size() == (is_number ? bins.edges.size() + 1 : shape.classes),
               "has another number of bins than of ends");
    in.Require(std::ranges::any_of(bins.counts, [](std::uint32_t count) { return count > 0; }),
               "has bins without a row");
    in.Require(std::isfinite(bins.threshold) && bins.threshold >= 0, "has a drift threshold that is none");
  }
  return drift;
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
  WriteDrift(out, calibration.drift);
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
  TACIT_TRY_VOID(in.Done("the calibration"));
  return calibration;
}

Digest256 IdOf(const Calibration& calibration) {
  return crypto::Sha256(Serialise(calibration));
}

}  // namespace tacit::detect
