#include <algorithm>
#include <cmath>
#include <utility>

#include "common/base/check.h"
#include "common/graph/shapes.h"
#include "edge_agent/inference/planner.h"

namespace tacit::inference {
namespace {

using graph::Operator;

/// Signed bytes are kept as unsigned ones, so many above.
constexpr std::int32_t kSignedOffset = 128;

/// Which numbers of a row share a scale: place i of `count` has `inner` numbers on end, over and over.
struct ScalePlaces {
  std::size_t count = 1;
  std::size_t inner = 1;
};

class QuantizeStep final : public Step {
 public:
  struct Options {
    Constant scales;
    Constant zeros;
    ScalePlaces places;
    std::size_t row = 0;
    BufferId input = 0;
    BufferId output = 0;
  };
  explicit QuantizeStep(const Options& options) : o_(options) {}

  void Run(const Frame& frame) const override {
    const float* from = frame.At<float>(o_.input);
    auto* to = frame.At<std::uint8_t>(o_.output);
    const std::size_t all = o_.row * frame.rows;
    const std::size_t run = o_.places.count == 1 ? all : o_.places.inner;
    for (std::size_t at = 0; at < all; at += run) {
      const std::size_t place = at / run % o_.places.count;
      frame.kernels->quantize({.floats = from + at,
                               .bytes = to + at,
                               .count = run,
                               .scale = o_.scales.floats()[place],
                               .zero = UnsignedZero(o_.zeros, place)});
    }
  }

  static float UnsignedZero(const Constant& zeros, std::size_t place) {
    if (zeros.element == graph::Element::kInt8) {
      return static_cast<float>(static_cast<std::int8_t>(zeros.data[place]) + kSignedOffset);
    }
    return zeros.data[place];
  }

 private:
  Options o_;
};

class DequantizeStep final : public Step {
 public:
  using Options = QuantizeStep::Options;
  explicit DequantizeStep(const Options& options) : o_(options) {}

  void Run(const Frame& frame) const override {
    auto* to = frame.At<float>(o_.output);
    const std::size_t all = o_.row * frame.rows;
    const std::size_t run = o_.places.count == 1 ? all : o_.places.inner;
    for (std::size_t at = 0; at < all; at += run) {
      const std::size_t place = at / run % o_.places.count;
      const float scale = o_.scales.floats()[place];
      if (o_.zeros.element == graph::Element::kInt32) {
        const auto* from = frame.At<std::int32_t>(o_.input) + at;
        for (std::size_t i = 0; i < run; ++i) to[at + i] = static_cast<float>(from[i]) * scale;
      } else {
        const float zero = QuantizeStep::UnsignedZero(o_.zeros, place);
        const auto* from = frame.At<std::uint8_t>(o_.input) + at;
        for (std::size_t i = 0; i < run; ++i) to[at + i] = (static_cast<float>(from[i]) - zero) * scale;
      }
    }
  }

 private:
  Options o_;
};

class FlipStep final : public Step {
 public:
  FlipStep(std::size_t row, BufferId input, BufferId output) : row_(row), input_(input), output_(output) {}

  void Run(const Frame& frame) const override {
    const auto* from = frame.At<std::uint8_t>(input_);
    auto* to = frame.At<std::uint8_t>(output_);
    for (std::size_t i = 0; i < row_ * frame.rows; ++i) to[i] = static_cast<std::uint8_t>(from[i] ^ 0x80U);
  }

 private:
  std::size_t row_;
  BufferId input_;
  BufferId output_;
};

ScalePlaces PlacesOf(const graph::Shape& shape, std::size_t axis, Layout layout) {
  std::size_t inner = 1;
  const std::vector<std::size_t> strides = StridesOf(shape, layout);
  inner = strides[axis - 1];
  return {.count = static_cast<std::size_t>(shape[axis]), .inner = inner};
}

}  // namespace

bool Planner::IsInteger(const graph::Node& /*node*/) const {
  return false;
}
void Planner::EmitIntegerLayer(const Chain& /*chain*/) {}

BufferId Planner::Flip(BufferId from, graph::ValueId id) {
  const std::size_t row = RowSizeOf(ShapeOf(id));
  const BufferId to = plan().AddBuffer(row);
  AddStep(FlipStep(row, from, to), {from, to});
  return to;
}

void Planner::EmitQuantize(const graph::Node& node) {
  const auto [input, layout] = FindAny(node.inputs[0]);
  QuantizeStep::Options options;
  options.scales = ConstantOf(model_, node.inputs[1]);
  options.zeros = ConstantOf(model_, node.inputs[2]);
  if (options.scales.count > 1) {
    options.places = PlacesOf(ShapeOf(node.output), static_cast<std::size_t>(node.attributes.axis), layout);
  }
  options.row = RowSizeOf(ShapeOf(node.output));
  options.input = input;
  options.output = Place(node.output, layout);
  AddStep(QuantizeStep(options), {options.input, options.output});
}

void Planner::EmitDequantize(const graph::Node& node) {
  const auto [input, layout] = FindAny(node.inputs[0]);
  DequantizeStep::Options options;
  options.scales = ConstantOf(model_, node.inputs[1]);
  options.zeros = ConstantOf(model_, node.inputs[2]);
  if (options.scales.count > 1) {
    options.places = PlacesOf(ShapeOf(node.output), static_cast<std::size_t>(node.attributes.axis), layout);
  }
  options.row = RowSizeOf(ShapeOf(node.output));
  options.input = input;
  options.output = Place(node.output, layout);
  AddStep(DequantizeStep(options), {options.input, options.output});
}

}  // namespace tacit::inference
