#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "edge_agent/inference/kernel_elements.h"
#include "edge_agent/inference/kernel_integers.h"
#include "edge_agent/inference/kernel_loops.h"

// The part of the source of all Kernels that moves windows over values whose channels lie side by side.
namespace tacit::inference::loops {

/// Those places of a window, [first, last), that are inside of `length` places; `start` is counted with the padding.
struct Inside {
  std::size_t first = 0;
  std::size_t last = 0;
};
TACIT_INLINE Inside InsideOf(std::size_t start, std::size_t kernel, std::size_t dilation, std::size_t pad,
                             std::size_t length) {
  const std::size_t first = start >= pad ? 0 : (pad - start + dilation - 1) / dilation;
  const std::size_t end = length + pad;  // the first place behind
  const std::size_t last = end <= start ? 0 : (end - start + dilation - 1) / dilation;
  return {first < kernel ? first : kernel, last < kernel ? last : kernel};
}

template <typename S>
TACIT_INLINE typename S::V LoadChannels(const Depthwise& d, std::size_t at, std::size_t left) {
  if (d.input != nullptr) return LoadOr<S>(d.input, 1, at, left);
  if (left >= S::kWidth) return S::LoadBytes(d.input8 + at);
  std::uint8_t bytes[S::kWidth] = {};
  std::memcpy(bytes, d.input8 + at, left);
  return S::LoadBytes(bytes);
}

template <typename S>
TACIT_INLINE void FinishDepthwise(const Depthwise& d, typename S::V sum, std::size_t pixel, std::size_t channel,
                                  std::size_t left) {
  using V = typename S::V;
  if (d.input8 == nullptr && d.bias != nullptr) sum += LoadOr<S>(d.bias, 1, channel, left);
  if (d.input8 != nullptr) {
    sum = sum * LoadOr<S>(d.to.multipliers, 1, channel, left) + LoadOr<S>(d.to.offsets, 1, channel, left);
    sum = S::Min(S::Max(sum, S::Set(d.to.minimum)), S::Set(d.to.maximum));
  }
  const std::size_t at = pixel * d.channels + channel;
  if (d.out8 != nullptr) {
    StoreBytesUpTo<S>(d.out8 + at, Rounded<S>(sum), left);
  } else {
    const V value = d.input8 != nullptr ? sum : Clamped<S>(sum, d.range);
    StoreUpTo<S>(d.out + at, value, left);
  }
}

/// One output place with any kernel, part of which may be over padding.
template <typename S>
TACIT_TARGET void DepthwisePixel(const Depthwise& d, std::size_t y, std::size_t x) {
  using V = typename S::V;
  const Inside rows = InsideOf(y * d.strides[0], d.kernel[0], d.dilations[0], d.pads[0], d.height);
  const Inside columns = InsideOf(x * d.strides[1], d.kernel[1], d.dilations[1], d.pads[1], d.width);
  for (std::size_t channel = 0; channel < d.channels; channel += S::kWidth) {
    const std::size_t left = d.channels - channel;
    V sum = S::Set(0);
    for (std::size_t i = rows.first; i < rows.last; ++i) {
      const std::size_t row = (y * d.strides[0] + i * d.dilations[0] - d.pads[0]) * d.width;
      for (std::size_t j = columns.first; j < columns.last; ++j) {
        const std::size_t column = x * d.strides[1] + j * d.dilations[1] - d.pads[1];
        const V value = LoadChannels<S>(d, (row + column) * d.channels + channel, left) - S::Set(d.zero);
        sum = S::Fma(value, LoadOr<S>(d.weights + (i * d.kernel[1] + j) * d.channels, 1, channel, left), sum);
      }
    }
    FinishDepthwise<S>(d, sum, y * d.out_width + x, channel, left);
  }
}

/// Output places [first, last) of row y, whose windows of 3 x 3 are inside; whole vectors of channels. The weights of a
/// vector of channels stay in registers over all of the row.
template <typename S, typename Number>
TACIT_TARGET void DepthwiseRow3(const Depthwise& d, const Number* input, std::size_t y, std::size_t first,
                                std::size_t last) {
  using V = typename S::V;
  const std::size_t step[2] = {d.dilations[0] * d.width * d.channels, d.dilations[1] * d.channels};
  const Number* from =
      input + ((y * d.strides[0] - d.pads[0]) * d.width + first * d.strides[1] - d.pads[1]) * d.channels;
  for (std::size_t channel = 0; channel < d.channels; channel += S::kWidth) {
    V weights[9];
    V start = S::Set(0);
    TACIT_UNROLL
    for (std::size_t tap = 0; tap < 9; ++tap) {
      weights[tap] = S::Load(d.weights + tap * d.channels + channel);
      start = start - weights[tap] * S::Set(d.zero);
    }
    const Number* at = from + channel;
    for (std::size_t x = first; x < last; ++x, at += d.strides[1] * d.channels) {
      V sum = start;
      TACIT_UNROLL
      for (std::size_t i = 0; i < 3; ++i) {
        TACIT_UNROLL
        for (std::size_t j = 0; j < 3; ++j) {
          sum = S::Fma(LoadNumbers<S>(at + i * step[0] + j * step[1]), weights[3 * i + j], sum);
        }
      }
      FinishDepthwise<S>(d, sum, y * d.out_width + x, channel, S::kWidth);
    }
  }
}

/// Output places whose windows do not touch padding.
TACIT_INLINE Inside WithoutPadding(std::size_t out, std::size_t kernel, std::size_t stride, std::size_t dilation,
                                   std::size_t pad, std::size_t length) {
  const std::size_t first = (pad + stride - 1) / stride;
  const std::size_t extent = (kernel - 1) * dilation + 1;
  const std::size_t end = length + pad < extent ? 0 : (length + pad - extent) / stride + 1;
  const std::size_t last = end < out ? end : out;
  return {first < last ? first : last, last};
}

template <typename S>
TACIT_TARGET void DepthwiseOf(const Depthwise& d) {
  const bool is_fast = d.kernel[0] == 3 && d.kernel[1] == 3 && d.channels % S::kWidth == 0;
  const Inside rows = WithoutPadding(d.out_height, d.kernel[0], d.strides[0], d.dilations[0], d.pads[0], d.height);
  const Inside columns = WithoutPadding(d.out_width, d.kernel[1], d.strides[1], d.dilations[1], d.pads[1], d.width);
  for (std::size_t y = 0; y < d.out_height; ++y) {
    const bool fast_row = is_fast && y >= rows.first && y < rows.last && columns.first < columns.last;
    const std::size_t first = fast_row ? columns.first : d.out_width;
    const std::size_t last = fast_row ? columns.last : d.out_width;
    for (std::size_t x = 0; x < first; ++x) DepthwisePixel<S>(d, y, x);
    if (fast_row && d.input != nullptr) DepthwiseRow3<S>(d, d.input, y, first, last);
    if (fast_row && d.input == nullptr) DepthwiseRow3<S>(d, d.input8, y, first, last);
    for (std::size_t x = last; x < d.out_width; ++x) DepthwisePixel<S>(d, y, x);
  }
}

template <typename S>
TACIT_TARGET void PoolPixel(const Pool& p, std::size_t y, std::size_t x) {
  using V = typename S::V;
  const Inside rows = InsideOf(y * p.strides[0], p.kernel[0], 1, p.pads_before[0], p.height);
  const Inside columns = InsideOf(x * p.strides[1], p.kernel[1], 1, p.pads_before[1], p.width);
  // Padding counts, but not what a window has behind it.
  const Inside all_rows = InsideOf(y * p.strides[0], p.kernel[0], 1, 0, p.height + p.pads_before[0] + p.pads_behind[0]);
  const Inside all_columns =
      InsideOf(x * p.strides[1], p.kernel[1], 1, 0, p.width + p.pads_before[1] + p.pads_behind[1]);
  const std::size_t places =
      p.counts_padding ? all_rows.last * all_columns.last : (rows.last - rows.first) * (columns.last - columns.first);
  const float* from = p.input + ((y * p.strides[0] + rows.first - p.pads_before[0]) * p.width + x * p.strides[1] +
                                 columns.first - p.pads_before[1]) *
                                    p.channels;
  float* out = p.out + (y * p.out_width + x) * p.channels;
  const V share = S::Set(1.0F / static_cast<float>(places));
  for (std::size_t channel = 0; channel < p.channels; channel += S::kWidth) {
    const std::size_t left = p.channels - channel;
    V value = S::Set(p.averages ? 0 : -std::numeric_limits<float>::infinity());
    for (std::size_t i = 0; i < rows.last - rows.first; ++i) {
      for (std::size_t j = 0; j < columns.last - columns.first; ++j) {
        const V next = LoadOr<S>(from + (i * p.width + j) * p.channels, 1, channel, left);
        value = p.averages ? value + next : S::Max(value, next);
      }
    }
    StoreUpTo<S>(out + channel, p.averages ? value * share : value, left);
  }
}

template <typename S>
TACIT_TARGET void PoolOf(const Pool& p) {
  for (std::size_t y = 0; y < p.out_height; ++y) {
    for (std::size_t x = 0; x < p.out_width; ++x) PoolPixel<S>(p, y, x);
  }
}

template <typename S>
constexpr Kernels Table() {
  return {.width = S::kWidth,
          .tile_rows = S::kTileRows,
          .tile = TileOfRows<S, S::kTileRows>,
          .row = Row<S>,
          .integer_tile = IntegerTileOfRows<S, S::kTileRows>,
          .byte_packing = S::kPacking,
          .depthwise = DepthwiseOf<S>,
          .pool = PoolOf<S>,
          .add = Add<S>,
          .multiply = Times<S>,
          .clamp = Clamp<S>,
          .sigmoid = Sigmoid<S>,
          .tanh = Tanh<S>,
          .softmax = Softmax<S>,
          .quantize = Quantize<S>};
}

}  // namespace tacit::inference::loops
