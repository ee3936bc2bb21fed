#pragma once

#include <cstddef>

#include "edge_agent/inference/kernels.h"

namespace tacit::inference {

/// How windows of a convolution lie over one row of a value whose channels lie side by side.
struct ConvGeometry {
  std::size_t channels = 1;  ///< Of the input, over all groups.
  std::size_t height = 1;
  std::size_t width = 1;
  std::size_t out_height = 1;
  std::size_t out_width = 1;
  std::size_t kernel[2] = {1, 1};
  std::size_t strides[2] = {1, 1};
  std::size_t dilations[2] = {1, 1};
  std::size_t pads[2] = {0, 0};  ///< Before.
  std::size_t depth = 1;         ///< Numbers at one place of the window.

  [[nodiscard]] std::size_t taps() const { return kernel[0] * kernel[1]; }
  [[nodiscard]] std::size_t places() const { return out_height * out_width; }
  [[nodiscard]] std::size_t row_size() const { return channels * height * width; }

  /// Where the windows of `count` places from `first` on read, in the order of Tile::rows: in `image`, or at `padding`.
  template <typename Number>
  void Point(const Number* image, const Number* padding, std::size_t first, std::size_t count,
             const Number** rows) const {
    std::size_t y = first / out_width;
    std::size_t x = first % out_width;
    for (std::size_t i = 0; i < count; ++i) {
      PointOne(image, padding, y * strides[0], x * strides[1], rows + i);
      if (++x < out_width) continue;
      x = 0;
      ++y;
    }
  }

 private:
  template <typename Number>
  void PointOne(const Number* image, const Number* padding, std::size_t top, std::size_t left,
                const Number** rows) const {
    for (std::size_t i = 0; i < kernel[0]; ++i) {
      // A place before the first wraps round to a number that is behind the last.
      const std::size_t y = top + i * dilations[0] - pads[0];
      for (std::size_t j = 0; j < kernel[1]; ++j, rows += kTileRows) {
        const std::size_t x = left + j * dilations[1] - pads[1];
        *rows = y < height && x < width ? image + (y * width + x) * channels : padding;
      }
    }
  }
};

/// Lengths of tiles over `count` rows, none longer than `most` and all nearly the same.
inline std::size_t TileLength(std::size_t count, std::size_t most) {
  const std::size_t tiles = (count + most - 1) / most;
  return (count + tiles - 1) / tiles;
}

}  // namespace tacit::inference
