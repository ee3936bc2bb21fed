#include "edge_agent/detect/drift.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "dp/noise.h"
#include "edge_agent/detect/scores.h"

namespace tacit::detect {
namespace {

constexpr std::size_t kProjections = 4;

std::size_t IndexOf(DriftStatistic statistic) {
  return static_cast<std::size_t>(statistic);
}

double TotalOf(std::span<const std::uint32_t> counts) {
  return static_cast<double>(std::accumulate(counts.begin(), counts.end(), std::uint64_t{0}));
}

}  // namespace

std::string_view NameOf(DriftStatistic statistic) {
  constexpr std::array<std::string_view, kDriftStatistics> kNames = {
      "mean",         "spread",       "roughness",    "floor",        "projection 0",
      "projection 1", "projection 2", "projection 3", "unconfidence", "classes"};
  return kNames.at(IndexOf(statistic));
}

DriftNumbersOf::DriftNumbersOf(std::size_t inputs, std::uint64_t seed)
    : hash_({.inputs = inputs, .dimension = kProjections, .seed = seed}) {}

DriftNumbers DriftNumbersOf::operator()(std::span<const float> input, std::span<const float> logits) const {
  double sum = 0;
  double squares = 0;
  double steps = 0;
  for (std::size_t i = 0; i < input.size(); ++i) {
    sum += static_cast<double>(input[i]);
    squares += static_cast<double>(input[i]) * static_cast<double>(input[i]);
    if (i > 0) steps += std::abs(static_cast<double>(input[i]) - static_cast<double>(input[i - 1]));
  }
  const auto size = static_cast<double>(input.size());
  std::vector<float> sorted(input.begin(), input.end());
  const auto tenth = sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() / 10);
  std::ranges::nth_element(sorted, tenth);
  const double mean = sum / size;
  DriftNumbers numbers{};
  numbers[IndexOf(DriftStatistic::kMean)] = static_cast<float>(mean);
  numbers[IndexOf(DriftStatistic::kSpread)] =
      static_cast<float>(std::sqrt(std::max(0.0, squares / size - mean * mean)));
  numbers[IndexOf(DriftStatistic::kRoughness)] = static_cast<float>(steps / size);
  numbers[IndexOf(DriftStatistic::kFloor)] = *tenth;
  hash_.Apply(input, std::span(numbers).subspan(IndexOf(DriftStatistic::kProjection0), hash_.dimension()));
  numbers[IndexOf(DriftStatistic::kUnconfidence)] = static_cast<float>(UnconfidenceScore(logits));
  return numbers;
}

double KolmogorovSmirnov(std::span<const std::uint32_t> counts, std::span<const std::uint32_t> other) {
  const double total = TotalOf(counts);
  const double other_total = TotalOf(other);
  double below = 0;
  double other_below = 0;
  double largest = 0;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    below += counts[i];
    other_below += other[i];
    largest = std::max(largest, std::abs(below / total - other_below / other_total));
  }
  return largest;
}

double StabilityIndex(std::span<const std::uint32_t> counts, std::span<const std::uint32_t> reference) {
  const double half = 0.5 * static_cast<double>(counts.size());
  const double total = TotalOf(counts) + half;
  const double reference_total = TotalOf(reference) + half;
  double index = 0;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    const double q = (counts[i] + 0.5) / total;
    const double p = (reference[i] + 0.5) / reference_total;
    index += (q - p) * std::log(q / p);
  }
  return index;
}

DriftSketch::DriftSketch(const DriftReference& reference) {
  for (std::size_t i = 0; i < kDriftStatistics; ++i) counts[i].resize(reference.bins[i].counts.size());
}

std::size_t BinOf(const DriftBins& bins, float number) {
  if (std::isnan(number)) return bins.edges.size();
  return static_cast<std::size_t>(std::ranges::lower_bound(bins.edges, number) - bins.edges.begin());
}

DriftPlaces PlacesOf(const DriftReference& reference, const DriftNumbers& numbers, std::uint32_t likely) {
  DriftPlaces places{};
  for (std::size_t i = 0; i < kDriftNumbers; ++i) {
    places[i] = static_cast<std::uint32_t>(BinOf(reference.bins[i], numbers[i]));
  }
  places[IndexOf(DriftStatistic::kClasses)] = likely;
  return places;
}

void DriftSketch::Add(const DriftPlaces& places) {
  for (std::size_t i = 0; i < kDriftStatistics; ++i) ++counts[i][places[i]];
  ++rows;
}

void DriftSketch::Merge(const DriftSketch& other) {
  for (std::size_t i = 0; i < kDriftStatistics; ++i) {
    for (std::size_t bin = 0; bin < counts[i].size(); ++bin) counts[i][bin] += other.counts[i][bin];
  }
  rows += other.rows;
}

std::array<double, kDriftStatistics> DriftDistances(const DriftReference& reference, const DriftSketch& sketch) {
  std::array<double, kDriftStatistics> distances{};
  for (std::size_t i = 0; i < kDriftStatistics; ++i) {
    const std::vector<std::uint32_t>& clean = reference.bins[i].counts;
    distances[i] =
        i < kDriftNumbers ? KolmogorovSmirnov(sketch.counts[i], clean) : StabilityIndex(sketch.counts[i], clean);
  }
  return distances;
}

DriftReport CompareDrift(const DriftReference& reference, const DriftSketch& sketch) {
  DriftReport report;
  if (sketch.rows < reference.window) return report;
  report.distances = DriftDistances(reference, sketch);
  for (std::size_t i = 0; i < kDriftStatistics; ++i) {
    if (report.distances[i] <= reference.bins[i].threshold) continue;
    report.reason += report.drifted ? ", " : "unlike the clean rows in ";
    report.reason += NameOf(static_cast<DriftStatistic>(i));
    report.drifted = true;
  }
  return report;
}

DriftMonitor::DriftMonitor(DriftReference reference, std::size_t inputs)
    : reference_(std::move(reference)), numbers_of_(inputs, reference_.seed), sketch_(reference_) {}

std::optional<DriftMonitor::Window> DriftMonitor::Observe(std::span<const float> input, std::span<const float> logits) {
  sketch_.Add(PlacesOf(reference_, numbers_of_(input, logits), MostLikely(logits)));
  if (sketch_.rows < reference_.window) return std::nullopt;
  Window window{.sketch = std::exchange(sketch_, DriftSketch(reference_)), .report = {}};
  window.report = CompareDrift(reference_, window.sketch);
  return window;
}

Result<std::array<std::vector<std::int64_t>, kDriftStatistics>> NoisedCounts(const DriftSketch& sketch,
                                                                             dp::Epsilon epsilon, Keystream& bits) {
  constexpr double kSensitivity = 2.0 * kDriftStatistics;
  const double scale = std::max(std::ceil(kSensitivity / epsilon.value()), static_cast<double>(dp::kMinNoiseSteps));
  if (scale > static_cast<double>(dp::kMaxNoiseSteps)) {
    return Fail(ErrorCode::kInvalidArgument, "noise for an epsilon this small cannot be drawn");
  }
  TACIT_TRY(const dp::NoiseSampler sampler, dp::NoiseSampler::Laplace(static_cast<std::uint64_t>(scale)));
  std::vector<std::int64_t> all;
  for (const auto& counts : sketch.counts) all.insert(all.end(), counts.begin(), counts.end());
  sampler.AddTo(all, 0, bits);
  std::array<std::vector<std::int64_t>, kDriftStatistics> noised;
  auto at = all.begin();
  for (std::size_t i = 0; i < kDriftStatistics; ++i) {
    const auto end = at + static_cast<std::ptrdiff_t>(sketch.counts[i].size());
    noised[i].assign(at, end);
    at = end;
  }
  return noised;
}

}  // namespace tacit::detect
