#include "common/graph/builder.h"

#include <algorithm>
#include <cstring>
#include <ranges>
#include <utility>

#include "common/graph/check.h"
#include "common/graph/shapes.h"

namespace tacit::graph {

ValueId Builder::Add(Value value, Content content) {
  graph_.values.push_back(std::move(value));
  contents_.push_back(std::move(content));
  return static_cast<ValueId>(graph_.values.size() - 1);
}

ValueId Builder::AddInput(std::string name, Element element, Shape shape) {
  const ValueId id = Add({.name = std::move(name), .element = element, .shape = std::move(shape), .constant = {}}, {});
  graph_.inputs.push_back(id);
  return id;
}

ValueId Builder::AddConstant(std::string name, Element element, Shape shape, ByteSpan content) {
  const Place place{.offset = 0, .size = content.size()};
  return Add({.name = std::move(name), .element = element, .shape = std::move(shape), .constant = place},
             {.bytes = content, .own = {}});
}

ValueId Builder::AddOwnConstant(std::string name, Element element, Shape shape, Bytes content) {
  const ByteSpan bytes = content;  // which stay where they are when the vector moves
  const ValueId id = AddConstant(std::move(name), element, std::move(shape), bytes);
  contents_[id].own = std::move(content);
  return id;
}

Result<ValueId> Builder::Add(Node node, Value output) {
  if (graph_.nodes.size() == kMaxNodes) {
    return Fail(ErrorCode::kTooLarge, "the graph has more than " + std::to_string(kMaxNodes) + " nodes");
  }
  output.name = node.name;
  node.output = Add(std::move(output), {});
  const auto inferred = InferOutput(graph_, node);
  if (!inferred) {
    graph_.values.pop_back();
    contents_.pop_back();
    return std::unexpected(inferred.error());
  }
  graph_.values.back().element = inferred->element;
  graph_.values.back().shape = inferred->shape;
  graph_.nodes.push_back(std::move(node));
  return graph_.nodes.back().output;
}

Result<ValueId> Builder::AddNode(Node node) {
  return Add(std::move(node), {});
}

Result<ValueId> Builder::AddReshape(std::string name, ValueId input, Shape shape) {
  Node node{.op = Operator::kReshape, .name = std::move(name), .inputs = {input}, .output = 0, .attributes = {}};
  return Add(std::move(node), {.name = {}, .element = Element::kFloat32, .shape = std::move(shape), .constant = {}});
}

void Builder::AddOutput(ValueId id, std::string name) {
  graph_.values[id].name = std::move(name);
  graph_.outputs.push_back(id);
}

Node* Builder::ProducerOf(ValueId id) {
  const auto found =
      std::ranges::find_if(graph_.nodes | std::views::reverse, [id](const Node& node) { return node.output == id; });
  return found == graph_.nodes.rend() ? nullptr : &*found;
}

std::vector<bool> Builder::Needed() const {
  std::vector<bool> is_needed(graph_.values.size());
  for (const ValueId id : graph_.inputs) is_needed[id] = true;
  for (const ValueId id : graph_.outputs) is_needed[id] = true;
  for (const Node& node : graph_.nodes | std::views::reverse) {
    if (!is_needed[node.output]) continue;
    for (const ValueId id : node.inputs) is_needed[id] = true;
  }
  return is_needed;
}

void Builder::Renumber(const std::vector<bool>& is_needed) {
  std::vector<ValueId> new_ids(is_needed.size());
  ValueId next = 0;
  for (std::size_t id = 0; id < is_needed.size(); ++id) {
    if (!is_needed[id]) continue;
    new_ids[id] = next;
    if (next != id) {
      graph_.values[next] = std::move(graph_.values[id]);
      contents_[next] = std::move(contents_[id]);
    }
    ++next;
  }
  graph_.values.resize(next);
  contents_.resize(next);
  const auto renumber = [&](std::vector<ValueId>& ids) {
    for (ValueId& id : ids) id = new_ids[id];
  };
  for (Node& node : graph_.nodes) {
    renumber(node.inputs);
    node.output = new_ids[node.output];
  }
  renumber(graph_.inputs);
  renumber(graph_.outputs);
}

void Builder::LeaveOutUnused() {
  const std::vector<bool> is_needed = Needed();
  std::erase_if(graph_.nodes, [&](const Node& node) { return !is_needed[node.output]; });
  Renumber(is_needed);
}

std::size_t Builder::PlaceConstants() {
  std::size_t end = 0;
  for (Value& value : graph_.values) {
    if (!value.constant) continue;
    value.constant->offset = (end + kAlignment - 1) / kAlignment * kAlignment;
    end = value.constant->offset + value.constant->size;
  }
  return end;
}

Result<OwnedGraph> Builder::Finish() && {
  LeaveOutUnused();
  const std::size_t size = PlaceConstants();
  TACIT_TRY_VOID(Check(graph_, size));
  AlignedBuffer weights(size);
  if (size > 0) std::memset(weights.data(), 0, size);
  for (std::size_t id = 0; id < contents_.size(); ++id) {
    const auto& place = graph_.values[id].constant;
    if (place) std::memcpy(weights.data() + place->offset, contents_[id].bytes.data(), place->size);
  }
  TACIT_TRY_VOID(CheckScales(graph_, weights.bytes()));
  return OwnedGraph{.graph = std::move(graph_), .weights = std::move(weights)};
}

}  // namespace tacit::graph
