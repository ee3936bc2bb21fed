#include "edge_agent/detect/evidence.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

namespace tacit::detect {
namespace {

// The last knot stands where this many rows score more: fewer would make the tail the accident of one row.
constexpr double kRowsBeyond = 5;
// How many knots before the last the slope of the tail is taken over.
constexpr std::size_t kTailKnots = 12;

}  // namespace

Result<EvidenceCurve> EvidenceCurve::Fit(std::vector<double> clean) {
  if (clean.size() < kMinRows) {
    return Fail(ErrorCode::kInvalidArgument, "a score needs " + std::to_string(kMinRows) +
                                                 " clean rows, and there are " + std::to_string(clean.size()));
  }
  if (!std::ranges::all_of(clean, [](double score) { return std::isfinite(score); })) {
    return Fail(ErrorCode::kInvalidArgument, "a score of a clean row is not finite");
  }
  std::ranges::sort(clean);
  const auto rows = static_cast<double>(clean.size());
  const double most = std::log(rows / kRowsBeyond);
  EvidenceCurve curve;
  for (std::size_t i = 0; i < kMaxKnots; ++i) {
    const double evidence = most * static_cast<double>(i) / static_cast<double>(kMaxKnots - 1);
    const auto place = static_cast<std::size_t>(rows * (1 - std::exp(-evidence)));
    const double score = clean[std::min(place, clean.size() - 1)];
    // Rows that score the same are as strange as the least strange of them.
    if (curve.knots_.empty() || score > curve.knots_.back().score) curve.knots_.push_back({score, evidence});
  }
  const Knot& last = curve.knots_.back();
  const Knot& before = curve.knots_[curve.knots_.size() - std::min(curve.knots_.size(), kTailKnots)];
  if (last.score > before.score) curve.tail_ = (last.evidence - before.evidence) / (last.score - before.score);
  return curve;
}

Result<EvidenceCurve> EvidenceCurve::FromKnots(std::vector<Knot> knots, double tail) {
  bool rises = !knots.empty() && knots.size() <= kMaxKnots && std::isfinite(tail) && tail > 0;
  for (std::size_t i = 0; rises && i < knots.size(); ++i) {
    rises = std::isfinite(knots[i].score) && knots[i].evidence >= 0 && knots[i].evidence <= kMost &&
            (i == 0 || (knots[i].score > knots[i - 1].score && knots[i].evidence > knots[i - 1].evidence));
  }
  if (!rises) return Fail(ErrorCode::kMalformed, "a curve of evidence does not rise");
  EvidenceCurve curve;
  curve.knots_ = std::move(knots);
  curve.tail_ = tail;
  return curve;
}

double EvidenceCurve::operator()(double score) const {
  if (std::isnan(score)) return kMost;
  if (score <= knots_.front().score) return knots_.front().evidence;
  if (score >= knots_.back().score) {
    return std::min(kMost, knots_.back().evidence + tail_ * (score - knots_.back().score));
  }
  const auto above = std::ranges::upper_bound(knots_, score, {}, &Knot::score);
  const Knot& low = *(above - 1);
  return low.evidence + (above->evidence - low.evidence) * (score - low.score) / (above->score - low.score);
}

}  // namespace tacit::detect
