#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "edge_agent/detect/distance_test.h"

namespace tacit::detect {
namespace {

constexpr std::size_t kLookEvery = 10;
constexpr double kMargin = 1.5;  // what a threshold is set beyond the furthest natural stream

// Calls `look(test, class, distance)` for every row of each stream, whose test begins anew.
template <typename Look>
void OverStreams(const DistanceReference& reference, const DistanceRows& rows, Look look) {
  const std::size_t dimension = reference.dimension;
  for (std::size_t first = 0; first + kStreamRows <= rows.classes.size(); first += kStreamRows) {
    DistanceTest test(reference);
    for (std::size_t row = first; row < first + kStreamRows; ++row) {
      const auto distance = test.Add(rows.classes[row], rows.hashed.subspan(row * dimension, dimension));
      if (distance) look(test, row, *distance);
    }
  }
}

}  // namespace

Result<DistanceReference> FitDistances(const DistanceOptions& options, const DistanceRows& rows) {
  if (rows.classes.size() < 2 * kStreamRows) {
    return Fail(ErrorCode::kInvalidArgument, "distances between natural inputs need " +
                                                 std::to_string(2 * kStreamRows) + " clean rows, and there are " +
                                                 std::to_string(rows.classes.size()));
  }
  DistanceReference reference{
      .dimension = static_cast<std::uint32_t>(std::min<std::size_t>(options.dimension, options.inputs)),
      .anchors_per_class = options.anchors_per_class,
      .seed = options.seed,
      .scales = std::vector<float>(options.classes, 1.0F),
      .bins = {},
      .normality = 0};
  std::vector<double> sums(options.classes);
  std::vector<double> counts(options.classes);
  OverStreams(reference, rows, [&](const DistanceTest&, std::size_t row, double distance) {
    sums[rows.classes[row]] += distance;
    counts[rows.classes[row]] += 1;
  });
  double all = 0;
  double count = 0;
  for (std::uint32_t i = 0; i < options.classes; ++i) {
    all += sums[i];
    count += counts[i];
  }
  if (count == 0) return Fail(ErrorCode::kInvalidArgument, "the clean rows of each class are all the same");
  for (std::uint32_t i = 0; i < options.classes; ++i) {
    // A class of few rows is measured like all of them together.
    reference.scales[i] = static_cast<float>(counts[i] >= 20 ? sums[i] / counts[i] : all / count);
  }

  std::vector<float> scaled;
  OverStreams(reference, rows, [&](const DistanceTest&, std::size_t row, double distance) {
    scaled.push_back(static_cast<float>(distance / static_cast<double>(reference.scales[rows.classes[row]])));
  });
  reference.bins.edges = EdgesOf(scaled);
  reference.bins.counts.resize(reference.bins.edges.size() + 1);
  for (const float distance : scaled) ++reference.bins.counts[BinOf(reference.bins, distance)];
  double strangest = 0;
  double least_normal = 1;
  OverStreams(reference, rows, [&](const DistanceTest& test, std::size_t row, double) {
    if (row % kLookEvery != 0) return;
    strangest = std::max(strangest, test.Strangeness().value_or(0));
    least_normal = std::min(least_normal, test.Normality().value_or(1));
  });
  reference.bins.threshold = std::min(1.0, kMargin * strangest);
  reference.normality = std::max(0.0, 1 - kMargin * (1 - least_normal));
  return reference;
}

}  // namespace tacit::detect
