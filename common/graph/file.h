#pragma once

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "common/graph/graph.h"

namespace tacit::graph {

/// A graph with its weights as the bytes of a file, which docs/MODEL_FILES.md describes: the same graph always gives
/// the same bytes. Shape: a graph that Check takes, with its weights. Cost: copies the weights once.
[[nodiscard]] AlignedBuffer Serialise(const GraphView& model);

/// Reads what Serialise wrote, and nothing else: a file that is read and written again is the same file. The weights
/// stay where they are in `file`, which must outlive the view and begin at a multiple of 64. Errors: kMalformed, naming
/// the byte, for bytes that are no such file; kInvalidArgument for a graph that Check or CheckScales refuses, or bytes
/// at another address. Cost: memory in proportion to what stands before the weights, which is bounded; the weights are
/// not read, but for scales.
Result<GraphView> Parse(ByteSpan file);

}  // namespace tacit::graph
