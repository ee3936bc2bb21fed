#include "edge_agent/detect/distance_test.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <utility>

#include "edge_agent/detect/shapiro_wilk.h"

namespace tacit::detect {

double DistanceTest::Nearest(const Anchors& anchors, std::span<const float> hashed) const {
  float nearest = std::numeric_limits<float>::infinity();
  for (std::size_t at = 0; at < anchors.inputs.size(); at += hashed.size()) {
    float sum = 0;
    for (std::size_t i = 0; i < hashed.size(); ++i) {
      const float step = anchors.inputs[at + i] - hashed[i];
      sum += step * step;
    }
    nearest = std::min(nearest, sum);
  }
  return std::sqrt(static_cast<double>(nearest));
}

void DistanceTest::Grow(Anchors& anchors, std::span<const float> hashed, double nearest) const {
  const bool is_full = anchors.inputs.size() >= reference_->anchors_per_class * hashed.size();
  if (is_full || nearest <= anchors.threshold) return;
  anchors.inputs.insert(anchors.inputs.end(), hashed.begin(), hashed.end());
  anchors.distances += 1;
  const double step = nearest - anchors.mean;
  anchors.mean += step / anchors.distances;
  anchors.squares += step * (nearest - anchors.mean);
  anchors.threshold = std::max(anchors.threshold, anchors.mean - std::sqrt(anchors.squares / anchors.distances));
}

std::optional<double> DistanceTest::Add(std::uint32_t likely, std::span<const float> hashed) {
  // A number that is none would stay in the set for good.
  if (!std::ranges::all_of(hashed, [](float value) { return std::isfinite(value); })) return std::nullopt;
  Anchors& anchors = classes_[likely];
  if (anchors.inputs.empty()) {
    anchors.inputs.assign(hashed.begin(), hashed.end());
    return std::nullopt;
  }
  const double nearest = Nearest(anchors, hashed);
  if (nearest == 0 || !std::isfinite(nearest)) return std::nullopt;
  const double scaled = nearest / static_cast<double>(reference_->scales[likely]);
  if (distances_.size() < kDistances) {
    distances_.push_back(scaled);
  } else {
    distances_[next_] = scaled;
    next_ = (next_ + 1) % kDistances;
  }
  Grow(anchors, hashed, nearest);
  return nearest;
}

std::optional<double> DistanceTest::Normality() const {
  if (distances_.size() < kMinDistances) return std::nullopt;
  const auto size = static_cast<double>(distances_.size());
  double mean = 0;
  for (const double distance : distances_) mean += distance / size;
  double squares = 0;
  for (const double distance : distances_) squares += (distance - mean) * (distance - mean);
  const double three = 3 * std::sqrt(squares / size);
  std::vector<double> within;
  std::ranges::copy_if(distances_, std::back_inserter(within),
                       [&](double distance) { return std::abs(distance - mean) <= three; });
  if (within.size() < kMinShapiroWilk) return std::nullopt;
  return ShapiroWilk(std::move(within));
}

std::optional<double> DistanceTest::Strangeness() const {
  if (distances_.size() < kMinDistances) return std::nullopt;
  const DriftBins& bins = reference_->bins;
  std::vector<std::uint32_t> counts(bins.counts.size());
  for (const double distance : distances_) ++counts[BinOf(bins, static_cast<float>(distance))];
  return KolmogorovSmirnov(counts, bins.counts);
}

}  // namespace tacit::detect
