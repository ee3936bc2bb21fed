#include <algorithm>
#include <cstring>
#include <utility>

#include "common/base/check.h"
#include "common/graph/shapes.h"
#include "edge_agent/inference/gemm.h"
#include "edge_agent/inference/planner.h"

namespace tacit::inference {
namespace {

using graph::Operator;

/// One of two values that are combined: rows of a buffer, or a parameter that is the same for all rows.
struct Operand {
  std::optional<BufferId> buffer;
  const float* in_place = nullptr;
  std::optional<std::size_t> packed;
  std::size_t row = 0;  ///< Numbers from one row to the next.

  [[nodiscard]] const float* At(const Frame& frame) const {
    if (buffer) return frame.At<float>(*buffer);
    return packed ? frame.Packed<float>(*packed) : in_place;
  }
};

class ElementwiseStep final : public Step {
 public:
  struct Options {
    Operator op = Operator::kAdd;
    StridedLoop loop;  ///< Of one row: left, right, output.
    Operand left;
    Operand right;
    Range range;
    BufferId output = 0;
    std::size_t output_row = 0;
  };
  explicit ElementwiseStep(Options options) : o_(std::move(options)) {}

  void Run(const Frame& frame) const override {
    for (std::size_t row = 0; row < frame.rows; ++row) {
      const float* left = o_.left.At(frame) + row * o_.left.row;
      const float* right = o_.right.At(frame) + row * o_.right.row;
      float* out = frame.At<float>(o_.output) + row * o_.output_row;
      o_.loop.ForEach([&](const auto& at) { Inner(frame, left + at[0], right + at[1], out + at[2]); });
    }
  }

 private:
  void Inner(const Frame& frame, const float* left, const float* right, float* out) const {
    const StridedLoop::Dimension& inner = o_.loop.dimensions.back();
    const bool adds = o_.op == Operator::kAdd;
    Elements e{.a = left,
               .a_step = inner.strides[0],
               .b = right,
               .b_step = inner.strides[1],
               .out = out,
               .count = inner.count,
               .range = o_.range};
    const auto run = adds ? frame.kernels->add : frame.kernels->multiply;
    if (e.a_step <= 1 && e.b_step <= 1) return run(e);
    e.count = 1;
    for (std::size_t i = 0; i < inner.count; ++i) {
      run(e);
      e.a += inner.strides[0];
      e.b += inner.strides[1];
      e.out += inner.strides[2];
    }
  }

  Options o_;
};

class UnaryStep final : public Step {
 public:
  using Kernel = void (*Kernels::*)(const Elements&);
  struct Options {
    Kernel kernel = nullptr;
    Range range;
    std::size_t row = 0;
    BufferId input = 0;
    BufferId output = 0;
  };
  explicit UnaryStep(const Options& options) : o_(options) {}

  void Run(const Frame& frame) const override {
    (frame.kernels->*o_.kernel)({.a = frame.At<float>(o_.input),
                                 .a_step = 1,
                                 .b = nullptr,
                                 .b_step = 1,
                                 .out = frame.At<float>(o_.output),
                                 .count = o_.row * frame.rows,
                                 .range = o_.range});
  }

 private:
  Options o_;
};

class SoftmaxStep final : public Step {
 public:
  struct Options {
    std::size_t outer = 1;  ///< Of one row.
    std::size_t count = 1;
    std::size_t inner = 1;
    BufferId input = 0;
    BufferId line = 0;  ///< `count` numbers, where inner is above 1.
    BufferId output = 0;
  };
  explicit SoftmaxStep(const Options& options) : o_(options) {}

  void Run(const Frame& frame) const override {
    const float* from = frame.At<float>(o_.input);
    float* to = frame.At<float>(o_.output);
    const std::size_t block = o_.count * o_.inner;
    for (std::size_t i = 0; i < frame.rows * o_.outer; ++i, from += block, to += block) {
      if (o_.inner == 1) {
        Line(frame, from, to);
        continue;
      }
      for (std::size_t j = 0; j < o_.inner; ++j) Gather(frame, from + j, to + j);
    }
  }

 private:
  void Line(const Frame& frame, const float* from, float* to) const {
    frame.kernels->softmax(
        {.a = from, .a_step = 1, .b = nullptr, .b_step = 1, .out = to, .count = o_.count, .range = {}});
  }
  void Gather(const Frame& frame, const float* from, float* to) const {
    auto* line = frame.At<float>(o_.line);
    for (std::size_t k = 0; k < o_.count; ++k) line[k] = from[k * o_.inner];
    Line(frame, line, line);
    for (std::size_t k = 0; k < o_.count; ++k) to[k * o_.inner] = line[k];
  }

  Options o_;
};

class MatMulStep final : public Step {
 public:
  struct Options {
    StridedLoop loop;  ///< Of one row, over matrices: left, right, output.
    Operand left;
    Operand right;
    std::size_t m = 1;
    std::size_t k = 1;
    std::size_t n = 1;
    BufferId scratch = 0;
    BufferId output = 0;
    std::size_t output_row = 0;
  };
  explicit MatMulStep(Options options) : o_(std::move(options)) {}

  void Run(const Frame& frame) const override {
    const std::span<float> scratch(frame.At<float>(o_.scratch), kGemmScratch);
    for (std::size_t row = 0; row < frame.rows; ++row) {
      const float* left = o_.left.At(frame) + row * o_.left.row;
      const float* right = o_.right.At(frame) + row * o_.right.row;
      float* out = frame.At<float>(o_.output) + row * o_.output_row;
      const StridedLoop::Dimension& inner = o_.loop.dimensions.back();
      o_.loop.ForEach([&](const auto& at) {
        for (std::size_t i = 0; i < inner.count; ++i) {
          Multiply({.m = o_.m,
                    .n = o_.n,
                    .k = o_.k,
                    .a = {.data = left + at[0] + i * inner.strides[0], .stride = o_.k},
                    .b = {.data = right + at[1] + i * inner.strides[1], .stride = o_.n},
                    .c = out + at[2] + i * inner.strides[2],
                    .c_stride = o_.n},
                   scratch, *frame.kernels);
        }
      });
    }
  }

 private:
  Options o_;
};

/// Distances along the dimensions of `shape` behind the rows, for a value that is broadcast to it.
std::vector<std::size_t> BroadcastStrides(const graph::Shape& value, std::vector<std::size_t> strides, bool has_rows,
                                          std::size_t rank) {
  std::vector<std::size_t> all(rank - 1);
  // A parameter may have a dimension of 1 for the rows, or fewer dimensions than the rest.
  const std::size_t dimensions = std::min(value.size() - (has_rows ? 1 : 0), rank - 1);
  for (std::size_t i = 0; i < dimensions; ++i) {
    const bool is_spread = value[value.size() - 1 - i] == 1;
    all[rank - 2 - i] = is_spread ? 0 : strides[strides.size() - 1 - i];
  }
  return all;
}

std::vector<std::size_t> PlainStrides(const graph::Shape& shape) {
  std::vector<std::size_t> strides(shape.size());
  std::size_t stride = 1;
  for (std::size_t i = shape.size(); i-- > 0;) {
    strides[i] = stride;
    stride *= static_cast<std::size_t>(shape[i]);
  }
  return strides;
}

}  // namespace

Planner::OperandPlace Planner::OperandOf(graph::ValueId id, Layout layout, std::size_t rank) {
  const graph::Shape& shape = ShapeOf(id);
  OperandPlace place;
  if (graph::HasRows(shape)) {
    place.buffer = Find(id, layout);
    place.row = RowSizeOf(shape);
    place.strides = BroadcastStrides(shape, StridesOf(shape, layout), true, rank);
    return place;
  }
  const Constant parameter = ConstantOf(model_, id);
  place.in_place = parameter.floats();
  if (place.in_place == nullptr) {
    place.packed = AddFloats(parameter.count, [parameter](std::size_t i) { return parameter.At(i); });
  }
  place.strides = BroadcastStrides(shape, PlainStrides(shape), false, rank);
  return place;
}

void Planner::EmitElementwise(const Chain& chain) {
  const graph::Node& node = *chain.node;
  const graph::Shape& shape = ShapeOf(node.output);
  const auto is_last = [&](graph::ValueId id) {
    return graph::HasRows(ShapeOf(id)) && HasPlaces(id) && FindAny(id).second == Layout::kChannelsLast;
  };
  const bool last = std::ranges::any_of(node.inputs, is_last);
  const Layout layout = last ? Layout::kChannelsLast : Layout::kPlain;
  const OperandPlace left = OperandOf(node.inputs[0], layout, shape.size());
  const OperandPlace right = OperandOf(node.inputs[1], layout, shape.size());
  ElementwiseStep::Options options;
  options.op = node.op;
  options.range = chain.range;
  options.left = {.buffer = left.buffer, .in_place = left.in_place, .packed = left.packed, .row = left.row};
  options.right = {.buffer = right.buffer, .in_place = right.in_place, .packed = right.packed, .row = right.row};
  const std::vector<std::size_t> strides = StridesOf(shape, layout);
  for (const std::size_t d : MemoryOrder(shape, layout)) {
    options.loop.dimensions.push_back(
        {.count = static_cast<std::size_t>(shape[d + 1]), .strides = {left.strides[d], right.strides[d], strides[d]}});
  }
  options.loop.Merge();
  options.output = Place(chain.output, layout);
  options.output_row = RowSizeOf(shape);
  const BufferId output = options.output;
  AddStep(ElementwiseStep(std::move(options)), {output, left.buffer.value_or(output), right.buffer.value_or(output)});
}

void Planner::EmitUnary(const graph::Node& node, const Range& range) {
  const auto [input, layout] = FindAny(node.inputs[0]);
  UnaryStep::Options options;
  options.kernel = node.op == Operator::kSigmoid ? &Kernels::sigmoid
                   : node.op == Operator::kTanh  ? &Kernels::tanh
                                                 : &Kernels::clamp;
  options.range = range;
  options.row = RowSizeOf(ShapeOf(node.output));
  options.input = input;
  options.output = Place(node.output, layout);
  AddStep(UnaryStep(options), {options.input, options.output});
}

void Planner::EmitSoftmax(const graph::Node& node) {
  const graph::Shape& shape = ShapeOf(node.output);
  SoftmaxStep::Options options;
  for (std::size_t i = 1; i < shape.size(); ++i) {
    const auto axis = static_cast<std::size_t>(node.attributes.axis);
    std::size_t& part = i < axis ? options.outer : i == axis ? options.count : options.inner;
    part *= static_cast<std::size_t>(shape[i]);
  }
  options.input = Find(node.inputs[0], Layout::kPlain);
  options.line = plan().AddBuffer(options.inner > 1 ? options.count * sizeof(float) : 0);
  options.output = Place(node.output, Layout::kPlain);
  AddStep(SoftmaxStep(options), {options.input, options.line, options.output});
}

void Planner::EmitConcat(const graph::Node& node) {
  const graph::Shape& shape = ShapeOf(node.output);
  const auto axis = static_cast<std::size_t>(node.attributes.axis);
  const Layout layout = FindAny(node.inputs[0]).second;
  const BufferId output = Place(node.output, layout);
  const std::vector<std::size_t> to = StridesOf(shape, layout);
  std::size_t offset = 0;
  for (const graph::ValueId id : node.inputs) {
    const graph::Shape& part = ShapeOf(id);
    const std::vector<std::size_t> from = StridesOf(part, layout);
    StridedLoop loop;
    for (const std::size_t d : MemoryOrder(part, layout)) {
      loop.dimensions.push_back({.count = static_cast<std::size_t>(part[d + 1]), .strides = {from[d], to[d], 0}});
    }
    Copy(sizeof(float), std::move(loop), offset, {Find(id, layout), RowSizeOf(part)}, {output, RowSizeOf(shape)});
    offset += static_cast<std::size_t>(part[axis]) * to[axis - 1];
  }
}

void Planner::EmitReshape(const graph::Node& node) {
  const graph::ValueId input = node.inputs[0];
  const bool all_products = uses_[node.output] == consumers_[node.output].size() &&
                            std::ranges::all_of(consumers_[node.output], [&](std::size_t consumer) {
                              return model_.graph.nodes[consumer].op == Operator::kGemm;
                            });
  if (all_products && HasPlaces(input) && ShapeOf(node.output).size() == 2 &&
      FindAny(input).second == Layout::kChannelsLast) {
    flattened_[node.output] = input;
    return;
  }
  Alias(node.output, Layout::kPlain, Find(input, Layout::kPlain));
}

void Planner::EmitTranspose(const graph::Node& node) {
  const graph::Shape& shape = ShapeOf(node.output);
  const auto [input, layout] = FindAny(node.inputs[0]);
  const std::vector<std::size_t> from = StridesOf(ShapeOf(node.inputs[0]), layout);
  const std::vector<std::size_t> to = StridesOf(shape, Layout::kPlain);
  StridedLoop loop;
  for (std::size_t d = 0; d + 1 < shape.size(); ++d) {
    const std::size_t source = node.attributes.permutation[d + 1] - 1;
    loop.dimensions.push_back({.count = static_cast<std::size_t>(shape[d + 1]), .strides = {from[source], to[d], 0}});
  }
  const BufferId output = Place(node.output, Layout::kPlain);
  Copy(sizeof(float), std::move(loop), 0, {input, RowSizeOf(shape)}, {output, RowSizeOf(shape)});
}

void Planner::EmitMatMul(const graph::Node& node) {
  const graph::Shape& shape = ShapeOf(node.output);
  const std::size_t rank = shape.size();
  const graph::Shape& left_shape = ShapeOf(node.inputs[0]);
  const OperandPlace left = OperandOf(node.inputs[0], Layout::kPlain, rank);
  const OperandPlace right = OperandOf(node.inputs[1], Layout::kPlain, rank);
  const std::vector<std::size_t> strides = StridesOf(shape, Layout::kPlain);
  MatMulStep::Options options;
  options.left = {.buffer = left.buffer, .in_place = left.in_place, .packed = left.packed, .row = left.row};
  options.right = {.buffer = right.buffer, .in_place = right.in_place, .packed = right.packed, .row = right.row};
  for (std::size_t d = 0; d + 3 < rank; ++d) {
    options.loop.dimensions.push_back(
        {.count = static_cast<std::size_t>(shape[d + 1]), .strides = {left.strides[d], right.strides[d], strides[d]}});
  }
  options.loop.Merge();
  options.m = static_cast<std::size_t>(shape[rank - 2]);
  options.n = static_cast<std::size_t>(shape[rank - 1]);
  options.k = static_cast<std::size_t>(left_shape.back());
  options.scratch = plan().AddBuffer(kGemmScratch * sizeof(float));
  options.output = Place(node.output, Layout::kPlain);
  options.output_row = RowSizeOf(shape);
  const BufferId output = options.output;
  const BufferId scratch = options.scratch;
  AddStep(MatMulStep(std::move(options)),
          {output, scratch, left.buffer.value_or(output), right.buffer.value_or(output)});
}

}  // namespace tacit::inference
