#include "common/graph/graph.h"

#include "common/base/check.h"

namespace tacit::graph {
namespace {

// By code.
constexpr std::array<const char*, 18> kOperatorNames = {
    "Conv", "Gemm",   "MatMul",  "MaxPool",   "AveragePool",    "GlobalAveragePool",
    "Relu", "Clip",   "Sigmoid", "Tanh",      "Softmax",        "Add",
    "Mul",  "Concat", "Reshape", "Transpose", "QuantizeLinear", "DequantizeLinear"};
static_assert(static_cast<std::size_t>(Operator::kDequantizeLinear) == kOperatorNames.size());

}  // namespace

const char* NameOf(Operator op) {
  const auto code = static_cast<std::uint8_t>(op);
  TACIT_CHECK(IsOperator(code), "operators come from Parse, which refuses other codes, or from code that names them");
  return kOperatorNames[code - 1U];
}

bool IsElement(std::uint8_t code) {
  return code >= static_cast<std::uint8_t>(Element::kFloat32) && code <= static_cast<std::uint8_t>(Element::kInt32);
}

bool IsOperator(std::uint8_t code) {
  return code >= 1 && code <= kOperatorNames.size();
}

void StripNames(Graph& graph) {
  std::vector<bool> is_port(graph.values.size());
  for (const ValueId id : graph.inputs) is_port[id] = true;
  for (const ValueId id : graph.outputs) is_port[id] = true;
  for (std::size_t id = 0; id < is_port.size(); ++id) {
    if (!is_port[id]) graph.values[id].name.clear();
  }
  for (Node& node : graph.nodes) node.name.clear();
}

}  // namespace tacit::graph
