#include <algorithm>

#include "common/graph/shapes.h"
#include "edge_agent/inference/backward.h"
#include "edge_agent/inference/gemm.h"

namespace tacit::inference::backward {
namespace {

enum DenseInput : std::uint8_t { kLeft = 0, kRight = 1, kAdded = 2 };

struct Widths {
  std::size_t in = 0;
  std::size_t out = 0;
};

Widths WidthsOf(const Layer& layer) {
  return {.in = CountOf(layer.inputs.front()), .out = CountOf(layer.output)};
}

void GemmForward(const Layer& layer, const Operands& operands, float* output) {
  const Widths widths = WidthsOf(layer);
  const bool has_bias = operands.inputs.size() > kAdded;
  for (std::size_t row = 0; has_bias && row < operands.rows; ++row) {
    std::copy_n(operands.inputs[kAdded], widths.out, output + row * widths.out);
  }
  Multiply({.m = operands.rows,
            .n = widths.out,
            .k = widths.in,
            .a = {.data = operands.inputs[kLeft], .stride = widths.in, .orientation = Orientation::kAsIs},
            .b = {.data = operands.inputs[kRight], .stride = widths.in, .orientation = Orientation::kTransposed},
            .c = output,
            .c_stride = widths.out,
            .output = has_bias ? GemmOutput::kAdd : GemmOutput::kReplace},
           operands.gemm_scratch);
}

void GemmBackward(const Layer& layer, const Operands& operands, const Slope& slope) {
  const Widths widths = WidthsOf(layer);
  const std::size_t rows = operands.rows;
  if (slope.which == kLeft) {
    Multiply({.m = rows,
              .n = widths.in,
              .k = widths.out,
              .a = {.data = slope.output_slope, .stride = widths.out, .orientation = Orientation::kAsIs},
              .b = {.data = operands.inputs[kRight], .stride = widths.in, .orientation = Orientation::kAsIs},
              .c = slope.slope,
              .c_stride = widths.in,
              .output = GemmOutput::kReplace},
             operands.gemm_scratch);
  } else if (slope.which == kRight) {
    Multiply({.m = widths.out,
              .n = widths.in,
              .k = rows,
              .a = {.data = slope.output_slope, .stride = widths.out, .orientation = Orientation::kTransposed},
              .b = {.data = operands.inputs[kLeft], .stride = widths.in, .orientation = Orientation::kAsIs},
              .c = slope.slope,
              .c_stride = widths.in,
              .output = GemmOutput::kAdd},
             operands.gemm_scratch);
  } else {
    for (std::size_t row = 0; row < rows; ++row) {
      for (std::size_t i = 0; i < widths.out; ++i) slope.slope[i] += slope.output_slope[row * widths.out + i];
    }
  }
}

// Matrices of [m, k] and [k, n] behind the dimensions that count them.
struct Products {
  std::size_t m = 0;
  std::size_t k = 0;
  std::size_t n = 0;
  std::size_t count = 0;  // Of all rows.
};

Products ProductsOf(const Layer& layer, std::size_t rows) {
  const graph::Shape& left = layer.inputs[kLeft];
  const graph::Shape& out = layer.output;
  const auto m = static_cast<std::size_t>(out[out.size() - 2]);
  const auto n = static_cast<std::size_t>(out.back());
  return {.m = m, .k = static_cast<std::size_t>(left.back()), .n = n, .count = CountOf(out, rows) / (m * n)};
}

// Which matrix of an operand meets the output's matrix number `index`, dimensions of 1 and absent ones being repeated.
std::size_t MatrixOf(const graph::Shape& shape, const graph::Shape& out, std::size_t index) {
  std::size_t place = 0;
  std::size_t step = 1;
  const std::size_t missing = out.size() - shape.size();
  for (std::size_t i = out.size() - 2; i-- > missing;) {
    const std::int64_t size = shape[i - missing];
    const std::size_t at = i == 0 ? index : index % static_cast<std::size_t>(out[i]);
    if (i > 0) index /= static_cast<std::size_t>(out[i]);
    if (size != 1) place += at * step;
    step *= size == graph::kRows ? 1 : static_cast<std::size_t>(size);
  }
  return place;
}

// `visit(left, right, output)`: where the matrices of each product begin.
template <typename Visit>
void ForEachProduct(const Layer& layer, const Products& products, Visit visit) {
  for (std::size_t i = 0; i < products.count; ++i) {
    visit(MatrixOf(layer.inputs[kLeft], layer.output, i) * products.m * products.k,
          MatrixOf(layer.inputs[kRight], layer.output, i) * products.k * products.n, i * products.m * products.n);
  }
}

void MatMulForward(const Layer& layer, const Operands& operands, float* output) {
  const Products products = ProductsOf(layer, operands.rows);
  const auto [m, k, n, count] = products;
  ForEachProduct(layer, products, [&](std::size_t left, std::size_t right, std::size_t to) {
    Multiply({.m = m,
              .n = n,
              .k = k,
              .a = {.data = operands.inputs[kLeft] + left, .stride = k, .orientation = Orientation::kAsIs},
              .b = {.data = operands.inputs[kRight] + right, .stride = n, .orientation = Orientation::kAsIs},
              .c = output + to,
              .c_stride = n,
              .output = GemmOutput::kReplace},
             operands.gemm_scratch);
  });
}

void MatMulBackward(const Layer& layer, const Operands& operands, const Slope& slope) {
  const Products products = ProductsOf(layer, operands.rows);
  const auto [m, k, n, count] = products;
  const graph::Shape& shape = layer.inputs[slope.which];
  if (graph::HasRows(shape)) std::fill_n(slope.slope, CountOf(shape, operands.rows), 0.0F);
  ForEachProduct(layer, products, [&](std::size_t left, std::size_t right, std::size_t from) {
    const float* output_slope = slope.output_slope + from;
    if (slope.which == kLeft) {
      Multiply({.m = m,
                .n = k,
                .k = n,
                .a = {.data = output_slope, .stride = n, .orientation = Orientation::kAsIs},
                .b = {.data = operands.inputs[kRight] + right, .stride = n, .orientation = Orientation::kTransposed},
                .c = slope.slope + left,
                .c_stride = k,
                .output = GemmOutput::kAdd},
               operands.gemm_scratch);
    } else {
      Multiply({.m = k,
                .n = n,
                .k = m,
                .a = {.data = operands.inputs[kLeft] + left, .stride = k, .orientation = Orientation::kTransposed},
                .b = {.data = output_slope, .stride = n, .orientation = Orientation::kAsIs},
                .c = slope.slope + right,
                .c_stride = n,
                .output = GemmOutput::kAdd},
               operands.gemm_scratch);
    }
  });
}

}  // namespace

void DenseForward(const Layer& layer, const Operands& operands, float* output) {
  if (layer.op == graph::Operator::kGemm) return GemmForward(layer, operands, output);
  MatMulForward(layer, operands, output);
}

void DenseBackward(const Layer& layer, const Operands& operands, const Slope& slope) {
  if (layer.op == graph::Operator::kGemm) return GemmBackward(layer, operands, slope);
  MatMulBackward(layer, operands, slope);
}

}  // namespace tacit::inference::backward
