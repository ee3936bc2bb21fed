#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace tacit::dp {

__extension__ using Wide = unsigned __int128;

/// A distribution on 0 .. kPlaces - 1 as an alias table: a draw takes a place, uniformly, and gives that place or its
/// alias as a uniform number of 112 bits falls below the place's threshold or not. The first twenty of those bits
/// decide but once in 2^20 draws; only then are the others looked at.
/// Guarantee: the total variation distance from the distribution asked for is below 2^-100.
/// Source: Walker 1977; the construction of Vose 1991, in integers, so that no mass is lost.
class AliasTable {
 public:
  static constexpr unsigned kPlaceBits = 12;
  static constexpr std::size_t kPlaces = std::size_t{1} << kPlaceBits;
  static constexpr unsigned kThresholdBits = 112;
  static constexpr unsigned kFastBits = 32 - kPlaceBits;

  /// P(x) proportional to exp(-squares (x - kPlaces / 2)^2 / (2 sigma^2)): a discrete Gaussian around the middle.
  static std::unique_ptr<const AliasTable> Gaussian(std::uint64_t squares, std::uint64_t sigma);
  /// P(x) proportional to exp(-x step / scale).
  static std::unique_ptr<const AliasTable> Geometric(std::uint64_t step, std::uint64_t scale);
  /// P(0) = 1 / (1 + exp(-1 / scale)), P(1) the rest.
  static std::unique_ptr<const AliasTable> Sign(std::uint64_t scale);

  /// For each place: the first kFastBits of its threshold, then its alias in kPlaceBits.
  [[nodiscard]] const std::uint32_t* fast() const { return fast_.data(); }
  [[nodiscard]] Wide threshold(std::size_t place) const { return thresholds_[place]; }
  [[nodiscard]] std::uint32_t alias(std::size_t place) const { return fast_[place] & (kPlaces - 1); }

 private:
  alignas(64) std::array<std::uint32_t, kPlaces> fast_{};
  std::array<Wide, kPlaces> thresholds_{};

  friend class AliasTableBuilder;
};

}  // namespace tacit::dp
