#pragma once

#include <span>

#include "common/base/result.h"
#include "edge_agent/inference/differentiate.h"
#include "edge_agent/inference/engine.h"

namespace tacit::inference {

struct DescentRates {
  double learning_rate = 0;
  double momentum = 0;
};

/// Moves parameters one step down their gradient, in float32: velocity = momentum velocity + gradient, parameters -=
/// learning_rate velocity. Shape: all as long as `parameters`; no velocity for a momentum of 0. Source: Sutskever et
/// al. 2013, section 2 (classical momentum).
void Descend(std::span<float> parameters, std::span<const float> gradient, std::span<float> velocity,
             const DescentRates& rates);

/// One's own copy of a model's parameters, which steps of stochastic gradient descent move. Threads: one at a time.
class Descent {
 public:
  /// Shape: both outlive this. From now on `differentiator` computes with this copy. Errors: kInvalidArgument for a
  /// model that has no parameters; kUnavailable without memory. Cost: memory for three times the parameters.
  static Result<Descent> Create(Differentiator& differentiator, Memory& memory);

  [[nodiscard]] std::span<const float> parameters() const { return parameters_; }

  /// As Engine::TrainStep. Errors: kInvalidArgument too for rates outside their range, and for a gradient that is not
  /// finite; the parameters stay what they were then.
  Result<double> Step(const Engine::Step& step);

 private:
  Descent(Differentiator& differentiator, std::span<float> memory);

  Differentiator* differentiator_;
  std::span<float> parameters_;
  std::span<float> gradient_;
  std::span<float> velocity_;
};

}  // namespace tacit::inference
