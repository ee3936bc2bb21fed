#include "edge_agent/detect/engine_model.h"

#include <string>

#include "common/base/bytes.h"

namespace tacit::detect {
namespace {

std::span<std::uint8_t> Writable(std::vector<float>& values) {
  return {reinterpret_cast<std::uint8_t*>(values.data()), values.size() * sizeof(float)};
}

// Elements of one row of `port`, at most `limit`.
Result<std::uint32_t> FloatsOf(const inference::Port& port, std::uint32_t limit) {
  if (port.element != graph::Element::kFloat32) {
    return Fail(ErrorCode::kInvalidArgument, "detectors need float32, and '" + port.name + "' is of another type");
  }
  std::uint64_t size = 1;
  for (std::size_t i = 1; i < port.shape.size(); ++i) {
    const auto extent = static_cast<std::uint64_t>(port.shape[i]);
    if (port.shape[i] <= 0 || extent > limit || size * extent > limit) {
      return Fail(ErrorCode::kInvalidArgument,
                  "'" + port.name + "' has more than " + std::to_string(limit) + " elements a row");
    }
    size *= extent;
  }
  return static_cast<std::uint32_t>(size);
}

}  // namespace

Result<EngineModel> EngineModel::Create(inference::Engine& engine) {
  const inference::Signature& signature = engine.signature();
  if (signature.inputs.size() != 1 || signature.outputs.empty() || signature.outputs.size() > 2) {
    return Fail(
        ErrorCode::kInvalidArgument,
        "detectors need a model of one input, with logits as its first output and features at most beside them");
  }
  ModelShape shape;
  TACIT_TRY(shape.inputs, FloatsOf(signature.inputs[0], ModelShape::kMaxInputs));
  TACIT_TRY(shape.classes, FloatsOf(signature.outputs[0], ModelShape::kMaxClasses));
  if (signature.outputs.size() == 2) {
    TACIT_TRY(shape.features, FloatsOf(signature.outputs[1], ModelShape::kMaxFeatures));
  }
  if (shape.classes < 2) return Fail(ErrorCode::kInvalidArgument, "detectors need a classifier of two classes or more");
  return EngineModel(engine, shape);
}

Result<void> EngineModel::Run(std::span<const float> input, Answer& answer) {
  const std::size_t rows = input.size() / shape_.inputs;
  answer.logits.resize(rows * shape_.classes);
  answer.features.resize(rows * shape_.features);
  const ByteSpan in = AsBytes(input);
  if (shape_.features == 0) {
    const std::span<std::uint8_t> out = Writable(answer.logits);
    return engine_->Run(rows, {&in, 1}, {&out, 1});
  }
  const std::array<std::span<std::uint8_t>, 2> out = {Writable(answer.logits), Writable(answer.features)};
  return engine_->Run(rows, {&in, 1}, out);
}

Result<void> EngineModel::InputGradient(std::span<const float> input, std::span<const std::uint32_t> classes,
                                        std::span<float> gradient) {
  return engine_->InputGradient(input, classes, gradient);
}

}  // namespace tacit::detect
