#include "edge_agent/inference/descend.h"

#include <algorithm>
#include <cmath>
#include <string>

namespace tacit::inference {
namespace {

Result<void> CheckRates(const Engine::Step& step) {
  const auto refuse = [](std::string_view rule) {
    return Fail(ErrorCode::kInvalidArgument, "a training step: " + std::string(rule));
  };
  if (!(step.learning_rate > 0) || !std::isfinite(step.learning_rate)) {
    return refuse("learning_rate must be greater than 0 and finite");
  }
  if (!(step.momentum >= 0 && step.momentum < 1)) return refuse("momentum must be in [0, 1)");
  return {};
}

}  // namespace

void Descend(std::span<float> parameters, std::span<const float> gradient, std::span<float> velocity,
             const DescentRates& rates) {
  const auto rate = static_cast<float>(rates.learning_rate);
  const auto momentum = static_cast<float>(rates.momentum);
  const std::size_t count = parameters.size();
  float* to = parameters.data();
  const float* by = gradient.data();
  if (velocity.empty()) {
    for (std::size_t i = 0; i < count; ++i) to[i] -= rate * by[i];
    return;
  }
  float* moving = velocity.data();
  for (std::size_t i = 0; i < count; ++i) {
    moving[i] = momentum * moving[i] + by[i];
    to[i] -= rate * moving[i];
  }
}

Result<Descent> Descent::Create(Differentiator& differentiator, Memory& memory) {
  const std::size_t count = differentiator.ParameterCount();
  if (count == 0) return Fail(ErrorCode::kInvalidArgument, "the model has no parameters that training could move");
  TACIT_TRY(const std::span<std::uint8_t> bytes, memory.Take(3 * count * sizeof(float)));
  return Descent(differentiator, {reinterpret_cast<float*>(bytes.data()), 3 * count});
}

Descent::Descent(Differentiator& differentiator, std::span<float> memory)
    : differentiator_(&differentiator),
      parameters_(memory.first(differentiator.ParameterCount())),
      gradient_(memory.subspan(parameters_.size(), parameters_.size())),
      velocity_(memory.last(parameters_.size())) {
  differentiator.CopyParameters(parameters_);
  differentiator.Use(parameters_);
}

Result<double> Descent::Step(const Engine::Step& step) {
  TACIT_TRY_VOID(CheckRates(step));
  TACIT_TRY(const BatchScore score,
            differentiator_->Gradient(parameters_, {.x = step.input, .y = step.classes}, gradient_));
  if (!std::ranges::all_of(gradient_, [](float value) { return std::isfinite(value); })) {
    return Fail(ErrorCode::kInvalidArgument,
                "training diverged: a gradient is not finite; lower the learning rate, and look at the rows");
  }
  Descend(parameters_, gradient_, velocity_, {.learning_rate = step.learning_rate, .momentum = step.momentum});
  return score.loss / static_cast<double>(step.classes.size());
}

}  // namespace tacit::inference
