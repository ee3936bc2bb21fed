#include "common/graph/shapes.h"

#include <algorithm>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "common/base/check.h"

namespace tacit::graph {
namespace {

std::unexpected<Error> Refuse(std::string what) {
  return Fail(ErrorCode::kInvalidArgument, std::move(what));
}

// Before anything else is asked of a node.
Result<void> CheckNumbers(const Attributes& attributes) {
  const auto within = [](std::span<const std::uint32_t> numbers, std::uint32_t least) {
    return std::ranges::all_of(numbers, [least](std::uint32_t n) { return n >= least && n <= kMaxAttribute; });
  };
  if (!within(attributes.kernel, 1) || !within(attributes.strides, 1) || !within(attributes.dilations, 1)) {
    return Refuse("kernel, strides and dilations must be from 1 to " + std::to_string(kMaxAttribute));
  }
  if (!within(attributes.pads, 0)) return Refuse("pads must be at most " + std::to_string(kMaxAttribute));
  if (attributes.groups < 1 || attributes.groups > kMaxAttribute) {
    return Refuse("groups must be from 1 to " + std::to_string(kMaxAttribute));
  }
  return {};
}

enum Used : std::uint8_t { kNothing = 0, kWindow = 1, kGroups = 2, kAxis = 4, kCounts = 8, kRange = 16, kOrder = 32 };

unsigned UsedBy(Operator op) {
  switch (op) {
    case Operator::kConv:
      return kWindow | kGroups;
    case Operator::kMaxPool:
      return kWindow;
    case Operator::kAveragePool:
      return kWindow | kCounts;
    case Operator::kClip:
      return kRange;
    case Operator::kSoftmax:
    case Operator::kConcat:
    case Operator::kQuantizeLinear:
    case Operator::kDequantizeLinear:
      return kAxis;
    case Operator::kTranspose:
      return kOrder;
    default:
      return kNothing;
  }
}

// A field that means nothing would be a second way to write the same graph, and room to hide something in.
Result<void> CheckUnused(const Node& node) {
  const unsigned used = UsedBy(node.op);
  Attributes rest = node.attributes;
  if ((used & kWindow) != 0U) {
    rest.kernel = {1, 1};
    rest.strides = {1, 1};
    rest.dilations = {1, 1};
    rest.pads = {0, 0, 0, 0};
  }
  if ((used & kGroups) != 0U) rest.groups = 1;
  if ((used & kAxis) != 0U) rest.axis = 1;
  if ((used & kCounts) != 0U) rest.count_padding = false;
  if ((used & kRange) != 0U) {
    rest.minimum = Attributes{}.minimum;
    rest.maximum = Attributes{}.maximum;
  }
  if ((used & kOrder) != 0U) rest.permutation.clear();
  if (rest != Attributes{}) return Refuse("an attribute is set that the operator does not have");
  return {};
}

// The inputs of one node, and what is asked of them.
class Inputs {
 public:
  Inputs(const Graph& graph, const Node& node) : graph_(graph), node_(node) {}

  [[nodiscard]] std::size_t size() const { return node_.inputs.size(); }
  [[nodiscard]] const Value& operator[](std::size_t i) const { return graph_.values[node_.inputs[i]]; }
  [[nodiscard]] const Shape& ShapeOf(std::size_t i) const { return (*this)[i].shape; }
  [[nodiscard]] bool IsComputed(std::size_t i) const { return HasRows(ShapeOf(i)); }

  [[nodiscard]] Result<void> Count(std::size_t least, std::size_t most) const {
    if (size() >= least && size() <= most) return {};
    const std::string wanted = least == most ? std::to_string(least) : std::to_string(least) + " or more";
    return Refuse("has " + std::to_string(size()) + " inputs, not " + wanted);
  }
  [[nodiscard]] Result<void> Float(std::size_t i) const {
    if ((*this)[i].element == Element::kFloat32) return {};
    return Refuse(Nth(i) + " must be float32");
  }
  [[nodiscard]] Result<void> Computed(std::size_t i) const {
    TACIT_TRY_VOID(Float(i));
    if (IsComputed(i)) return {};
    return Refuse(Nth(i) + " must not be a parameter");
  }
  [[nodiscard]] Result<void> Parameter(std::size_t i) const {
    TACIT_TRY_VOID(Float(i));
    if (!IsComputed(i)) return {};
    return Refuse(Nth(i) + " must be a parameter");
  }
  [[nodiscard]] std::unexpected<Error> WrongShape(std::size_t i, const std::string& wanted) const {
    return Refuse(Nth(i) + " has shape " + TextOf(ShapeOf(i)) + ", not " + wanted);
  }

 private:
  static std::string Nth(std::size_t i) { return "input " + std::to_string(i); }

  const Graph& graph_;
  const Node& node_;
};

Inferred Floats(Shape shape) {
  return {.element = Element::kFloat32, .shape = std::move(shape)};
}

// Rank of values over space, where the input is one.
Result<std::size_t> SpaceOf(const Inputs& inputs) {
  TACIT_TRY_VOID(inputs.Computed(0));
  const std::size_t rank = inputs.ShapeOf(0).size();
  if (rank == 3 || rank == 4) return rank - 2;
  return inputs.WrongShape(0, "[rows, channels, length] or [rows, channels, height, width]");
}

// A field of Attributes for the height stays 1, or 0 for pads, where there is no height.
Result<void> CheckNoHeight(const Attributes& attributes) {
  const Window height = WindowOf(attributes, 0);
  const bool initial = height.kernel == 1 && height.stride == 1 && height.dilation == 1 && height.pad_before == 0 &&
                       height.pad_behind == 0;
  return initial ? Result<void>() : Refuse("over one dimension of space, the first of each pair must be left unset");
}

Result<Shape> MoveWindow(const Attributes& attributes, const Shape& input, std::int64_t channels) {
  const std::size_t space = input.size() - 2;
  if (space == 1) TACIT_TRY_VOID(CheckNoHeight(attributes));
  Shape shape = {kRows, channels};
  for (std::size_t i = 0; i < space; ++i) {
    const Window window = WindowOf(attributes, i + 2 - space);
    const std::int64_t places = window.PlacesOver(input[i + 2]);
    if (places < 1) {
      return Refuse("a window of " + std::to_string(window.Extent()) + " does not fit into " +
                    std::to_string(input[i + 2]) + " places with pads of " + std::to_string(window.pad_before) +
                    " and " + std::to_string(window.pad_behind));
    }
    shape.push_back(places);
  }
  return shape;
}

Result<void> CheckBias(const Inputs& inputs, std::int64_t out) {
  if (inputs.size() < 3) return {};
  TACIT_TRY_VOID(inputs.Parameter(2));
  return inputs.ShapeOf(2) == Shape{out} ? Result<void>() : inputs.WrongShape(2, "[" + std::to_string(out) + "]");
}

Result<Inferred> InferConv(const Inputs& inputs, const Attributes& attributes) {
  TACIT_TRY_VOID(inputs.Count(2, 3));
  TACIT_TRY(const std::size_t space, SpaceOf(inputs));
  TACIT_TRY_VOID(inputs.Parameter(1));
  const Shape& x = inputs.ShapeOf(0);
  const Shape& weight = inputs.ShapeOf(1);
  const auto groups = static_cast<std::int64_t>(attributes.groups);
  if (x[1] % groups != 0) return Refuse("channels are no multiple of groups");
  Shape wanted = {weight.empty() ? 0 : weight[0], x[1] / groups};
  for (std::size_t i = 2 - space; i < 2; ++i) wanted.push_back(attributes.kernel[i]);
  if (weight != wanted) return inputs.WrongShape(1, TextOf(wanted));
  if (weight[0] % groups != 0) return Refuse("output channels are no multiple of groups");
  TACIT_TRY_VOID(CheckBias(inputs, weight[0]));
  TACIT_TRY(Shape shape, MoveWindow(attributes, x, weight[0]));
  return Floats(std::move(shape));
}

Result<Inferred> InferGemm(const Inputs& inputs) {
  TACIT_TRY_VOID(inputs.Count(2, 3));
  TACIT_TRY_VOID(inputs.Computed(0));
  TACIT_TRY_VOID(inputs.Parameter(1));
  if (inputs.ShapeOf(0).size() != 2) return inputs.WrongShape(0, "[rows, in]");
  const Shape& weight = inputs.ShapeOf(1);
  const std::int64_t in = inputs.ShapeOf(0)[1];
  if (weight.size() != 2 || weight[1] != in) return inputs.WrongShape(1, "[out, " + std::to_string(in) + "]");
  TACIT_TRY_VOID(CheckBias(inputs, weight[0]));
  return Floats({kRows, weight[0]});
}

// Two shapes as one, the last dimensions beside each other. Nothing where they cannot be.
std::optional<Shape> Broadcast(std::span<const std::int64_t> left, std::span<const std::int64_t> right) {
  Shape shape(std::max(left.size(), right.size()));
  for (std::size_t i = 0; i < shape.size(); ++i) {
    const std::int64_t l = i < left.size() ? left[left.size() - 1 - i] : 1;
    const std::int64_t r = i < right.size() ? right[right.size() - 1 - i] : 1;
    if (l != r && l != 1 && r != 1) return std::nullopt;
    shape[shape.size() - 1 - i] = l == 1 ? r : l;
  }
  return shape;
}

// A parameter may not have as many dimensions as the other value has and more than 1 where that one has its rows.
bool LeavesRows(const Shape& parameter, const Shape& computed) {
  return parameter.size() < computed.size() || (parameter.size() == computed.size() && parameter.front() == 1);
}

// Nothing where rows would meet something else than rows.
std::optional<Shape> BroadcastRows(const Inputs& inputs, std::size_t dropped) {
  const Shape& left = inputs.ShapeOf(0);
  const Shape& right = inputs.ShapeOf(1);
  const bool good = inputs.IsComputed(0) && inputs.IsComputed(1) ? left.size() == right.size()
                    : inputs.IsComputed(0)                       ? LeavesRows(right, left)
                    : inputs.IsComputed(1)                       ? LeavesRows(left, right)
                                                                 : false;
  if (!good) return std::nullopt;
  return Broadcast(std::span(left).first(left.size() - dropped), std::span(right).first(right.size() - dropped));
}

Result<Inferred> InferMatMul(const Inputs& inputs) {
  TACIT_TRY_VOID(inputs.Count(2, 2));
  TACIT_TRY_VOID(inputs.Float(0));
  TACIT_TRY_VOID(inputs.Computed(1));
  const Shape& left = inputs.ShapeOf(0);
  const Shape& right = inputs.ShapeOf(1);
  const bool has_matrices = left.size() >= (inputs.IsComputed(0) ? 3U : 2U) && right.size() >= 3;
  std::optional<Shape> shape = has_matrices ? BroadcastRows(inputs, 2) : std::nullopt;
  if (!shape || left[left.size() - 1] != right[right.size() - 2]) {
    return Refuse("shapes " + TextOf(left) + " and " + TextOf(right) + " cannot be multiplied row by row");
  }
  shape->push_back(left[left.size() - 2]);
  shape->push_back(right[right.size() - 1]);
  return Floats(*std::move(shape));
}

Result<Inferred> InferElementwise(const Inputs& inputs) {
  TACIT_TRY_VOID(inputs.Count(2, 2));
  TACIT_TRY_VOID(inputs.Float(0));
  TACIT_TRY_VOID(inputs.Float(1));
  std::optional<Shape> shape = BroadcastRows(inputs, 0);
  if (!shape) {
    return Refuse("shapes " + TextOf(inputs.ShapeOf(0)) + " and " + TextOf(inputs.ShapeOf(1)) +
                  " cannot be broadcast row by row");
  }
  return Floats(*std::move(shape));
}

// The ends decide: with neither dilation nor a pad as long as the kernel, all windows between them hold something.
Result<void> CheckWindowsHoldSomething(const Window& window, std::int64_t length, std::int64_t places) {
  if (window.dilation != 1) return Refuse("a pool must have no dilations");
  const std::int64_t last = (places - 1) * window.stride - window.pad_before;
  if (window.pad_before >= window.kernel || last >= length) return Refuse("a window of the pool is over padding alone");
  return {};
}

Result<Inferred> InferPool(const Inputs& inputs, const Attributes& attributes) {
  TACIT_TRY_VOID(inputs.Count(1, 1));
  TACIT_TRY(const std::size_t space, SpaceOf(inputs));
  const Shape& x = inputs.ShapeOf(0);
  TACIT_TRY(Shape shape, MoveWindow(attributes, x, x[1]));
  for (std::size_t i = 2; i < x.size(); ++i) {
    TACIT_TRY_VOID(CheckWindowsHoldSomething(WindowOf(attributes, i - space), x[i], shape[i]));
  }
  return Floats(std::move(shape));
}

Result<Inferred> InferGlobalAveragePool(const Inputs& inputs) {
  TACIT_TRY_VOID(inputs.Count(1, 1));
  TACIT_TRY_VOID(SpaceOf(inputs));
  Shape shape(inputs.ShapeOf(0).size(), 1);
  shape[0] = kRows;
  shape[1] = inputs.ShapeOf(0)[1];
  return Floats(std::move(shape));
}

Result<Inferred> InferSame(const Inputs& inputs) {
  TACIT_TRY_VOID(inputs.Count(1, 1));
  TACIT_TRY_VOID(inputs.Computed(0));
  return Floats(inputs.ShapeOf(0));
}

Result<Inferred> InferClip(const Inputs& inputs, const Attributes& attributes) {
  // Neither is true of what is not a number.
  if (!(attributes.minimum <= attributes.maximum)) return Refuse("the minimum must be at most the maximum");
  return InferSame(inputs);
}

Result<void> CheckAxis(std::int32_t axis, const Shape& shape, std::int32_t least) {
  if (axis >= least && static_cast<std::size_t>(axis) < shape.size()) return {};
  return Refuse("axis " + std::to_string(axis) + " is none of " + TextOf(shape) + (least > 0 ? " but the rows" : ""));
}

Result<Inferred> InferSoftmax(const Inputs& inputs, const Attributes& attributes) {
  TACIT_TRY(Inferred inferred, InferSame(inputs));
  TACIT_TRY_VOID(CheckAxis(attributes.axis, inferred.shape, 1));
  return inferred;
}

Result<Inferred> InferConcat(const Inputs& inputs, const Attributes& attributes) {
  TACIT_TRY_VOID(inputs.Count(2, inputs.size()));
  TACIT_TRY_VOID(inputs.Computed(0));
  TACIT_TRY_VOID(CheckAxis(attributes.axis, inputs.ShapeOf(0), 1));
  const auto axis = static_cast<std::size_t>(attributes.axis);
  Shape shape = inputs.ShapeOf(0);
  for (std::size_t i = 1; i < inputs.size(); ++i) {
    TACIT_TRY_VOID(inputs.Computed(i));
    Shape same = inputs.ShapeOf(i);
    const std::int64_t added = axis < same.size() ? std::exchange(same[axis], shape[axis]) : 0;
    if (same != shape) return inputs.WrongShape(i, TextOf(shape) + " but along axis " + std::to_string(axis));
    shape[axis] += added;
  }
  return Floats(std::move(shape));
}

Result<Inferred> InferReshape(const Inputs& inputs, const Value& output) {
  TACIT_TRY_VOID(inputs.Count(1, 1));
  TACIT_TRY_VOID(inputs.Computed(0));
  TACIT_TRY(const std::int64_t before, ElementsOf(inputs.ShapeOf(0)));
  TACIT_TRY(const std::int64_t after, ElementsOf(output.shape));
  if (!HasRows(output.shape) || before != after) {
    return Refuse("rows of shape " + TextOf(inputs.ShapeOf(0)) + " cannot become " + TextOf(output.shape));
  }
  return Floats(output.shape);
}

Result<Inferred> InferTranspose(const Inputs& inputs, const std::vector<std::uint32_t>& permutation) {
  TACIT_TRY_VOID(inputs.Count(1, 1));
  TACIT_TRY_VOID(inputs.Computed(0));
  const Shape& x = inputs.ShapeOf(0);
  Shape shape;
  std::vector<bool> seen(x.size());
  for (const std::uint32_t from : permutation) {
    if (from >= x.size() || seen[from]) return Refuse("the permutation is none of " + TextOf(x));
    seen[from] = true;
    shape.push_back(x[from]);
  }
  if (shape.size() != x.size() || permutation.front() != 0) {
    return Refuse("the permutation is none of " + TextOf(x) + " that leaves the rows in front");
  }
  return Floats(std::move(shape));
}

Result<void> CheckScale(const Inputs& inputs, std::int32_t axis) {
  TACIT_TRY_VOID(inputs.Count(3, 3));
  for (const std::size_t i : {1U, 2U}) {
    if (!inputs[i].constant) return Refuse("scale and zero point must be constants");
  }
  TACIT_TRY_VOID(inputs.Float(1));
  const Shape& scale = inputs.ShapeOf(1);
  if (inputs.ShapeOf(2) != scale) return inputs.WrongShape(2, TextOf(scale) + ", as the scale");
  if (scale.empty()) return axis == 1 ? Result<void>() : Refuse("one scale for all must leave the axis unset");
  TACIT_TRY_VOID(CheckAxis(axis, inputs.ShapeOf(0), inputs.IsComputed(0) ? 1 : 0));
  const std::int64_t places = inputs.ShapeOf(0)[static_cast<std::size_t>(axis)];
  return scale == Shape{places} ? Result<void>() : inputs.WrongShape(1, "[] or [" + std::to_string(places) + "]");
}

Result<Inferred> InferQuantize(const Inputs& inputs, const Attributes& attributes) {
  TACIT_TRY_VOID(CheckScale(inputs, attributes.axis));
  TACIT_TRY_VOID(inputs.Computed(0));
  const Element element = inputs[2].element;
  if (element != Element::kInt8 && element != Element::kUint8) return Refuse("the zero point must be int8 or uint8");
  return Inferred{.element = element, .shape = inputs.ShapeOf(0)};
}

Result<Inferred> InferDequantize(const Inputs& inputs, const Attributes& attributes) {
  TACIT_TRY_VOID(CheckScale(inputs, attributes.axis));
  if (inputs[0].element == Element::kFloat32 || inputs[0].element != inputs[2].element) {
    return Refuse("input and zero point must be int8, uint8 or int32, and the same");
  }
  return Floats(inputs.ShapeOf(0));
}

}  // namespace

std::string TextOf(const Shape& shape) {
  std::string text = "[";
  for (const std::int64_t dimension : shape) {
    if (text.size() > 1) text += ", ";
    text += dimension == kRows ? "rows" : std::to_string(dimension);
  }
  return text + "]";
}

bool HasRows(const Shape& shape) {
  return !shape.empty() && shape.front() == kRows;
}

Result<std::int64_t> ElementsOf(const Shape& shape) {
  if (shape.size() > kMaxRank) {
    return Refuse("has " + std::to_string(shape.size()) + " dimensions, over " + std::to_string(kMaxRank));
  }
  std::int64_t elements = 1;
  for (const std::int64_t dimension : std::span(shape).subspan(HasRows(shape) ? 1 : 0)) {
    if (dimension < 1) return Refuse("has shape " + TextOf(shape) + ": a dimension must be at least 1");
    if (dimension > kMaxElements / elements) {
      return Refuse("has shape " + TextOf(shape) + ", over " + std::to_string(kMaxElements) + " numbers");
    }
    elements *= dimension;
  }
  return elements;
}

std::int64_t Window::PlacesOver(std::int64_t length) const {
  const std::int64_t room = length + pad_before + pad_behind - Extent();
  return room < 0 ? 0 : room / stride + 1;
}

Window WindowOf(const Attributes& attributes, std::size_t dimension) {
  TACIT_CHECK(dimension < 2, "space has a height and a width");
  return {.kernel = attributes.kernel[dimension],
          .stride = attributes.strides[dimension],
          .dilation = attributes.dilations[dimension],
          .pad_before = attributes.pads[dimension],
          .pad_behind = attributes.pads[dimension + 2]};
}

Result<Inferred> InferOutput(const Graph& graph, const Node& node) {
  TACIT_TRY_VOID(CheckNumbers(node.attributes));
  TACIT_TRY_VOID(CheckUnused(node));
  const Inputs inputs(graph, node);
  switch (node.op) {
    case Operator::kConv:
      return InferConv(inputs, node.attributes);
    case Operator::kGemm:
      return InferGemm(inputs);
    case Operator::kMatMul:
      return InferMatMul(inputs);
    case Operator::kMaxPool:
    case Operator::kAveragePool:
      return InferPool(inputs, node.attributes);
    case Operator::kGlobalAveragePool:
      return InferGlobalAveragePool(inputs);
    case Operator::kRelu:
    case Operator::kSigmoid:
    case Operator::kTanh:
      return InferSame(inputs);
    case Operator::kClip:
      return InferClip(inputs, node.attributes);
    case Operator::kSoftmax:
      return InferSoftmax(inputs, node.attributes);
    case Operator::kAdd:
    case Operator::kMul:
      return InferElementwise(inputs);
    case Operator::kConcat:
      return InferConcat(inputs, node.attributes);
    case Operator::kReshape:
      return InferReshape(inputs, graph.values[node.output]);
    case Operator::kTranspose:
      return InferTranspose(inputs, node.attributes.permutation);
    case Operator::kQuantizeLinear:
      return InferQuantize(inputs, node.attributes);
    case Operator::kDequantizeLinear:
      return InferDequantize(inputs, node.attributes);
  }
  return Refuse("is an operator of no known code");
}

std::uint64_t WorkOf(const Graph& graph, const Node& node) {
  const auto elements = [&](ValueId id) {
    return static_cast<std::uint64_t>(ElementsOf(graph.values[id].shape).value_or(0));
  };
  const std::uint64_t output = elements(node.output);
  const Attributes& attributes = node.attributes;
  switch (node.op) {
    case Operator::kConv: {  // A weight has as many elements as one output place of all channels takes.
      const Shape& weight = graph.values[node.inputs[1]].shape;
      return output * (elements(node.inputs[1]) / static_cast<std::uint64_t>(weight[0]));
    }
    case Operator::kGemm:
      return elements(node.inputs[1]);
    case Operator::kMatMul:
      return output * static_cast<std::uint64_t>(graph.values[node.inputs[0]].shape.back());
    case Operator::kMaxPool:
    case Operator::kAveragePool:
      return output * attributes.kernel[0] * attributes.kernel[1];
    case Operator::kGlobalAveragePool:
      return elements(node.inputs[0]);
    default:
      return output;
  }
}

}  // namespace tacit::graph
