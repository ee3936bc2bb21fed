#include "common/model/layers.h"

#include <algorithm>
#include <span>
#include <utility>

#include "common/base/check.h"
#include "common/model/layer_text.h"

namespace tacit::model {
namespace {

std::unexpected<Error> RefuseLayer(std::string what) {
  return Fail(ErrorCode::kInvalidArgument, std::move(what));
}

std::uint64_t Product(std::span<const std::uint32_t> shape) {
  std::uint64_t product = 1;
  for (const std::uint32_t extent : shape) product *= extent;
  return product;
}

std::uint64_t Product(std::span<const std::uint64_t> shape) {
  std::uint64_t product = 1;
  for (const std::uint64_t extent : shape) product *= extent;
  return product;
}

bool HasWeights(LayerKind kind) {
  return kind == LayerKind::kDense || kind == LayerKind::kConv;
}

Result<void> CheckNumber(std::string_view name, std::uint64_t value, std::uint32_t least, std::uint32_t most) {
  if (value >= least && value <= most) return {};
  return RefuseLayer(std::string(name) + " must be " + std::to_string(least) + " to " + std::to_string(most) +
                     ", found " + std::to_string(value));
}

Result<void> CheckWindows(const Layer& layer) {
  for (const std::uint32_t extent : layer.kernel)
    TACIT_TRY_VOID(CheckNumber("a window", extent, 1, LayerStack::kMaxWindow));
  for (const std::uint32_t extent : layer.stride)
    TACIT_TRY_VOID(CheckNumber("a stride", extent, 1, LayerStack::kMaxWindow));
  for (const std::uint32_t extent : layer.pad) TACIT_TRY_VOID(CheckNumber("a pad", extent, 0, LayerStack::kMaxWindow));
  if (HasWeights(layer.kind))
    TACIT_TRY_VOID(CheckNumber(layer.kind == LayerKind::kDense ? "its width" : "its channels", layer.outputs, 1,
                               LayerStack::kMaxWidth));
  return CheckNumber("groups", layer.groups, 1, LayerStack::kMaxGroups);
}

using Shape = std::vector<std::uint32_t>;
// Places and channels before it is known that they are few.
using WideShape = std::vector<std::uint64_t>;

std::string WhatComes(const Shape& input) {
  if (input.size() == 1) return "what comes is a flat row of " + std::to_string(input.front()) + " numbers";
  return "what comes is " + TextOf(input);
}

// Of windows over space: how many places each dimension has behind it.
Result<WideShape> MoveWindow(const Layer& layer, const Shape& input, std::uint64_t channels) {
  const std::size_t space = input.size() - 1;
  WideShape output = {channels};
  for (std::size_t i = 0; i < space; ++i) {
    const std::size_t along = i + 2 - space;
    const std::uint64_t room = std::uint64_t{input[i + 1]} + 2 * std::uint64_t{layer.pad[along]};
    if (layer.kernel[along] > room) {
      return RefuseLayer("a window of " + std::to_string(layer.kernel[along]) + " does not fit into " +
                         std::to_string(input[i + 1]) + " places with a pad of " + std::to_string(layer.pad[along]));
    }
    // Otherwise a window could be over nothing that counts.
    if (IsPool(layer.kind) && layer.pad[along] >= layer.kernel[along])
      return RefuseLayer("a pool's pad must be smaller than its window");
    output.push_back((room - layer.kernel[along]) / layer.stride[along] + 1);
  }
  return output;
}

Result<WideShape> OutputOf(const Layer& layer, const Shape& input) {
  const bool has_space = input.size() > 1;
  switch (layer.kind) {
    case LayerKind::kDense:
      if (has_space) return RefuseLayer("takes a flat row, " + WhatComes(input) + "; put \"flatten\" before it");
      return WideShape{layer.outputs};
    case LayerKind::kRelu:
    case LayerKind::kRelu6:
    case LayerKind::kTanh:
    case LayerKind::kSigmoid:
      return WideShape{input.begin(), input.end()};
    case LayerKind::kFlatten:
      if (!has_space) return RefuseLayer("has nothing to do, " + WhatComes(input));
      return WideShape{Product(input)};
    case LayerKind::kConv:
    case LayerKind::kMaxPool:
    case LayerKind::kAveragePool:
    case LayerKind::kGlobalAveragePool:
      break;
  }
  if (!has_space) return RefuseLayer("takes an image or a signal, " + WhatComes(input));
  if (layer.kind == LayerKind::kGlobalAveragePool) {
    WideShape output(input.size(), 1);
    output.front() = input.front();
    return output;
  }
  if (layer.kind != LayerKind::kConv) return MoveWindow(layer, input, input.front());
  if (input.front() % layer.groups != 0 || layer.outputs % layer.groups != 0) {
    return RefuseLayer("groups must divide the channels, of which " + std::to_string(input.front()) + " come and " +
                       std::to_string(layer.outputs) + " go");
  }
  return MoveWindow(layer, input, layer.outputs);
}

Result<void> CheckLimit(std::string_view what, std::uint64_t found, std::uint64_t most) {
  if (found <= most) return {};
  return RefuseLayer("the model has at most " + std::to_string(most) + " " + std::string(what) +
                     ", with this layer it would have " + std::to_string(found));
}

}  // namespace

std::size_t Tensor::size() const {
  std::size_t product = 1;
  for (const std::size_t extent : shape) product *= extent;
  return product;
}

std::string TextOf(const std::vector<std::uint32_t>& shape) {
  std::string text;
  for (const std::uint32_t extent : shape) text += (text.empty() ? "" : "x") + std::to_string(extent);
  return text;
}

LayerStack::LayerStack(std::vector<std::uint32_t> input) : input_(std::move(input)), output_(input_) {}

Result<LayerStack> LayerStack::Create(std::vector<std::uint32_t> input) {
  if (input.empty() || input.size() > 3) {
    return RefuseLayer(
        "an input is [numbers], a signal [channels, length] or an image [channels, height, width], not " +
        std::to_string(input.size()) + " dimensions");
  }
  // Each is checked first, so that the product cannot overflow.
  for (const std::uint32_t extent : input) TACIT_TRY_VOID(CheckNumber("a dimension", extent, 1, kMaxWidth));
  TACIT_TRY_VOID(CheckNumber("all numbers of an input together", Product(input), 1, kMaxWidth));
  return LayerStack(std::move(input));
}

// Shape: of a layer that fits. Empty without one.
std::vector<std::uint64_t> LayerStack::WeightOf(const Layer& layer) const {
  if (layer.kind == LayerKind::kDense) return {layer.outputs, output_.front()};
  if (layer.kind != LayerKind::kConv) return {};
  WideShape weight = {layer.outputs, output_.front() / layer.groups};
  for (std::size_t i = 3 - output_.size(); i < 2; ++i) weight.push_back(layer.kernel[i]);
  return weight;
}

// Training needs no memory for its output: it stands where its input does, unless others look there again.
bool LayerStack::IsComputedInPlace(const Layer& layer) const {
  if (layer.kind == LayerKind::kFlatten) return true;
  if (HasWeights(layer.kind) || IsPool(layer.kind) || layer.kind == LayerKind::kGlobalAveragePool) return false;
  return !layers_.empty() && HasWeights(layers_.back().kind);
}

Result<void> LayerStack::Append(const Layer& layer) {
  TACIT_TRY_VOID(CheckLimit("layers", layers_.size() + 1, kMaxLayers));
  TACIT_TRY_VOID(CheckWindows(layer));
  TACIT_TRY(const WideShape output, OutputOf(layer, output_));
  const WideShape weight = WeightOf(layer);
  const std::uint64_t outputs = Product(output);
  const std::uint64_t weights = weight.empty() ? 0 : Product(weight);
  const std::uint64_t parameters = parameter_count_ + weights + (weight.empty() ? 0 : layer.outputs);
  TACIT_TRY_VOID(CheckLimit("parameters", parameters, kMaxParameters));
  TACIT_TRY_VOID(CheckLimit("numbers a row", outputs, kMaxRowNumbers));
  RowCost cost = cost_;
  if (!IsComputedInPlace(layer)) cost.numbers += outputs;
  TACIT_TRY_VOID(CheckLimit("numbers a row", cost.numbers, kMaxRowNumbers));
  if (!weight.empty()) {
    const std::uint64_t depth = weights / layer.outputs;
    cost.work += outputs * (depth + 1);
    if (layer.kind == LayerKind::kConv) cost.columns = std::max(cost.columns, depth * (outputs / layer.outputs));
  }
  if (IsPool(layer.kind)) cost.work += outputs * layer.kernel[0] * layer.kernel[1];
  TACIT_TRY_VOID(CheckLimit("numbers in a convolution's columns", cost.columns, kMaxRowNumbers));
  TACIT_TRY_VOID(CheckLimit("multiplications and comparisons a row", cost.work, kMaxRowWork));
  if (!weight.empty()) weights_.push_back(weight);
  layers_.push_back(layer);
  output_.clear();
  for (const std::uint64_t extent : output) output_.push_back(static_cast<std::uint32_t>(extent));
  parameter_count_ = parameters;
  cost_ = cost;
  return {};
}

Result<void> LayerStack::Add(const Layer& layer) {
  auto added = Append(layer);
  if (added) return {};
  return RefuseLayer("layer " + std::to_string(layers_.size() + 1) + " \"" + WriteLayer(layer, output_.size() == 2) +
                     "\": " + added.error().message);
}

Result<void> LayerStack::Add(std::string_view text) {
  const auto layer = ReadLayer(text, output_.size() == 2);
  if (layer) return Add(*layer);
  return RefuseLayer("layer " + std::to_string(layers_.size() + 1) + ": " + layer.error().message);
}

std::vector<Tensor> LayerStack::Tensors() const {
  std::vector<Tensor> tensors;
  std::size_t offset = 0;
  for (std::size_t i = 0; i < weights_.size(); ++i) {
    const std::string name = "layer" + std::to_string(i);
    const WideShape& weight = weights_[i];
    tensors.push_back({.name = name + ".weight", .shape = {weight.begin(), weight.end()}, .offset = offset});
    offset += tensors.back().size();
    tensors.push_back({.name = name + ".bias", .shape = {weight.front()}, .offset = offset});
    offset += tensors.back().size();
  }
  return tensors;
}

std::string LayerStack::TextOf(std::size_t index) const {
  TACIT_CHECK(index < layers_.size(), "only layers that are there have a text");
  // No layer changes whether rows are of a signal but a flatten, behind which nothing is written in two numbers.
  return WriteLayer(layers_[index], input_.size() == 2);
}

}  // namespace tacit::model
