#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "common/base/random.h"
#include "edge_agent/detect/conformal.h"
#include "edge_agent/detect/drift.h"

namespace tacit::detect {
namespace {

constexpr std::size_t kWindows = 10'000;
constexpr std::size_t kMinWindowsOfRows = 5;

Result<void> CheckDriftOptions(const DriftOptions& options, std::size_t rows) {
  if (options.window < DriftReference::kMinWindow || options.window > DriftReference::kMaxWindow) {
    return Fail(ErrorCode::kInvalidArgument, "a drift window has " + std::to_string(DriftReference::kMinWindow) +
                                                 " to " + std::to_string(DriftReference::kMaxWindow) + " rows, not " +
                                                 std::to_string(options.window));
  }
  if (!(options.false_alarms >= 0.005 && options.false_alarms <= 0.2)) {
    return Fail(ErrorCode::kInvalidArgument, "false alarms a drift window are in [0.005, 0.2]");
  }
  if (rows < kMinWindowsOfRows * options.window) {
    return Fail(ErrorCode::kInvalidArgument, "drift windows of " + std::to_string(options.window) + " rows need " +
                                                 std::to_string(kMinWindowsOfRows * options.window) +
                                                 " clean rows, and there are " + std::to_string(rows));
  }
  return {};
}

// What each statistic says of windows that are drawn from the rows. Shape: kWindows numbers for each.
std::vector<std::vector<double>> SimulatedDistances(const DriftReference& reference,
                                                    std::span<const DriftPlaces> rows) {
  SplitMix64 random(reference.seed ^ 0xd21f'7000ULL);
  std::vector<std::vector<double>> distances(kDriftStatistics);
  for (std::size_t window = 0; window < kWindows; ++window) {
    DriftSketch sketch(reference);
    for (std::uint32_t i = 0; i < reference.window; ++i) sketch.Add(rows[random.Below(rows.size())]);
    const auto of_window = DriftDistances(reference, sketch);
    for (std::size_t i = 0; i < kDriftStatistics; ++i) distances[i].push_back(of_window[i]);
  }
  return distances;
}

}  // namespace

std::vector<float> EdgesOf(std::vector<float> numbers) {
  std::ranges::sort(numbers);
  std::vector<float> edges;
  for (std::size_t i = 1; i < DriftReference::kMaxBins; ++i) {
    const float edge = numbers[i * numbers.size() / DriftReference::kMaxBins];
    if (std::isfinite(edge) && (edges.empty() || edge > edges.back())) edges.push_back(edge);
  }
  // A number that is the same in nearly every row: what lies below it must be seen as well.
  if (!edges.empty() && numbers.front() == edges.front()) {
    edges.insert(edges.begin(), std::nextafter(edges.front(), -std::numeric_limits<float>::infinity()));
  }
  if (edges.size() == DriftReference::kMaxBins) edges.pop_back();
  return edges;
}

Result<DriftReference> FitDrift(const DriftOptions& options, const DriftRows& rows) {
  TACIT_TRY_VOID(CheckDriftOptions(options, rows.numbers.size()));
  DriftReference reference{.window = options.window, .seed = options.seed, .bins = {}};
  for (std::size_t i = 0; i < kDriftNumbers; ++i) {
    std::vector<float> numbers;
    for (const DriftNumbers& row : rows.numbers) numbers.push_back(row[i]);
    reference.bins[i].edges = EdgesOf(std::move(numbers));
    reference.bins[i].counts.resize(reference.bins[i].edges.size() + 1);
  }
  reference.bins[kDriftNumbers].counts.resize(options.classes);
  DriftSketch all(reference);
  std::vector<DriftPlaces> places;
  for (std::size_t row = 0; row < rows.numbers.size(); ++row) {
    places.push_back(PlacesOf(reference, rows.numbers[row], rows.classes[row]));
    all.Add(places.back());
  }
  for (std::size_t i = 0; i < kDriftStatistics; ++i) reference.bins[i].counts = all.counts[i];

  const double alpha = options.false_alarms / static_cast<double>(kDriftStatistics);
  const double widening = 1 + static_cast<double>(options.window) / static_cast<double>(rows.numbers.size());
  std::vector<std::vector<double>> distances = SimulatedDistances(reference, places);
  for (std::size_t i = 0; i < kDriftStatistics; ++i) {
    TACIT_TRY(const double threshold, ConformalThreshold(std::move(distances[i]), alpha));
    reference.bins[i].threshold = threshold * (i < kDriftNumbers ? std::sqrt(widening) : widening);
  }
  return reference;
}

}  // namespace tacit::detect
