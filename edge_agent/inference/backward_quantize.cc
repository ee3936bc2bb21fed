#include <algorithm>
#include <cmath>

#include "edge_agent/inference/backward.h"

namespace tacit::inference::backward {
namespace {

enum QuantizeInput : std::uint8_t { kNumbers = 0, kScale = 1, kZeroPoint = 2 };

// Calls `visit(place, scale, zero point)` for every number: one scale for all, or one a place along the axis.
template <typename Visit>
void ForEachScaled(const Layer& layer, const Operands& operands, Visit visit) {
  const std::size_t scales = CountOf(layer.inputs[kScale]);
  std::size_t behind = 1;
  for (auto i = static_cast<std::size_t>(layer.attributes.axis) + 1; i < layer.output.size(); ++i) {
    behind *= static_cast<std::size_t>(layer.output[i]);
  }
  const std::size_t count = CountOf(layer.output, operands.rows);
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t at = scales == 1 ? 0 : i / behind % scales;
    const float zero = operands.inputs.size() > kZeroPoint ? operands.inputs[kZeroPoint][at] : 0.0F;
    visit(i, operands.inputs[kScale][at], zero);
  }
}

struct Range {
  float least = 0;
  float most = 0;
};

Range RangeOf(graph::Element element) {
  if (element == graph::Element::kUint8) return {.least = 0, .most = 255};
  return {.least = -128, .most = 127};
}

// To even where two are as near.
float Rounded(float x, float scale, float zero) {
  return std::nearbyint(x / scale) + zero;
}

}  // namespace

void QuantizeForward(const Layer& layer, const Operands& operands, float* output) {
  const float* x = operands.inputs[kNumbers];
  if (layer.op == graph::Operator::kDequantizeLinear) {
    ForEachScaled(layer, operands, [&](std::size_t i, float scale, float zero) { output[i] = (x[i] - zero) * scale; });
    return;
  }
  const Range range = RangeOf(layer.element);
  ForEachScaled(layer, operands, [&](std::size_t i, float scale, float zero) {
    output[i] = std::clamp(Rounded(x[i], scale, zero), range.least, range.most);
  });
}

// Straight through the rounding, and 0 where the range ended. Source: Bengio, Leonard, Courville 2013, section 4.
void QuantizeBackward(const Layer& layer, const Operands& operands, const Slope& slope) {
  const float* g = slope.output_slope;
  if (layer.op == graph::Operator::kDequantizeLinear) {
    ForEachScaled(layer, operands, [&](std::size_t i, float scale, float) { slope.slope[i] = g[i] * scale; });
    return;
  }
  const Range range = RangeOf(layer.element);
  ForEachScaled(layer, operands, [&](std::size_t i, float scale, float zero) {
    const float level = Rounded(operands.inputs[kNumbers][i], scale, zero);
    slope.slope[i] = level < range.least || level > range.most ? 0.0F : g[i] / scale;
  });
}

}  // namespace tacit::inference::backward
