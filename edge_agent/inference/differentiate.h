#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "common/base/result.h"
#include "common/graph/graph.h"
#include "edge_agent/inference/differentiate_plan.h"
#include "edge_agent/inference/engine.h"

namespace tacit::inference {

/// Rows with the class that each is of. Shape: `x` is y.size() rows without gaps.
struct Batch {
  std::span<const float> x;
  std::span<const std::uint32_t> y;
};

struct BatchScore {
  double loss = 0;  ///< Sum over the rows of the cross-entropy, in nats; NaN where a logit is.
  std::size_t correct = 0;
};

/// The derivatives of a model with one float32 input, in memory that is taken once. The loss is the cross-entropy
/// between one class a row and the softmax of the first output; where that comes out of a softmax over the row, of what
/// went in. Weights that are stored in 8 bits are fixed; roundings of what is computed have the slope 1 inside their
/// range. The same bits for the same inputs on one machine. Threads: one at a time. Source: Goodfellow, Bengio,
/// Courville 2016, algorithm 6.6.
class Differentiator {
 public:
  /// Shape: a model that Check takes; its weights and the memory outlive this. There need be no weights where all
  /// constants are parameters, and Use says which before anything is computed. `most_rows` are computed at once, or as
  /// many as keep its memory bounded (RowsAtOnce). Errors: kInvalidArgument for a model that has no derivative;
  /// kUnavailable without memory. Cost: twice what a row computes, for each of the rows at once, and 8-bit weights as
  /// floats.
  static Result<Differentiator> Create(graph::GraphView model, std::size_t most_rows, Memory& memory);

  [[nodiscard]] std::size_t RowSize() const { return plan_.buffers.front(); }
  [[nodiscard]] std::size_t Classes() const { return CountOf(plan_.logits); }
  [[nodiscard]] std::size_t RowsAtOnce() const { return rows_at_once_; }
  /// Elements of a row of features(); 0 for a model without a Gemm.
  [[nodiscard]] std::size_t FeatureSize() const { return plan_.features ? CountOf(*plan_.features) : 0; }

  /// What training moves, as one flat vector in the order in which the nodes use it: weights and biases, and constants
  /// that are added, multiplied with or multiplied by.
  [[nodiscard]] std::span<const Parameter> parameters() const { return plan_.parameters; }
  [[nodiscard]] std::size_t ParameterCount() const { return plan_.parameter_count; }
  /// The parameters that the model came with. Shape: ParameterCount().
  void CopyParameters(std::span<float> parameters) const;
  /// Computes with these in place of the model's from now on. Shape: ParameterCount(), which must stay until others are
  /// used.
  void Use(std::span<const float> parameters);

  /// Errors: kInvalidArgument for a batch of no rows, of another size, or with a class that the model does not have.
  [[nodiscard]] Result<void> CheckBatch(const Batch& batch) const;

  /// Computes the logits of rows, and keeps what BackwardFrom needs. Shape: whole rows, at most RowsAtOnce() of them,
  /// which stay as they are until the last BackwardFrom. Errors: kInvalidArgument for another size.
  Result<void> Forward(std::span<const float> input);
  /// Of the last Forward: rows x Classes().
  [[nodiscard]] std::span<const float> logits() const;
  /// Of the last Forward: what goes into the last Gemm; rows x FeatureSize().
  [[nodiscard]] std::span<const float> features() const;
  /// From an objective's slope by the logits of the last Forward to its slope by the input. Shape: as logits(), and as
  /// that input.
  void BackwardFrom(std::span<const float> logit_slope, std::span<float> input_slope);

  /// The derivative of each row's loss by its input. Shape: any number of rows; `gradient` as batch.x. Errors: as
  /// CheckBatch.
  Result<BatchScore> InputGradient(const Batch& batch, std::span<float> gradient);
  /// The loss with these parameters, which are in use then. Errors: as InputGradient.
  Result<BatchScore> Score(std::span<const float> parameters, const Batch& batch);
  /// The same, and the gradient of the mean loss, written over all of `gradient` (as long as `parameters`).
  Result<BatchScore> Gradient(std::span<const float> parameters, const Batch& batch, std::span<float> gradient);

 private:
  enum class Towards : std::uint8_t { kInput, kParameters };
  struct Layout;

  Differentiator(graph::GraphView model, DifferentiationPlan plan, std::size_t most_rows);
  [[nodiscard]] Layout LayoutOf() const;
  void Place(const Layout& layout, std::span<float> memory);
  void ComputeFixed();
  [[nodiscard]] std::size_t CountOf(graph::ValueId value) const;
  [[nodiscard]] std::span<float> LogitSlope();
  void Run(std::span<const float> input);
  [[nodiscard]] backward::Operands OperandsOf(const DifferentiationPlan::Step& step, std::size_t rows);
  [[nodiscard]] bool Wants(graph::ValueId value, Towards towards) const;
  void PassBack(Towards towards);
  void PassBack(const DifferentiationPlan::Step& step, std::size_t which);
  template <typename Visit>
  BatchScore InParts(const Batch& batch, Visit visit);

  graph::GraphView model_;
  DifferentiationPlan plan_;
  std::size_t rows_at_once_ = 1;
  std::size_t rows_ = 0;                  // of the last Forward
  std::vector<const float*> at_;          // of each value
  std::vector<float*> output_at_;         // the same of each that is computed here
  std::vector<float*> slope_at_;          // of each that is computed or trained
  std::vector<graph::ValueId> in_input_;  // values that stand where the input does
  std::vector<bool> has_slope_;           // of each buffer, while slopes are passed back
  std::vector<const float*> operands_;
  std::span<float> scratch_;
  std::span<float> gemm_scratch_;
  std::span<float> branch_;  // the slope of one of several uses of a value, until it is added
};

}  // namespace tacit::inference
