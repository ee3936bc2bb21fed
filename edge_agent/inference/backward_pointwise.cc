#include <algorithm>
#include <cmath>

#include "edge_agent/inference/backward.h"

namespace tacit::inference::backward {
namespace {

using graph::Operator;

// Values before an axis, along it, and behind it.
struct Lines {
  std::size_t before = 1;
  std::size_t along = 1;
  std::size_t behind = 1;
};

Lines LinesOf(const graph::Shape& shape, std::size_t rows, std::size_t axis) {
  Lines lines{.before = rows};
  for (std::size_t i = 1; i < shape.size(); ++i) {
    (i < axis ? lines.before : i == axis ? lines.along : lines.behind) *= static_cast<std::size_t>(shape[i]);
  }
  return lines;
}

// `visit(first)` for each line: its values are at first + i * lines.behind.
template <typename Visit>
void ForEachLineOf(const Lines& lines, Visit visit) {
  for (std::size_t before = 0; before < lines.before; ++before) {
    for (std::size_t behind = 0; behind < lines.behind; ++behind) visit(before * lines.along * lines.behind + behind);
  }
}

// The largest is taken off first: exp cannot overflow, and the sum is at least 1.
void SoftmaxForward(const Lines& lines, const float* x, float* output) {
  ForEachLineOf(lines, [&](std::size_t first) {
    float largest = x[first];
    for (std::size_t i = 1; i < lines.along; ++i) largest = std::max(largest, x[first + i * lines.behind]);
    float sum = 0;
    for (std::size_t i = 0; i < lines.along; ++i) {
      const std::size_t at = first + i * lines.behind;
      output[at] = std::exp(x[at] - largest);
      sum += output[at];
    }
    for (std::size_t i = 0; i < lines.along; ++i) output[first + i * lines.behind] /= sum;
  });
}

// With p the output: p_i (g_i - sum_j p_j g_j).
void SoftmaxBackward(const Lines& lines, const Slope& slope) {
  ForEachLineOf(lines, [&](std::size_t first) {
    float mean = 0;
    for (std::size_t i = 0; i < lines.along; ++i) {
      const std::size_t at = first + i * lines.behind;
      mean += slope.output[at] * slope.output_slope[at];
    }
    for (std::size_t i = 0; i < lines.along; ++i) {
      const std::size_t at = first + i * lines.behind;
      slope.slope[at] = slope.output[at] * (slope.output_slope[at] - mean);
    }
  });
}

template <typename Function>
void Map(std::size_t count, const float* from, float* to, Function function) {
  for (std::size_t i = 0; i < count; ++i) to[i] = function(from[i]);
}

// `function(output, slope of the output)`.
template <typename Function>
void MapSlope(std::size_t count, const Slope& slope, Function function) {
  for (std::size_t i = 0; i < count; ++i) slope.slope[i] = function(slope.output[i], slope.output_slope[i]);
}

}  // namespace

// A NaN passes through all of them: comparisons are such that it is never replaced.
void PointwiseForward(const Layer& layer, const Operands& operands, float* output) {
  const float* x = operands.inputs.front();
  const std::size_t count = CountOf(layer.inputs.front(), operands.rows);
  if (layer.op == Operator::kRelu) {
    Map(count, x, output, [](float value) { return value < 0 ? 0.0F : value; });
  } else if (layer.op == Operator::kClip) {
    const float least = layer.attributes.minimum;
    const float most = layer.attributes.maximum;
    Map(count, x, output, [=](float value) { return value < least ? least : value > most ? most : value; });
  } else if (layer.op == Operator::kSigmoid) {
    Map(count, x, output, [](float value) { return 1.0F / (1.0F + std::exp(-value)); });
  } else if (layer.op == Operator::kTanh) {
    Map(count, x, output, [](float value) { return std::tanh(value); });
  } else {
    SoftmaxForward(LinesOf(layer.output, operands.rows, static_cast<std::size_t>(layer.attributes.axis)), x, output);
  }
}

// At a corner the slope is 0.
void PointwiseBackward(const Layer& layer, const Operands& operands, const Slope& slope) {
  const std::size_t count = CountOf(layer.inputs.front(), operands.rows);
  if (layer.op == Operator::kRelu) {
    MapSlope(count, slope, [](float y, float g) { return y <= 0 ? 0.0F : g; });
  } else if (layer.op == Operator::kClip) {
    const float least = layer.attributes.minimum;
    const float most = layer.attributes.maximum;
    MapSlope(count, slope, [=](float y, float g) { return y <= least || y >= most ? 0.0F : g; });
  } else if (layer.op == Operator::kSigmoid) {
    MapSlope(count, slope, [](float y, float g) { return g * y * (1 - y); });
  } else if (layer.op == Operator::kTanh) {
    MapSlope(count, slope, [](float y, float g) { return g * (1 - y * y); });
  } else {
    SoftmaxBackward(LinesOf(layer.output, operands.rows, static_cast<std::size_t>(layer.attributes.axis)), slope);
  }
}

}  // namespace tacit::inference::backward
