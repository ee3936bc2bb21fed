#pragma once

#include <cstddef>

#include "common/graph/builder.h"

namespace tacit::onnx {

/// Puts a Mul or Add by one number for all, or one a channel, into the weights and bias of the Conv or Gemm before it,
/// where nothing else uses what that computes: batch normalisation costs nothing then, and a Gemm gets the bias that
/// stood behind it. Weights that are quantised stay as they are. `room` is how many bytes the changed weights may have;
/// what does not fit stays too. Source: Jacob et al. 2018, section 3.2 (the folding).
void FoldByChannel(graph::Builder& builder, std::size_t room);

}  // namespace tacit::onnx
