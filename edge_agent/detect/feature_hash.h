#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace tacit::detect {

/// A fixed random map to fewer dimensions that keeps distances: every coordinate is added to, or taken from, one of
/// `dimension` places, both chosen by the seed. Of distances, the relative standard error is near sqrt(1 / (2
/// dimension)). With as many dimensions as coordinates it changes nothing.
/// Cost: one addition a coordinate, and two bytes or four of memory each. Threads: any.
/// Source: Charikar, Chen, Farach-Colton 2002 (count sketch); Weinberger et al. 2009, section 3.
class FeatureHash {
 public:
  struct Options {
    std::size_t inputs = 0;
    std::size_t dimension = 0;  ///< At least 1; more than `inputs` count as `inputs`.
    std::uint64_t seed = 0;
  };
  explicit FeatureHash(const Options& options);

  [[nodiscard]] std::size_t dimension() const { return dimension_; }
  /// Shape: `in` has as many elements as the options say, `out` dimension().
  void Apply(std::span<const float> in, std::span<float> out) const;

 private:
  std::size_t dimension_;
  std::vector<std::uint32_t> places_;  // the place, twice, plus 1 where the sign is negative; empty: the identity
};

}  // namespace tacit::detect
