#include "edge_agent/inference/planner.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <memory>

#include "common/base/check.h"
#include "common/graph/shapes.h"

namespace tacit::inference {
namespace {

using graph::Operator;

/// Moves numbers from one layout to another, or to their place in a larger value.
template <typename Number>
class CopyStep final : public Step {
 public:
  struct Options {
    StridedLoop loop;  ///< Of one row: from, to.
    std::size_t offset = 0;
    BufferId from = 0;
    BufferId to = 0;
    std::size_t from_row = 0;  ///< Numbers of a row.
    std::size_t to_row = 0;
  };
  explicit CopyStep(Options options) : o_(std::move(options)) {}

  void Run(const Frame& frame) const override {
    for (std::size_t row = 0; row < frame.rows; ++row) {
      const Number* from = frame.At<Number>(o_.from) + row * o_.from_row;
      Number* to = frame.At<Number>(o_.to) + row * o_.to_row + o_.offset;
      const StridedLoop::Dimension& inner = o_.loop.dimensions.back();
      o_.loop.ForEach([&](const std::array<std::size_t, StridedLoop::kArrays>& at) {
        if (inner.strides[0] == 1 && inner.strides[1] == 1) {
          std::memcpy(to + at[1], from + at[0], inner.count * sizeof(Number));
          return;
        }
        for (std::size_t i = 0; i < inner.count; ++i) {
          to[at[1] + i * inner.strides[1]] = from[at[0] + i * inner.strides[0]];
        }
      });
    }
  }

 private:
  Options o_;
};

Range RangeOf(const graph::Node& node) {
  if (node.op == Operator::kRelu) {
    return {.clamps = true, .minimum = 0, .maximum = std::numeric_limits<float>::infinity()};
  }
  return {.clamps = true, .minimum = node.attributes.minimum, .maximum = node.attributes.maximum};
}

bool IsClamp(const graph::Node& node) {
  return node.op == Operator::kRelu || node.op == Operator::kClip;
}

}  // namespace

Image ImageOf(const graph::Shape& shape) {
  const std::size_t rank = shape.size();
  return {.channels = static_cast<std::size_t>(shape[1]),
          .height = rank == 4 ? static_cast<std::size_t>(shape[2]) : 1,
          .width = static_cast<std::size_t>(shape[rank - 1])};
}

std::size_t RowSizeOf(const graph::Shape& shape) {
  std::size_t size = 1;
  for (const std::int64_t dimension : std::span(shape).subspan(1)) size *= static_cast<std::size_t>(dimension);
  return size;
}

Planner::Planner(const graph::GraphView& model, const Kernels& kernels)
    : model_(model), kernels_(kernels), absorbed_(model.graph.nodes.size()) {
  CountUses();
}

void Planner::CountUses() {
  const std::size_t values = model_.graph.values.size();
  uses_.assign(values, 0);
  consumers_.assign(values, {});
  producers_.assign(values, SIZE_MAX);
  for (std::size_t i = 0; i < model_.graph.nodes.size(); ++i) {
    for (const graph::ValueId id : model_.graph.nodes[i].inputs) {
      ++uses_[id];
      consumers_[id].push_back(i);
    }
    producers_[model_.graph.nodes[i].output] = i;
  }
  for (const graph::ValueId id : model_.graph.outputs) ++uses_[id];
}

const graph::Node* Planner::ProducerOf(graph::ValueId id) const {
  return producers_[id] == SIZE_MAX ? nullptr : &model_.graph.nodes[producers_[id]];
}

bool Planner::IsOverSpace(graph::ValueId id) const {
  const std::size_t rank = ShapeOf(id).size();
  return rank == 3 || rank == 4;
}

// Whether layouts differ: with one channel or one place they do not.
bool Planner::HasPlaces(graph::ValueId id) const {
  if (!IsOverSpace(id)) return false;
  const Image image = ImageOf(ShapeOf(id));
  return image.channels > 1 && image.places() > 1;
}

bool Planner::Absorb(Chain& chain, const graph::Node& next, MayAdd may_add) {
  if (IsClamp(next)) {
    chain.range = RangeOf(next);
    return true;
  }
  if (next.op != Operator::kAdd || may_add == MayAdd::kNo || chain.added) return false;
  const graph::ValueId other = next.inputs[next.inputs[0] == chain.output ? 1 : 0];
  if (other == chain.output || model_.graph.values[other].constant || !graph::HasRows(ShapeOf(other))) return false;
  if (ShapeOf(other) != ShapeOf(next.output) || ShapeOf(chain.output) != ShapeOf(next.output)) return false;
  chain.added = other;
  return true;
}

Planner::Chain Planner::ChainOf(std::size_t node) const {
  const graph::Node& first = model_.graph.nodes[node];
  return {.node = &first, .output = first.output, .added = {}, .range = {}, .quantize = nullptr, .end = node};
}

Planner::Chain Planner::Follow(std::size_t node, MayAdd may_add) {
  Chain chain = ChainOf(node);
  while (uses_[chain.output] == 1 && !consumers_[chain.output].empty() && !chain.range.clamps) {
    const std::size_t next = consumers_[chain.output].front();
    if (absorbed_[next] || !Absorb(chain, model_.graph.nodes[next], may_add)) break;
    absorbed_[next] = true;
    chain.end = next;
    chain.output = model_.graph.nodes[next].output;
  }
  return chain;
}

// A layer in 8 bits gives 8 bits where nothing else wants its floats.
void Planner::FollowQuantize(Chain& chain) {
  if (uses_[chain.output] != 1 || consumers_[chain.output].empty()) return;
  const std::size_t next = consumers_[chain.output].front();
  const graph::Node& node = model_.graph.nodes[next];
  if (node.op != Operator::kQuantizeLinear || !ShapeOf(node.inputs[1]).empty()) return;
  absorbed_[next] = true;
  chain.quantize = &node;
  chain.end = next;
}

void Planner::Emit(const Chain& chain) {
  const graph::Node& node = *chain.node;
  if (IsInteger(node)) return EmitIntegerLayer(chain);
  switch (node.op) {
    case Operator::kConv:
      IsDepthwise(node) ? EmitDepthwise(chain) : EmitConv(chain);
      break;
    case Operator::kGemm:
      EmitGemm(chain);
      break;
    case Operator::kMatMul:
      EmitMatMul(node);
      break;
    case Operator::kMaxPool:
    case Operator::kAveragePool:
    case Operator::kGlobalAveragePool:
      EmitPool(node);
      break;
    case Operator::kRelu:
    case Operator::kClip:
      EmitUnary(node, RangeOf(node));
      break;
    case Operator::kSigmoid:
    case Operator::kTanh:
      EmitUnary(node, {});
      break;
    case Operator::kSoftmax:
      EmitSoftmax(node);
      break;
    case Operator::kAdd:
    case Operator::kMul:
      EmitElementwise(chain);
      break;
    case Operator::kConcat:
      EmitConcat(node);
      break;
    case Operator::kReshape:
      EmitReshape(node);
      break;
    case Operator::kTranspose:
      EmitTranspose(node);
      break;
    case Operator::kQuantizeLinear:
      EmitQuantize(node);
      break;
    case Operator::kDequantizeLinear:
      break;  // by what wants its floats, if anything does
  }
}

BufferId Planner::Place(graph::ValueId id, Layout layout) {
  const graph::Value& value = model_.graph.values[id];
  const BufferId buffer = plan().AddBuffer(RowSizeOf(value.shape) * graph::SizeOf(value.element));
  Alias(id, layout, buffer);
  return buffer;
}

void Planner::Alias(graph::ValueId id, Layout layout, BufferId buffer) {
  places_[{id, layout}] = buffer;
  if (HasPlaces(id)) return;
  places_[{id, Layout::kPlain}] = buffer;
  places_[{id, Layout::kChannelsLast}] = buffer;
}

std::pair<BufferId, Layout> Planner::FindAny(graph::ValueId id) {
  Dequantized(id);
  const auto last = places_.find({id, Layout::kChannelsLast});
  if (last != places_.end() && IsOverSpace(id)) return {last->second, Layout::kChannelsLast};
  return {Find(id, Layout::kPlain), Layout::kPlain};
}

// Floats of a quantised value are computed when they are wanted for the first time.
void Planner::Dequantized(graph::ValueId id) {
  const graph::Node* producer = ProducerOf(id);
  if (producer == nullptr || producer->op != Operator::kDequantizeLinear) return;
  if (!places_.contains({id, Layout::kPlain}) && !places_.contains({id, Layout::kChannelsLast})) {
    EmitDequantize(*producer);
  }
}

BufferId Planner::Find(graph::ValueId id, Layout layout) {
  Dequantized(id);
  const auto found = places_.find({id, layout});
  if (found != places_.end()) return found->second;
  const Layout other = layout == Layout::kPlain ? Layout::kChannelsLast : Layout::kPlain;
  const auto elsewhere = places_.find({id, other});
  TACIT_CHECK(elsewhere != places_.end(), "nodes stand in an order in which each has its inputs");
  const graph::Shape& shape = ShapeOf(id);
  const BufferId from = elsewhere->second;
  const BufferId to = Place(id, layout);
  const auto from_strides = StridesOf(shape, other);
  const auto to_strides = StridesOf(shape, layout);
  StridedLoop loop;
  for (const std::size_t d : MemoryOrder(shape, layout)) {
    loop.dimensions.push_back(
        {.count = static_cast<std::size_t>(shape[d + 1]), .strides = {from_strides[d], to_strides[d], 0}});
  }
  Copy(graph::SizeOf(model_.graph.values[id].element), std::move(loop), 0, {from, RowSizeOf(shape)},
       {to, RowSizeOf(shape)});
  return to;
}

void Planner::Copy(std::size_t element_size, StridedLoop loop, std::size_t offset, Rows from, Rows to) {
  loop.Merge();
  if (element_size == 1) {
    AddStep(CopyStep<std::uint8_t>({std::move(loop), offset, from.buffer, to.buffer, from.size, to.size}),
            {from.buffer, to.buffer});
  } else {
    AddStep(CopyStep<float>({std::move(loop), offset, from.buffer, to.buffer, from.size, to.size}),
            {from.buffer, to.buffer});
  }
}

std::size_t Planner::AddFloats(std::size_t count, std::function<float(std::size_t)> number) {
  return plan().AddPacked(count * sizeof(float), [count, number = std::move(number)](std::uint8_t* packed) {
    auto* floats = reinterpret_cast<float*>(packed);
    for (std::size_t i = 0; i < count; ++i) floats[i] = number(i);
  });
}

void Planner::AddInputs() {
  for (const graph::ValueId id : model_.graph.inputs) {
    const BufferId buffer = Place(id, Layout::kPlain);
    plan().KeepFromBegin(buffer);
    planned_.inputs.push_back(buffer);
    if (model_.graph.values[id].element == graph::Element::kInt8) Alias(id, Layout::kPlain, Flip(buffer, id));
  }
}

void Planner::AddOutputs() {
  for (const graph::ValueId id : model_.graph.outputs) {
    BufferId buffer = Find(id, Layout::kPlain);
    if (model_.graph.values[id].element == graph::Element::kInt8) buffer = Flip(buffer, id);
    plan().KeepToEnd(buffer);
    planned_.outputs.push_back(buffer);
  }
}

PlannedModel Planner::Make() {
  AddInputs();
  for (std::size_t i = 0; i < model_.graph.nodes.size(); ++i) {
    const graph::Node& node = model_.graph.nodes[i];
    if (!absorbed_[i] && graph::HasRows(ShapeOf(node.output))) {
      const bool is_layer = node.op == Operator::kGemm || (node.op == Operator::kConv && !IsDepthwise(node));
      const bool is_integer = IsInteger(node);
      Chain chain = ChainOf(i);
      if (is_layer || node.op == Operator::kConv || node.op == Operator::kAdd || node.op == Operator::kMul) {
        chain = Follow(i, is_layer && !is_integer ? MayAdd::kYes : MayAdd::kNo);
      }
      if (is_integer) FollowQuantize(chain);
      chains_.insert_or_assign(chain.end, chain);
    }
    const auto chain = chains_.find(i);
    if (chain != chains_.end()) Emit(chain->second);
  }
  AddOutputs();
  plan().Arrange();
  return std::move(planned_);
}

PlannedModel MakePlan(const graph::GraphView& model, const Kernels& kernels) {
  return Planner(model, kernels).Make();
}

}  // namespace tacit::inference
