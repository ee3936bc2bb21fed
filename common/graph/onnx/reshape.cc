#include <algorithm>
#include <numeric>
#include <set>
#include <utility>

#include "common/graph/onnx/translator.h"
#include "common/graph/shapes.h"

namespace tacit::onnx {
namespace {

using graph::ValueId;

constexpr std::size_t kMostDimensions = 64;  // of a shape that is put together

Result<std::set<std::size_t>> AxesOf(const std::vector<std::int64_t>& axes, std::size_t rank) {
  std::set<std::size_t> places;
  for (const std::int64_t axis : axes) {
    TACIT_TRY(const std::size_t place, AxisOf(axis, rank));
    places.insert(place);
  }
  return places;
}

Result<graph::Shape> Without(const graph::Shape& shape, const std::vector<std::int64_t>& axes) {
  TACIT_TRY(const std::set<std::size_t> places, AxesOf(axes, shape.size()));
  graph::Shape result;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (!places.contains(i)) {
      result.push_back(shape[i]);
    } else if (shape[i] != 1) {
      return Unsupported("axis " + std::to_string(i) + " of shape " + graph::TextOf(shape) + " is not 1");
    }
  }
  return result;
}

Result<graph::Shape> With(const graph::Shape& shape, const std::vector<std::int64_t>& axes) {
  const std::size_t rank = shape.size() + axes.size();
  TACIT_TRY(const std::set<std::size_t> places, AxesOf(axes, rank));
  if (places.size() != axes.size()) return Unsupported("an axis is there twice");
  graph::Shape result;
  auto next = shape.begin();
  for (std::size_t i = 0; i < rank; ++i) result.push_back(places.contains(i) ? 1 : *next++);
  return result;
}

}  // namespace

// Of a value that is computed, or of a constant.
Result<Operand> Translator::Reshaped(const Call& call, const Operand& operand, const graph::Shape& shape) {
  if (const auto* id = std::get_if<ValueId>(&operand)) {
    if (!graph::HasRows(shape)) {
      return Unsupported("shape " + graph::TextOf(ShapeOf(*id)) + " would become " + graph::TextOf(shape) +
                         ", without rows in front");
    }
    return EmitReshape(call, *id, shape);
  }
  const auto* tensor = std::get_if<Tensor>(&operand);
  if (tensor == nullptr) return Unsupported("quantised weights, or a shape, would get another shape");
  Tensor result = *tensor;
  result.dims = shape;
  return result;
}

bool Translator::MeansRows(const Integer& first, std::int64_t allow_zero) const {
  return first.is_rows || (first.value == 0 && allow_zero == 0) || (batch_ && first.value == *batch_);
}

// The shape that is asked for: 0 is the same as before, and one -1 what is left.
Result<graph::Shape> Translator::Target(const graph::Shape& from, const Integers& wanted,
                                        std::int64_t allow_zero) const {
  const bool has_rows = graph::HasRows(from);
  TACIT_TRY(const std::int64_t elements, graph::ElementsOf(from));
  graph::Shape shape;
  std::optional<std::size_t> open;
  std::int64_t known = 1;
  for (const Integer& integer : wanted.values) {
    const std::size_t i = shape.size();
    if (i == 0 && has_rows && MeansRows(integer, allow_zero)) {
      shape.push_back(graph::kRows);
      continue;
    }
    const bool is_copied = integer.value == 0 && allow_zero == 0 && i < from.size();
    const std::int64_t value = is_copied ? from[i] : integer.value;
    if (integer.is_rows || (value == -1 && open)) return Unsupported("the shape has rows, or -1, a second time");
    if (value == -1) open = i;
    const std::int64_t size = value == -1 ? 1 : value;
    if (size < 1 || size > graph::kMaxElements / known) return Unsupported("the shape has a dimension out of range");
    known *= size;
    shape.push_back(size);
  }
  if (open) shape[*open] = has_rows && *open == 0 ? graph::kRows : elements / known;
  const auto reached = graph::ElementsOf(shape);
  if (reached && *reached == elements && graph::HasRows(shape) == has_rows) return shape;
  return Unsupported("shape " + graph::TextOf(from) + " cannot become " + graph::TextOf(shape) +
                     ": each row must stay a row");
}

Result<Operand> Translator::Reshape(const Call& call) {
  TACIT_TRY_VOID(call.attributes.AreOf({"allowzero"}));
  TACIT_TRY(const std::int64_t allow_zero, call.attributes.Int("allowzero", 0));
  TACIT_TRY(const Operand* operand, Input(call, 0));
  TACIT_TRY(const Integers wanted, IntegersAt(call, 1));
  if (const auto* id = std::get_if<ValueId>(operand)) {
    TACIT_TRY(const graph::Shape shape, Target(ShapeOf(*id), wanted, allow_zero));
    return EmitReshape(call, *id, shape);
  }
  if (const auto* tensor = std::get_if<Tensor>(operand)) {
    TACIT_TRY(const graph::Shape shape, Target(tensor->dims, wanted, allow_zero));
    return Reshaped(call, *operand, shape);
  }
  // One that says how many integers there are changes nothing; it is how some write that there is one.
  if (std::holds_alternative<Integers>(*operand) && wanted.values.size() == 1 && !wanted.is_scalar) {
    Integers integers = std::get<Integers>(*operand);
    integers.is_scalar = false;
    return integers;
  }
  return Unsupported("quantised weights would get another shape");
}

Result<Operand> Translator::Flatten(const Call& call) {
  TACIT_TRY_VOID(call.attributes.AreOf({"axis"}));
  TACIT_TRY(const ValueId x, Computed(call, 0));
  const graph::Shape shape = ShapeOf(x);
  TACIT_TRY(const std::int64_t given, call.attributes.Int("axis", 1));
  const auto rank = static_cast<std::int64_t>(shape.size());
  const std::int64_t axis = given < 0 ? given + rank : given;
  const bool leaves_rows = axis >= 1 && axis <= rank &&
                           std::all_of(shape.begin() + 1, shape.begin() + axis, [](auto size) { return size == 1; });
  if (!leaves_rows) return Unsupported("axis " + std::to_string(given) + " would mix rows");
  TACIT_TRY(const std::int64_t elements, graph::ElementsOf(shape));
  return EmitReshape(call, x, {graph::kRows, elements});
}

Result<Operand> Translator::Squeeze(const Call& call) {
  TACIT_TRY_VOID(call.attributes.AreOf({"axes"}));
  TACIT_TRY(const Operand* operand, Input(call, 0));
  TACIT_TRY(const auto axes, Axes(call));
  if (!axes) return Unsupported("without axes, what it does depends on how many rows there are");
  if (const auto* integers = std::get_if<Integers>(operand)) {
    if (integers->values.size() != 1) return Unsupported("a shape of several dimensions would become a number");
    return Integers{.values = integers->values, .is_scalar = true};
  }
  const auto* id = std::get_if<ValueId>(operand);
  const auto* tensor = std::get_if<Tensor>(operand);
  if (id == nullptr && tensor == nullptr) return Unsupported("quantised weights would get another shape");
  TACIT_TRY(const graph::Shape shape, Without(id != nullptr ? ShapeOf(*id) : tensor->dims, *axes));
  return Reshaped(call, *operand, shape);
}

Result<Operand> Translator::Unsqueeze(const Call& call) {
  TACIT_TRY_VOID(call.attributes.AreOf({"axes"}));
  TACIT_TRY(const Operand* operand, Input(call, 0));
  TACIT_TRY(const auto axes, Axes(call));
  if (!axes || axes->size() > graph::kMaxRank) return Unsupported("the axes are missing, or too many");
  if (const auto* integers = std::get_if<Integers>(operand)) {
    if (!integers->is_scalar || axes->size() != 1) return Unsupported("a shape would get a second dimension");
    return Integers{.values = integers->values, .is_scalar = false};
  }
  const auto* id = std::get_if<ValueId>(operand);
  const auto* tensor = std::get_if<Tensor>(operand);
  if (id == nullptr && tensor == nullptr) return Unsupported("quantised weights would get another shape");
  TACIT_TRY(const graph::Shape shape, With(id != nullptr ? ShapeOf(*id) : tensor->dims, *axes));
  return Reshaped(call, *operand, shape);
}

Result<Operand> Translator::Transpose(const Call& call) {
  TACIT_TRY_VOID(call.attributes.AreOf({"perm"}));
  TACIT_TRY(const Operand* operand, Input(call, 0));
  const auto* id = std::get_if<ValueId>(operand);
  const auto* tensor = std::get_if<Tensor>(operand);
  if (id == nullptr && tensor == nullptr) return Unsupported("quantised weights, or a shape, would be transposed");
  const std::size_t rank = id != nullptr ? ShapeOf(*id).size() : tensor->dims.size();
  TACIT_TRY(const std::vector<std::int64_t> given, call.attributes.Ints("perm"));
  std::vector<std::uint32_t> permutation(rank);
  std::iota(permutation.rbegin(), permutation.rend(), 0U);
  if (!given.empty()) {
    TACIT_TRY(const std::set<std::size_t> places, AxesOf(given, rank));
    if (places.size() != rank || given.size() != rank) return Unsupported("'perm' is no permutation");
    std::ranges::transform(given, permutation.begin(), [&](std::int64_t axis) {
      return static_cast<std::uint32_t>(axis < 0 ? axis + static_cast<std::int64_t>(rank) : axis);
    });
  }
  if (std::ranges::is_sorted(permutation)) return *operand;
  if (tensor != nullptr) return Permuted(*tensor, permutation);
  if (permutation.front() != 0) return Unsupported("rows would not stay in front");
  return EmitTranspose(call, *id, std::move(permutation));
}

Result<Operand> Translator::ConcatIntegers(const Call& call) {
  Integers result;
  for (std::size_t i = 0; i < call.node.inputs.size(); ++i) {
    TACIT_TRY(const Integers integers, IntegersAt(call, i));
    if (integers.is_scalar) return Unsupported("a number of no dimension is put behind others");
    result.values.insert(result.values.end(), integers.values.begin(), integers.values.end());
    if (result.values.size() > kMostDimensions) return Unsupported("a shape has over 64 dimensions");
  }
  return result;
}

Result<Operand> Translator::Concat(const Call& call) {
  TACIT_TRY_VOID(call.attributes.AreOf({"axis"}));
  if (call.node.inputs.empty()) return Unsupported("has no inputs");
  if (AreIntegers(call)) return ConcatIntegers(call);
  std::vector<ValueId> inputs;
  for (std::size_t i = 0; i < call.node.inputs.size(); ++i) {
    TACIT_TRY(inputs.emplace_back(), Computed(call, i));
  }
  if (!call.attributes.Has("axis")) return Unsupported("attribute 'axis' is missing");
  TACIT_TRY(const std::int64_t given, call.attributes.Int("axis", 1));
  TACIT_TRY(const std::size_t axis, AxisOf(given, ShapeOf(inputs.front()).size()));
  if (axis == 0) return Unsupported("rows would be put behind others");
  if (inputs.size() == 1) return inputs.front();
  graph::Attributes attributes;
  attributes.axis = static_cast<std::int32_t>(axis);
  return Emit(call, graph::Operator::kConcat, std::move(inputs), std::move(attributes));
}

Result<Operand> Translator::Shape(const Call& call) {
  TACIT_TRY_VOID(call.attributes.AreOf({"end", "start"}));
  TACIT_TRY(const Operand* operand, Input(call, 0));
  const auto* id = std::get_if<ValueId>(operand);
  const auto* tensor = std::get_if<Tensor>(operand);
  if (id == nullptr && tensor == nullptr) return Unsupported("the shape of a shape, or of quantised weights");
  const graph::Shape shape = id != nullptr ? ShapeOf(*id) : tensor->dims;
  const auto rank = static_cast<std::int64_t>(shape.size());
  TACIT_TRY(std::int64_t start, call.attributes.Int("start", 0));
  TACIT_TRY(std::int64_t end, call.attributes.Int("end", rank));
  start = std::clamp<std::int64_t>(start < 0 ? start + rank : start, 0, rank);
  end = std::clamp<std::int64_t>(end < 0 ? end + rank : end, 0, rank);
  Integers integers;
  for (std::int64_t i = start; i < end; ++i) {
    const std::int64_t size = shape[static_cast<std::size_t>(i)];
    integers.values.push_back({.value = size, .is_rows = id != nullptr && size == graph::kRows});
  }
  return integers;
}

Result<Operand> Translator::Gather(const Call& call) {
  TACIT_TRY_VOID(call.attributes.AreOf({"axis"}));
  if (!AreIntegers(call)) return Unsupported("this reader has the operator for shapes only");
  TACIT_TRY(const Integers from, IntegersAt(call, 0));
  TACIT_TRY(const Integers indices, IntegersAt(call, 1));
  TACIT_TRY(const std::int64_t axis, call.attributes.Int("axis", 0));
  if (axis != 0 && axis != -1) return Unsupported("a shape has only one dimension");
  Integers result{.values = {}, .is_scalar = indices.is_scalar};
  for (const Integer& index : indices.values) {
    if (index.is_rows) return Unsupported("the number of rows is an index");
    TACIT_TRY(const std::size_t place, AxisOf(index.value, from.values.size()));
    result.values.push_back(from.values[place]);
  }
  return result;
}

Result<Operand> Translator::Slice(const Call& call) {
  TACIT_TRY_VOID(call.attributes.AreOf({}));
  if (!AreIntegers(call)) return Unsupported("this reader has the operator for shapes only");
  TACIT_TRY(const Integers from, IntegersAt(call, 0));
  std::vector<std::int64_t> numbers;  // start, end, axis, step
  for (std::size_t i = 1; i < 5; ++i) {
    if (!IsGiven(call, i) && i > 2) {
      numbers.push_back(i == 3 ? 0 : 1);
      continue;
    }
    TACIT_TRY(const Integers integers, IntegersAt(call, i));
    if (integers.values.size() != 1 || integers.values.front().is_rows) {
      return Unsupported("input " + std::to_string(i) + " is not one number");
    }
    numbers.push_back(integers.values.front().value);
  }
  if ((numbers[2] != 0 && numbers[2] != -1) || numbers[3] != 1) return Unsupported("only steps of 1 along axis 0");
  const auto size = static_cast<std::int64_t>(from.values.size());
  const auto place = [size](std::int64_t at) { return std::clamp<std::int64_t>(at < 0 ? at + size : at, 0, size); };
  const std::int64_t begin = place(numbers[0]);
  const std::int64_t end = std::max(begin, place(numbers[1]));
  return Integers{.values = {from.values.begin() + begin, from.values.begin() + end}, .is_scalar = false};
}

}  // namespace tacit::onnx
