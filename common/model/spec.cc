#include "common/model/spec.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <utility>

#include "common/base/check.h"
#include "common/base/random.h"
#include "common/base/text.h"

namespace tacit::model {
namespace {

constexpr std::string_view kDensePrefix = "tacit-mlp/1:";
constexpr std::string_view kLayersPrefix = "tacit-layers/1:";

std::vector<std::uint32_t> WidthsOf(const ModelShape& shape) {
  std::vector<std::uint32_t> widths = {shape.inputs};
  widths.insert(widths.end(), shape.hidden.begin(), shape.hidden.end());
  widths.push_back(shape.classes);
  return widths;
}

Result<void> CheckWidth(std::uint32_t width, const std::string& name) {
  if (width >= 1 && width <= ModelSpec::kMaxWidth) return {};
  return Fail(ErrorCode::kInvalidArgument, "model: " + name + " must be 1 to " + std::to_string(ModelSpec::kMaxWidth) +
                                               ", found " + std::to_string(width));
}

Result<void> CheckWidths(const ModelShape& shape) {
  if (shape.hidden.size() > ModelSpec::kMaxHidden) {
    return Fail(ErrorCode::kInvalidArgument, "model: at most " + std::to_string(ModelSpec::kMaxHidden) +
                                                 " hidden layers, found " + std::to_string(shape.hidden.size()));
  }
  TACIT_TRY_VOID(CheckWidth(shape.inputs, "inputs"));
  for (std::size_t i = 0; i < shape.hidden.size(); ++i) {
    TACIT_TRY_VOID(CheckWidth(shape.hidden[i], "hidden[" + std::to_string(i) + "]"));
  }
  return CheckWidth(shape.classes, "classes");
}

// Cannot overflow: at most nine layers of at most 2^40 + 2^20 parameters.
std::uint64_t CountParameters(const std::vector<std::uint32_t>& widths) {
  std::uint64_t count = 0;
  for (std::size_t i = 0; i + 1 < widths.size(); ++i) {
    count += (std::uint64_t{widths[i]} + 1) * widths[i + 1];
  }
  return count;
}

// Variance 1, mean 0, bounded by 6. Only additions of multiples of 2^-53 below 12: exact up to one rounding each, so
// the same bits on every IEEE machine.
double BellCurve(SplitMix64& random) {
  double sum = 0;
  for (int i = 0; i < 12; ++i) sum += random.Uniform();
  return sum - 6;
}

// Shape: one that was checked.
LayerStack StackOf(const ModelShape& shape) {
  auto stack = LayerStack::Create({shape.inputs});
  TACIT_CHECK(stack.has_value(), "a width is within the limits of rows");
  const auto add = [&stack](const Layer& layer) {
    TACIT_CHECK(stack->Add(layer).has_value(), "dense layers within the limits fit each other");
  };
  for (const std::uint32_t width : shape.hidden) {
    add({.kind = LayerKind::kDense, .outputs = width});
    add({.kind = LayerKind::kRelu});
  }
  add({.kind = LayerKind::kDense, .outputs = shape.classes});
  return *std::move(stack);
}

std::unexpected<Error> MalformedSpec(std::string_view prefix, std::string_view form) {
  return Fail(ErrorCode::kMalformed,
              "model specification: expected '" + std::string(prefix) + std::string(form) + "' in decimal");
}

Result<ModelShape> ReadWidths(std::string_view rest) {
  const auto malformed = [] { return MalformedSpec(kDensePrefix, "INPUTS[,HIDDEN...],CLASSES"); };
  std::vector<std::uint32_t> widths;
  while (widths.size() < ModelSpec::kMaxHidden + 3) {
    std::uint32_t width = 0;
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), width);
    if (error != std::errc()) return malformed();
    widths.push_back(width);
    rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
    if (rest.empty()) break;
    if (rest.front() != ',') return malformed();
    rest.remove_prefix(1);
  }
  if (!rest.empty() || widths.size() < 2) return malformed();
  return ModelShape{
      .inputs = widths.front(), .hidden = {widths.begin() + 1, widths.end() - 1}, .classes = widths.back()};
}

// The text up to `separator`, which is taken off with it; all of it where there is none.
std::string_view TakeUntil(char separator, std::string_view& rest) {
  const std::size_t end = std::min(rest.find(separator), rest.size());
  const std::string_view part = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return part;
}

Result<LayerStack> ReadStack(std::string_view rest) {
  std::string_view input = TakeUntil(';', rest);
  std::vector<std::uint32_t> shape;
  while (!input.empty() && shape.size() <= 3) {
    const auto extent = ParseWhole(TakeUntil('x', input));
    if (!extent || *extent > ModelSpec::kMaxWidth)
      return MalformedSpec(kLayersPrefix, "CHANNELSx[HEIGHTx]LENGTH;LAYER[;LAYER...]");
    shape.push_back(static_cast<std::uint32_t>(*extent));
  }
  TACIT_TRY(LayerStack stack, LayerStack::Create(std::move(shape)));
  while (!rest.empty()) TACIT_TRY_VOID(stack.Add(TakeUntil(';', rest)));
  return stack;
}

}  // namespace

ModelSpec::ModelSpec(ModelShape shape, LayerStack layers)
    : shape_(std::move(shape)), layers_(std::move(layers)), schema_digest_(Xxh3(AsBytes(CanonicalText()))) {}

Result<ModelSpec> ModelSpec::Create(ModelShape shape) {
  TACIT_TRY_VOID(CheckWidths(shape));
  const std::uint64_t count = CountParameters(WidthsOf(shape));
  if (count > kMaxParameters) {
    return Fail(ErrorCode::kInvalidArgument, "model: at most " + std::to_string(kMaxParameters) +
                                                 " parameters, this shape has " + std::to_string(count));
  }
  LayerStack layers = StackOf(shape);
  return ModelSpec(std::move(shape), std::move(layers));
}

Result<ModelSpec> ModelSpec::Create(LayerStack layers) {
  if (layers.input().size() < 2) {
    return Fail(ErrorCode::kInvalidArgument,
                "model: layers are over a signal or an image; over flat rows a model is "
                "its widths");
  }
  if (layers.layers().empty() || layers.layers().back().kind != LayerKind::kDense)
    return Fail(ErrorCode::kInvalidArgument, "model: the last layer must be \"dense N\", with N classes");
  ModelShape shape{.inputs = 1, .hidden = {}, .classes = layers.output().front()};
  for (const std::uint32_t extent : layers.input()) shape.inputs *= extent;
  return ModelSpec(std::move(shape), std::move(layers));
}

Result<ModelSpec> ModelSpec::Parse(std::string_view canonical_text) {
  const bool has_layers = canonical_text.starts_with(kLayersPrefix);
  if (canonical_text.size() > kMaxTextBytes || (!has_layers && !canonical_text.starts_with(kDensePrefix)))
    return MalformedSpec(kDensePrefix, "INPUTS[,HIDDEN...],CLASSES' or '" + std::string(kLayersPrefix) + "...");
  std::optional<ModelSpec> spec;
  if (has_layers) {
    TACIT_TRY(LayerStack stack, ReadStack(canonical_text.substr(kLayersPrefix.size())));
    TACIT_TRY(spec, Create(std::move(stack)));
  } else {
    TACIT_TRY(ModelShape shape, ReadWidths(canonical_text.substr(kDensePrefix.size())));
    TACIT_TRY(spec, Create(std::move(shape)));
  }
  // One text for one shape: leading zeros would give the same shape two digests.
  if (spec->CanonicalText() == canonical_text) return *std::move(spec);
  return Fail(ErrorCode::kMalformed,
              "model specification: expected '" + spec->CanonicalText() + "', which says the same");
}

std::string ModelSpec::CanonicalText() const {
  if (HasSpace()) {
    std::string text = std::string(kLayersPrefix) + TextOf(layers_.input());
    for (std::size_t i = 0; i < layers_.layers().size(); ++i) text += ";" + layers_.TextOf(i);
    return text;
  }
  std::string text(kDensePrefix);
  for (const std::uint32_t width : WidthsOf(shape_)) {
    if (text.size() > kDensePrefix.size()) text += ',';
    text += std::to_string(width);
  }
  return text;
}

std::vector<float> ModelSpec::InitialParameters(std::uint64_t seed) const {
  std::vector<float> parameters(ParameterCount(), 0.0F);
  const std::vector<Tensor> tensors = Tensors();
  if (tensors.size() <= 2) return parameters;
  SplitMix64 random(seed);
  for (const Tensor& tensor : tensors) {
    if (tensor.shape.size() < 2) continue;
    const std::size_t inputs = tensor.size() / tensor.shape[0];
    const double deviation = std::sqrt(2.0 / static_cast<double>(inputs));
    for (std::size_t i = 0; i < tensor.size(); ++i) {
      parameters[tensor.offset + i] = static_cast<float>(deviation * BellCurve(random));
    }
  }
  return parameters;
}

}  // namespace tacit::model
