#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "edge_agent/inference/constant.h"
#include "edge_agent/inference/kernels.h"

namespace tacit::inference {

/// A matrix [depth, columns] as it lies somewhere: element (k, j) at data[k * depth_stride + j * column_stride].
struct MatrixView {
  const float* data = nullptr;
  std::size_t depth = 0;
  std::size_t columns = 0;
  std::size_t depth_stride = 0;
  std::size_t column_stride = 0;
};

/// Lays a matrix out for Kernels::tile: panels of PanelColumns columns, in each the columns of one k side by side,
/// missing columns of the last filled up with zeros. Shape: `packed` holds depth * PackedColumns(columns) floats.
void PackPanels(const MatrixView& matrix, const Kernels& kernels, float* packed);

/// How a parameter of shape [columns, ...] becomes a matrix: element (k, j) is number
/// (first_column + j) * column_stride + depth_offsets[k] of it.
struct WeightOrder {
  std::size_t first_column = 0;
  std::size_t columns = 0;
  std::size_t column_stride = 0;
  std::span<const std::uint32_t> depth_offsets;
};

/// The same of a parameter, in floats.
void PackWeights(const Constant& weights, const WeightOrder& order, const Kernels& kernels, float* packed);
/// The same in bytes. Shape: of one that IsSignedBytes.
void PackSignedWeights(const Constant& weights, const WeightOrder& order, const Kernels& kernels, std::int8_t* packed);

/// The same for Kernels::integer_tile: numbers of `tap_depth` places at a time, filled up to fours with zeros. Shape:
/// `packed` holds IntegerPanelSize(...) bytes; the places of depth_offsets are whole taps.
void PackIntegerPanels(const Constant& weights, const WeightOrder& order, std::size_t tap_depth, const Kernels& kernels,
                       std::int8_t* packed);
/// Bytes of `taps` taps of `columns` columns.
std::size_t IntegerPanelSize(std::size_t taps, std::size_t tap_depth, std::size_t columns, const Kernels& kernels);

}  // namespace tacit::inference
