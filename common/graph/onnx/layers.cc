#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "common/base/check.h"
#include "common/base/text.h"
#include "common/graph/onnx/translator.h"
#include "common/graph/shapes.h"

namespace tacit::onnx {
namespace {

using graph::Operator;
using graph::ValueId;

const std::vector<std::int64_t>* DimsOf(const Operand& operand) {
  if (const auto* tensor = std::get_if<Tensor>(&operand)) return &tensor->dims;
  if (const auto* quantised = std::get_if<Quantised>(&operand)) return &quantised->content.dims;
  return nullptr;
}

// Constants [out, in] as the weight of a convolution of one place, [out, in, 1].
Operand WithPlace(Operand weight) {
  if (auto* tensor = std::get_if<Tensor>(&weight)) tensor->dims.push_back(1);
  if (auto* quantised = std::get_if<Quantised>(&weight)) quantised->content.dims.push_back(1);
  return weight;
}

DataType TypeOf(graph::Element element) {
  switch (element) {
    case graph::Element::kInt8:
      return DataType::kInt8;
    case graph::Element::kUint8:
      return DataType::kUint8;
    case graph::Element::kInt32:
      return DataType::kInt32;
    case graph::Element::kFloat32:
      break;
  }
  return DataType::kFloat;
}

// For a scale, and a zero point beside it, that is one number: a tensor of no dimension.
Tensor AsOneNumber(Tensor tensor) {
  if (tensor.dims == std::vector<std::int64_t>{1}) tensor.dims.clear();
  return tensor;
}

}  // namespace

// Those of the operator, and around them the zeros that stand before it.
Result<graph::Attributes> Translator::Windows(const Call& call, const Padded& x, std::span<const std::int64_t> kernel,
                                              Rounding rounding) const {
  TACIT_TRY(graph::Attributes attributes, ReadWindows(call.attributes, ShapeOf(x.value), kernel, rounding));
  if (x.pads == std::array<std::uint32_t, 4>{0, 0, 0, 0}) return attributes;
  TACIT_TRY(const std::string_view auto_pad, call.attributes.Text("auto_pad", "NOTSET"));
  if (auto_pad != "NOTSET" && auto_pad != "VALID") return Unsupported("auto_pad of what is padded already");
  for (std::size_t i = 0; i < x.pads.size(); ++i) attributes.pads[i] += x.pads[i];
  return attributes;
}

Result<Operand> Translator::Conv(const Call& call) {
  TACIT_TRY_VOID(call.attributes.AreOf({"auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"}));
  TACIT_TRY(const Padded x, SpaceInput(call));
  TACIT_TRY(const Operand* weight, Input(call, 1));
  const std::vector<std::int64_t>* dims = DimsOf(*weight);
  if (dims == nullptr) return Unsupported("the weight must be a constant");
  if (dims->size() < 3) return Unsupported("the weight has shape " + graph::TextOf(*dims));
  TACIT_TRY(graph::Attributes attributes, Windows(call, x, std::span(*dims).subspan(2), Rounding::kDown));
  TACIT_TRY(const std::int64_t groups, call.attributes.Int("group", 1));
  if (groups < 1 || groups > graph::kMaxAttribute) return Unsupported("group is " + std::to_string(groups));
  attributes.groups = static_cast<std::uint32_t>(groups);
  std::vector<ValueId> inputs = {x.value};
  TACIT_TRY(inputs.emplace_back(), Materialise(*weight));
  if (IsGiven(call, 2)) {
    TACIT_TRY(const Operand* bias, Input(call, 2));
    TACIT_TRY(inputs.emplace_back(), Materialise(*bias));
  }
  return Emit(call, Operator::kConv, std::move(inputs), std::move(attributes));
}

// Of zeros around space, which the window behind it makes its own.
Result<Operand> Translator::Pad(const Call& call) {
  TACIT_TRY_VOID(call.attributes.AreOf({"mode"}));
  TACIT_TRY(const std::string_view mode, call.attributes.Text("mode", "constant"));
  if (mode != "constant") return Unsupported("mode is " + Excerpt(mode) + "; this reader has 'constant'");
  TACIT_TRY(const ValueId x, Computed(call, 0));
  TACIT_TRY(const Integers pads, IntegersAt(call, 1));
  if (IsGiven(call, 2)) {
    TACIT_TRY(const float value, Scalar(call, 2));
    if (value != 0.0F) return Unsupported("the value is not 0");
  }
  const std::size_t rank = ShapeOf(x).size();
  if (pads.values.size() != 2 * rank) return Unsupported("there are not two pads a dimension");
  Padded padded{.value = x, .pads = {0, 0, 0, 0}};
  bool is_padded = false;
  for (std::size_t i = 0; i < pads.values.size(); ++i) {
    const Integer& pad = pads.values[i];
    if (!pad.is_rows && pad.value == 0) continue;
    const std::size_t dimension = i % rank;
    const bool is_space = (rank == 3 || rank == 4) && dimension >= 2;
    if (pad.is_rows || pad.value < 0 || pad.value > graph::kMaxAttribute || !is_space) {
      return Unsupported("a pad is below 0, too large, or not of space");
    }
    // A pair's last is the width, whether or not there is a height.
    padded.pads[2 - (rank - dimension) + (i < rank ? 0U : 2U)] = static_cast<std::uint32_t>(pad.value);
    is_padded = true;
  }
  return is_padded ? Operand(padded) : Operand(x);
}

Result<Operand> Translator::Pool(const Call& call, Operator op, const Padded& x) {
  TACIT_TRY(const std::vector<std::int64_t> kernel, call.attributes.Ints("kernel_shape"));
  if (kernel.empty()) return Unsupported("attribute 'kernel_shape' is missing");
  TACIT_TRY(const std::int64_t ceil, call.attributes.Int("ceil_mode", 0));
  const Rounding rounding = ceil == 0 ? Rounding::kDown : Rounding::kUp;
  TACIT_TRY(graph::Attributes attributes, Windows(call, x, kernel, rounding));
  TACIT_TRY(const std::int64_t counts, call.attributes.Int("count_include_pad", 0));
  // Zeros that stand before the pool are numbers like others.
  const bool is_padded = x.pads != std::array<std::uint32_t, 4>{0, 0, 0, 0};
  if (is_padded && counts == 0 && attributes.pads != x.pads) return Unsupported("some of its padding counts");
  attributes.count_padding = (counts != 0 || is_padded) && attributes.pads != std::array<std::uint32_t, 4>{0, 0, 0, 0};
  if (attributes.count_padding && ceil != 0) {
    return Unsupported("ceil_mode and padding that counts, of which runtimes differ in what they count");
  }
  return Emit(call, op, {x.value}, std::move(attributes));
}

Result<Operand> Translator::MaxPool(const Call& call) {
  TACIT_TRY_VOID(call.attributes.AreOf(
      {"auto_pad", "ceil_mode", "dilations", "kernel_shape", "pads", "storage_order", "strides"}));
  TACIT_TRY(const std::int64_t order, call.attributes.Int("storage_order", 0));
  if (order != 0) return Unsupported("attribute 'storage_order' is set");
  TACIT_TRY(const ValueId x, Computed(call, 0));
  return Pool(call, Operator::kMaxPool, {.value = x, .pads = {0, 0, 0, 0}});
}

Result<Operand> Translator::AveragePool(const Call& call) {
  TACIT_TRY_VOID(
      call.attributes.AreOf({"auto_pad", "ceil_mode", "count_include_pad", "kernel_shape", "pads", "strides"}));
  TACIT_TRY(const Padded x, SpaceInput(call));
  return Pool(call, Operator::kAveragePool, x);
}

Result<Operand> Translator::GlobalAveragePool(const Call& call) {
  TACIT_TRY_VOID(call.attributes.AreOf({}));
  TACIT_TRY(const ValueId x, Computed(call, 0));
  return Emit(call, Operator::kGlobalAveragePool, {x});
}

// Over all of space only, which is how a global average is written too.
Result<Operand> Translator::ReduceMean(const Call& call) {
  TACIT_TRY_VOID(call.attributes.AreOf({"axes", "keepdims"}));
  TACIT_TRY(const ValueId x, Computed(call, 0));
  const graph::Shape shape = ShapeOf(x);
  TACIT_TRY(const std::vector<std::int64_t> axes, call.attributes.Ints("axes"));
  std::vector<std::size_t> sorted;
  for (const std::int64_t axis : axes) {
    TACIT_TRY(sorted.emplace_back(), AxisOf(axis, shape.size()));
  }
  std::ranges::sort(sorted);
  const bool is_space = (shape.size() == 3 && sorted == std::vector<std::size_t>{2}) ||
                        (shape.size() == 4 && sorted == std::vector<std::size_t>{2, 3});
  if (!is_space) return Unsupported("the axes are not those of space, behind rows and channels");
  TACIT_TRY(const std::int64_t keep, call.attributes.Int("keepdims", 1));
  TACIT_TRY(const ValueId mean, Emit(call, Operator::kGlobalAveragePool, {x}));
  if (keep != 0) return mean;
  return EmitReshape(call, mean, {graph::kRows, shape[1]});
}

// [out], from what ONNX lets be broadcast to [rows, out].
Result<ValueId> Translator::GemmBias(const Call& call, std::int64_t out, float beta) {
  TACIT_TRY(const Operand* operand, Input(call, 2));
  if (std::holds_alternative<Quantised>(*operand) && beta == 1.0F) return Materialise(*operand);
  TACIT_TRY(const Tensor tensor, FloatConstant(call, 2));
  std::vector<float> numbers = FloatsOf(tensor);
  const auto wanted = static_cast<std::size_t>(out);
  const bool fits =
      (numbers.size() == 1 || (numbers.size() == wanted && tensor.dims.back() == out)) && tensor.dims.size() <= 2;
  if (!fits) return Unsupported("the bias has shape " + graph::TextOf(tensor.dims));
  if (numbers.size() == wanted && beta == 1.0F) {
    return AddConstant({.type = DataType::kFloat, .dims = {out}, .content = tensor.content});
  }
  TACIT_TRY_VOID(HasRoom(wanted * sizeof(float)));
  if (numbers.size() == 1) numbers.resize(wanted, numbers.front());
  for (float& number : numbers) number *= beta;
  return AddFloats({out}, numbers);
}

// Constants [in, out] as [out, in].
Result<Operand> Translator::Turned(const Operand& weight) {
  if (const auto* quantised = std::get_if<Quantised>(&weight)) {
    Quantised turned = *quantised;
    TACIT_TRY(turned.content, Turned(quantised->content));
    turned.axis = 1 - quantised->axis;
    return turned;
  }
  const auto* tensor = std::get_if<Tensor>(&weight);
  TACIT_CHECK(tensor != nullptr, "callers have seen that the weight is a constant");
  TACIT_TRY(Tensor turned, Turned(*tensor));
  return turned;
}

// Once for every constant, however many nodes use it.
Result<Tensor> Translator::Turned(const Tensor& tensor) {
  const auto [entry, is_new] = turned_.try_emplace({tensor.content.data(), tensor.dims});
  if (!is_new) return entry->second;
  TACIT_TRY(entry->second, Permuted(tensor, {1, 0}));
  return entry->second;
}

Result<Operand> Translator::Gemm(const Call& call) {
  TACIT_TRY_VOID(call.attributes.AreOf({"alpha", "beta", "transA", "transB"}));
  TACIT_TRY(const std::int64_t trans_a, call.attributes.Int("transA", 0));
  TACIT_TRY(const std::int64_t trans_b, call.attributes.Int("transB", 0));
  TACIT_TRY(const float alpha, call.attributes.Float("alpha", 1));
  TACIT_TRY(const float beta, call.attributes.Float("beta", 1));
  if (trans_a != 0) return Unsupported("transA is set, which would mix rows");
  TACIT_TRY(const ValueId x, Computed(call, 0));
  TACIT_TRY(const Operand* found, Input(call, 1));
  const std::vector<std::int64_t>* dims = DimsOf(*found);
  if (dims == nullptr || dims->size() != 2) return Unsupported("B must be a constant of two dimensions");
  Operand weight = *found;
  if (trans_b == 0) {
    TACIT_TRY(weight, Turned(*found));
  }
  const std::int64_t out = (*dims)[trans_b == 0 ? 1 : 0];
  std::vector<ValueId> inputs = {x};
  TACIT_TRY(inputs.emplace_back(), Materialise(weight));
  if (alpha != 1.0F) {
    TACIT_TRY(inputs.back(), Scaled(weight, alpha));
  }
  if (IsGiven(call, 2)) {
    TACIT_TRY(inputs.emplace_back(), GemmBias(call, out, beta));
  }
  return Emit(call, Operator::kGemm, std::move(inputs));
}

Result<ValueId> Translator::Scaled(const Operand& weight, float factor) {
  const auto* tensor = std::get_if<Tensor>(&weight);
  if (tensor == nullptr || tensor->type != DataType::kFloat) return Unsupported("alpha is not 1 for quantised weights");
  TACIT_TRY_VOID(HasRoom(tensor->content.size()));
  std::vector<float> numbers = FloatsOf(*tensor);
  for (float& number : numbers) number *= factor;
  return AddFloats(tensor->dims, numbers);
}

// [rows, ..., in] by a constant [in, out]. With more than one place in each row it is a convolution of one place.
Result<Operand> Translator::MatMulByWeight(const Call& call, ValueId x, const Operand& weight) {
  const graph::Shape shape = ShapeOf(x);
  TACIT_TRY(const Operand turned, Turned(weight));
  if (shape.size() == 2) {
    TACIT_TRY(const ValueId constant, Materialise(turned));
    return Emit(call, Operator::kGemm, {x, constant});
  }
  const std::int64_t in = shape.back();
  const std::int64_t out = DimsOf(turned)->front();
  TACIT_TRY(const std::int64_t elements, graph::ElementsOf(shape));
  TACIT_TRY(const ValueId flat, EmitReshape(call, x, {graph::kRows, elements / in, in}));
  TACIT_TRY(const ValueId channels_first, EmitTranspose(call, flat, {0, 2, 1}));
  TACIT_TRY(const ValueId kernel, Materialise(WithPlace(turned)));
  TACIT_TRY(const ValueId product, Emit(call, Operator::kConv, {channels_first, kernel}));
  TACIT_TRY(const ValueId channels_last, EmitTranspose(call, product, {0, 2, 1}));
  graph::Shape result = shape;
  result.back() = out;
  return EmitReshape(call, channels_last, std::move(result));
}

Result<Operand> Translator::MatMul(const Call& call) {
  TACIT_TRY_VOID(call.attributes.AreOf({}));
  TACIT_TRY(const Operand* left, Input(call, 0));
  TACIT_TRY(const Operand* right, Input(call, 1));
  const auto* x = std::get_if<ValueId>(left);
  const std::vector<std::int64_t>* dims = DimsOf(*right);
  if (x != nullptr && dims != nullptr) {
    if (dims->size() != 2) return Unsupported("a constant on the right has shape " + graph::TextOf(*dims));
    if (ShapeOf(*x).size() < 2) return Unsupported("the left has shape " + graph::TextOf(ShapeOf(*x)));
    return MatMulByWeight(call, *x, *right);
  }
  TACIT_TRY(const ValueId first, Materialise(*left));
  TACIT_TRY(const ValueId second, Computed(call, 1));
  return Emit(call, Operator::kMatMul, {first, second});
}

// Source: Ioffe and Szegedy 2015, algorithm 2 (inference): (x - mean) * scale / sqrt(variance + epsilon) + bias.
Result<Operand> Translator::BatchNormalization(const Call& call) {
  TACIT_TRY_VOID(call.attributes.AreOf({"epsilon", "momentum", "training_mode"}));
  TACIT_TRY(const std::int64_t training, call.attributes.Int("training_mode", 0));
  if (training != 0) return Unsupported("training_mode is set; export the model for inference (model.eval())");
  TACIT_TRY(const float epsilon, call.attributes.Float("epsilon", 1e-5F));
  TACIT_TRY(const ValueId x, Computed(call, 0));
  const graph::Shape shape = ShapeOf(x);
  if (shape.size() < 2) return Unsupported("the input has no channels");
  std::array<std::vector<float>, 4> numbers;  // scale, bias, mean, variance
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    TACIT_TRY(const Tensor tensor, FloatConstant(call, i + 1));
    numbers[i] = FloatsOf(tensor);
    if (static_cast<std::int64_t>(numbers[i].size()) != shape[1]) {
      return Unsupported("input " + Excerpt(call.node.inputs[i + 1]) + " has not one number a channel");
    }
  }
  std::vector<float> factors(numbers[0].size());
  std::vector<float> shifts(factors.size());
  const auto number = [&](std::size_t input, std::size_t channel) {
    return static_cast<double>(numbers[input][channel]);
  };
  for (std::size_t i = 0; i < factors.size(); ++i) {
    const double factor = number(0, i) / std::sqrt(number(3, i) + static_cast<double>(epsilon));
    factors[i] = static_cast<float>(factor);
    shifts[i] = static_cast<float>(number(1, i) - number(2, i) * factor);
  }
  std::vector<std::int64_t> dims(shape.size() - 1, 1);
  dims.front() = shape[1];
  TACIT_TRY(const ValueId factor, AddFloats(dims, factors));
  TACIT_TRY(const ValueId shift, AddFloats(dims, shifts));
  TACIT_TRY(const ValueId product, Emit(call, Operator::kMul, {x, factor}));
  return Emit(call, Operator::kAdd, {product, shift});
}

Result<Translator::Scale> Translator::ScaleOf(const Call& call, std::span<const std::int64_t> dims,
                                              DataType otherwise) {
  TACIT_TRY_VOID(call.attributes.AreOf({"axis"}));
  TACIT_TRY(const std::int64_t axis, call.attributes.Int("axis", 1));
  Scale scale;
  TACIT_TRY(scale.scale, FloatConstant(call, 1));
  scale.scale = AsOneNumber(scale.scale);
  if (!scale.scale.dims.empty()) {
    TACIT_TRY(const std::size_t place, AxisOf(axis, dims.size()));
    scale.axis = static_cast<std::int64_t>(place);
  }
  if (IsGiven(call, 2)) {
    TACIT_TRY(const Operand* zero, Input(call, 2));
    const auto* tensor = std::get_if<Tensor>(zero);
    if (tensor == nullptr) return Unsupported("the zero point must be a constant");
    scale.zero = AsOneNumber(*tensor);
    return scale;
  }
  scale.zero = {.type = otherwise, .dims = scale.scale.dims, .content = {}};
  TACIT_TRY(scale.zero.content, Keep(Bytes(scale.scale.content.size() / sizeof(float) * SizeOf(otherwise))));
  return scale;
}

Result<Operand> Translator::QuantizeLinear(const Call& call) {
  TACIT_TRY(const ValueId x, Computed(call, 0));
  const graph::Shape shape = ShapeOf(x);
  TACIT_TRY(const Scale scale, ScaleOf(call, shape, DataType::kUint8));
  TACIT_TRY(const ValueId factor, AddConstant(scale.scale));
  TACIT_TRY(const ValueId zero, AddConstant(scale.zero));
  graph::Attributes attributes;
  if (!scale.scale.dims.empty()) attributes.axis = static_cast<std::int32_t>(scale.axis);
  return Emit(call, Operator::kQuantizeLinear, {x, factor, zero}, std::move(attributes));
}

Result<Operand> Translator::DequantizeLinear(const Call& call) {
  TACIT_TRY(const Operand* operand, Input(call, 0));
  if (const auto* tensor = std::get_if<Tensor>(operand)) {
    TACIT_TRY(const Scale scale, ScaleOf(call, tensor->dims, tensor->type));
    return Quantised{.content = *tensor, .scale = scale.scale, .zero = scale.zero, .axis = scale.axis};
  }
  TACIT_TRY(const ValueId x, Computed(call, 0));
  const graph::Shape shape = ShapeOf(x);
  const DataType type = TypeOf(builder_.ValueOf(x).element);
  TACIT_TRY(const Scale scale, ScaleOf(call, shape, type));
  TACIT_TRY(const ValueId factor, AddConstant(scale.scale));
  TACIT_TRY(const ValueId zero, AddConstant(scale.zero));
  graph::Attributes attributes;
  if (!scale.scale.dims.empty()) attributes.axis = static_cast<std::int32_t>(scale.axis);
  return Emit(call, Operator::kDequantizeLinear, {x, factor, zero}, std::move(attributes));
}

}  // namespace tacit::onnx
