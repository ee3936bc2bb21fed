#pragma once

#include <cstdint>
#include <span>

namespace tacit::detect {

/// Rows that are pictures. Shape: channels x height x width, row-major.
struct Image {
  /// Smaller ones have too few pixels for a median to leave them what they are.
  static constexpr std::uint32_t kMinSide = 16;
  static constexpr std::uint32_t kMaxSide = 4096;
  static constexpr std::uint32_t kMaxChannels = 64;

  std::uint32_t channels = 1;
  std::uint32_t height = 0;
  std::uint32_t width = 0;
  bool operator==(const Image&) const = default;
};

/// The values that an input can have, such as 0 to 1.
struct ValueRange {
  float low = 0;
  float high = 1;
  bool operator==(const ValueRange&) const = default;
};

/// Rounds every value to one of 2^bits that are spread over `range`. Shape: `out` as `in`; bits 1 to 16.
/// Source: Xu, Evans, Qi 2018, section III.A.
void ReduceBitDepth(std::span<const float> in, ValueRange range, std::uint32_t bits, std::span<float> out);

/// The median of each pixel and its neighbours to the left, above, and between them; edges are reflected.
/// Shape: `in` and `out` are one picture. Source: Xu, Evans, Qi 2018, section III.B (2x2 local smoothing).
void MedianOfFour(std::span<const float> in, const Image& image, std::span<float> out);

}  // namespace tacit::detect
