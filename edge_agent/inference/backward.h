#pragma once

// What a node computes and how its inputs move that, over numbers that somebody else keeps: the parts that a
// Differentiator is made of.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "common/graph/graph.h"

namespace tacit::inference::backward {

/// The places of an output, along one dimension, at which a kernel's tap meets the input and not its padding.
struct Reach {
  std::size_t first = 0;
  std::size_t end = 0;    ///< `first` where there are none.
  std::size_t start = 0;  ///< Where `first` meets the input; the next meet it a stride on.
};

/// A node without the graph that it is of: the shapes are those of its values.
struct Layer {
  graph::Operator op = graph::Operator::kRelu;
  graph::Attributes attributes;
  std::vector<graph::Shape> inputs;
  graph::Shape output;
  graph::Element element = graph::Element::kFloat32;  ///< Of the output; numbers of every element are kept as floats.
  std::vector<Reach> reaches = {};  ///< Of each tap of a kernel, over the height and then over the width.
};

/// Computes what of a layer stays the same.
void Prepare(Layer& layer);

/// What a layer computes on. Shape: of each input `rows` times its shape, or once where it is a constant.
struct Operands {
  std::size_t rows = 0;
  std::span<const float* const> inputs;
  std::span<float> scratch;       ///< ScratchOf(layer) of them; the layer's only while it runs.
  std::span<float> gemm_scratch;  ///< kGemmScratch.
};

/// Elements of one row, or of a constant.
[[nodiscard]] std::size_t CountOf(const graph::Shape& shape);
/// The same of `rows` rows, where the shape has any.
[[nodiscard]] std::size_t CountOf(const graph::Shape& shape, std::size_t rows);

/// The numbers that a layer wants for itself while it computes.
[[nodiscard]] std::size_t ScratchOf(const Layer& layer);

/// Whether the output may stand where the first input stood, and the slope of that where the slope of the output stood.
[[nodiscard]] bool WorksInPlace(graph::Operator op);
/// Whether Backward looks at the output, which nobody may have overwritten then.
[[nodiscard]] bool LooksAtOutput(graph::Operator op);

void Forward(const Layer& layer, const Operands& operands, float* output);

/// The slope (the derivative of the loss) of input `which`, from the slope of the output: assigned where that input is
/// computed, added where it is a constant, so that one gradient can be had from rows in parts.
struct Slope {
  const float* output = nullptr;        ///< What Forward gave.
  const float* output_slope = nullptr;  ///< As long.
  std::size_t which = 0;
  float* slope = nullptr;
};
void Backward(const Layer& layer, const Operands& operands, const Slope& slope);

// By kind of operator; the above choose among them.
void ConvForward(const Layer& layer, const Operands& operands, float* output);
void ConvBackward(const Layer& layer, const Operands& operands, const Slope& slope);
[[nodiscard]] std::size_t ConvScratch(const Layer& layer);
void DenseForward(const Layer& layer, const Operands& operands, float* output);  // Gemm and MatMul
void DenseBackward(const Layer& layer, const Operands& operands, const Slope& slope);
void PoolForward(const Layer& layer, const Operands& operands, float* output);
void PoolBackward(const Layer& layer, const Operands& operands, const Slope& slope);
void PointwiseForward(const Layer& layer, const Operands& operands, float* output);  // of one input
void PointwiseBackward(const Layer& layer, const Operands& operands, const Slope& slope);
void BroadcastForward(const Layer& layer, const Operands& operands, float* output);  // Add and Mul
void BroadcastBackward(const Layer& layer, const Operands& operands, const Slope& slope);
void MoveForward(const Layer& layer, const Operands& operands, float* output);  // Concat, Reshape and Transpose
void MoveBackward(const Layer& layer, const Operands& operands, const Slope& slope);
void QuantizeForward(const Layer& layer, const Operands& operands, float* output);  // and back
void QuantizeBackward(const Layer& layer, const Operands& operands, const Slope& slope);

/// The sum, in sixteen parts that are added last: a sum in order cannot be computed several numbers at once.
[[nodiscard]] float Sum(const float* values, std::size_t count);

/// How a kernel moves along one dimension.
struct Walk {
  std::size_t input = 1;
  std::size_t output = 1;
  std::size_t kernel = 1;
  std::size_t stride = 1;
  const Reach* reaches = nullptr;  ///< Of each tap.
};
/// Of a layer over one dimension of space the height is 1.
struct Window {
  std::size_t channels = 0;
  Walk y;
  Walk x;

  [[nodiscard]] std::size_t inputs() const { return y.input * x.input; }
  [[nodiscard]] std::size_t outputs() const { return y.output * x.output; }
};
/// Shape: a layer that is prepared, of an operator that has a kernel.
[[nodiscard]] Window WindowOf(const Layer& layer);

}  // namespace tacit::inference::backward
