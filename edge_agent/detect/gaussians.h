#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "common/base/result.h"
#include "edge_agent/detect/feature_hash.h"

namespace tacit::detect {

/// One normal distribution a class over the features, all with the same covariance: how far an input is from each.
/// The covariance is shrunk towards a multiple of the identity, (1 - s) S + s (trace S / d) I, so that features that
/// never move do not decide. Kept as the Cholesky factor and the means seen through it, in float32; more features than
/// `kMaxDimension` go through a FeatureHash first.
/// Cost: d^2 / 2 + classes d multiplications an input, and as many floats of memory; d is at most kMaxDimension.
/// Source: Lee et al. 2018, equation 2; shrinkage as in Ledoit, Wolf 2004, with a fixed weight.
class ClassGaussians {
 public:
  static constexpr std::size_t kMaxDimension = 128;
  static constexpr double kShrinkage = 0.05;

  struct Options {
    std::size_t features = 0;
    std::size_t classes = 0;
    std::uint64_t seed = 0;  ///< Of the hash.
  };
  /// What features go through before anything else.
  static FeatureHash HashOf(const Options& options);
  /// Shape: `hashed` rows x dimension of the hash, `labels` one a row, each below classes. A class without rows has no
  /// mean. Errors: kInvalidArgument for fewer rows than twice the dimension, or features that are not finite.
  static Result<ClassGaussians> Fit(const Options& options, std::span<const float> hashed,
                                    std::span<const std::uint32_t> labels);

  /// What is kept of one: for whoever writes it down. Shape: `factor` the lower triangle by rows, `means` a multiple of
  /// the dimension.
  struct Parts {
    Options options;
    std::vector<float> factor;
    std::vector<float> means;
    bool operator==(const Parts& other) const { return factor == other.factor && means == other.means; }
  };
  /// Errors: kMalformed where the sizes do not belong together, or a diagonal element is not positive.
  static Result<ClassGaussians> FromParts(Parts parts);
  [[nodiscard]] const Parts& parts() const { return parts_; }
  [[nodiscard]] std::size_t dimension() const { return hash_.dimension(); }

  /// min over classes of (f - mean)^T S^-1 (f - mean). Shape: features before the hash.
  [[nodiscard]] double Distance(std::span<const float> features) const;

  bool operator==(const ClassGaussians& other) const { return parts_ == other.parts_; }

 private:
  ClassGaussians(Parts parts, FeatureHash hash) : parts_(std::move(parts)), hash_(std::move(hash)) {}

  Parts parts_;
  FeatureHash hash_;
};

}  // namespace tacit::detect
