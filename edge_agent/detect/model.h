#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "common/base/result.h"

namespace tacit::detect {

/// What a detector must know of a model. The limits are those of what a calibration may hold.
struct ModelShape {
  static constexpr std::uint32_t kMaxInputs = 1U << 22U;
  static constexpr std::uint32_t kMaxClasses = 4096;
  static constexpr std::uint32_t kMaxFeatures = 1U << 16U;

  std::uint32_t inputs = 0;
  std::uint32_t classes = 0;   ///< At least 2.
  std::uint32_t features = 0;  ///< What goes into the last layer; 0 where the model does not show it.
  bool operator==(const ModelShape&) const = default;
};

/// What a model says of some rows. Shape: `logits` rows x classes, `features` rows x features; row-major.
struct Answer {
  std::vector<float> logits;
  std::vector<float> features;
};

/// A classifier whose answers are watched. Threads: one at a time.
class Model {
 public:
  virtual ~Model() = default;
  [[nodiscard]] virtual const ModelShape& shape() const = 0;
  /// Shape: `input` is rows x inputs; `answer` is overwritten.
  virtual Result<void> Run(std::span<const float> input, Answer& answer) = 0;
  /// The derivative, by each input, of the cross-entropy (nats) between softmax of the logits and one class a row.
  /// Errors: kInvalidArgument for a model that has no derivative.
  virtual Result<void> InputGradient(std::span<const float> input, std::span<const std::uint32_t> classes,
                                     std::span<float> gradient) = 0;
};

}  // namespace tacit::detect
