#include "edge_agent/inference/pack.h"

#include <algorithm>

namespace tacit::inference {
namespace {

/// So many places of a column are read one after another, as they lie in memory, before the next column's.
constexpr std::size_t kRun = 16;

template <typename Number, typename Read>
void Pack(std::size_t depth, std::size_t all_columns, const Kernels& kernels, Number* packed, Read read) {
  for (std::size_t from = 0; from < all_columns; from += kernels.PanelColumns()) {
    const std::size_t columns = std::min(kernels.PanelColumns(), all_columns - from);
    const std::size_t width = kernels.PanelWidth(columns);
    for (std::size_t first = 0; first < depth; first += kRun) {
      const std::size_t last = std::min(depth, first + kRun);
      for (std::size_t j = 0; j < width; ++j) {
        for (std::size_t k = first; k < last; ++k) {
          packed[(k - first) * width + j] = j < columns ? read(k, from + j) : Number{0};
        }
      }
      packed += (last - first) * width;
    }
  }
}

/// Where place k of the four of a column is among the bytes of a vector of columns.
std::size_t PlaceInVector(const Kernels& kernels, std::size_t column, std::size_t k) {
  if (kernels.byte_packing == BytePacking::kFours) return column * 4 + k;
  return k / 2 * 2 * kernels.width + column * 2 + k % 2;
}

}  // namespace

void PackPanels(const MatrixView& matrix, const Kernels& kernels, float* packed) {
  if (matrix.column_stride != 1) {
    Pack(matrix.depth, matrix.columns, kernels, packed,
         [&](std::size_t k, std::size_t j) { return matrix.data[k * matrix.depth_stride + j * matrix.column_stride]; });
    return;
  }
  for (std::size_t from = 0; from < matrix.columns; from += kernels.PanelColumns()) {
    const std::size_t columns = std::min(kernels.PanelColumns(), matrix.columns - from);
    const std::size_t width = kernels.PanelWidth(columns);
    for (std::size_t k = 0; k < matrix.depth; ++k, packed += width) {
      std::copy_n(matrix.data + k * matrix.depth_stride + from, columns, packed);
      std::fill(packed + columns, packed + width, 0.0F);
    }
  }
}

void PackWeights(const Constant& weights, const WeightOrder& order, const Kernels& kernels, float* packed) {
  const std::size_t depth = order.depth_offsets.size();
  const std::uint32_t* offsets = order.depth_offsets.data();
  const std::size_t stride = order.column_stride;
  const std::size_t from = order.first_column * stride;
  if (const float* floats = weights.floats()) {
    Pack(depth, order.columns, kernels, packed,
         [=](std::size_t k, std::size_t j) { return floats[from + j * stride + offsets[k]]; });
  } else {
    Pack(depth, order.columns, kernels, packed,
         [&, from, stride](std::size_t k, std::size_t j) { return weights.At(from + j * stride + offsets[k]); });
  }
}

void PackSignedWeights(const Constant& weights, const WeightOrder& order, const Kernels& kernels, std::int8_t* packed) {
  const auto* bytes = reinterpret_cast<const std::int8_t*>(weights.data);
  Pack(order.depth_offsets.size(), order.columns, kernels, packed, [&](std::size_t k, std::size_t j) {
    return bytes[(order.first_column + j) * order.column_stride + order.depth_offsets[k]];
  });
}

std::size_t IntegerPanelSize(std::size_t taps, std::size_t tap_depth, std::size_t columns, const Kernels& kernels) {
  return taps * ((tap_depth + 3) / 4 * 4) * kernels.PackedColumns(columns);
}

void PackIntegerPanels(const Constant& weights, const WeightOrder& order, std::size_t tap_depth, const Kernels& kernels,
                       std::int8_t* packed) {
  const auto* bytes = reinterpret_cast<const std::int8_t*>(weights.data);
  const std::size_t width = kernels.width;
  for (std::size_t from = 0; from < order.columns; from += kernels.PanelColumns()) {
    const std::size_t columns = std::min(kernels.PanelColumns(), order.columns - from);
    const std::size_t vectors = kernels.PanelWidth(columns) / width;
    for (std::size_t tap = 0; tap < order.depth_offsets.size(); tap += tap_depth) {
      for (std::size_t first = 0; first < tap_depth; first += 4, packed += vectors * 4 * width) {
        for (std::size_t j = 0; j < columns; ++j) {
          std::int8_t* vector = packed + j / width * 4 * width;
          const std::size_t column = (order.first_column + from + j) * order.column_stride;
          for (std::size_t k = 0; k < std::min<std::size_t>(4, tap_depth - first); ++k) {
            vector[PlaceInVector(kernels, j % width, k)] = bytes[column + order.depth_offsets[tap + first + k]];
          }
        }
      }
    }
  }
}

}  // namespace tacit::inference
