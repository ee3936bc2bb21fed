#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "common/base/result.h"
#include "common/graph/graph.h"
#include "edge_agent/inference/backward.h"

namespace tacit::inference {

/// One constant that training moves: `size` elements of the flat parameter vector from `offset` on.
struct Parameter {
  graph::ValueId value = 0;
  std::size_t offset = 0;
  std::size_t size = 0;
};

/// Which nodes of a graph lead to its logits, in which order, and which values share memory.
struct DifferentiationPlan {
  struct Step {
    backward::Layer layer;
    std::vector<graph::ValueId> inputs;
    graph::ValueId output = 0;
  };
  /// What is the same whatever goes in: a constant that no training moves, in floats.
  struct Fixed {
    graph::ValueId value = 0;     ///< That it is.
    graph::ValueId constant = 0;  ///< That it is read from.
    std::optional<Step> step;     ///< That it passes through then.
  };
  /// Of a value that is computed. Values in one buffer have the same numbers of slopes as well.
  static constexpr std::size_t kNone = static_cast<std::size_t>(-1);

  std::vector<Step> steps;
  std::vector<Fixed> fixed;
  std::vector<Parameter> parameters;   ///< In the order in which nodes use them.
  std::vector<std::size_t> buffer_of;  ///< Of each value; kNone where it is not computed, 0 is the model's input.
  std::vector<std::size_t> buffers;    ///< Elements of a row of each.
  std::vector<bool> has_parameters;    ///< Whether each value is a parameter, or computed from one.
  graph::ValueId input = 0;
  graph::ValueId logits = 0;
  std::optional<graph::ValueId> features;  ///< The input of the last Gemm.
  std::size_t parameter_count = 0;
  std::size_t branch = 0;  ///< Elements of a row of the largest value that several use.
};

/// Shape: the graph of a GraphView. Errors: kInvalidArgument for a model that has no derivative here: more inputs than
/// one, or one that is not float32, or an output that does not come from it.
Result<DifferentiationPlan> PlanDerivatives(const graph::Graph& graph);

}  // namespace tacit::inference
