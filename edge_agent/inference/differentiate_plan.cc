#include "edge_agent/inference/differentiate_plan.h"

#include <algorithm>
#include <string>
#include <utility>

#include "common/graph/shapes.h"

namespace tacit::inference {
namespace {

using graph::Graph;
using graph::Node;
using graph::Operator;
using graph::Value;
using graph::ValueId;

// Whether training moves constants at this place of a node.
bool IsTrained(Operator op, std::size_t input) {
  if (op == Operator::kConv || op == Operator::kGemm) return input > 0;
  return op == Operator::kAdd || op == Operator::kMul || op == Operator::kMatMul;
}

class DerivativePlanner {
 public:
  explicit DerivativePlanner(const Graph& graph)
      : graph_(graph), producer_(graph.values.size(), nullptr), uses_(graph.values.size(), 0) {
    for (const Node& node : graph.nodes) producer_[node.output] = &node;
    plan_.buffer_of.assign(graph.values.size(), DifferentiationPlan::kNone);
    plan_.has_parameters.assign(graph.values.size(), false);
    is_fixed_.assign(graph.values.size(), false);
  }

  Result<DifferentiationPlan> Run() {
    TACIT_TRY_VOID(CheckPorts());
    plan_.input = graph_.inputs.front();
    plan_.logits = LogitsOf(graph_.outputs.front());
    plan_.buffers = {backward::CountOf(graph_.values[plan_.input].shape)};
    plan_.buffer_of[plan_.input] = 0;
    reused_ = {false};
    MarkUses();
    for (const Node& node : graph_.nodes) {
      if (uses_[node.output] > 0) Add(node);
    }
    if (plan_.buffer_of[plan_.logits] == DifferentiationPlan::kNone || plan_.logits == plan_.input) {
      return Fail(ErrorCode::kInvalidArgument, "the model's first output is not computed from its input");
    }
    return std::move(plan_);
  }

 private:
  [[nodiscard]] Result<void> CheckPorts() const {
    const auto refuse = [](const std::string& what) {
      return Fail(ErrorCode::kInvalidArgument, "derivatives are of a model with one float32 input, this has " + what);
    };
    if (graph_.inputs.size() != 1) return refuse(std::to_string(graph_.inputs.size()) + " inputs");
    const Value& input = graph_.values[graph_.inputs.front()];
    if (input.element != graph::Element::kFloat32) return refuse("input '" + input.name + "' of another type");
    if (graph_.outputs.empty()) return refuse("no output");
    return {};
  }

  // Whether a softmax is over everything that a row has.
  [[nodiscard]] bool IsOverRow(const Node& node) const {
    if (node.op != Operator::kSoftmax) return false;
    const graph::Shape& shape = graph_.values[node.output].shape;
    return static_cast<std::size_t>(shape[static_cast<std::size_t>(node.attributes.axis)]) == backward::CountOf(shape);
  }

  // The loss has a softmax of its own, which cannot overflow; a model that ends in one is differentiated before it.
  [[nodiscard]] ValueId LogitsOf(ValueId output) const {
    for (ValueId value = output; producer_[value] != nullptr; value = producer_[value]->inputs.front()) {
      const Node& node = *producer_[value];
      if (IsOverRow(node)) return node.inputs.front();
      if (node.op != Operator::kReshape) break;
    }
    return output;
  }

  // Counts by how many inputs of nodes that lead to the logits each value is used.
  void MarkUses() {
    uses_[plan_.logits] = 1;
    for (std::size_t i = graph_.nodes.size(); i-- > 0;) {
      if (uses_[graph_.nodes[i].output] == 0) continue;
      for (const ValueId input : graph_.nodes[i].inputs) ++uses_[input];
    }
  }

  [[nodiscard]] DifferentiationPlan::Step StepOf(const Node& node) const {
    DifferentiationPlan::Step step{.layer = {.op = node.op,
                                             .attributes = node.attributes,
                                             .inputs = {},
                                             .output = graph_.values[node.output].shape,
                                             .element = graph_.values[node.output].element},
                                   .inputs = node.inputs,
                                   .output = node.output};
    for (const ValueId input : node.inputs) step.layer.inputs.push_back(graph_.values[input].shape);
    backward::Prepare(step.layer);
    return step;
  }

  void Add(const Node& node) {
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      if (graph_.values[node.inputs[i]].constant) AddConstant(node, i);
    }
    DifferentiationPlan::Step step = StepOf(node);
    if (!graph::HasRows(step.layer.output)) {  // weights that are stored in 8 bits
      is_fixed_[node.output] = true;
      plan_.fixed.push_back({.value = node.output, .constant = node.inputs.front(), .step = std::move(step)});
      return;
    }
    if (node.op == Operator::kGemm) plan_.features = node.inputs.front();
    for (const ValueId input : node.inputs) {
      if (plan_.has_parameters[input]) plan_.has_parameters[node.output] = true;
      if (uses_[input] > 1 && plan_.buffer_of[input] != DifferentiationPlan::kNone) {
        plan_.branch = std::max(plan_.branch, backward::CountOf(graph_.values[input].shape));
      }
    }
    plan_.buffer_of[node.output] = BufferOf(node);
    plan_.steps.push_back(std::move(step));
  }

  void AddConstant(const Node& node, std::size_t which) {
    const ValueId id = node.inputs[which];
    const Value& value = graph_.values[id];
    if (is_fixed_[id] || plan_.has_parameters[id]) return;
    if (IsTrained(node.op, which)) {
      const std::size_t size = backward::CountOf(value.shape);
      plan_.parameters.push_back({.value = id, .offset = plan_.parameter_count, .size = size});
      plan_.parameter_count += size;
      plan_.has_parameters[id] = true;
    } else if (!(node.op == Operator::kDequantizeLinear && which == 0)) {
      is_fixed_[id] = true;
      plan_.fixed.push_back({.value = id, .constant = id, .step = std::nullopt});
    }
  }

  // One of its own, or its input's where nobody else wants what stands there: neither another node, nor the one that
  // computed it, nor the caller, whose the model's input is.
  std::size_t BufferOf(const Node& node) {
    if (backward::WorksInPlace(node.op) && uses_[node.inputs.front()] == 1) {
      const std::size_t below = plan_.buffer_of[node.inputs.front()];
      if (node.op == Operator::kReshape) return below;
      if (below != 0 && !reused_[below]) {
        reused_[below] = true;
        return below;
      }
    }
    plan_.buffers.push_back(backward::CountOf(graph_.values[node.output].shape));
    reused_.push_back(backward::LooksAtOutput(node.op));
    return plan_.buffers.size() - 1;
  }

  const Graph& graph_;
  std::vector<const Node*> producer_;
  std::vector<std::size_t> uses_;
  std::vector<bool> is_fixed_;
  std::vector<bool> reused_;  // of each buffer: whoever wrote it looks at it again
  DifferentiationPlan plan_;
};

}  // namespace

Result<DifferentiationPlan> PlanDerivatives(const graph::Graph& graph) {
  return DerivativePlanner(graph).Run();
}

}  // namespace tacit::inference
