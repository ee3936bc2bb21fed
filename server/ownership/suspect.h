#pragma once

#include <optional>
#include <span>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "common/graph/graph.h"
#include "common/model/spec.h"

namespace tacit::ownership {

/// A model that somebody found, which may be a copy.
class Suspect {
 public:
  /// Reads a safetensors file with the layout of ToSafetensors, or a graph file. Errors: kMalformed; kInvalidArgument.
  static Result<Suspect> Read(ByteSpan file);

  /// Lives as long as the suspect.
  [[nodiscard]] graph::GraphView View() const;

  /// Its parameters, in the order of `spec`, whatever order and scale its hidden channels have.
  /// Errors: kInvalidArgument when it is another kind of model.
  [[nodiscard]] Result<std::vector<float>> ParametersAs(const model::ModelSpec& spec) const;

 private:
  graph::Graph graph_;
  AlignedBuffer memory_;  // a whole file, or the weights alone
  ByteSpan weights_;      // in it
};

}  // namespace tacit::ownership
