#include "edge_agent/inference/backward.h"

#include <algorithm>

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

// Of [rows, channels, length] or [rows, channels, height, width]: dimension 0 is the height.
std::size_t PlacesOf(const graph::Shape& shape, std::size_t dimension) {
  if (dimension == 1) return static_cast<std::size_t>(shape.back());
  return shape.size() == 3 ? 1 : static_cast<std::size_t>(shape[2]);
}

Reach ReachOf(const Layer& layer, std::size_t dimension, std::size_t tap) {
  const std::size_t input = PlacesOf(layer.inputs.front(), dimension);
  const std::size_t stride = layer.attributes.strides[dimension];
  const std::size_t pad = layer.attributes.pads[dimension];
  const std::size_t offset = tap * layer.attributes.dilations[dimension];
  Reach reach;
  if (input + pad > offset) {
    reach.end = std::min(PlacesOf(layer.output, dimension), (input + pad - offset - 1) / stride + 1);
  }
  reach.first = std::min(reach.end, offset >= pad ? 0 : (pad - offset + stride - 1) / stride);
  if (reach.first < reach.end) reach.start = reach.first * stride + offset - pad;
  return reach;
}

Walk WalkOf(const Layer& layer, std::size_t dimension) {
  return {.input = PlacesOf(layer.inputs.front(), dimension),
          .output = PlacesOf(layer.output, dimension),
          .kernel = layer.attributes.kernel[dimension],
          .stride = layer.attributes.strides[dimension],
          .reaches = layer.reaches.data() + (dimension == 0 ? 0 : layer.attributes.kernel[0])};
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
  return layer.op == Operator::kConv ? ConvScratch(layer) : 0;
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

float Sum(const float* values, std::size_t count) {
  constexpr std::size_t kParts = 16;
  float parts[kParts] = {};
  std::size_t i = 0;
  for (; i + kParts <= count; i += kParts) {
    for (std::size_t lane = 0; lane < kParts; ++lane) parts[lane] += values[i + lane];
  }
  for (std::size_t lane = 0; i < count; ++i, ++lane) parts[lane] += values[i];
  for (std::size_t width = kParts / 2; width > 0; width /= 2) {
    for (std::size_t lane = 0; lane < width; ++lane) parts[lane] += parts[lane + width];
  }
  return parts[0];
}

void Prepare(Layer& layer) {
  if (layer.op != Operator::kConv && layer.op != Operator::kMaxPool && layer.op != Operator::kAveragePool) return;
  for (std::size_t dimension = 0; dimension < 2; ++dimension) {
    for (std::size_t tap = 0; tap < layer.attributes.kernel[dimension]; ++tap) {
      layer.reaches.push_back(ReachOf(layer, dimension, tap));
    }
  }
}

Window WindowOf(const Layer& layer) {
  return {.channels = static_cast<std::size_t>(layer.inputs.front()[1]), .y = WalkOf(layer, 0), .x = WalkOf(layer, 1)};
}

}  // namespace tacit::inference::backward
