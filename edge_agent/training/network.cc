#include "edge_agent/training/network.h"

#include <utility>
#include <vector>

#include "common/graph/from_spec.h"

namespace tacit::training {

Result<Network> MakeNetwork(const model::ModelSpec& spec, std::size_t most_rows) {
  auto memory = std::make_unique<inference::HeapMemory>();
  graph::Graph graph = graph::FromSpec(spec, std::vector<float>(spec.ParameterCount())).graph;
  TACIT_TRY(inference::Differentiator differentiator,
            inference::Differentiator::Create({.graph = std::move(graph), .weights = {}}, most_rows, *memory));
  return Network{.memory = std::move(memory), .differentiator = std::move(differentiator)};
}

}  // namespace tacit::training
