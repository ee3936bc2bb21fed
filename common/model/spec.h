#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "common/model/layers.h"

namespace tacit::model {

/// The widths of a fully connected classifier; no hidden layer is softmax regression.
struct ModelShape {
  std::uint32_t inputs = 0;
  std::vector<std::uint32_t> hidden = {};
  std::uint32_t classes = 0;
  bool operator==(const ModelShape&) const = default;
};

/// A model's layers and the layout of its flat float32 parameter vector: per layer that has parameters the weight, then
/// the bias. Either a fully connected classifier over flat rows, with ReLU behind each hidden layer, or layers of any
/// kind over a signal or an image. Every holder is within the limits below and those of LayerStack, so sizes can be
/// taken from it without further checks. Threads: any.
class ModelSpec {
 public:
  static constexpr std::uint32_t kMaxWidth = LayerStack::kMaxWidth;
  static constexpr std::size_t kMaxHidden = 8;
  static constexpr std::uint64_t kMaxParameters = LayerStack::kMaxParameters;
  /// Of a canonical text; the longest of all models is below it.
  static constexpr std::size_t kMaxTextBytes = 4096;

  /// Errors: kInvalidArgument, naming the width or the limit.
  static Result<ModelSpec> Create(ModelShape shape);
  /// Shape: over a signal or an image, and the last layer is dense, with one number a class. Errors: kInvalidArgument,
  /// where that is not so.
  static Result<ModelSpec> Create(LayerStack layers);
  /// Reads what CanonicalText wrote. Errors: kMalformed for another form, kInvalidArgument for a shape over the limits.
  static Result<ModelSpec> Parse(std::string_view canonical_text);

  /// Of layers over a signal or an image `hidden` says nothing.
  [[nodiscard]] const ModelShape& shape() const { return shape_; }
  [[nodiscard]] std::uint32_t inputs() const { return shape_.inputs; }
  [[nodiscard]] std::uint32_t classes() const { return shape_.classes; }
  [[nodiscard]] const LayerStack& layers() const { return layers_; }
  /// Whether rows are a signal or an image.
  [[nodiscard]] bool HasSpace() const { return layers_.input().size() > 1; }
  [[nodiscard]] std::size_t ParameterCount() const { return static_cast<std::size_t>(layers_.parameter_count()); }

  /// The version of the layout, then the widths from input to output, as `tacit-mlp/1:561,128,6`; or the shape of a row
  /// and each layer in its shortest form, as `tacit-layers/1:1x28x28;conv 16 3x3;relu;flatten;dense 10`.
  [[nodiscard]] std::string CanonicalText() const;
  /// XXH3-128 of the canonical text: what an update and a model name their layout by.
  [[nodiscard]] const Digest128& SchemaDigest() const { return schema_digest_; }
  /// As LayerStack::Tensors.
  [[nodiscard]] std::vector<Tensor> Tensors() const { return layers_.Tensors(); }

  /// Where training starts: zeros where one layer alone has parameters; otherwise weights of standard deviation sqrt(2
  /// / numbers that one output is made of) and zero biases. The same bits on every machine for one seed. Source: He et
  /// al. 2015, section 2.2 (the variance); the bell curve is the sum of twelve uniforms, which needs no libm.
  [[nodiscard]] std::vector<float> InitialParameters(std::uint64_t seed) const;

  bool operator==(const ModelSpec& other) const { return layers_ == other.layers_; }

 private:
  ModelSpec(ModelShape shape, LayerStack layers);

  ModelShape shape_;
  LayerStack layers_;
  Digest128 schema_digest_;
};

}  // namespace tacit::model
