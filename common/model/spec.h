#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/result.h"

namespace tacit::model {

/// The widths of a fully connected classifier; no hidden layer is softmax regression.
struct ModelShape {
  std::uint32_t inputs = 0;
  std::vector<std::uint32_t> hidden = {};
  std::uint32_t classes = 0;
  bool operator==(const ModelShape&) const = default;
};

/// One named part of the flat parameter vector: `shape` in row-major order, from element `offset` on.
struct Tensor {
  std::string name;
  std::vector<std::size_t> shape;
  std::size_t offset = 0;

  [[nodiscard]] std::size_t size() const;
};

/// A model's shape and the layout of its flat float32 parameter vector: per layer the weight [out, in], then the bias
/// [out]. Every holder is within the limits below, so sizes can be taken from it without further checks. Threads: any.
class ModelSpec {
 public:
  static constexpr std::uint32_t kMaxWidth = 1U << 20U;
  static constexpr std::size_t kMaxHidden = 8;
  static constexpr std::uint64_t kMaxParameters = std::uint64_t{1} << 28U;

  /// Errors: kInvalidArgument, naming the width or the limit.
  static Result<ModelSpec> Create(ModelShape shape);
  /// Reads what CanonicalText wrote. Errors: kMalformed for another form, kInvalidArgument for a shape over the limits.
  static Result<ModelSpec> Parse(std::string_view canonical_text);

  [[nodiscard]] const ModelShape& shape() const { return shape_; }
  [[nodiscard]] std::uint32_t inputs() const { return shape_.inputs; }
  [[nodiscard]] std::uint32_t classes() const { return shape_.classes; }
  [[nodiscard]] std::size_t ParameterCount() const { return parameter_count_; }

  /// `tacit-mlp/1:561,128,6`: the version of the layout, then the widths from input to output.
  [[nodiscard]] std::string CanonicalText() const;
  /// XXH3-128 of the canonical text: what an update and a model name their layout by.
  [[nodiscard]] const Digest128& SchemaDigest() const { return schema_digest_; }
  /// `layer0.weight`, `layer0.bias`, `layer1.weight`, ... in the order of the flat vector.
  [[nodiscard]] std::vector<Tensor> Tensors() const;

  /// Where training starts: zeros for softmax regression; otherwise weights of standard deviation sqrt(2 / inputs of
  /// the layer) and zero biases. The same bits on every machine for one seed. Source: He et al. 2015, section 2.2 (the
  /// variance); the bell curve is the sum of twelve uniforms, which needs no libm.
  [[nodiscard]] std::vector<float> InitialParameters(std::uint64_t seed) const;

  bool operator==(const ModelSpec& other) const { return shape_ == other.shape_; }

 private:
  ModelSpec(ModelShape shape, std::size_t parameter_count);
  [[nodiscard]] std::vector<std::uint32_t> Widths() const;

  ModelShape shape_;
  std::size_t parameter_count_;
  Digest128 schema_digest_;
};

}  // namespace tacit::model
