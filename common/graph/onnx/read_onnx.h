#pragma once

#include <cstdint>

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "common/graph/graph.h"

namespace tacit::graph {

enum class Names : std::uint8_t {
  kKeep,
  kStrip,  ///< But those of inputs and outputs: what a model is made of is nobody's business who only runs it.
};

/// Reads an ONNX model (opset 11 to 17) into the normal form; docs/MODEL_FILES.md lists the operators, and what of each
/// is taken. The first dimension of every input is rows, whatever size the model gives it. Errors: kMalformed, naming
/// the byte, where the bytes are no ONNX model; kInvalidArgument, naming node and operator, for a model with something
/// that is not taken; kTooLarge for one that would need several times its own size. Cost: memory in proportion to the
/// file.
Result<OwnedGraph> ReadOnnx(ByteSpan file, Names names = Names::kKeep);

}  // namespace tacit::graph
