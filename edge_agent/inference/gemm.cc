#include "edge_agent/inference/gemm.h"

#include <algorithm>

#include "common/base/check.h"
#include "edge_agent/inference/pack.h"

namespace tacit::inference {
namespace {

/// A packed block of b stays in the second level of cache while all rows of a pass over it.
constexpr std::size_t kBlockDepth = 256;
constexpr std::size_t kBlockColumns = 256;
static_assert(kBlockColumns % (2 * kMaxWidth) == 0, "a block is whole panels");

struct Block {
  std::size_t k = 0;
  std::size_t depth = 0;
  std::size_t column = 0;
  std::size_t columns = 0;
};

const float* At(const GemmInput& input, std::size_t row, std::size_t column) {
  return input.orientation == Orientation::kAsIs ? input.data + row * input.stride + column
                                                 : input.data + column * input.stride + row;
}

void PackB(const Gemm& gemm, const Block& block, const Kernels& kernels, float* packed) {
  const bool as_is = gemm.b.orientation == Orientation::kAsIs;
  PackPanels({.data = At(gemm.b, block.k, block.column),
              .depth = block.depth,
              .columns = block.columns,
              .depth_stride = as_is ? gemm.b.stride : 1,
              .column_stride = as_is ? 1 : gemm.b.stride},
             kernels, packed);
}

/// Pointers to `count` rows of a from `row` on: into a itself, or into `copy` where they do not lie together.
void RowsOfA(const Gemm& gemm, const Block& block, std::size_t row, std::size_t count, float* copy,
             const float** rows) {
  if (gemm.a.orientation == Orientation::kAsIs) {
    for (std::size_t i = 0; i < count; ++i) rows[i] = At(gemm.a, row + i, block.k);
    return;
  }
  for (std::size_t k = 0; k < block.depth; ++k) {
    const float* from = At(gemm.a, row, block.k + k);
    for (std::size_t i = 0; i < count; ++i) copy[i * block.depth + k] = from[i];
  }
  for (std::size_t i = 0; i < count; ++i) rows[i] = copy + i * block.depth;
}

void MultiplyBlock(const Gemm& gemm, const Block& block, std::span<float> scratch, const Kernels& kernels) {
  float* packed = scratch.data();
  PackB(gemm, block, kernels, packed);
  const bool adds = block.k > 0 || gemm.output == GemmOutput::kAdd;
  for (std::size_t row = 0; row < gemm.m; row += kernels.tile_rows) {
    const float* rows[kTileRows];
    const std::size_t count = std::min(kernels.tile_rows, gemm.m - row);
    RowsOfA(gemm, block, row, count, packed + kBlockDepth * kBlockColumns, rows);
    for (std::size_t at = 0; at < block.columns; at += kernels.PanelColumns()) {
      float* out = gemm.c + row * gemm.c_stride + block.column + at;
      kernels.tile({.rows = rows,
                    .taps = 1,
                    .depth = block.depth,
                    .row_count = count,
                    .panel = packed + at * block.depth,
                    .panel8 = nullptr,
                    .scales = nullptr,
                    .columns = std::min(kernels.PanelColumns(), block.columns - at),
                    .bias = nullptr,
                    .add = adds ? out : nullptr,
                    .add_stride = gemm.c_stride,
                    .out = out,
                    .out_stride = gemm.c_stride,
                    .range = {}});
    }
  }
}

}  // namespace

void Multiply(const Gemm& gemm, std::span<float> scratch, const Kernels& kernels) {
  TACIT_CHECK(scratch.size() >= kGemmScratch, "the caller brings the scratch that a product needs");
  if (gemm.k == 0 && gemm.output == GemmOutput::kReplace) {
    for (std::size_t row = 0; row < gemm.m; ++row) std::fill_n(gemm.c + row * gemm.c_stride, gemm.n, 0.0F);
  }
  for (std::size_t column = 0; column < gemm.n; column += kBlockColumns) {
    for (std::size_t k = 0; k < gemm.k; k += kBlockDepth) {
      MultiplyBlock(gemm,
                    {.k = k,
                     .depth = std::min(kBlockDepth, gemm.k - k),
                     .column = column,
                     .columns = std::min(kBlockColumns, gemm.n - column)},
                    scratch, kernels);
    }
  }
}

void Multiply(const Gemm& gemm, std::span<float> scratch) {
  Multiply(gemm, scratch, KernelsOf(FastestPath()));
}

}  // namespace tacit::inference
