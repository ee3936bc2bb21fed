#pragma once

#include <cstddef>
#include <cstdint>

#include "edge_agent/inference/kernel_elements.h"
#include "edge_agent/inference/kernel_loops.h"

// The part of the source of all Kernels that multiplies bytes. A set of instructions says how four products are added
// to a number: S::Four is four unsigned bytes, the same for all columns, and S::Dot adds their products with the four
// signed bytes of each column.
namespace tacit::inference::loops {

template <typename S, int kVectors>
TACIT_INLINE void FinishIntegers(typename S::I* sums, const IntegerTile& tile, std::size_t row) {
  using V = typename S::V;
  TACIT_UNROLL
  for (int j = 0; j < kVectors; ++j) {
    const std::size_t at = static_cast<std::size_t>(j) * S::kWidth;
    const std::size_t left = tile.columns - at;
    const V sum = __builtin_convertvector(sums[j], V);
    V value = S::Fma(sum, LoadOr<S>(tile.to.multipliers, 1, at, left), LoadOr<S>(tile.to.offsets, 1, at, left));
    value = S::Min(S::Max(value, S::Set(tile.to.minimum)), S::Set(tile.to.maximum));
    if (tile.out != nullptr) {
      StoreBytesUpTo<S>(tile.out + row * tile.out_stride + at, Rounded<S>(value), left);
    } else {
      StoreUpTo<S>(tile.out_floats + row * tile.out_stride + at, value, left);
    }
  }
}

template <typename S, int kRows, int kVectors>
TACIT_TARGET void IntegerTileOf(const IntegerTile& tile) {
  using I = typename S::I;
  I sums[kRows][kVectors];
  TACIT_UNROLL
  for (int j = 0; j < kVectors; ++j) {
    I start;
    std::memcpy(&start, tile.start + static_cast<std::size_t>(j) * S::kWidth, sizeof start);
    TACIT_UNROLL
    for (int i = 0; i < kRows; ++i) sums[i][j] = start;
  }
  const std::int8_t* panel = tile.panel;
  for (std::size_t tap = 0; tap < tile.taps; ++tap) {
    const std::uint8_t* rows[kRows];
    TACIT_UNROLL
    for (int i = 0; i < kRows; ++i) rows[i] = tile.rows[tap * kTileRows + static_cast<std::size_t>(i)];
    for (std::size_t k = 0; k < tile.depth; k += 4) {
      typename S::Weights weights[kVectors];
      TACIT_UNROLL
      for (int j = 0; j < kVectors; ++j) {
        weights[j] = S::LoadWeights(panel + static_cast<std::size_t>(j) * 4 * S::kWidth);
      }
      panel += kVectors * 4 * S::kWidth;
      TACIT_UNROLL
      for (int i = 0; i < kRows; ++i) {
        const typename S::Four four = S::LoadFour(rows[i] + k);
        TACIT_UNROLL
        for (int j = 0; j < kVectors; ++j) sums[i][j] = S::Dot(sums[i][j], four, weights[j]);
      }
    }
  }
  TACIT_UNROLL
  for (int i = 0; i < kRows; ++i) FinishIntegers<S, kVectors>(sums[i], tile, static_cast<std::size_t>(i));
}

template <typename S, int kRows>
TACIT_TARGET void IntegerTileOfRows(const IntegerTile& tile) {
  if constexpr (kRows > 1) {
    if (tile.row_count < kRows) return IntegerTileOfRows<S, kRows - 1>(tile);
  }
  tile.columns > S::kWidth ? IntegerTileOf<S, kRows, 2>(tile) : IntegerTileOf<S, kRows, 1>(tile);
}

}  // namespace tacit::inference::loops
