#pragma once

#include "edge_agent/detect/model.h"
#include "edge_agent/inference/engine.h"

namespace tacit::detect {

/// A loaded engine as a detector sees it: its first output are the logits, its second, where there is one, the
/// features.
class EngineModel final : public Model {
 public:
  /// The engine must outlive it, and keep its model loaded. Errors: kInvalidArgument for a model of several inputs, one
  /// whose numbers are not float32, or sizes over the limits of ModelShape.
  static Result<EngineModel> Create(inference::Engine& engine);

  [[nodiscard]] const ModelShape& shape() const override { return shape_; }
  Result<void> Run(std::span<const float> input, Answer& answer) override;
  Result<void> InputGradient(std::span<const float> input, std::span<const std::uint32_t> classes,
                             std::span<float> gradient) override;

 private:
  EngineModel(inference::Engine& engine, ModelShape shape) : engine_(&engine), shape_(shape) {}

  inference::Engine* engine_;
  ModelShape shape_;
};

}  // namespace tacit::detect
