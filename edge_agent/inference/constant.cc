#include "edge_agent/inference/constant.h"

#include <algorithm>
#include <cstring>

#include "common/base/check.h"

namespace tacit::inference {
namespace {

std::int32_t IntegerOf(graph::Element element, const std::uint8_t* data, std::size_t i) {
  if (element == graph::Element::kUint8) return data[i];
  if (element == graph::Element::kInt8) return static_cast<std::int8_t>(data[i]);
  std::int32_t value = 0;
  std::memcpy(&value, data + i * sizeof value, sizeof value);
  return value;
}

std::size_t Product(const graph::Shape& shape, std::size_t from) {
  std::size_t product = 1;
  for (std::size_t i = from; i < shape.size(); ++i) product *= static_cast<std::size_t>(shape[i]);
  return product;
}

Constant PlainOf(const graph::GraphView& model, graph::ValueId id) {
  const graph::Value& value = model.graph.values[id];
  const graph::Place& place = Present(value.constant, "a checked graph dequantises constants or what is computed");
  Constant parameter;
  parameter.element = value.element;
  parameter.data = model.weights.data() + place.offset;
  parameter.count = Product(value.shape, 0);
  parameter.first_dimension_inner = Product(value.shape, 1);
  return parameter;
}

}  // namespace

float Constant::At(std::size_t i) const {
  if (scales == nullptr) return floats()[i];
  return static_cast<float>(IntegerAt(i)) * ScaleAt(i);
}

std::int32_t Constant::IntegerAt(std::size_t i) const {
  const std::int32_t zero = IntegerOf(element, zeros, places == 1 ? 0 : i / inner % places);
  return IntegerOf(element, data, i) - zero;
}

bool Constant::IsSignedBytes() const {
  if (scales == nullptr || element != graph::Element::kInt8) return false;
  if (places != 1 && inner != first_dimension_inner) return false;
  return std::all_of(zeros, zeros + places, [](std::uint8_t zero) { return zero == 0; });
}

Constant ConstantOf(const graph::GraphView& model, graph::ValueId id) {
  if (model.graph.values[id].constant) return PlainOf(model, id);
  const auto node = std::ranges::find(model.graph.nodes, id, &graph::Node::output);
  TACIT_CHECK(node != model.graph.nodes.end() && node->op == graph::Operator::kDequantizeLinear,
              "what has no rows is a constant, or one that is dequantised");
  Constant parameter = PlainOf(model, node->inputs[0]);
  const Constant scale = PlainOf(model, node->inputs[1]);
  parameter.scales = scale.floats();
  parameter.zeros = PlainOf(model, node->inputs[2]).data;
  parameter.places = scale.count;
  const graph::Shape& shape = model.graph.values[id].shape;
  if (scale.count > 1) parameter.inner = Product(shape, static_cast<std::size_t>(node->attributes.axis) + 1);
  return parameter;
}

}  // namespace tacit::inference
