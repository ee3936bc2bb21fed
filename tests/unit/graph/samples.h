#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "common/graph/builder.h"
#include "common/graph/graph.h"

namespace tacit::graph::testing {

/// A builder whose nodes fit.
class Sample {
 public:
  ValueId Input(Shape shape) { return builder.AddInput("x", Element::kFloat32, std::move(shape)); }

  ValueId Floats(Shape shape, const std::vector<float>& numbers) {
    const ByteSpan bytes = AsBytes(std::span<const float>(numbers));
    return builder.AddOwnConstant("", Element::kFloat32, std::move(shape), {bytes.begin(), bytes.end()});
  }
  /// All of them 1.
  ValueId Ones(Shape shape) {
    std::size_t count = 1;
    for (const std::int64_t dimension : shape) count *= static_cast<std::size_t>(dimension);
    return Floats(std::move(shape), std::vector<float>(count, 1.0F));
  }
  ValueId Zero(Element element) { return builder.AddOwnConstant("", element, {}, Bytes(SizeOf(element))); }

  Result<ValueId> Try(Operator op, std::vector<ValueId> inputs, Attributes attributes = {}) {
    return builder.AddNode({.op = op,
                            .name = "node" + std::to_string(builder.graph().nodes.size()),
                            .inputs = std::move(inputs),
                            .output = 0,
                            .attributes = std::move(attributes)});
  }
  ValueId Node(Operator op, std::vector<ValueId> inputs, Attributes attributes = {}) {
    return Try(op, std::move(inputs), std::move(attributes)).value();
  }
  [[nodiscard]] const Shape& ShapeOf(ValueId id) const { return builder.ValueOf(id).shape; }

  OwnedGraph Finish(ValueId output) {
    builder.AddOutput(output, "y");
    return std::move(builder).Finish().value();
  }

  Builder builder;
};

/// Convolution, pool, quantisation, and a product with a bias, whose constants are of every element.
inline OwnedGraph Varied() {
  Sample sample;
  Attributes window;
  window.kernel = {3, 3};
  window.pads = {1, 1, 1, 1};
  ValueId x = sample.Node(Operator::kConv, {sample.Input({kRows, 1, 4, 4}), sample.Ones({2, 1, 3, 3})}, window);
  const std::vector<ValueId> step = {sample.Floats({}, {0.5F}), sample.Zero(Element::kUint8)};
  x = sample.Node(Operator::kQuantizeLinear, {x, step[0], step[1]});
  x = sample.Node(Operator::kDequantizeLinear, {x, step[0], step[1]});
  x = sample.Node(Operator::kGlobalAveragePool, {x});
  x = sample.builder.AddReshape("flat", x, {kRows, 2}).value();
  const ValueId bytes = sample.builder.AddOwnConstant("w", Element::kInt8, {3, 2}, {1, 2, 3, 4, 5, 6});
  const ValueId weight =
      sample.Node(Operator::kDequantizeLinear, {bytes, sample.Floats({}, {0.1F}), sample.Zero(Element::kInt8)});
  x = sample.Node(Operator::kGemm, {x, weight, sample.Ones({3})});
  return sample.Finish(x);
}

}  // namespace tacit::graph::testing
