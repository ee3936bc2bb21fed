#include <algorithm>
#include <cmath>
#include <functional>
#include <utility>

#include "common/base/check.h"
#include "common/graph/onnx/translator.h"
#include "common/graph/shapes.h"

namespace tacit::onnx {
namespace {

using graph::Operator;
using graph::ValueId;

constexpr std::int64_t kSoftmaxAlongAxis = 13;  // the opset since which it is not over all dimensions behind the axis

std::optional<std::int64_t> Plus(std::int64_t a, std::int64_t b) {
  std::int64_t result = 0;
  return __builtin_add_overflow(a, b, &result) ? std::nullopt : std::optional(result);
}

std::optional<std::int64_t> Minus(std::int64_t a, std::int64_t b) {
  std::int64_t result = 0;
  return __builtin_sub_overflow(a, b, &result) ? std::nullopt : std::optional(result);
}

std::optional<std::int64_t> Times(std::int64_t a, std::int64_t b) {
  std::int64_t result = 0;
  return __builtin_mul_overflow(a, b, &result) ? std::nullopt : std::optional(result);
}

// Of sizes, where all agree how to round.
std::optional<std::int64_t> Over(std::int64_t a, std::int64_t b) {
  return a < 0 || b <= 0 ? std::nullopt : std::optional(a / b);
}

}  // namespace

Result<Operand> Translator::Unary(const Call& call, Operator op) {
  TACIT_TRY_VOID(call.attributes.AreOf({}));
  TACIT_TRY(const ValueId x, Computed(call, 0));
  return Emit(call, op, {x});
}

Result<Operand> Translator::Relu(const Call& call) {
  return Unary(call, Operator::kRelu);
}

Result<Operand> Translator::Sigmoid(const Call& call) {
  return Unary(call, Operator::kSigmoid);
}

Result<Operand> Translator::Tanh(const Call& call) {
  return Unary(call, Operator::kTanh);
}

Result<Operand> Translator::Clip(const Call& call) {
  TACIT_TRY_VOID(call.attributes.AreOf({}));
  TACIT_TRY(const ValueId x, Computed(call, 0));
  graph::Attributes attributes;
  if (IsGiven(call, 1)) {
    TACIT_TRY(attributes.minimum, Scalar(call, 1));
  }
  if (IsGiven(call, 2)) {
    TACIT_TRY(attributes.maximum, Scalar(call, 2));
  }
  return Emit(call, Operator::kClip, {x}, std::move(attributes));
}

Result<Operand> Translator::Softmax(const Call& call) {
  TACIT_TRY_VOID(call.attributes.AreOf({"axis"}));
  TACIT_TRY(const ValueId x, Computed(call, 0));
  const bool is_along_axis = model_.opset >= kSoftmaxAlongAxis;
  TACIT_TRY(const std::int64_t given, call.attributes.Int("axis", is_along_axis ? -1 : 1));
  const std::size_t rank = ShapeOf(x).size();
  TACIT_TRY(const std::size_t axis, AxisOf(given, rank));
  if (axis == 0) return Unsupported("the axis is that of rows");
  if (!is_along_axis && axis + 1 != rank) return SoftmaxOverMany(call, x, axis);
  graph::Attributes attributes;
  attributes.axis = static_cast<std::int32_t>(axis);
  return Emit(call, Operator::kSoftmax, {x}, std::move(attributes));
}

// Over all dimensions from `axis` on, as one.
Result<Operand> Translator::SoftmaxOverMany(const Call& call, ValueId x, std::size_t axis) {
  const graph::Shape shape = ShapeOf(x);
  std::int64_t inner = 1;
  for (std::size_t i = axis; i < shape.size(); ++i) inner *= shape[i];
  TACIT_TRY(const std::int64_t elements, graph::ElementsOf(shape));
  TACIT_TRY(const ValueId flat, EmitReshape(call, x, {graph::kRows, elements / inner, inner}));
  graph::Attributes attributes;
  attributes.axis = 2;
  TACIT_TRY(const ValueId softmax, Emit(call, Operator::kSoftmax, {flat}, std::move(attributes)));
  return EmitReshape(call, softmax, shape);
}

Result<Operand> Translator::Binary(const Call& call, Operator op) {
  TACIT_TRY_VOID(call.attributes.AreOf({}));
  std::vector<ValueId> inputs;
  for (const std::size_t i : {0U, 1U}) {
    TACIT_TRY(const Operand* operand, Input(call, i));
    TACIT_TRY(inputs.emplace_back(), Materialise(*operand));
  }
  return Emit(call, op, std::move(inputs));
}

Result<ValueId> Translator::Mapped(const Call& call, std::size_t i, float (*map)(float)) {
  TACIT_TRY(const Tensor tensor, FloatConstant(call, i));
  std::vector<float> numbers = FloatsOf(tensor);
  std::ranges::transform(numbers, numbers.begin(), map);
  return AddFloats(tensor.dims, numbers);
}

bool Translator::AreIntegers(const Call& call) const {
  return std::ranges::all_of(call.node.inputs, [&](std::string_view name) {
    const auto found = operands_.find(name);
    if (found == operands_.end()) return false;
    const auto* tensor = std::get_if<Tensor>(&found->second);
    return std::holds_alternative<Integers>(found->second) || (tensor != nullptr && tensor->type == DataType::kInt64);
  });
}

Result<Operand> Translator::IntegerBinary(const Call& call,
                                          std::optional<std::int64_t> (*compute)(std::int64_t, std::int64_t)) {
  TACIT_TRY(const Integers left, IntegersAt(call, 0));
  TACIT_TRY(const Integers right, IntegersAt(call, 1));
  const std::size_t size = std::max(left.values.size(), right.values.size());
  const bool fits = (left.values.size() == size || left.values.size() == 1) &&
                    (right.values.size() == size || right.values.size() == 1);
  if (!fits) return Unsupported("integers of different counts");
  Integers result{.values = {}, .is_scalar = left.is_scalar && right.is_scalar};
  for (std::size_t i = 0; i < size; ++i) {
    const Integer& a = left.values[left.values.size() == 1 ? 0 : i];
    const Integer& b = right.values[right.values.size() == 1 ? 0 : i];
    if (a.is_rows || b.is_rows) return Unsupported("the number of rows is computed with, so rows would be mixed");
    const std::optional<std::int64_t> value = compute(a.value, b.value);
    if (!value) return Unsupported("integers of a shape that cannot be computed");
    result.values.push_back({.value = *value, .is_rows = false});
  }
  return result;
}

Result<Operand> Translator::Add(const Call& call) {
  return AreIntegers(call) ? IntegerBinary(call, Plus) : Binary(call, Operator::kAdd);
}

Result<Operand> Translator::Mul(const Call& call) {
  return AreIntegers(call) ? IntegerBinary(call, Times) : Binary(call, Operator::kMul);
}

// As a sum with what is negated.
Result<Operand> Translator::Sub(const Call& call) {
  if (AreIntegers(call)) return IntegerBinary(call, Minus);
  TACIT_TRY_VOID(call.attributes.AreOf({}));
  TACIT_TRY(const Operand* left, Input(call, 0));
  TACIT_TRY(const Operand* right, Input(call, 1));
  TACIT_TRY(const ValueId minuend, Materialise(*left));
  if (std::holds_alternative<Tensor>(*right)) {
    TACIT_TRY(const ValueId negated, Mapped(call, 1, [](float number) { return -number; }));
    return Emit(call, Operator::kAdd, {minuend, negated});
  }
  TACIT_TRY(const ValueId subtrahend, Materialise(*right));
  TACIT_TRY(const ValueId minus_one, AddFloats({}, {-1.0F}));
  TACIT_TRY(const ValueId negated, Emit(call, Operator::kMul, {subtrahend, minus_one}));
  return Emit(call, Operator::kAdd, {minuend, negated});
}

// As a product with the reciprocal, which is rounded once more than ONNX says.
Result<Operand> Translator::Div(const Call& call) {
  if (AreIntegers(call)) return IntegerBinary(call, Over);
  TACIT_TRY_VOID(call.attributes.AreOf({}));
  TACIT_TRY(const ValueId x, Computed(call, 0));
  TACIT_TRY(const Tensor divisor, FloatConstant(call, 1));
  const std::vector<float> numbers = FloatsOf(divisor);
  if (!std::ranges::all_of(numbers, [](float number) { return std::isnormal(number) && std::isnormal(1 / number); })) {
    return Unsupported("the divisor has a number that has no reciprocal");
  }
  TACIT_TRY(const ValueId factor, Mapped(call, 1, [](float number) { return 1 / number; }));
  return Emit(call, Operator::kMul, {x, factor});
}

Result<Operand> Translator::Same(const Call& call) {
  TACIT_TRY_VOID(call.attributes.AreOf({}));
  TACIT_TRY(const Operand* operand, Input(call, 0));
  return *operand;
}

Result<Operand> Translator::Dropout(const Call& call) {
  TACIT_TRY_VOID(call.attributes.AreOf({"ratio", "seed"}));
  if (IsGiven(call, 2)) {
    TACIT_TRY(const Operand* training, Input(call, 2));
    const auto* tensor = std::get_if<Tensor>(training);
    if (tensor == nullptr || tensor->type != DataType::kBool || std::ranges::any_of(tensor->content, std::identity())) {
      return Unsupported("training_mode may be set; export the model for inference (model.eval())");
    }
  }
  TACIT_TRY(const Operand* operand, Input(call, 0));
  return *operand;
}

// Between what is the same here: float32 to itself, and integers of shapes.
Result<Operand> Translator::Cast(const Call& call) {
  TACIT_TRY_VOID(call.attributes.AreOf({"to"}));
  TACIT_TRY(const std::int64_t code, call.attributes.Int("to", 0));
  const DataType to = std::in_range<std::int32_t>(code) ? static_cast<DataType>(code) : DataType{};
  TACIT_TRY(const Operand* operand, Input(call, 0));
  const auto* id = std::get_if<ValueId>(operand);
  const auto* tensor = std::get_if<Tensor>(operand);
  const bool is_same = id != nullptr                                 ? ElementOf(to) == builder_.ValueOf(*id).element
                       : tensor != nullptr                           ? tensor->type == to
                       : std::holds_alternative<Quantised>(*operand) ? to == DataType::kFloat
                                                                     : to == DataType::kInt64 || to == DataType::kInt32;
  if (is_same) return *operand;
  return Unsupported("a cast to element type " + std::to_string(code) + " that changes numbers");
}

Result<Operand> Translator::Constant(const Call& call) {
  TACIT_TRY_VOID(call.attributes.AreOf({"value", "value_float", "value_floats", "value_int", "value_ints"}));
  for (const AttributeProto& attribute : call.node.attributes) {
    if (attribute.kind == AttributeProto::Kind::kTensor) {
      const TensorProto& tensor = Present(attribute.t, "ParseModel refuses one without its tensor");
      return Tensor{.type = tensor.type, .dims = tensor.dims, .content = tensor.content()};
    }
    if (attribute.kind == AttributeProto::Kind::kFloat) {
      TACIT_TRY(const ByteSpan content, KeepFloats({attribute.f}));
      return Tensor{.type = DataType::kFloat, .dims = {}, .content = content};
    }
    if (attribute.kind == AttributeProto::Kind::kFloats) {
      TACIT_TRY(const ByteSpan content, KeepFloats(attribute.floats));
      return Tensor{
          .type = DataType::kFloat, .dims = {static_cast<std::int64_t>(attribute.floats.size())}, .content = content};
    }
    if (attribute.kind == AttributeProto::Kind::kInt) {
      return Integers{.values = {{.value = attribute.i, .is_rows = false}}, .is_scalar = true};
    }
    if (attribute.kind == AttributeProto::Kind::kInts) {
      Integers integers;
      for (const std::int64_t value : attribute.ints) integers.values.push_back({.value = value, .is_rows = false});
      return integers;
    }
  }
  return Unsupported("the constant has no value that this reader has");
}

}  // namespace tacit::onnx
