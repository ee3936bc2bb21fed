#include "common/graph/from_spec.h"

#include <string>
#include <utility>
#include <vector>

#include "common/base/check.h"
#include "common/graph/builder.h"
#include "common/graph/shapes.h"

namespace tacit::graph {
namespace {

using model::Layer;
using model::LayerKind;

Shape ShapeOf(const model::Tensor& tensor) {
  return {tensor.shape.begin(), tensor.shape.end()};
}

bool HasParameters(LayerKind kind) {
  return kind == LayerKind::kDense || kind == LayerKind::kConv;
}

Operator OperatorOf(LayerKind kind) {
  switch (kind) {
    case LayerKind::kDense:
      return Operator::kGemm;
    case LayerKind::kConv:
      return Operator::kConv;
    case LayerKind::kMaxPool:
      return Operator::kMaxPool;
    case LayerKind::kAveragePool:
      return Operator::kAveragePool;
    case LayerKind::kGlobalAveragePool:
      return Operator::kGlobalAveragePool;
    case LayerKind::kRelu:
      return Operator::kRelu;
    case LayerKind::kRelu6:
      return Operator::kClip;
    case LayerKind::kTanh:
      return Operator::kTanh;
    case LayerKind::kSigmoid:
      return Operator::kSigmoid;
    case LayerKind::kFlatten:
      break;
  }
  return Operator::kReshape;
}

Attributes AttributesOf(const Layer& layer) {
  Attributes attributes;
  if (layer.kind == LayerKind::kRelu6) {
    attributes.minimum = 0;
    attributes.maximum = 6;
  }
  if (layer.kind != LayerKind::kConv && !model::IsPool(layer.kind)) return attributes;
  attributes.kernel = layer.kernel;
  attributes.strides = layer.stride;
  attributes.pads = {layer.pad[0], layer.pad[1], layer.pad[0], layer.pad[1]};
  attributes.groups = layer.groups;
  return attributes;
}

// Puts the layers of a specification behind each other.
class SpecGraph {
 public:
  SpecGraph(const model::ModelSpec& spec, std::span<const float> parameters)
      : parameters_(parameters), tensors_(spec.Tensors()) {
    Shape input = {kRows};
    for (const std::uint32_t extent : spec.layers().input()) input.push_back(extent);
    last_ = builder_.AddInput("features", Element::kFloat32, std::move(input));
    for (const Layer& layer : spec.layers().layers()) Add(layer);
  }

  OwnedGraph Finish() && {
    builder_.AddOutput(last_, "logits");
    auto graph = std::move(builder_).Finish();
    TACIT_CHECK(graph.has_value(), "a specification is within the limits of graphs");
    return *std::move(graph);
  }

 private:
  // Named by how many layers with parameters stand before it.
  void Add(const Layer& layer) {
    const std::string number = std::to_string(next_ / 2);
    if (layer.kind == LayerKind::kFlatten) return Flatten("flatten" + number);
    Node node{.op = OperatorOf(layer.kind),
              .name = std::string(model::NameOf(layer.kind)) + number,
              .inputs = {last_},
              .output = 0,
              .attributes = AttributesOf(layer)};
    if (HasParameters(layer.kind)) {
      node.name = "layer" + number;
      node.inputs.push_back(TakeTensor());
      node.inputs.push_back(TakeTensor());
    }
    Advance(builder_.AddNode(std::move(node)));
  }

  void Flatten(std::string name) {
    const auto numbers = ElementsOf(builder_.ValueOf(last_).shape);
    TACIT_CHECK(numbers.has_value(), "what a layer computes is within the limits of graphs");
    Advance(builder_.AddReshape(std::move(name), last_, {kRows, *numbers}));
  }

  ValueId TakeTensor() {
    const model::Tensor& tensor = tensors_[next_++];
    const auto numbers = parameters_.subspan(tensor.offset, tensor.size());
    return builder_.AddConstant(tensor.name, Element::kFloat32, ShapeOf(tensor), AsBytes(numbers));
  }

  void Advance(const Result<ValueId>& added) {
    TACIT_CHECK(added.has_value(), "the layers of a specification fit each other and the limits");
    last_ = *added;
  }

  std::span<const float> parameters_;
  std::vector<model::Tensor> tensors_;
  std::size_t next_ = 0;  // of the tensors
  Builder builder_;
  ValueId last_ = 0;
};

}  // namespace

OwnedGraph FromSpec(const model::ModelSpec& spec, std::span<const float> parameters) {
  TACIT_CHECK(parameters.size() == spec.ParameterCount(), "callers have the parameters of this specification");
  return SpecGraph(spec, parameters).Finish();
}

}  // namespace tacit::graph
