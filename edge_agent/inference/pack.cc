#include "edge_agent/inference/pack.h"

#include <algorithm>

namespace tacit::inference {

void PackPanels(const MatrixView& matrix, const Kernels& kernels, float* packed) {
  for (std::size_t from = 0; from < matrix.columns; from += kernels.PanelColumns()) {
    const std::size_t columns = std::min(kernels.PanelColumns(), matrix.columns - from);
    const std::size_t width = kernels.PanelWidth(columns);
    const float* data = matrix.data + from * matrix.column_stride;
    for (std::size_t k = 0; k < matrix.depth; ++k) {
      for (std::size_t j = 0; j < columns; ++j) packed[j] = data[k * matrix.depth_stride + j * matrix.column_stride];
      std::fill(packed + columns, packed + width, 0.0F);
      packed += width;
    }
  }
}

}  // namespace tacit::inference
