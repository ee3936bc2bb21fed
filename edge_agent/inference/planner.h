#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "common/base/result.h"
#include "common/graph/graph.h"
#include "edge_agent/inference/constant.h"
#include "edge_agent/inference/conv_geometry.h"
#include "edge_agent/inference/kernels.h"
#include "edge_agent/inference/plan.h"
#include "edge_agent/inference/strided.h"

namespace tacit::inference {

/// A value over space, one row of it; one dimension of space is a width.
struct Image {
  std::size_t channels = 1;
  std::size_t height = 1;
  std::size_t width = 1;

  [[nodiscard]] std::size_t places() const { return height * width; }
  [[nodiscard]] std::size_t size() const { return channels * places(); }
};

/// Of a shape with channels and space behind the rows.
Image ImageOf(const graph::Shape& shape);
/// Numbers of one row.
std::size_t RowSizeOf(const graph::Shape& shape);

/// Of a convolution, its input and its output.
ConvGeometry GeometryOf(const graph::Node& node, const Image& in, const Image& out);
/// Where the numbers of an output channel's kernel are in [channels, height, width], in the order in which windows read
/// them: [height, width, channels].
std::vector<std::uint32_t> WindowOrder(const ConvGeometry& geometry);

/// A matrix among the packed weights: in floats, or in 8 bits where it has scales.
struct PackedMatrix {
  std::size_t offset = 0;
  std::optional<std::size_t> scales;
  std::size_t depth = 0;
  std::size_t columns = 0;
};

/// Floats that stay among the weights, or packed ones, or none.
struct BiasPlace {
  const float* in_place = nullptr;
  std::optional<std::size_t> packed;

  [[nodiscard]] const float* At(const Frame& frame) const;
};

/// What a layer does to its sums.
struct LayerEnd {
  BiasPlace bias;
  std::optional<BufferId> added;
  Range range;
  std::size_t columns = 0;  ///< Numbers from one place of the output to the next.
};

/// A matrix of signed bytes among the packed weights, with what its sums begin with.
struct IntegerMatrix {
  std::size_t offset = 0;
  std::size_t start = 0;
  std::size_t columns = 0;
};

/// What a layer in 8 bits does to its sums; two arrays among the packed weights.
struct IntegerEnd {
  graph::ValueId output = 0;
  bool is_bytes = false;
  std::size_t multipliers = 0;
  std::size_t offsets = 0;
  float minimum = 0;
  float maximum = 0;
};

/// Makes the plan of one model, node after node. What can be one step becomes one: a layer with what is added to its
/// output and with the clamping of that; a layer in 8 bits with the quantisation on both of its sides; flattening with
/// the product that follows. Values over space are kept channels last, in which all layers over space read vectors.
class Planner {
 public:
  Planner(const graph::GraphView& model, const Kernels& kernels);
  PlannedModel Make();

 private:
  /// A node and those behind it that are computed in the same step.
  struct Chain {
    const graph::Node* node = nullptr;
    graph::ValueId output = 0;
    std::optional<graph::ValueId> added;
    Range range = {};
    const graph::Node* quantize = nullptr;  ///< Of the output, where that is in 8 bits.
    std::size_t end = 0;                    ///< The last node.
  };
  enum class MayAdd : std::uint8_t { kNo, kYes };
  /// A value in 8 bits that is known by one scale for all.
  struct Quantized {
    graph::ValueId bytes = 0;
    float scale = 1;
    float zero = 0;  ///< Of unsigned bytes.
  };

  // planner.cc
  void CountUses();
  void AddInputs();
  void AddOutputs();
  [[nodiscard]] Chain ChainOf(std::size_t node) const;
  Chain Follow(std::size_t node, MayAdd may_add);
  void FollowQuantize(Chain& chain);
  bool Absorb(Chain& chain, const graph::Node& next, MayAdd may_add);
  void Emit(const Chain& chain);
  [[nodiscard]] const graph::Shape& ShapeOf(graph::ValueId id) const { return model_.graph.values[id].shape; }
  [[nodiscard]] const graph::Node* ProducerOf(graph::ValueId id) const;
  [[nodiscard]] bool IsOverSpace(graph::ValueId id) const;
  [[nodiscard]] bool HasPlaces(graph::ValueId id) const;
  /// A value that is computed already, in a layout; `any` where it does not matter.
  BufferId Find(graph::ValueId id, Layout layout);
  void Dequantized(graph::ValueId id);
  std::pair<BufferId, Layout> FindAny(graph::ValueId id);
  /// Memory for a value that is being computed.
  BufferId Place(graph::ValueId id, Layout layout);
  void Alias(graph::ValueId id, Layout layout, BufferId buffer);
  Layout LayoutFor(graph::ValueId id) const { return IsOverSpace(id) ? Layout::kChannelsLast : Layout::kPlain; }
  std::size_t AddFloats(std::size_t count, std::function<float(std::size_t)> number);
  template <typename S>
  void AddStep(S step, std::initializer_list<BufferId> buffers) {
    plan().AddStep(std::make_unique<S>(std::move(step)), buffers);
  }
  Plan& plan() { return planned_.plan; }
  struct Rows {
    BufferId buffer = 0;
    std::size_t size = 0;  ///< Numbers of one row.
  };
  /// A loop from one buffer (the first of its arrays) to another, which begins at `offset`.
  void Copy(std::size_t element_size, StridedLoop loop, std::size_t offset, Rows from, Rows to);

  // planner_layers.cc
  [[nodiscard]] bool IsDepthwise(const graph::Node& node) const;
  [[nodiscard]] Depthwise DepthwiseOf(const graph::Node& node) const;
  void EmitDepthwise(const Chain& chain);
  void EmitConv(const Chain& chain);
  void EmitGemm(const Chain& chain);
  void EmitPool(const graph::Node& node);
  /// Columns [first, first + columns) of the weights of a layer, their numbers in the order of `depth`.
  PackedMatrix PackMatrix(const Constant& weights, std::size_t first, std::size_t columns,
                          const std::vector<std::uint32_t>& depth);
  BiasPlace BiasOf(const graph::Node& node);
  LayerEnd EndOf(const Chain& chain, std::size_t columns);
  [[nodiscard]] bool IsWorthPadding(const graph::Node& node) const;
  BufferId PadInput(const graph::Node& node, ConvGeometry& geometry);
  BufferId FindFlattened(graph::ValueId id, std::vector<std::uint32_t>& order);

  // planner_integer.cc
  [[nodiscard]] std::optional<Quantized> QuantizedOf(graph::ValueId id) const;
  [[nodiscard]] bool IsInteger(const graph::Node& node) const;
  void EmitIntegerLayer(const Chain& chain);
  struct IntegerColumns {
    std::size_t first = 0;
    std::size_t count = 0;
    float zero = 0;
  };
  IntegerMatrix PackIntegers(const Constant& weights, const ConvGeometry& geometry, const IntegerColumns& columns);
  IntegerEnd IntegerEndOf(const Chain& chain, const Quantized& input, const Constant& weights);
  void EmitIntegerDepthwise(const graph::Node& node, const Quantized& input, const Constant& weights,
                            const IntegerEnd& end);
  void EmitQuantize(const graph::Node& node);
  void EmitDequantize(const graph::Node& node);
  /// Signed bytes of a value as unsigned ones, or back.
  BufferId Flip(BufferId from, graph::ValueId id);

  // planner_elements.cc
  /// One of two values of which a third is computed, with its distances along that one's dimensions behind the rows.
  struct OperandPlace {
    std::optional<BufferId> buffer;
    const float* in_place = nullptr;
    std::optional<std::size_t> packed;
    std::size_t row = 0;
    std::vector<std::size_t> strides;
  };
  OperandPlace OperandOf(graph::ValueId id, Layout layout, std::size_t rank);
  void EmitElementwise(const Chain& chain);
  void EmitUnary(const graph::Node& node, const Range& range);
  void EmitSoftmax(const graph::Node& node);
  void EmitConcat(const graph::Node& node);
  void EmitReshape(const graph::Node& node);
  void EmitTranspose(const graph::Node& node);
  void EmitMatMul(const graph::Node& node);

  const graph::GraphView& model_;
  const Kernels& kernels_;
  PlannedModel planned_;
  std::vector<std::size_t> uses_;                                 // of each value; an output of the model is one
  std::vector<std::vector<std::size_t>> consumers_;               // nodes, of each value
  std::vector<std::size_t> producers_;                            // nodes, of each value; SIZE_MAX for none
  std::vector<bool> absorbed_;                                    // nodes that are in a chain
  std::map<std::size_t, Chain> chains_;                           // by their last node
  std::map<std::pair<graph::ValueId, Layout>, BufferId> places_;  // of what is computed
  std::map<graph::ValueId, graph::ValueId> flattened_;            // what is kept as another value over space
};

}  // namespace tacit::inference
