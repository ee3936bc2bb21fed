#pragma once

#include <span>

#include "common/graph/graph.h"
#include "common/model/spec.h"

namespace tacit::graph {

/// A classifier as a graph: input "features", of the shape of the specification's rows, a node for each layer, and a
/// last Gemm whose output is "logits". The constants are named as the tensors of the specification and stand in their
/// order. Shape: `parameters` has exactly `spec.ParameterCount()` elements.
[[nodiscard]] OwnedGraph FromSpec(const model::ModelSpec& spec, std::span<const float> parameters);

}  // namespace tacit::graph
