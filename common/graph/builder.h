#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "common/graph/graph.h"

namespace tacit::graph {

/// Puts a graph together from its first node to its last. Ids that it gives out are its own: Finish leaves out what no
/// output needs and numbers the rest again.
class Builder {
 public:
  /// Shape: `shape` begins with kRows.
  ValueId AddInput(std::string name, Element element, Shape shape);

  /// Bytes that stay where they are until Finish has copied them.
  ValueId AddConstant(std::string name, Element element, Shape shape, ByteSpan content);
  /// The same of bytes that only the builder needs.
  ValueId AddOwnConstant(std::string name, Element element, Shape shape, Bytes content);

  /// The value that a new node computes, of the element and shape that InferOutput says. `node.output` is ignored, and
  /// its name is that of the value too. Errors: as InferOutput; kTooLarge for more than kMaxNodes.
  Result<ValueId> AddNode(Node node);
  /// A reshape, whose output is of `shape`. Errors: as AddNode.
  Result<ValueId> AddReshape(std::string name, ValueId input, Shape shape);

  /// Makes a value an output by this name. Shape: not an input or a parameter, and not one already.
  void AddOutput(ValueId id, std::string name);

  [[nodiscard]] const Value& ValueOf(ValueId id) const { return graph_.values[id]; }
  [[nodiscard]] bool IsConstant(ValueId id) const { return graph_.values[id].constant.has_value(); }
  /// Shape: `id` is a constant's.
  [[nodiscard]] ByteSpan ContentOf(ValueId id) const { return contents_[id].bytes; }
  /// The node that computes a value; null for an input or a constant. Stays until a node is added.
  [[nodiscard]] Node* ProducerOf(ValueId id);

  /// The graph, with the constants that it needs one behind the other in the order of their ids. Errors: as Check and
  /// CheckScales.
  Result<OwnedGraph> Finish() &&;

 private:
  struct Content {
    ByteSpan bytes;
    Bytes own;
  };

  ValueId Add(Value value, Content content);
  Result<ValueId> Add(Node node, Value output);
  void LeaveOutUnused();
  void Renumber(const std::vector<bool>& is_needed);
  [[nodiscard]] std::vector<bool> Needed() const;
  std::size_t PlaceConstants();

  Graph graph_;
  std::vector<Content> contents_;  // beside graph_.values
};

}  // namespace tacit::graph
