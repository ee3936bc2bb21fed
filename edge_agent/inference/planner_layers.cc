#include <algorithm>
#include <cstring>
#include <utility>

#include "common/graph/shapes.h"
#include "edge_agent/inference/conv_geometry.h"
#include "edge_agent/inference/pack.h"
#include "edge_agent/inference/planner.h"

namespace tacit::inference {
namespace {

using graph::Operator;

/// Weights over this are kept in cache a panel at a time while all places pass, instead of all panels for each place.
constexpr std::size_t kCachedWeights = 512 * 1024;  // bytes

/// The part of a tile that does not change from one to the next.
Tile TileOf(const Frame& frame, const PackedMatrix& matrix, const LayerEnd& end) {
  Tile tile;
  tile.range = end.range;
  tile.bias = end.bias.At(frame);
  if (matrix.scales) tile.scales = frame.Packed<float>(*matrix.scales);
  return tile;
}

/// Points a tile at its columns of the matrix and of everything that has as many.
void SetColumns(Tile& tile, const Frame& frame, const PackedMatrix& matrix, const Tile& whole, std::size_t column) {
  const std::size_t from = column * matrix.depth;
  if (matrix.scales) {
    tile.panel8 = frame.Packed<std::int8_t>(matrix.offset) + from;
    tile.scales = whole.scales + column;
  } else {
    tile.panel = frame.Packed<float>(matrix.offset) + from;
  }
  tile.columns = std::min(frame.kernels->PanelColumns(), matrix.columns - column);
  if (whole.bias != nullptr) tile.bias = whole.bias + column;
  if (whole.add != nullptr) tile.add = whole.add + column;
  tile.out = whole.out + column;
}

class ConvStep final : public Step {
 public:
  struct Options {
    ConvGeometry geometry;
    std::vector<PackedMatrix> groups;
    LayerEnd end;
    std::size_t padding = 0;  ///< Packed zeros, as many as the depth.
    BufferId input = 0;
    BufferId pointers = 0;
    BufferId output = 0;
  };
  explicit ConvStep(Options options) : o_(std::move(options)) {}

  void Run(const Frame& frame) const override {
    for (std::size_t row = 0; row < frame.rows; ++row) {
      for (std::size_t group = 0; group < o_.groups.size(); ++group) RunGroup(frame, row, group);
    }
  }

 private:
  void RunGroup(const Frame& frame, std::size_t row, std::size_t group) const {
    const PackedMatrix& matrix = o_.groups[group];
    const std::size_t places = o_.geometry.places();
    const std::size_t from = row * places * o_.end.columns + group * matrix.columns;
    Tile whole = TileOf(frame, matrix, o_.end);
    if (whole.bias != nullptr) whole.bias += group * matrix.columns;
    if (o_.end.added) whole.add = frame.At<float>(*o_.end.added) + from;
    whole.out = frame.At<float>(o_.output) + from;
    const float* image = frame.At<float>(o_.input) + row * o_.geometry.row_size() + group * o_.geometry.depth;
    const std::size_t step = TileLength(places, frame.kernels->tile_rows);
    const std::size_t bytes = matrix.depth * matrix.columns * sizeof(float);
    const std::size_t panels = bytes > kCachedWeights ? frame.kernels->PanelColumns() : matrix.columns;
    for (std::size_t column = 0; column < matrix.columns; column += panels) {
      const std::size_t end = std::min(matrix.columns, column + panels);
      for (std::size_t first = 0; first < places; first += step) {
        RunTile(frame, whole, matrix, image, {first, std::min(step, places - first)}, {column, end});
      }
    }
  }

  struct Places {
    std::size_t first = 0;
    std::size_t count = 0;
  };
  struct Columns {
    std::size_t first = 0;
    std::size_t end = 0;
  };
  void RunTile(const Frame& frame, const Tile& whole, const PackedMatrix& matrix, const float* image, Places places,
               Columns columns) const {
    auto** rows = frame.At<const float*>(o_.pointers);
    o_.geometry.Point(image, frame.Packed<float>(o_.padding), places.first, places.count, rows);
    Tile tile = whole;
    tile.rows = rows;
    tile.taps = o_.geometry.taps();
    tile.depth = o_.geometry.depth;
    tile.row_count = places.count;
    tile.out_stride = o_.end.columns;
    tile.add_stride = o_.end.columns;
    for (std::size_t column = columns.first; column < columns.end; column += frame.kernels->PanelColumns()) {
      SetColumns(tile, frame, matrix, whole, column);
      const std::size_t skipped = places.first * o_.end.columns;
      tile.out += skipped;
      if (tile.add != nullptr) tile.add += skipped;
      frame.kernels->tile(tile);
    }
  }

  Options o_;
};

class GemmStep final : public Step {
 public:
  struct Options {
    PackedMatrix matrix;
    LayerEnd end;
    BufferId input = 0;
    BufferId output = 0;
  };
  explicit GemmStep(const Options& options) : o_(options) {}

  void Run(const Frame& frame) const override {
    Tile whole = TileOf(frame, o_.matrix, o_.end);
    if (o_.end.added) whole.add = frame.At<float>(*o_.end.added);
    whole.out = frame.At<float>(o_.output);
    whole.depth = o_.matrix.depth;
    whole.out_stride = o_.matrix.columns;
    whole.add_stride = o_.matrix.columns;
    if (frame.rows == 1) {
      const float* row = frame.At<float>(o_.input);
      whole.rows = &row;
      whole.row_count = 1;
      SetColumns(whole, frame, o_.matrix, Tile(whole), 0);
      whole.columns = o_.matrix.columns;
      frame.kernels->row(whole);
      return;
    }
    const std::size_t step = TileLength(frame.rows, frame.kernels->tile_rows);
    for (std::size_t column = 0; column < o_.matrix.columns; column += frame.kernels->PanelColumns()) {
      for (std::size_t row = 0; row < frame.rows; row += step) {
        RunTile(frame, whole, row, std::min(step, frame.rows - row), column);
      }
    }
  }

 private:
  void RunTile(const Frame& frame, const Tile& whole, std::size_t row, std::size_t count, std::size_t column) const {
    const float* rows[kTileRows];
    for (std::size_t i = 0; i < count; ++i) rows[i] = frame.At<float>(o_.input) + (row + i) * o_.matrix.depth;
    Tile tile = whole;
    tile.rows = rows;
    tile.row_count = count;
    SetColumns(tile, frame, o_.matrix, whole, column);
    tile.out += row * o_.matrix.columns;
    if (tile.add != nullptr) tile.add += row * o_.matrix.columns;
    frame.kernels->tile(tile);
  }

  Options o_;
};

class DepthwiseStep final : public Step {
 public:
  struct Options {
    Depthwise depthwise;
    LayerEnd end;
    std::size_t weights = 0;  ///< Packed.
    BufferId input = 0;
    BufferId output = 0;
  };
  explicit DepthwiseStep(const Options& options) : o_(options) {}

  void Run(const Frame& frame) const override {
    Depthwise d = o_.depthwise;
    d.weights = frame.Packed<float>(o_.weights);
    d.bias = o_.end.bias.At(frame);
    d.range = o_.end.range;
    d.input = frame.At<float>(o_.input);
    d.out = frame.At<float>(o_.output);
    for (std::size_t row = 0; row < frame.rows; ++row) {
      frame.kernels->depthwise(d);
      d.input += d.channels * d.height * d.width;
      d.out += d.channels * d.out_height * d.out_width;
    }
  }

 private:
  Options o_;
};

class PoolStep final : public Step {
 public:
  PoolStep(const Pool& pool, BufferId input, BufferId output) : pool_(pool), input_(input), output_(output) {}

  void Run(const Frame& frame) const override {
    Pool pool = pool_;
    pool.input = frame.At<float>(input_);
    pool.out = frame.At<float>(output_);
    for (std::size_t row = 0; row < frame.rows; ++row) {
      frame.kernels->pool(pool);
      pool.input += pool.channels * pool.height * pool.width;
      pool.out += pool.channels * pool.out_height * pool.out_width;
    }
  }

 private:
  Pool pool_;
  BufferId input_;
  BufferId output_;
};

/// A value over space with zeros round it, its channels side by side.
class PadStep final : public Step {
 public:
  struct Options {
    Image image;
    std::size_t strides[3] = {};  ///< Of the input: of a channel, a line, a place in it.
    std::size_t pads[2] = {};
    std::size_t width = 0;  ///< Of the output.
    std::size_t height = 0;
    BufferId input = 0;
    BufferId output = 0;
  };
  explicit PadStep(const Options& options) : o_(options) {}

  void Run(const Frame& frame) const override {
    const std::size_t size = o_.image.channels * o_.width * o_.height;
    for (std::size_t row = 0; row < frame.rows; ++row) {
      const float* from = frame.At<float>(o_.input) + row * o_.image.size();
      float* to = frame.At<float>(o_.output) + row * size;
      std::memset(to, 0, size * sizeof(float));
      to += (o_.pads[0] * o_.width + o_.pads[1]) * o_.image.channels;
      for (std::size_t y = 0; y < o_.image.height; ++y) CopyLine(from + y * o_.strides[1], to + y * Line());
    }
  }

 private:
  [[nodiscard]] std::size_t Line() const { return o_.width * o_.image.channels; }

  void CopyLine(const float* from, float* to) const {
    const std::size_t channels = o_.image.channels;
    for (std::size_t channel = 0; channel < channels; ++channel) {
      const float* at = from + channel * o_.strides[0];
      for (std::size_t x = 0; x < o_.image.width; ++x) to[x * channels + channel] = at[x * o_.strides[2]];
    }
  }

  Options o_;
};

}  // namespace

const float* BiasPlace::At(const Frame& frame) const {
  return packed ? frame.Packed<float>(*packed) : in_place;
}

ConvGeometry GeometryOf(const graph::Node& node, const Image& in, const Image& out) {
  ConvGeometry geometry;
  geometry.channels = in.channels;
  geometry.height = in.height;
  geometry.width = in.width;
  geometry.out_height = out.height;
  geometry.out_width = out.width;
  for (std::size_t i = 0; i < 2; ++i) {
    geometry.kernel[i] = node.attributes.kernel[i];
    geometry.strides[i] = node.attributes.strides[i];
    geometry.dilations[i] = node.attributes.dilations[i];
    geometry.pads[i] = node.attributes.pads[i];
  }
  geometry.depth = in.channels / node.attributes.groups;
  return geometry;
}

std::vector<std::uint32_t> WindowOrder(const ConvGeometry& geometry) {
  std::vector<std::uint32_t> order;
  const std::size_t taps = geometry.taps();
  order.reserve(taps * geometry.depth);
  for (std::size_t tap = 0; tap < taps; ++tap) {
    for (std::size_t c = 0; c < geometry.depth; ++c) order.push_back(static_cast<std::uint32_t>(c * taps + tap));
  }
  return order;
}

bool Planner::IsDepthwise(const graph::Node& node) const {
  return node.op == Operator::kConv && ShapeOf(node.inputs[1])[1] == 1 && node.attributes.groups > 1 &&
         ShapeOf(node.inputs[1])[0] == static_cast<std::int64_t>(node.attributes.groups);
}

BiasPlace Planner::BiasOf(const graph::Node& node) {
  if (node.inputs.size() < 3) return {};
  const Constant bias = ConstantOf(model_, node.inputs[2]);
  if (bias.floats() != nullptr) return {.in_place = bias.floats(), .packed = {}};
  return {.in_place = nullptr, .packed = AddFloats(bias.count, [bias](std::size_t i) { return bias.At(i); })};
}

PackedMatrix Planner::PackMatrix(const Constant& weights, std::size_t first, std::size_t columns,
                                 const std::vector<std::uint32_t>& depth) {
  PackedMatrix matrix{.offset = 0, .scales = {}, .depth = depth.size(), .columns = columns};
  const std::size_t packed = depth.size() * kernels_.PackedColumns(columns);
  const std::size_t stride = weights.first_dimension_inner;
  const auto order = [=](const std::vector<std::uint32_t>& offsets) {
    return WeightOrder{.first_column = first, .columns = columns, .column_stride = stride, .depth_offsets = offsets};
  };
  if (weights.IsSignedBytes()) {
    matrix.offset = plan().AddPacked(packed, [=, kernels = &kernels_](std::uint8_t* to) {
      PackSignedWeights(weights, order(depth), *kernels, reinterpret_cast<std::int8_t*>(to));
    });
    matrix.scales = AddFloats(columns, [=](std::size_t j) { return weights.ScaleAt((first + j) * stride); });
  } else {
    matrix.offset = plan().AddPacked(packed * sizeof(float), [=, kernels = &kernels_](std::uint8_t* to) {
      PackWeights(weights, order(depth), *kernels, reinterpret_cast<float*>(to));
    });
  }
  return matrix;
}

LayerEnd Planner::EndOf(const Chain& chain, std::size_t columns) {
  LayerEnd end{.bias = BiasOf(*chain.node), .added = {}, .range = chain.range, .columns = columns};
  if (chain.added) end.added = Find(*chain.added, LayoutFor(chain.output));
  return end;
}

// With few channels, the places of a line of the window are one longer row of numbers where padding stands in memory.
BufferId Planner::PadInput(const graph::Node& node, ConvGeometry& geometry) {
  const auto [input, layout] = FindAny(node.inputs[0]);
  const Image image = ImageOf(ShapeOf(node.inputs[0]));
  PadStep::Options pad;
  pad.image = image;
  const bool last = layout == Layout::kChannelsLast;
  pad.strides[0] = last ? 1 : image.places();
  pad.strides[1] = image.width * (last ? image.channels : 1);
  pad.strides[2] = last ? image.channels : 1;
  pad.pads[0] = node.attributes.pads[0];
  pad.pads[1] = node.attributes.pads[1];
  pad.height = image.height + pad.pads[0] + node.attributes.pads[2];
  pad.width = image.width + pad.pads[1] + node.attributes.pads[3];
  pad.input = input;
  pad.output = plan().AddBuffer(pad.height * pad.width * image.channels * sizeof(float));
  AddStep(PadStep(pad), {pad.input, pad.output});
  geometry.height = pad.height;
  geometry.width = pad.width;
  geometry.depth = geometry.kernel[1] * image.channels;
  geometry.kernel[1] = 1;
  geometry.pads[0] = geometry.pads[1] = 0;
  return pad.output;
}

// Padding that a graph asks for may be far larger than its values.
bool Planner::IsWorthPadding(const graph::Node& node) const {
  constexpr std::size_t kFewChannels = 8;
  constexpr std::size_t kLittle = 65536;  // numbers
  const Image image = ImageOf(ShapeOf(node.inputs[0]));
  const auto& attributes = node.attributes;
  const std::size_t height = image.height + attributes.pads[0] + attributes.pads[2];
  const std::size_t width = image.width + attributes.pads[1] + attributes.pads[3];
  return attributes.groups == 1 && attributes.dilations[1] == 1 && attributes.kernel[1] > 1 &&
         image.channels <= kFewChannels && image.channels * height * width <= 2 * image.size() + kLittle;
}

void Planner::EmitConv(const Chain& chain) {
  const graph::Node& node = *chain.node;
  const Image out = ImageOf(ShapeOf(node.output));
  ConvStep::Options options;
  options.geometry = GeometryOf(node, ImageOf(ShapeOf(node.inputs[0])), out);
  const std::vector<std::uint32_t> order = WindowOrder(options.geometry);
  const Constant weights = ConstantOf(model_, node.inputs[1]);
  const std::size_t columns = out.channels / node.attributes.groups;
  for (std::size_t group = 0; group < node.attributes.groups; ++group) {
    options.groups.push_back(PackMatrix(weights, group * columns, columns, order));
  }
  const bool pads = IsWorthPadding(node);
  options.input = pads ? PadInput(node, options.geometry) : Find(node.inputs[0], Layout::kChannelsLast);
  options.end = EndOf(chain, out.channels);
  options.padding = plan().AddPacked(options.geometry.depth * sizeof(float), [](std::uint8_t*) {});
  options.pointers = plan().AddBuffer(options.geometry.taps() * kTileRows * sizeof(const float*));
  options.output = Place(chain.output, Layout::kChannelsLast);
  const BufferId added = options.end.added.value_or(options.input);
  AddStep(ConvStep(options), {options.input, options.pointers, options.output, added});
}

void Planner::EmitDepthwise(const Chain& chain) {
  const graph::Node& node = *chain.node;
  DepthwiseStep::Options options;
  options.depthwise = DepthwiseOf(node);
  const Constant weights = ConstantOf(model_, node.inputs[1]);
  const std::size_t channels = options.depthwise.channels;
  const std::size_t taps = weights.first_dimension_inner;
  options.weights =
      AddFloats(weights.count, [=](std::size_t i) { return weights.At(i % channels * taps + i / channels); });
  options.end = EndOf(chain, channels);
  options.input = Find(node.inputs[0], Layout::kChannelsLast);
  options.output = Place(chain.output, Layout::kChannelsLast);
  AddStep(DepthwiseStep(options), {options.input, options.output});
}

Depthwise Planner::DepthwiseOf(const graph::Node& node) const {
  const ConvGeometry geometry = GeometryOf(node, ImageOf(ShapeOf(node.inputs[0])), ImageOf(ShapeOf(node.output)));
  Depthwise depthwise;
  depthwise.channels = geometry.channels;
  depthwise.height = geometry.height;
  depthwise.width = geometry.width;
  depthwise.out_height = geometry.out_height;
  depthwise.out_width = geometry.out_width;
  std::ranges::copy(geometry.kernel, depthwise.kernel);
  std::ranges::copy(geometry.strides, depthwise.strides);
  std::ranges::copy(geometry.dilations, depthwise.dilations);
  std::ranges::copy(geometry.pads, depthwise.pads);
  return depthwise;
}

// A value that was over space and is flattened for products alone stays as it lies; the weights are packed in its
// order.
BufferId Planner::FindFlattened(graph::ValueId id, std::vector<std::uint32_t>& order) {
  const auto kept = flattened_.find(id);
  if (kept == flattened_.end()) return Find(id, Layout::kPlain);
  const Image image = ImageOf(ShapeOf(kept->second));
  for (std::size_t k = 0; k < order.size(); ++k) {
    order[k] = static_cast<std::uint32_t>(k % image.channels * image.places() + k / image.channels);
  }
  return Find(kept->second, Layout::kChannelsLast);
}

void Planner::EmitGemm(const Chain& chain) {
  const graph::Node& node = *chain.node;
  const Constant weights = ConstantOf(model_, node.inputs[1]);
  const auto columns = static_cast<std::size_t>(ShapeOf(node.inputs[1])[0]);
  std::vector<std::uint32_t> order(weights.first_dimension_inner);
  for (std::size_t k = 0; k < order.size(); ++k) order[k] = static_cast<std::uint32_t>(k);
  GemmStep::Options options;
  options.input = FindFlattened(node.inputs[0], order);
  options.matrix = PackMatrix(weights, 0, columns, order);
  options.end = EndOf(chain, columns);
  options.output = Place(chain.output, Layout::kPlain);
  AddStep(GemmStep(options), {options.input, options.output, options.end.added.value_or(options.input)});
}

void Planner::EmitPool(const graph::Node& node) {
  const Image in = ImageOf(ShapeOf(node.inputs[0]));
  const Image out = ImageOf(ShapeOf(node.output));
  Pool pool;
  pool.averages = node.op != Operator::kMaxPool;
  pool.counts_padding = node.attributes.count_padding;
  pool.channels = in.channels;
  pool.height = in.height;
  pool.width = in.width;
  pool.out_height = out.height;
  pool.out_width = out.width;
  const bool global = node.op == Operator::kGlobalAveragePool;
  for (std::size_t i = 0; i < 2; ++i) {
    pool.kernel[i] = node.attributes.kernel[i];
    pool.strides[i] = node.attributes.strides[i];
    pool.pads_before[i] = node.attributes.pads[i];
    pool.pads_behind[i] = node.attributes.pads[i + 2];
  }
  if (global) {
    pool.kernel[0] = in.height;
    pool.kernel[1] = in.width;
  }
  const BufferId input = Find(node.inputs[0], Layout::kChannelsLast);
  const BufferId output = Place(node.output, Layout::kChannelsLast);
  AddStep(PoolStep(pool, input, output), {input, output});
}

}  // namespace tacit::inference
