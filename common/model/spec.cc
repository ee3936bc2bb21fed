#include "common/model/spec.h"

#include <charconv>
#include <cmath>
#include <utility>

#include "common/base/random.h"

namespace tacit::model {
namespace {

constexpr std::string_view kCanonicalPrefix = "tacit-mlp/1:";

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

}  // namespace

std::size_t Tensor::size() const {
  std::size_t product = 1;
  for (const std::size_t extent : shape) product *= extent;
  return product;
}

ModelSpec::ModelSpec(ModelShape shape, std::size_t parameter_count)
    : shape_(std::move(shape)), parameter_count_(parameter_count), schema_digest_(Xxh3(AsBytes(CanonicalText()))) {}

std::vector<std::uint32_t> ModelSpec::Widths() const {
  return WidthsOf(shape_);
}

Result<ModelSpec> ModelSpec::Create(ModelShape shape) {
  TACIT_TRY_VOID(CheckWidths(shape));
  const std::uint64_t count = CountParameters(WidthsOf(shape));
  if (count > kMaxParameters) {
    return Fail(ErrorCode::kInvalidArgument, "model: at most " + std::to_string(kMaxParameters) +
                                                 " parameters, this shape has " + std::to_string(count));
  }
  return ModelSpec(std::move(shape), static_cast<std::size_t>(count));
}

Result<ModelSpec> ModelSpec::Parse(std::string_view canonical_text) {
  const auto malformed = [] {
    return Fail(ErrorCode::kMalformed, "model specification: expected '" + std::string(kCanonicalPrefix) +
                                           "INPUTS[,HIDDEN...],CLASSES' in decimal");
  };
  if (!canonical_text.starts_with(kCanonicalPrefix)) return malformed();
  std::string_view rest = canonical_text.substr(kCanonicalPrefix.size());
  std::vector<std::uint32_t> widths;
  while (widths.size() < kMaxHidden + 3) {
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
  ModelShape shape{
      .inputs = widths.front(), .hidden = {widths.begin() + 1, widths.end() - 1}, .classes = widths.back()};
  TACIT_TRY(ModelSpec spec, Create(std::move(shape)));
  // One text for one shape: leading zeros would give the same shape two digests.
  if (spec.CanonicalText() != canonical_text) return malformed();
  return spec;
}

std::string ModelSpec::CanonicalText() const {
  std::string text(kCanonicalPrefix);
  for (const std::uint32_t width : Widths()) {
    if (text.size() > kCanonicalPrefix.size()) text += ',';
    text += std::to_string(width);
  }
  return text;
}

std::vector<Tensor> ModelSpec::Tensors() const {
  const std::vector<std::uint32_t> widths = Widths();
  std::vector<Tensor> tensors;
  std::size_t offset = 0;
  for (std::size_t layer = 0; layer + 1 < widths.size(); ++layer) {
    const std::string name = "layer" + std::to_string(layer);
    const std::size_t in = widths[layer];
    const std::size_t out = widths[layer + 1];
    tensors.push_back({.name = name + ".weight", .shape = {out, in}, .offset = offset});
    tensors.push_back({.name = name + ".bias", .shape = {out}, .offset = offset + in * out});
    offset += in * out + out;
  }
  return tensors;
}

std::vector<float> ModelSpec::InitialParameters(std::uint64_t seed) const {
  std::vector<float> parameters(parameter_count_, 0.0F);
  if (shape_.hidden.empty()) return parameters;
  SplitMix64 random(seed);
  for (const Tensor& tensor : Tensors()) {
    if (tensor.shape.size() != 2) continue;
    const double deviation = std::sqrt(2.0 / static_cast<double>(tensor.shape[1]));
    for (std::size_t i = 0; i < tensor.size(); ++i) {
      parameters[tensor.offset + i] = static_cast<float>(deviation * BellCurve(random));
    }
  }
  return parameters;
}

}  // namespace tacit::model
