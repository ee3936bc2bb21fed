#pragma once

#include <cstddef>

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

}  // namespace tacit::inference
