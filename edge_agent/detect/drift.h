#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/keystream.h"
#include "common/base/result.h"
#include "dp/types.h"
#include "edge_agent/detect/feature_hash.h"

namespace tacit::detect {

/// What of a stream of inputs is compared with the clean rows. All but the last are numbers of one input or its answer,
/// compared by Kolmogorov and Smirnov's distance; classes are compared by the population stability index.
enum class DriftStatistic : std::uint8_t {
  kMean = 0,
  kSpread = 1,     ///< Standard deviation of the elements of an input.
  kRoughness = 2,  ///< Mean difference of neighbouring elements.
  kFloor = 3,      ///< The lowest tenth of the elements ends here.
  kProjection0 = 4,
  kProjection1 = 5,
  kProjection2 = 6,
  kProjection3 = 7,
  kUnconfidence = 8,
  kClasses = 9,
};
inline constexpr std::size_t kDriftStatistics = 10;
inline constexpr std::size_t kDriftNumbers = 9;
[[nodiscard]] std::string_view NameOf(DriftStatistic statistic);

using DriftNumbers = std::array<float, kDriftNumbers>;

/// Computes the numbers of inputs and answers. Cost: a few passes over the input. Threads: any.
class DriftNumbersOf {
 public:
  DriftNumbersOf(std::size_t inputs, std::uint64_t seed);
  [[nodiscard]] DriftNumbers operator()(std::span<const float> input, std::span<const float> logits) const;

 private:
  FeatureHash hash_;
};

/// How many of the clean rows fell into each bin of a statistic, and how far a window may be from that.
/// Shape: bin i of a number ends at edges[i], which belongs to it; the last has no end. Classes have no edges.
struct DriftBins {
  std::vector<float> edges;
  std::vector<std::uint32_t> counts;
  double threshold = 0;
  bool operator==(const DriftBins&) const = default;
};

/// Ends of at most DriftReference::kMaxBins bins that hold as many of the numbers each, as far as numbers that are the
/// same allow; what lies below a number that is the same in most rows is a bin of its own. Shape: one number at least.
[[nodiscard]] std::vector<float> EdgesOf(std::vector<float> numbers);

/// The bin of a number; one that is none belongs beyond the last edge.
[[nodiscard]] std::size_t BinOf(const DriftBins& bins, float number);

/// The clean rows as windows are compared with them. Frozen: it never learns from what it watches, so nobody can move
/// it slowly.
struct DriftReference {
  static constexpr std::uint32_t kMinWindow = 50;
  static constexpr std::uint32_t kMaxWindow = 10'000;
  static constexpr std::size_t kMaxBins = 16;  ///< Of a number.

  std::uint32_t window = 0;
  std::uint64_t seed = 0;
  std::array<DriftBins, kDriftStatistics> bins;
  bool operator==(const DriftReference&) const = default;
};

struct DriftOptions {
  std::uint32_t window = 200;
  double false_alarms = 0.01;  ///< Of windows of clean rows; shared out to the statistics by Bonferroni.
  std::uint64_t seed = 0;
  std::uint32_t classes = 0;
};

/// What a reference is made of. Shape: one class a row.
struct DriftRows {
  std::span<const DriftNumbers> numbers;
  std::span<const std::uint32_t> classes;
};

/// Bins by the quantiles of the rows; thresholds are quantiles of 10,000 windows that are drawn from the rows with
/// replacement, widened by sqrt(1 + window / rows) (its square for the index), because the reference is a sample too.
/// Errors: kInvalidArgument for a window out of its range, false alarms out of [0.005, 0.2], or fewer rows than five
/// windows. Cost: a second at most. Source: population stability index and its scale: Yurdakul, Naranjo 2020;
/// two-sample scale of the distance: Smirnov 1939.
Result<DriftReference> FitDrift(const DriftOptions& options, const DriftRows& rows);

/// sup |F - G| over the ends of the bins. Shape: as many counts; one row at least in each.
[[nodiscard]] double KolmogorovSmirnov(std::span<const std::uint32_t> counts, std::span<const std::uint32_t> other);

/// sum (q - p) ln(q / p), half a row being added to every bin. Shape: as above.
[[nodiscard]] double StabilityIndex(std::span<const std::uint32_t> counts, std::span<const std::uint32_t> reference);

/// The bin of a row in each statistic.
using DriftPlaces = std::array<std::uint32_t, kDriftStatistics>;
[[nodiscard]] DriftPlaces PlacesOf(const DriftReference& reference, const DriftNumbers& numbers, std::uint32_t likely);

/// Counts of the rows of one window or more: all that drift is judged by, and all of it that may leave a device.
struct DriftSketch {
  std::array<std::vector<std::uint32_t>, kDriftStatistics> counts;
  std::uint64_t rows = 0;

  explicit DriftSketch(const DriftReference& reference);
  void Add(const DriftPlaces& places);
  /// Shape: of the same reference.
  void Merge(const DriftSketch& other);
};

/// The distance of each statistic. Shape: a sketch of this reference, of one row at least.
[[nodiscard]] std::array<double, kDriftStatistics> DriftDistances(const DriftReference& reference,
                                                                  const DriftSketch& sketch);

struct DriftReport {
  bool drifted = false;
  std::array<double, kDriftStatistics> distances{};
  std::string reason;  ///< Names the statistics that are too far off; empty when none is.
};

/// Shape: a sketch of this reference. One of fewer rows than a window never drifts.
[[nodiscard]] DriftReport CompareDrift(const DriftReference& reference, const DriftSketch& sketch);

/// Watches a stream in windows that follow each other. Threads: one at a time.
class DriftMonitor {
 public:
  /// Shape: `inputs` is the size of a row.
  DriftMonitor(DriftReference reference, std::size_t inputs);

  struct Window {
    DriftSketch sketch;
    DriftReport report;
  };
  /// Takes an input that was answered; the window that it completes, if it does.
  std::optional<Window> Observe(std::span<const float> input, std::span<const float> logits);
  [[nodiscard]] const DriftReference& reference() const { return reference_; }

 private:
  DriftReference reference_;
  DriftNumbersOf numbers_of_;
  DriftSketch sketch_;
};

/// The counts of a sketch with two-sided geometric noise: what may leave the device where it must not tell of one
/// input. One input more in another bin changes two counts of every statistic by one, so the noise has the scale
/// 2 kDriftStatistics / epsilon, rounded up.
/// Guarantee: epsilon-differentially private for the replacement of one of the sketch's inputs; for each sketch that
///   leaves, again.
/// Privacy: `bits` must come from a cryptographic generator whose key is used for this sketch only.
/// Errors: kInvalidArgument for an epsilon so small that the noise cannot be drawn.
/// Source: Ghosh, Roughgarden, Sundararajan 2012 (geometric mechanism); dp/noise.h draws it.
Result<std::array<std::vector<std::int64_t>, kDriftStatistics>> NoisedCounts(const DriftSketch& sketch,
                                                                             dp::Epsilon epsilon, Keystream& bits);

}  // namespace tacit::detect
