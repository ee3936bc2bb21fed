#include <algorithm>
#include <array>

#include "common/base/check.h"
#include "edge_agent/inference/backward.h"

namespace tacit::inference::backward {
namespace {

using graph::Operator;

// How a part of a concatenation lies in the whole: `count` pieces of `length`, one in each `step` of the output.
struct Pieces {
  std::size_t count = 0;
  std::size_t length = 0;
  std::size_t step = 0;
  std::size_t first = 0;
};

std::size_t CountBehind(const graph::Shape& shape, std::size_t axis) {
  std::size_t count = 1;
  for (std::size_t i = axis; i < shape.size(); ++i) count *= static_cast<std::size_t>(shape[i]);
  return count;
}

Pieces PiecesOf(const Layer& layer, std::size_t rows, std::size_t which) {
  const auto axis = static_cast<std::size_t>(layer.attributes.axis);
  Pieces pieces{.length = CountBehind(layer.inputs[which], axis), .step = CountBehind(layer.output, axis)};
  pieces.count = CountOf(layer.output, rows) / pieces.step;
  for (std::size_t i = 0; i < which; ++i) pieces.first += CountBehind(layer.inputs[i], axis);
  return pieces;
}

// Calls `visit(place in the input, place in the output)` for every number that a transposition moves.
template <typename Visit>
void ForEachMove(const Layer& layer, std::size_t rows, Visit visit) {
  constexpr std::size_t kMaxRank = 8;
  const std::size_t rank = layer.output.size();
  TACIT_CHECK(rank <= kMaxRank, "a graph's values have fewer dimensions");
  std::array<std::size_t, kMaxRank> input_strides = {};
  for (std::size_t i = rank, step = 1; i-- > 0;) {
    input_strides[i] = step;
    step *= i == 0 ? 1 : static_cast<std::size_t>(layer.inputs.front()[i]);
  }
  std::array<std::size_t, kMaxRank> at = {};
  const std::size_t count = CountOf(layer.output, rows);
  for (std::size_t output = 0, input = 0; output < count; ++output) {
    visit(input, output);
    for (std::size_t i = rank; i-- > 0;) {
      const std::size_t stride = input_strides[layer.attributes.permutation[i]];
      const std::size_t size = i == 0 ? rows : static_cast<std::size_t>(layer.output[i]);
      input += stride;
      if (++at[i] < size) break;
      input -= size * stride;
      at[i] = 0;
    }
  }
}

}  // namespace

void MoveForward(const Layer& layer, const Operands& operands, float* output) {
  const float* x = operands.inputs.front();
  if (layer.op == Operator::kTranspose) {
    ForEachMove(layer, operands.rows, [&](std::size_t from, std::size_t to) { output[to] = x[from]; });
  } else if (layer.op == Operator::kReshape) {
    if (output != x) std::copy_n(x, CountOf(layer.output, operands.rows), output);
  } else {
    for (std::size_t which = 0; which < operands.inputs.size(); ++which) {
      const Pieces pieces = PiecesOf(layer, operands.rows, which);
      for (std::size_t i = 0; i < pieces.count; ++i) {
        std::copy_n(operands.inputs[which] + i * pieces.length, pieces.length, output + pieces.first + i * pieces.step);
      }
    }
  }
}

void MoveBackward(const Layer& layer, const Operands& operands, const Slope& slope) {
  if (layer.op == Operator::kTranspose) {
    ForEachMove(layer, operands.rows,
                [&](std::size_t to, std::size_t from) { slope.slope[to] = slope.output_slope[from]; });
  } else if (layer.op == Operator::kReshape) {
    if (slope.slope != slope.output_slope) {
      std::copy_n(slope.output_slope, CountOf(layer.output, operands.rows), slope.slope);
    }
  } else {
    const Pieces pieces = PiecesOf(layer, operands.rows, slope.which);
    for (std::size_t i = 0; i < pieces.count; ++i) {
      std::copy_n(slope.output_slope + pieces.first + i * pieces.step, pieces.length, slope.slope + i * pieces.length);
    }
  }
}

}  // namespace tacit::inference::backward
