#include <algorithm>
#include <cstring>
#include <utility>

#include "common/base/text.h"
#include "common/graph/check.h"
#include "common/graph/onnx/translator.h"
#include "common/graph/shapes.h"

namespace tacit::onnx {

std::optional<graph::Element> ElementOf(DataType type) {
  switch (type) {
    case DataType::kFloat:
      return graph::Element::kFloat32;
    case DataType::kInt8:
      return graph::Element::kInt8;
    case DataType::kUint8:
      return graph::Element::kUint8;
    case DataType::kInt32:
      return graph::Element::kInt32;
    case DataType::kInt64:
    case DataType::kBool:
      return std::nullopt;
  }
  return std::nullopt;
}

std::vector<float> FloatsOf(const Tensor& tensor) {
  std::vector<float> numbers(tensor.content.size() / sizeof(float));
  if (!numbers.empty()) std::memcpy(numbers.data(), tensor.content.data(), tensor.content.size());
  return numbers;
}

namespace {

constexpr std::size_t kMostIntegers = 64;  // of a shape, and what it is computed from

// A name as Check takes it: it is for messages only.
std::string Printable(std::string_view name) {
  std::string printable(name.substr(0, graph::kMaxName));
  std::ranges::replace_if(printable, [](char c) { return c < ' ' || c > '~'; }, '_');
  return printable;
}

std::int64_t CountOf(const std::vector<std::int64_t>& dims) {
  std::int64_t count = 1;
  for (const std::int64_t dim : dims) count *= dim;  // 4 GiB at most, as ParseModel says
  return count;
}

template <typename T>
Integers ReadIntegers(const Tensor& tensor) {
  Integers integers{.values = {}, .is_scalar = tensor.dims.empty()};
  for (std::size_t at = 0; at < tensor.content.size(); at += sizeof(T)) {
    T number = 0;
    std::memcpy(&number, tensor.content.data() + at, sizeof number);
    integers.values.push_back({.value = number, .is_rows = false});
  }
  return integers;
}

}  // namespace

Result<const Operand*> Translator::Find(const Call& call, std::size_t i) const {
  if (!IsGiven(call, i)) return Unsupported("input " + std::to_string(i) + " is missing");
  const auto found = operands_.find(call.node.inputs[i]);
  if (found != operands_.end()) return &found->second;
  return Unsupported("input " + Excerpt(call.node.inputs[i]) + " is computed by no node before this one");
}

Result<const Operand*> Translator::Input(const Call& call, std::size_t i) const {
  TACIT_TRY(const Operand* operand, Find(call, i));
  if (!std::holds_alternative<Padded>(*operand)) return operand;
  return Unsupported("input " + Excerpt(call.node.inputs[i]) +
                     " is padded, which this reader has only before Conv and AveragePool");
}

Result<Padded> Translator::SpaceInput(const Call& call) const {
  TACIT_TRY(const Operand* operand, Find(call, 0));
  if (const auto* padded = std::get_if<Padded>(operand)) return *padded;
  TACIT_TRY(const graph::ValueId value, Computed(call, 0));
  return Padded{.value = value, .pads = {0, 0, 0, 0}};
}

Result<graph::ValueId> Translator::Computed(const Call& call, std::size_t i) const {
  TACIT_TRY(const Operand* operand, Input(call, i));
  if (const auto* id = std::get_if<graph::ValueId>(operand)) return *id;
  return Unsupported("input " + Excerpt(call.node.inputs[i]) + " is a constant, which this reader has not there");
}

Result<Tensor> Translator::FloatConstant(const Call& call, std::size_t i) const {
  TACIT_TRY(const Operand* operand, Input(call, i));
  const auto* tensor = std::get_if<Tensor>(operand);
  if (tensor != nullptr && tensor->type == DataType::kFloat) return *tensor;
  return Unsupported("input " + Excerpt(call.node.inputs[i]) + " must be a float32 constant");
}

Result<float> Translator::Scalar(const Call& call, std::size_t i) const {
  TACIT_TRY(const Tensor tensor, FloatConstant(call, i));
  if (CountOf(tensor.dims) != 1) return Unsupported("input " + Excerpt(call.node.inputs[i]) + " must be one number");
  return FloatsOf(tensor).front();
}

Result<Integers> Translator::IntegersAt(const Call& call, std::size_t i) const {
  TACIT_TRY(const Operand* operand, Input(call, i));
  if (const auto* integers = std::get_if<Integers>(operand)) return *integers;
  const auto* tensor = std::get_if<Tensor>(operand);
  const bool is_list = tensor != nullptr && tensor->dims.size() < 2 &&
                       (tensor->type == DataType::kInt64 || tensor->type == DataType::kInt32);
  if (!is_list) return Unsupported("input " + Excerpt(call.node.inputs[i]) + " must be known integers");
  if (static_cast<std::size_t>(CountOf(tensor->dims)) > kMostIntegers) {
    return Unsupported("input " + Excerpt(call.node.inputs[i]) + " has over 64 integers");
  }
  return tensor->type == DataType::kInt64 ? ReadIntegers<std::int64_t>(*tensor) : ReadIntegers<std::int32_t>(*tensor);
}

Result<std::optional<std::vector<std::int64_t>>> Translator::Axes(const Call& call) const {
  std::vector<std::int64_t> axes;
  if (call.attributes.Has("axes")) {
    TACIT_TRY(axes, call.attributes.Ints("axes"));
    return axes;
  }
  if (!IsGiven(call, 1)) return std::nullopt;
  TACIT_TRY(const Integers integers, IntegersAt(call, 1));
  for (const Integer& axis : integers.values) {
    if (axis.is_rows) return Unsupported("an axis cannot be the number of rows");
    axes.push_back(axis.value);
  }
  return axes;
}

Result<void> Translator::HasRoom(std::size_t size) const {
  if (size <= room_) return {};
  return Fail(ErrorCode::kTooLarge, "the constants that have to be changed are several times as large as the file");
}

Result<ByteSpan> Translator::Keep(Bytes content) {
  TACIT_TRY_VOID(HasRoom(content.size()));
  room_ -= content.size();
  return ByteSpan(kept_.emplace_back(std::move(content)));
}

Result<ByteSpan> Translator::KeepFloats(const std::vector<float>& numbers) {
  const ByteSpan bytes = AsBytes(std::span<const float>(numbers));
  return Keep(Bytes(bytes.begin(), bytes.end()));
}

Result<graph::ValueId> Translator::AddConstant(const Tensor& tensor) {
  const auto element = ElementOf(tensor.type);
  if (!element) {
    return Unsupported("a constant is of element type " + std::to_string(static_cast<std::int32_t>(tensor.type)) +
                       ", which this reader has not there: float32, int8, uint8 and int32");
  }
  TACIT_TRY_VOID(graph::ElementsOf(tensor.dims));
  const auto [entry, is_new] = constants_.try_emplace({tensor.content.data(), tensor.dims});
  if (is_new) entry->second = builder_.AddConstant("", *element, tensor.dims, tensor.content);
  return entry->second;
}

Result<graph::ValueId> Translator::AddFloats(std::vector<std::int64_t> dims, const std::vector<float>& numbers) {
  TACIT_TRY(const ByteSpan content, KeepFloats(numbers));
  return AddConstant({.type = DataType::kFloat, .dims = std::move(dims), .content = content});
}

Result<graph::ValueId> Translator::AddQuantised(const Quantised& quantised) {
  graph::Node node{.op = graph::Operator::kDequantizeLinear, .name = {}, .inputs = {}, .output = 0, .attributes = {}};
  for (const Tensor* tensor : {&quantised.content, &quantised.scale, &quantised.zero}) {
    TACIT_TRY(node.inputs.emplace_back(), AddConstant(*tensor));
  }
  if (!quantised.scale.dims.empty()) node.attributes.axis = static_cast<std::int32_t>(quantised.axis);
  return builder_.AddNode(std::move(node));
}

Result<graph::ValueId> Translator::Materialise(const Operand& operand) {
  if (const auto* id = std::get_if<graph::ValueId>(&operand)) return *id;
  if (const auto* tensor = std::get_if<Tensor>(&operand)) return AddConstant(*tensor);
  if (const auto* quantised = std::get_if<Quantised>(&operand)) return AddQuantised(*quantised);
  return Unsupported("a shape is used as numbers to compute with");
}

Result<Tensor> Translator::Permuted(const Tensor& tensor, const std::vector<std::uint32_t>& permutation) {
  const std::size_t rank = tensor.dims.size();
  const std::size_t width = SizeOf(tensor.type);
  if (width == 0) return Unsupported("a constant of an element type that this reader has not would be transposed");
  std::vector<std::size_t> strides(rank, width);  // of the input, in bytes
  for (std::size_t i = rank; i-- > 1;) strides[i - 1] = strides[i] * static_cast<std::size_t>(tensor.dims[i]);
  Tensor result{.type = tensor.type, .dims = {}, .content = {}};
  for (const std::uint32_t from : permutation) result.dims.push_back(tensor.dims[from]);
  TACIT_TRY_VOID(HasRoom(tensor.content.size()));
  Bytes content(tensor.content.size());
  std::vector<std::int64_t> index(rank);
  std::size_t from = 0;
  for (std::size_t to = 0; to < content.size(); to += width) {
    std::memcpy(content.data() + to, tensor.content.data() + from, width);
    for (std::size_t i = rank; i-- > 0;) {
      const std::size_t stride = strides[permutation[i]];
      from += stride;
      if (++index[i] < result.dims[i]) break;
      from -= stride * static_cast<std::size_t>(result.dims[i]);
      index[i] = 0;
    }
  }
  TACIT_TRY(result.content, Keep(std::move(content)));
  return result;
}

Result<graph::ValueId> Translator::Emit(const Call& call, graph::Operator op, std::vector<graph::ValueId> inputs,
                                        graph::Attributes attributes) {
  return builder_.AddNode({.op = op,
                           .name = Printable(call.node.name),
                           .inputs = std::move(inputs),
                           .output = 0,
                           .attributes = std::move(attributes)});
}

Result<graph::ValueId> Translator::EmitReshape(const Call& call, graph::ValueId input, graph::Shape shape) {
  if (ShapeOf(input) == shape) return input;
  return builder_.AddReshape(Printable(call.node.name), input, std::move(shape));
}

Result<graph::ValueId> Translator::EmitTranspose(const Call& call, graph::ValueId input,
                                                 std::vector<std::uint32_t> permutation) {
  graph::Attributes attributes;
  attributes.permutation = std::move(permutation);
  return Emit(call, graph::Operator::kTranspose, {input}, std::move(attributes));
}

}  // namespace tacit::onnx
