#include "edge_agent/inference/backward.h"

#include <algorithm>
#include <array>

#include "common/graph/shapes.h"

namespace tacit::inference::backward {
namespace {

using graph::Operator;

struct Kernels {
  void (*forward)(const Layer&, const Operands&, float*);
  void (*backward)(const Layer&, const Operands&, const Slope&);
};

Kernels KernelsOf(Operator op) {
  switch (op) {
    case Operator::kConv:
      return {.forward = ConvForward, .backward = ConvBackward};
    case Operator::kGemm:
    case Operator::kMatMul:
      return {.forward = DenseForward, .backward = DenseBackward};
    case Operator::kMaxPool:
    case Operator::kAveragePool:
    case Operator::kGlobalAveragePool:
      return {.forward = PoolForward, .backward = PoolBackward};
    case Operator::kRelu:
    case Operator::kClip:
    case Operator::kSigmoid:
    case Operator::kTanh:
    case Operator::kSoftmax:
      return {.forward = PointwiseForward, .backward = PointwiseBackward};
    case Operator::kAdd:
    case Operator::kMul:
      return {.forward = BroadcastForward, .backward = BroadcastBackward};
    case Operator::kConcat:
    case Operator::kReshape:
    case Operator::kTranspose:
      return {.forward = MoveForward, .backward = MoveBackward};
    case Operator::kQuantizeLinear:
    case Operator::kDequantizeLinear:
      break;
  }
  return {.forward = QuantizeForward, .backward = QuantizeBackward};
}

Walk WalkOf(const Layer& layer, std::size_t dimension, std::int64_t input, std::int64_t output) {
  const graph::Attributes& attributes = layer.attributes;
  return {.input = static_cast<std::size_t>(input),
          .output = static_cast<std::size_t>(output),
          .kernel = attributes.kernel[dimension],
          .stride = attributes.strides[dimension],
          .dilation = attributes.dilations[dimension],
          .pad = attributes.pads[dimension]};
}

}  // namespace

std::size_t CountOf(const graph::Shape& shape) {
  std::size_t count = 1;
  for (const std::int64_t size : shape) {
    if (size != graph::kRows) count *= static_cast<std::size_t>(size);
  }
  return count;
}

std::size_t CountOf(const graph::Shape& shape, std::size_t rows) {
  return CountOf(shape) * (graph::HasRows(shape) ? rows : 1);
}

std::size_t ScratchOf(const Layer& layer) {
  if (layer.op == Operator::kConv) return ConvScratch(layer);
  const bool works_line_by_line = layer.op == Operator::kMaxPool || layer.op == Operator::kAveragePool;
  return works_line_by_line ? WindowOf(layer).x.output : 0;
}

bool WorksInPlace(Operator op) {
  return op == Operator::kRelu || op == Operator::kClip || op == Operator::kSigmoid || op == Operator::kTanh ||
         op == Operator::kReshape;
}

bool LooksAtOutput(Operator op) {
  return op == Operator::kRelu || op == Operator::kClip || op == Operator::kSigmoid || op == Operator::kTanh ||
         op == Operator::kSoftmax || op == Operator::kMaxPool;
}

void Forward(const Layer& layer, const Operands& operands, float* output) {
  KernelsOf(layer.op).forward(layer, operands, output);
}

void Backward(const Layer& layer, const Operands& operands, const Slope& slope) {
  KernelsOf(layer.op).backward(layer, operands, slope);
}

float Sum(std::span<const float> values) {
  std::array<float, 16> parts = {};
  std::size_t i = 0;
  for (; i + parts.size() <= values.size(); i += parts.size()) {
    for (std::size_t lane = 0; lane < parts.size(); ++lane) parts[lane] += values[i + lane];
  }
  for (std::size_t lane = 0; i < values.size(); ++i, ++lane) parts[lane] += values[i];
  for (std::size_t width = parts.size() / 2; width > 0; width /= 2) {
    for (std::size_t lane = 0; lane < width; ++lane) parts[lane] += parts[lane + width];
  }
  return parts[0];
}

Reach Walk::ReachOf(std::size_t tap) const {
  const std::size_t offset = tap * dilation;
  Reach reach;
  if (input + pad > offset) reach.end = std::min(output, (input + pad - offset - 1) / stride + 1);
  reach.first = std::min(reach.end, offset >= pad ? 0 : (pad - offset + stride - 1) / stride);
  if (reach.first < reach.end) reach.start = reach.first * stride + offset - pad;
  return reach;
}

Window WindowOf(const Layer& layer) {
  const graph::Shape& in = layer.inputs.front();
  const graph::Shape& out = layer.output;
  const bool flat = in.size() == 3;  // [rows, channels, length]
  return {.channels = static_cast<std::size_t>(in[1]),
          .y = WalkOf(layer, 0, flat ? 1 : in[2], flat ? 1 : out[2]),
          .x = WalkOf(layer, 1, in.back(), out.back())};
}

}  // namespace tacit::inference::backward
