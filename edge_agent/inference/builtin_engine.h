#pragma once

#include <memory>

#include "edge_agent/inference/engine.h"
#include "edge_agent/inference/kernels.h"

namespace tacit::inference {

/// The engine that is compiled in: reads graph files (common/graph/file.h). Keeps packed weights and all that is
/// computed in `memory`, which it wipes; what it has on the heap are shapes and places. Rows beyond a few are computed
/// in parts, so that memory does not grow with them. Memory for derivatives is taken when the first is asked for;
/// training moves a copy of the weights, with which derivatives are computed from then on, and Run goes on with those
/// of the file. Shape: `memory` is the engine's alone and outlives it.
std::unique_ptr<Engine> MakeBuiltinEngine(Memory& memory);
/// The same with kernels of one's choice.
std::unique_ptr<Engine> MakeBuiltinEngine(Memory& memory, const Kernels& kernels);

}  // namespace tacit::inference
