#include <algorithm>
#include <limits>
#include <memory>
#include <numeric>
#include <utility>

#include "common/base/check.h"
#include "common/graph/shapes.h"
#include "edge_agent/inference/pack.h"
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

Requantize RequantizeOf(const Frame& frame, const IntegerEnd& end, std::size_t column) {
  return {.multipliers = frame.Packed<float>(end.multipliers) + column,
          .offsets = frame.Packed<float>(end.offsets) + column,
          .minimum = end.minimum,
          .maximum = end.maximum};
}

/// A convolution, or a product of matrices as one of a single place.
class IntegerStep final : public Step {
 public:
  struct Options {
    ConvGeometry geometry;
    std::vector<IntegerMatrix> groups;
    IntegerEnd end;
    std::size_t padding = 0;  ///< Packed zero points, as many as the depth.
    std::size_t columns = 0;  ///< Of all groups.
    BufferId input = 0;
    BufferId pointers = 0;
    BufferId output = 0;
  };
  explicit IntegerStep(Options options) : o_(std::move(options)) {}

  void Run(const Frame& frame) const override {
    const std::size_t places = o_.geometry.places();
    const std::size_t step = TileLength(places, frame.kernels->tile_rows);
    for (std::size_t row = 0; row < frame.rows; ++row) {
      for (std::size_t group = 0; group < o_.groups.size(); ++group) {
        for (std::size_t first = 0; first < places; first += step) {
          RunTile(frame, row, group, {first, std::min(step, places - first)});
        }
      }
    }
  }

 private:
  struct Places {
    std::size_t first = 0;
    std::size_t count = 0;
  };
  void RunTile(const Frame& frame, std::size_t row, std::size_t group, Places places) const {
    const IntegerMatrix& matrix = o_.groups[group];
    const auto* image = frame.At<std::uint8_t>(o_.input) + row * o_.geometry.row_size() + group * o_.geometry.depth;
    auto** rows = frame.At<const std::uint8_t*>(o_.pointers);
    o_.geometry.Point(image, frame.Packed<std::uint8_t>(o_.padding), places.first, places.count, rows);
    IntegerTile tile;
    tile.rows = rows;
    tile.taps = o_.geometry.taps();
    tile.depth = o_.geometry.depth;
    tile.row_count = places.count;
    tile.out_stride = o_.columns;
    const std::size_t to = (row * o_.geometry.places() + places.first) * o_.columns + group * matrix.columns;
    const std::size_t column_bytes = tile.taps * ((tile.depth + 3) / 4 * 4);
    for (std::size_t column = 0; column < matrix.columns; column += frame.kernels->PanelColumns()) {
      tile.panel = frame.Packed<std::int8_t>(matrix.offset) + column * column_bytes;
      tile.columns = std::min(frame.kernels->PanelColumns(), matrix.columns - column);
      tile.start = frame.Packed<std::int32_t>(matrix.start) + column;
      tile.to = RequantizeOf(frame, o_.end, group * matrix.columns + column);
      if (o_.end.is_bytes) {
        tile.out = frame.At<std::uint8_t>(o_.output) + to + column;
      } else {
        tile.out_floats = frame.At<float>(o_.output) + to + column;
      }
      frame.kernels->integer_tile(tile);
    }
  }

  Options o_;
};

class IntegerDepthwiseStep final : public Step {
 public:
  struct Options {
    Depthwise depthwise;
    IntegerEnd end;
    std::size_t weights = 0;  ///< Packed, whole numbers.
    BufferId input = 0;
    BufferId output = 0;
  };
  explicit IntegerDepthwiseStep(const Options& options) : o_(options) {}

  void Run(const Frame& frame) const override {
    Depthwise d = o_.depthwise;
    d.weights = frame.Packed<float>(o_.weights);
    d.to = RequantizeOf(frame, o_.end, 0);
    const std::size_t in_row = d.channels * d.height * d.width;
    const std::size_t out_row = d.channels * d.out_height * d.out_width;
    for (std::size_t row = 0; row < frame.rows; ++row) {
      d.input8 = frame.At<std::uint8_t>(o_.input) + row * in_row;
      if (o_.end.is_bytes) {
        d.out8 = frame.At<std::uint8_t>(o_.output) + row * out_row;
      } else {
        d.out = frame.At<float>(o_.output) + row * out_row;
      }
      frame.kernels->depthwise(d);
    }
  }

 private:
  Options o_;
};

ScalePlaces PlacesOf(const graph::Shape& shape, std::size_t axis, Layout layout) {
  std::size_t inner = 1;
  const std::vector<std::size_t> strides = StridesOf(shape, layout);
  inner = strides[axis - 1];
  return {.count = static_cast<std::size_t>(shape[axis]), .inner = inner};
}

}  // namespace

// Sums of fewer products than this fit 32 bits, and those of a depthwise kernel a float.
bool Planner::IsInteger(const graph::Node& node) const {
  constexpr std::size_t kMostProducts = 65536;
  constexpr std::size_t kMostDepthwiseProducts = 512;
  if (node.op != Operator::kConv && node.op != Operator::kGemm) return false;
  if (!QuantizedOf(node.inputs[0])) return false;
  const Constant weights = ConstantOf(model_, node.inputs[1]);
  return weights.IsSignedBytes() &&
         weights.first_dimension_inner < (IsDepthwise(node) ? kMostDepthwiseProducts : kMostProducts);
}

std::optional<Planner::Quantized> Planner::QuantizedOf(graph::ValueId id) const {
  const graph::Node* node = ProducerOf(id);
  if (node == nullptr || node->op != Operator::kDequantizeLinear || !graph::HasRows(ShapeOf(id))) return std::nullopt;
  const Constant zeros = ConstantOf(model_, node->inputs[2]);
  if (!ShapeOf(node->inputs[1]).empty() || zeros.element == graph::Element::kInt32) return std::nullopt;
  return Quantized{.bytes = node->inputs[0],
                   .scale = ConstantOf(model_, node->inputs[1]).At(0),
                   .zero = QuantizeStep::UnsignedZero(zeros, 0)};
}

// real = sum * input scale * weight scale + bias; in 8 bits, that by the output's scale and from its zero point on.
IntegerEnd Planner::IntegerEndOf(const Chain& chain, const Quantized& input, const Constant& weights) {
  float scale = 1;
  float zero = 0;
  IntegerEnd end;
  if (chain.quantize != nullptr) {
    scale = ConstantOf(model_, chain.quantize->inputs[1]).At(0);
    zero = QuantizeStep::UnsignedZero(ConstantOf(model_, chain.quantize->inputs[2]), 0);
    end.output = chain.quantize->output;
    end.minimum = std::clamp(chain.range.clamps ? chain.range.minimum / scale + zero : 0.0F, 0.0F, 255.0F);
    end.maximum = std::clamp(chain.range.clamps ? chain.range.maximum / scale + zero : 255.0F, 0.0F, 255.0F);
  } else {
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    end.output = chain.output;
    end.minimum = chain.range.clamps ? chain.range.minimum : -kInfinity;
    end.maximum = chain.range.clamps ? chain.range.maximum : kInfinity;
  }
  end.is_bytes = chain.quantize != nullptr;
  const std::size_t inner = weights.first_dimension_inner;
  const std::size_t columns = weights.count / inner;
  end.multipliers = AddFloats(columns, [=](std::size_t j) { return input.scale * weights.ScaleAt(j * inner) / scale; });
  if (chain.node->inputs.size() > 2) {
    const Constant bias = ConstantOf(model_, chain.node->inputs[2]);
    end.offsets = AddFloats(columns, [=](std::size_t j) { return bias.At(j) / scale + zero; });
  } else {
    end.offsets = AddFloats(columns, [=](std::size_t) { return zero; });
  }
  return end;
}

void Planner::EmitIntegerLayer(const Chain& chain) {
  const graph::Node& node = *chain.node;
  const std::optional<Quantized> quantized = QuantizedOf(node.inputs[0]);
  const Quantized& input = Present(quantized, "IsInteger has seen it");
  const Constant weights = ConstantOf(model_, node.inputs[1]);
  const IntegerEnd end = IntegerEndOf(chain, input, weights);
  if (IsDepthwise(node)) return EmitIntegerDepthwise(node, input, weights, end);
  IntegerStep::Options options;
  const bool is_conv = node.op == Operator::kConv;
  const std::size_t columns = weights.count / weights.first_dimension_inner / node.attributes.groups;
  if (is_conv) {
    options.geometry = GeometryOf(node, ImageOf(ShapeOf(node.inputs[0])), ImageOf(ShapeOf(node.output)));
  } else {
    options.geometry.channels = options.geometry.depth = weights.first_dimension_inner;
  }
  for (std::size_t group = 0; group < node.attributes.groups; ++group) {
    options.groups.push_back(PackIntegers(weights, options.geometry, {group * columns, columns, input.zero}));
  }
  const std::size_t padding = options.geometry.depth + 3;
  options.padding = plan().AddPacked(padding, [padding, zero = input.zero](std::uint8_t* to) {
    std::fill_n(to, padding, static_cast<std::uint8_t>(zero));
  });
  options.end = end;
  options.columns = columns * node.attributes.groups;
  options.input = Find(input.bytes, is_conv ? Layout::kChannelsLast : Layout::kPlain);
  options.pointers = plan().AddBuffer(options.geometry.taps() * kTileRows * sizeof(const std::uint8_t*));
  options.output = Place(end.output, is_conv ? Layout::kChannelsLast : Layout::kPlain);
  AddStep(IntegerStep(options), {options.input, options.pointers, options.output});
}

IntegerMatrix Planner::PackIntegers(const Constant& weights, const ConvGeometry& geometry,
                                    const IntegerColumns& columns) {
  const auto order = std::make_shared<const std::vector<std::uint32_t>>(WindowOrder(geometry));
  const std::size_t inner = weights.first_dimension_inner;
  IntegerMatrix matrix;
  matrix.columns = columns.count;
  matrix.offset = plan().AddPacked(
      IntegerPanelSize(geometry.taps(), geometry.depth, columns.count, kernels_),
      [=, depth = geometry.depth, kernels = &kernels_](std::uint8_t* to) {
        const WeightOrder packed{
            .first_column = columns.first, .columns = columns.count, .column_stride = inner, .depth_offsets = *order};
        PackIntegerPanels(weights, packed, depth, *kernels, reinterpret_cast<std::int8_t*>(to));
      });
  // What every input counts too much, because it counts from its zero point.
  matrix.start = plan().AddPacked(kernels_.PackedColumns(columns.count) * sizeof(std::int32_t), [=](std::uint8_t* to) {
    for (std::size_t j = 0; j < columns.count; ++j) {
      const auto* column = reinterpret_cast<const std::int8_t*>(weights.data) + (columns.first + j) * inner;
      const std::int32_t sum = std::accumulate(column, column + inner, std::int32_t{0});
      reinterpret_cast<std::int32_t*>(to)[j] = -sum * static_cast<std::int32_t>(columns.zero);
    }
  });
  return matrix;
}

void Planner::EmitIntegerDepthwise(const graph::Node& node, const Quantized& input, const Constant& weights,
                                   const IntegerEnd& end) {
  IntegerDepthwiseStep::Options options;
  options.depthwise = DepthwiseOf(node);
  options.depthwise.zero = input.zero;
  const std::size_t channels = options.depthwise.channels;
  const std::size_t taps = weights.first_dimension_inner;
  options.weights = AddFloats(weights.count, [=](std::size_t i) {
    return static_cast<float>(weights.IntegerAt(i % channels * taps + i / channels));
  });
  options.end = end;
  options.input = Find(input.bytes, Layout::kChannelsLast);
  options.output = Place(end.output, Layout::kChannelsLast);
  AddStep(IntegerDepthwiseStep(options), {options.input, options.output});
}

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
