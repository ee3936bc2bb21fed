#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "common/base/result.h"
#include "edge_agent/detect/drift.h"

namespace tacit::detect {

/// What natural inputs look like to a DistanceTest.
struct DistanceReference {
  static constexpr std::uint32_t kMaxDimension = 4096;
  static constexpr std::uint32_t kMaxAnchors = 1024;

  std::uint32_t dimension = 0;          ///< Of the inputs, hashed where they are longer.
  std::uint32_t anchors_per_class = 0;  ///< The most inputs kept of a class; then its set does not grow any more.
  std::uint64_t seed = 0;               ///< Of the hash.
  std::vector<float> scales;            ///< The mean distance in each class; distances are taken in these.
  DriftBins bins;                       ///< Of the distances; the threshold is of their KS distance.
  double normality = 0;                 ///< Shapiro and Wilk's W of natural inputs is not below it.
  bool operator==(const DistanceReference&) const = default;
};

/// Whether the distances between an asker's inputs of one class are as natural inputs have them, or made. Two looks at
/// the same distances: whether they are normal, and whether they are those of the clean rows.
/// Differs from its source where memory must be bounded: sets stop growing, old distances are forgotten, and long
/// inputs are hashed; whoever fills the sets with natural inputs first, or mixes enough of them in, is measured by
/// those. Distances are taken in units of their class, so that an asker about one class looks like others. An input
/// that was asked before is not counted: it teaches nothing, and pollers repeat themselves.
/// Cost: anchors_per_class x dimension multiplications a query, and a sort of the distances for W.
/// Memory: classes x anchors_per_class x dimension floats, and kDistances doubles.
/// Source: Juuti et al. 2019, algorithm 3 (PRADA); the second look is ours.
class DistanceTest {
 public:
  static constexpr std::size_t kDistances = 250;     ///< The last so many are looked at.
  static constexpr std::size_t kMinDistances = 100;  ///< Nothing is said before there are so many.

  /// The reference must outlive it.
  explicit DistanceTest(const DistanceReference& reference)
      : reference_(&reference), classes_(reference.scales.size()) {}

  /// The distance of an input from those of its class before, where there is one. Shape: `hashed` has the dimension of
  /// the reference; `likely` is below the number of its scales.
  std::optional<double> Add(std::uint32_t likely, std::span<const float> hashed);
  /// W of the distances within three standard deviations; nothing while there are too few.
  [[nodiscard]] std::optional<double> Normality() const;
  /// KS distance of the distances from those of the reference; nothing while there are too few.
  [[nodiscard]] std::optional<double> Strangeness() const;

 private:
  struct Anchors {
    std::vector<float> inputs;
    double distances = 0;  // Welford's sums over the distances at which the set grew
    double mean = 0;
    double squares = 0;
    double threshold = 0;
  };
  [[nodiscard]] double Nearest(const Anchors& anchors, std::span<const float> hashed) const;
  void Grow(Anchors& anchors, std::span<const float> hashed, double nearest) const;

  const DistanceReference* reference_;
  std::vector<Anchors> classes_;
  std::vector<double> distances_;  // a ring
  std::size_t next_ = 0;
};

struct DistanceOptions {
  std::size_t inputs = 0;
  std::uint32_t classes = 0;
  std::uint32_t dimension = 256;
  std::uint32_t anchors_per_class = 32;
  std::uint64_t seed = 0;
};

/// Hashed clean rows in random order, as streams of natural inputs. Shape: `hashed` rows x dimension, one class a row.
struct DistanceRows {
  std::span<const float> hashed;
  std::span<const std::uint32_t> classes;
};

/// Cuts the rows into streams, and sets both thresholds half as far again from what is expected as any of the streams
/// comes. Errors: kInvalidArgument for fewer rows than two streams.
Result<DistanceReference> FitDistances(const DistanceOptions& options, const DistanceRows& rows);
inline constexpr std::size_t kStreamRows = 400;

}  // namespace tacit::detect
