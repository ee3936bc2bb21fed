#pragma once

#include <cstddef>
#include <memory>

#include "common/base/result.h"
#include "common/model/spec.h"
#include "edge_agent/inference/differentiate.h"
#include "edge_agent/inference/heap_memory.h"

namespace tacit::training {

/// What computes a model whose parameters are somebody else's, and the memory that it takes.
struct Network {
  std::unique_ptr<inference::HeapMemory> memory;
  inference::Differentiator differentiator;
};

/// For `most_rows` at once, or as many as a Differentiator takes. Errors: those of Differentiator::Create.
Result<Network> MakeNetwork(const model::ModelSpec& spec, std::size_t most_rows);

}  // namespace tacit::training
