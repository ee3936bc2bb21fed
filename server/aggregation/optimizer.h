#pragma once

#include <memory>
#include <span>

#include "common/base/bytes.h"
#include "server/task/task_spec.h"

namespace tacit::aggregation {

/// Turns the average delta of a round into the next model. It sees only the (noised) average, so by post-processing it
/// costs no privacy.
/// Source: McMahan et al. 2017 (FedAvg); Hsu et al. 2019 (FedAvgM); Reddi et al. 2021, algorithm 2 (FedAdam).
/// Threads: one at a time.
class ServerOptimizer {
 public:
  virtual ~ServerOptimizer() = default;

  /// Moves `model` by one step.
  /// Shape: both of d numbers, the d the optimizer was made for.
  virtual void Step(std::span<const float> average, std::span<float> model) = 0;

  /// What must be kept for the next round; stored in the same transaction as the model.
  [[nodiscard]] virtual Bytes State() const = 0;
};

/// The optimizer that `options` names, as `state` left it; an empty state is that of the first round.
/// Errors: kDataLoss for a state that does not belong to `parameters` numbers.
Result<std::unique_ptr<ServerOptimizer>> CreateOptimizer(const task::Aggregation& options, std::size_t parameters,
                                                         ByteSpan state);

}  // namespace tacit::aggregation
