#include "common/graph/from_spec.h"

#include <cstring>
#include <string>
#include <utility>

#include "common/base/check.h"
#include "common/graph/builder.h"

namespace tacit::graph {
namespace {

Shape ShapeOf(const model::Tensor& tensor) {
  return {tensor.shape.begin(), tensor.shape.end()};
}

}  // namespace

OwnedGraph FromSpec(const model::ModelSpec& spec, std::span<const float> parameters) {
  TACIT_CHECK(parameters.size() == spec.ParameterCount(), "callers have the parameters of this specification");
  const std::vector<model::Tensor> tensors = spec.Tensors();
  Builder builder;
  ValueId x = builder.AddInput("features", Element::kFloat32, {kRows, spec.inputs()});
  const auto add = [&](Operator op, std::string name, std::vector<ValueId> inputs) {
    const auto id = builder.AddNode(
        {.op = op, .name = std::move(name), .inputs = std::move(inputs), .output = 0, .attributes = {}});
    TACIT_CHECK(id.has_value(), "the layers of a specification fit each other and the limits");
    return *id;
  };
  const auto add_constant = [&](const model::Tensor& tensor) {
    const auto numbers = parameters.subspan(tensor.offset, tensor.size());
    return builder.AddConstant(tensor.name, Element::kFloat32, ShapeOf(tensor), AsBytes(numbers));
  };
  for (std::size_t i = 0; i < tensors.size(); i += 2) {
    const std::string layer = std::to_string(i / 2);
    if (i > 0) x = add(Operator::kRelu, "relu" + layer, {x});
    const ValueId weight = add_constant(tensors[i]);
    x = add(Operator::kGemm, "layer" + layer, {x, weight, add_constant(tensors[i + 1])});
  }
  builder.AddOutput(x, "logits");
  auto graph = std::move(builder).Finish();
  TACIT_CHECK(graph.has_value(), "a specification is within the limits of graphs");
  return *std::move(graph);
}

}  // namespace tacit::graph
