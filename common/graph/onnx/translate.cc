#include <algorithm>
#include <ranges>
#include <set>
#include <utility>

#include "common/base/text.h"
#include "common/graph/check.h"
#include "common/graph/onnx/fold.h"
#include "common/graph/onnx/translator.h"

namespace tacit::onnx {
namespace {

std::string WhereIs(const NodeProto& node, std::size_t number) {
  const std::string name = node.name.empty() ? std::to_string(number) : Excerpt(node.name);
  return "node " + name + " (" + std::string(node.op_type.substr(0, 40)) + ")";
}

}  // namespace

// A few times the file is more than any honest model needs: every constant once as it has to stand, and its folded
// copy.
Translator::Translator(const ModelProto& model, std::size_t file_size)
    : model_(model), room_(4 * file_size + (std::size_t{1} << 20U)) {}

const std::vector<Translator::Entry>& Translator::Table() {
  static const std::vector<Entry> kTable = {
      {"Add", &Translator::Add},
      {"AveragePool", &Translator::AveragePool},
      {"BatchNormalization", &Translator::BatchNormalization},
      {"Cast", &Translator::Cast},
      {"Clip", &Translator::Clip},
      {"Concat", &Translator::Concat},
      {"Constant", &Translator::Constant},
      {"Conv", &Translator::Conv},
      {"DequantizeLinear", &Translator::DequantizeLinear},
      {"Div", &Translator::Div},
      {"Dropout", &Translator::Dropout},
      {"Flatten", &Translator::Flatten},
      {"Gather", &Translator::Gather},
      {"Gemm", &Translator::Gemm},
      {"GlobalAveragePool", &Translator::GlobalAveragePool},
      {"Identity", &Translator::Same},
      {"MatMul", &Translator::MatMul},
      {"MaxPool", &Translator::MaxPool},
      {"Mul", &Translator::Mul},
      {"Pad", &Translator::Pad},
      {"QuantizeLinear", &Translator::QuantizeLinear},
      {"ReduceMean", &Translator::ReduceMean},
      {"Relu", &Translator::Relu},
      {"Reshape", &Translator::Reshape},
      {"Shape", &Translator::Shape},
      {"Sigmoid", &Translator::Sigmoid},
      {"Slice", &Translator::Slice},
      {"Softmax", &Translator::Softmax},
      {"Squeeze", &Translator::Squeeze},
      {"Sub", &Translator::Sub},
      {"Tanh", &Translator::Tanh},
      {"Transpose", &Translator::Transpose},
      {"Unsqueeze", &Translator::Unsqueeze},
  };
  return kTable;
}

Result<void> Translator::AddInitializers() {
  for (const TensorProto& tensor : model_.initializers) {
    const Tensor constant{.type = tensor.type, .dims = tensor.dims, .content = tensor.content()};
    if (!operands_.emplace(tensor.name, constant).second) {
      return Unsupported("initializer " + Excerpt(tensor.name) + " is there twice");
    }
  }
  return {};
}

// Where every input has the same fixed first dimension, that number in a shape means the rows.
Result<void> Translator::NoteBatch(const ValueInfoProto& info, const Dimension& rows) {
  if (!rows || *rows < 1) return {};
  if (batch_ && *batch_ != *rows) {
    return Unsupported("input " + Excerpt(info.name) + " has another fixed number of rows than the one before it");
  }
  batch_ = rows;
  return {};
}

Result<void> Translator::AddInput(const ValueInfoProto& info) {
  const std::string where = "input " + Excerpt(info.name);
  const auto element = ElementOf(info.type);
  if (!element) return Unsupported(where + " is of no element that this reader has: float32, int8, uint8, int32");
  if (!info.shape || info.shape->empty()) return Unsupported(where + " has no shape, or no dimension for rows");
  graph::Shape shape = {graph::kRows};
  for (const Dimension& dimension : *info.shape | std::views::drop(1)) {
    if (!dimension || *dimension < 1) {
      return Unsupported(where + " has a dimension of no fixed size behind the first; export it with one");
    }
    shape.push_back(*dimension);
  }
  TACIT_TRY_VOID(NoteBatch(info, info.shape->front()));
  const graph::ValueId id = builder_.AddInput(std::string(info.name), *element, std::move(shape));
  if (!operands_.emplace(info.name, id).second) return Unsupported(where + " is there twice");
  return {};
}

// Up to IR version 3 initializers stand among the inputs too, as what these are by default.
Result<void> Translator::AddInputs() {
  std::set<std::string_view> initializers;
  for (const TensorProto& tensor : model_.initializers) initializers.insert(tensor.name);
  for (const ValueInfoProto& info : model_.inputs) {
    if (!initializers.contains(info.name)) TACIT_TRY_VOID(AddInput(info));
  }
  return {};
}

bool Translator::IsNeeded(const NodeProto& node) const {
  return std::ranges::any_of(node.outputs, [&](std::string_view name) { return needed_.contains(name); });
}

// Which names lead to an output: what leads nowhere need not be known.
void Translator::FindNeeded() {
  for (const ValueInfoProto& output : model_.outputs) needed_.insert(output.name);
  for (const NodeProto& node : model_.nodes | std::views::reverse) {
    if (IsNeeded(node)) needed_.insert(node.inputs.begin(), node.inputs.end());
    needed_.erase("");  // of an input that is left out
  }
}

Result<Operand> Translator::Translate(const NodeProto& node) {
  const auto entry = std::ranges::find(Table(), node.op_type, &Entry::op_type);
  if (entry == Table().end() || !(node.domain.empty() || node.domain == "ai.onnx")) {
    std::string known;
    for (const Entry& each : Table()) known += (known.empty() ? "" : ", ") + std::string(each.op_type);
    const std::string domain = node.domain.empty() ? "" : " of domain " + Excerpt(node.domain);
    return Unsupported("this reader has no " + Excerpt(node.op_type) + domain + "; it has " + known);
  }
  for (const std::string_view output : node.outputs | std::views::drop(1)) {
    if (needed_.contains(output)) {
      return Unsupported("output " + Excerpt(output) + " is used, and this reader has only the first of the operator");
    }
  }
  return (this->*entry->handler)({.node = node, .attributes = Attributes(node)});
}

Result<void> Translator::AddNode(const NodeProto& node) {
  if (!IsNeeded(node)) return {};
  TACIT_TRY(Operand operand, Translate(node));
  if (!operands_.emplace(node.outputs.front(), std::move(operand)).second) {
    return Unsupported("output " + Excerpt(node.outputs.front()) + " is the name of something else too");
  }
  return {};
}

// An output that is an input, or another output by a second name, is a copy of it.
Result<void> Translator::AddOutputs() {
  std::set<graph::ValueId> taken(builder_.graph().inputs.begin(), builder_.graph().inputs.end());
  for (const ValueInfoProto& info : model_.outputs) {
    const std::string where = "output " + Excerpt(info.name);
    const auto found = operands_.find(info.name);
    if (found == operands_.end()) return Unsupported(where + " is computed by no node");
    const graph::ValueId* computed = std::get_if<graph::ValueId>(&found->second);
    if (computed == nullptr) return Unsupported(where + " does not depend on the rows of an input");
    graph::ValueId id = *computed;
    if (!taken.insert(id).second) {
      TACIT_TRY(id, builder_.AddReshape("", id, ShapeOf(id)));
    }
    builder_.AddOutput(id, std::string(info.name));
  }
  return {};
}

Result<graph::OwnedGraph> Translator::Run() {
  FindNeeded();
  TACIT_TRY_VOID(AddInitializers());
  TACIT_TRY_VOID(AddInputs());
  for (std::size_t i = 0; i < model_.nodes.size(); ++i) {
    const auto added = AddNode(model_.nodes[i]);
    if (!added) return Annotate(added.error(), WhereIs(model_.nodes[i], i));
  }
  TACIT_TRY_VOID(AddOutputs());
  FoldByChannel(builder_, room_);
  return std::move(builder_).Finish();
}

}  // namespace tacit::onnx
