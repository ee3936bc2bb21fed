#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "edge_agent/inference/kernels.h"

// The source of all Kernels, as templates over a set of instructions `S`, which the including file defines together
// with TACIT_TARGET, the attribute that lets the compiler use that set: everything here must be compiled with it, or
// vectors would be split. Vectors are the compiler's own, so + - * / apply to them.
#ifndef TACIT_TARGET
#define TACIT_TARGET
#endif
#define TACIT_INLINE TACIT_TARGET __attribute__((always_inline)) inline
#define TACIT_UNROLL _Pragma("clang loop unroll(full)")

namespace tacit::inference::loops {

template <typename S>
TACIT_INLINE typename S::V Clamped(typename S::V value, const Range& range) {
  return range.clamps ? S::Min(S::Max(value, S::Set(range.minimum)), S::Set(range.maximum)) : value;
}

/// Of a panel in floats or in bytes.
template <typename S>
TACIT_INLINE typename S::V LoadColumns(const float* from) {
  return S::Load(from);
}
template <typename S>
TACIT_INLINE typename S::V LoadColumns(const std::int8_t* from) {
  return S::LoadSigned(from);
}

/// Of values in floats or in bytes.
template <typename S>
TACIT_INLINE typename S::V LoadNumbers(const float* from) {
  return S::Load(from);
}
template <typename S>
TACIT_INLINE typename S::V LoadNumbers(const std::uint8_t* from) {
  return S::LoadBytes(from);
}

template <typename S, int kVectors>
TACIT_INLINE void Finish(typename S::V* sums, const Tile& tile, std::size_t row, std::size_t column) {
  using V = typename S::V;
  TACIT_UNROLL
  for (int j = 0; j < kVectors; ++j) {
    const std::size_t at = column + static_cast<std::size_t>(j) * S::kWidth;
    const std::size_t left = tile.columns - at;
    const bool whole = left >= S::kWidth;
    V sum = sums[j];
    if (tile.panel8 != nullptr) sum = sum * (whole ? S::Load(tile.scales + at) : S::LoadPart(tile.scales + at, left));
    if (tile.bias != nullptr) sum += whole ? S::Load(tile.bias + at) : S::LoadPart(tile.bias + at, left);
    if (tile.add != nullptr) {
      const float* add = tile.add + row * tile.add_stride + at;
      sum += whole ? S::Load(add) : S::LoadPart(add, left);
    }
    sum = Clamped<S>(sum, tile.range);
    float* out = tile.out + row * tile.out_stride + at;
    if (whole) {
      S::Store(out, sum);
    } else {
      S::StorePart(out, sum, left);
    }
  }
}

/// kRows x (kVectors * width) sums in registers.
template <typename S, int kRows, int kVectors, typename Number>
TACIT_TARGET void TileOf(const Tile& tile, const Number* panel) {
  using V = typename S::V;
  V sums[kRows][kVectors];
  TACIT_UNROLL
  for (int i = 0; i < kRows; ++i) {
    TACIT_UNROLL
    for (int j = 0; j < kVectors; ++j) sums[i][j] = S::Set(0);
  }
  for (std::size_t tap = 0; tap < tile.taps; ++tap) {
    const float* rows[kRows];
    TACIT_UNROLL
    for (int i = 0; i < kRows; ++i) rows[i] = tile.rows[tap * kTileRows + static_cast<std::size_t>(i)];
    for (std::size_t k = 0; k < tile.depth; ++k) {
      V columns[kVectors];
      TACIT_UNROLL
      for (int j = 0; j < kVectors; ++j) columns[j] = LoadColumns<S>(panel + static_cast<std::size_t>(j) * S::kWidth);
      panel += kVectors * S::kWidth;
      TACIT_UNROLL
      for (int i = 0; i < kRows; ++i) {
        const V value = S::Set(rows[i][k]);
        TACIT_UNROLL
        for (int j = 0; j < kVectors; ++j) sums[i][j] = S::Fma(value, columns[j], sums[i][j]);
      }
    }
  }
  TACIT_UNROLL
  for (int i = 0; i < kRows; ++i) Finish<S, kVectors>(sums[i], tile, static_cast<std::size_t>(i), 0);
}

template <typename S, int kRows>
TACIT_TARGET void TileOfRows(const Tile& tile) {
  if constexpr (kRows > 1) {
    if (tile.row_count < kRows) return TileOfRows<S, kRows - 1>(tile);
  }
  if (tile.panel8 != nullptr) {
    tile.columns > S::kWidth ? TileOf<S, kRows, 2>(tile, tile.panel8) : TileOf<S, kRows, 1>(tile, tile.panel8);
  } else {
    tile.columns > S::kWidth ? TileOf<S, kRows, 2>(tile, tile.panel) : TileOf<S, kRows, 1>(tile, tile.panel);
  }
}

/// kPanels panels side by side, so that there are enough sums for each to wait for its last addition; where panels are
/// few, each has kSplit sums over every kSplit-th place.
template <typename S, int kPanels, int kVectors, int kSplit, typename Number>
TACIT_TARGET void RowOf(const Tile& tile, const Number* panel, std::size_t column) {
  using V = typename S::V;
  const std::size_t step = kVectors * S::kWidth;
  V sums[kSplit][kPanels * kVectors];
  TACIT_UNROLL
  for (int s = 0; s < kSplit; ++s) {
    TACIT_UNROLL
    for (int j = 0; j < kPanels * kVectors; ++j) sums[s][j] = S::Set(0);
  }
  const float* row = tile.rows[0];
  panel += column * tile.depth;
  const std::size_t stride = tile.depth * step;
  std::size_t k = 0;
  for (; k + kSplit <= tile.depth; k += kSplit) {
    TACIT_UNROLL
    for (int s = 0; s < kSplit; ++s) {
      const V value = S::Set(row[k + static_cast<std::size_t>(s)]);
      TACIT_UNROLL
      for (int j = 0; j < kPanels * kVectors; ++j) {
        const Number* from = panel + static_cast<std::size_t>(j / kVectors) * stride +
                             static_cast<std::size_t>(s) * step + static_cast<std::size_t>(j % kVectors) * S::kWidth;
        sums[s][j] = S::Fma(value, LoadColumns<S>(from), sums[s][j]);
      }
    }
    panel += kSplit * step;
  }
  for (; k < tile.depth; ++k) {
    const V value = S::Set(row[k]);
    TACIT_UNROLL
    for (int j = 0; j < kPanels * kVectors; ++j) {
      const Number* from =
          panel + static_cast<std::size_t>(j / kVectors) * stride + static_cast<std::size_t>(j % kVectors) * S::kWidth;
      sums[0][j] = S::Fma(value, LoadColumns<S>(from), sums[0][j]);
    }
    panel += step;
  }
  TACIT_UNROLL
  for (int s = 1; s < kSplit; ++s) {
    TACIT_UNROLL
    for (int j = 0; j < kPanels * kVectors; ++j) sums[0][j] += sums[s][j];
  }
  Finish<S, kPanels * kVectors>(sums[0], tile, 0, column);
}

template <typename S, typename Number>
TACIT_TARGET void RowOfPanels(const Tile& tile, const Number* panel) {
  const std::size_t whole = 2 * S::kWidth;
  std::size_t column = 0;
  for (; column + 3 * whole + S::kWidth < tile.columns; column += 4 * whole) RowOf<S, 4, 2, 1>(tile, panel, column);
  for (; column + whole + S::kWidth < tile.columns; column += 2 * whole) RowOf<S, 2, 2, 2>(tile, panel, column);
  for (; column + S::kWidth < tile.columns; column += whole) RowOf<S, 1, 2, 4>(tile, panel, column);
  if (column < tile.columns) RowOf<S, 1, 1, 8>(tile, panel, column);
}

template <typename S>
TACIT_TARGET void Row(const Tile& tile) {
  tile.panel8 != nullptr ? RowOfPanels<S>(tile, tile.panel8) : RowOfPanels<S>(tile, tile.panel);
}

}  // namespace tacit::inference::loops
