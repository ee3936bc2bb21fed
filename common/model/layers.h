#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"

namespace tacit::model {

/// One named part of the flat parameter vector: `shape` in row-major order, from element `offset` on.
struct Tensor {
  std::string name;
  std::vector<std::size_t> shape;
  std::size_t offset = 0;

  [[nodiscard]] std::size_t size() const;
};

enum class LayerKind : std::uint8_t {
  kDense,
  kConv,
  kMaxPool,
  kAveragePool,
  kGlobalAveragePool,
  kRelu,
  kRelu6,
  kTanh,
  kSigmoid,
  kFlatten,
};

/// Whether it moves a window that has no weights.
constexpr bool IsPool(LayerKind kind) {
  return kind == LayerKind::kMaxPool || kind == LayerKind::kAveragePool;
}

/// As it is written: "dense", "max-pool".
[[nodiscard]] std::string_view NameOf(LayerKind kind);

/// Along height and width. A signal has no height: there the first stays what it is below.
using Extent = std::array<std::uint32_t, 2>;

/// What one layer computes; a field that its kind does not use stays what it is here.
struct Layer {
  LayerKind kind = LayerKind::kRelu;
  std::uint32_t outputs = 0;  ///< Numbers of a dense layer, channels of a convolution.
  Extent kernel = {1, 1};
  Extent stride = {1, 1};
  Extent pad = {0, 0};       ///< On both sides: zeros for a convolution, and what no pool counts.
  std::uint32_t groups = 1;  ///< Of a convolution's channels.
  bool operator==(const Layer&) const = default;
};

/// What one row costs on its way through the layers.
struct RowCost {
  std::uint64_t numbers = 0;  ///< That training keeps, of all layers' outputs together.
  std::uint64_t columns = 0;  ///< Most numbers that one convolution lays out beside them.
  std::uint64_t work = 0;     ///< Multiplications by weights, additions of biases, and numbers that pools look at.
};

/// Layers one behind the other, over rows of one shape: each is checked against what comes out of the one before, so
/// whoever holds a stack can rely on its shapes and its limits. Threads: any.
class LayerStack {
 public:
  static constexpr std::uint32_t kMaxWidth = 1U << 20U;  ///< Of a dense layer, of channels, and numbers of an input.
  static constexpr std::uint32_t kMaxWindow = 1024;      ///< Kernel, stride and pad.
  static constexpr std::uint32_t kMaxGroups = 1U << 16U;
  static constexpr std::size_t kMaxLayers = 32;
  static constexpr std::uint64_t kMaxParameters = std::uint64_t{1} << 28U;
  static constexpr std::uint64_t kMaxRowNumbers = std::uint64_t{1} << 26U;  ///< And columns.
  static constexpr std::uint64_t kMaxRowWork = std::uint64_t{1} << 32U;

  /// Shape: a row is flat [numbers], a signal [channels, length] or an image [channels, height, width].
  /// Errors: kInvalidArgument for another number of dimensions, or for sizes over the limits.
  static Result<LayerStack> Create(std::vector<std::uint32_t> input);

  /// Errors: kInvalidArgument, with the layer's number from 1 and what is wrong with it; the stack stays as it was.
  Result<void> Add(const Layer& layer);
  /// The same of a layer as a task's file names it: "dense 10", "conv 16 3x3 stride 2 pad 1 groups 4", "conv 16 5" over
  /// a signal, "max-pool 2", "average-pool 3x2 stride 1", "global-average-pool", "relu", "relu6", "tanh", "sigmoid",
  /// "flatten". One number stands for two that are the same; a pool's stride is its window where none is given.
  Result<void> Add(std::string_view text);

  [[nodiscard]] const std::vector<std::uint32_t>& input() const { return input_; }
  [[nodiscard]] const std::vector<Layer>& layers() const { return layers_; }
  /// What comes out of the last layer, in the same dimensions as an input.
  [[nodiscard]] const std::vector<std::uint32_t>& output() const { return output_; }
  [[nodiscard]] std::uint64_t parameter_count() const { return parameter_count_; }
  [[nodiscard]] const RowCost& cost() const { return cost_; }

  /// Of each layer that has parameters weight, then bias: `layer0.weight`, `layer0.bias`, `layer1.weight`, ... in the
  /// order of the flat vector. Shape: of a dense weight [out, in], of a convolution's [out, in / groups, kernel...].
  [[nodiscard]] std::vector<Tensor> Tensors() const;
  /// As Add reads it, in its shortest form. Shape: `index` of a layer.
  [[nodiscard]] std::string TextOf(std::size_t index) const;

  bool operator==(const LayerStack& other) const { return input_ == other.input_ && layers_ == other.layers_; }

 private:
  explicit LayerStack(std::vector<std::uint32_t> input);
  Result<void> Append(const Layer& layer);
  [[nodiscard]] std::vector<std::uint64_t> WeightOf(const Layer& layer) const;
  [[nodiscard]] bool IsComputedInPlace(const Layer& layer) const;

  std::vector<std::uint32_t> input_;
  std::vector<std::uint32_t> output_;
  std::vector<Layer> layers_;
  std::vector<std::vector<std::uint64_t>> weights_;  // shapes, of layers that have some
  std::uint64_t parameter_count_ = 0;
  RowCost cost_;
};

/// "16x5x5" for three dimensions.
[[nodiscard]] std::string TextOf(const std::vector<std::uint32_t>& shape);

}  // namespace tacit::model
