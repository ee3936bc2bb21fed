#include "common/graph/check.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/check.h"
#include "common/base/text.h"

namespace tacit::graph {
namespace {

std::unexpected<Error> Refused(const std::string& where, const std::string& what) {
  return Fail(ErrorCode::kInvalidArgument, where + ": " + what);
}

// A number, and the name too where there is one.
std::string Numbered(std::string_view kind, std::size_t number, const std::string& name) {
  std::string text = std::string(kind) + " " + std::to_string(number);
  return name.empty() ? text : text + " " + Excerpt(name);
}

std::string WhereIs(const Graph& graph, const Node& node) {
  const auto number = static_cast<std::size_t>(&node - graph.nodes.data());
  return Numbered("node", number, node.name) + " (" + NameOf(node.op) + ")";
}

Result<void> CheckCounts(const Graph& graph) {
  const auto over = [](const char* what, std::size_t count, std::size_t limit) {
    return Refused("graph",
                   "has " + std::to_string(count) + " " + what + ", over the limit of " + std::to_string(limit));
  };
  if (graph.values.size() > kMaxValues) return over("values", graph.values.size(), kMaxValues);
  if (graph.nodes.size() > kMaxNodes) return over("nodes", graph.nodes.size(), kMaxNodes);
  if (graph.inputs.size() > kMaxPorts) return over("inputs", graph.inputs.size(), kMaxPorts);
  if (graph.outputs.size() > kMaxPorts) return over("outputs", graph.outputs.size(), kMaxPorts);
  if (graph.inputs.empty() || graph.outputs.empty()) return Refused("graph", "needs an input and an output");
  return {};
}

// What can be shown to anybody as it is.
bool IsPrintable(std::string_view name) {
  return name.size() <= kMaxName && std::ranges::all_of(name, [](char c) { return c >= ' ' && c <= '~'; });
}

Result<void> CheckValue(const Graph& graph, ValueId id) {
  const Value& value = graph.values[id];
  if (!IsPrintable(value.name)) return Refused(Numbered("value", id, ""), "has a name that is too long or not ASCII");
  const std::string where = Numbered("value", id, value.name);
  if (!IsElement(static_cast<std::uint8_t>(value.element))) return Refused(where, "has an unknown element");
  if (const auto elements = ElementsOf(value.shape); !elements) return Refused(where, elements.error().message);
  if (value.constant && HasRows(value.shape)) return Refused(where, "is a constant and has rows");
  return {};
}

Result<void> CheckNode(const Graph& graph, const Node& node, std::size_t number) {
  if (!IsOperator(static_cast<std::uint8_t>(node.op))) {
    return Refused(Numbered("node", number, ""), "is an operator of no known code");
  }
  if (!IsPrintable(node.name)) return Refused(Numbered("node", number, ""), "has a name that is too long or not ASCII");
  const auto known = [&](ValueId id) { return id < graph.values.size(); };
  if (node.inputs.size() > kMaxNodeInputs) return Refused(WhereIs(graph, node), "has too many inputs");
  if (!std::ranges::all_of(node.inputs, known) || !known(node.output)) {
    return Refused(WhereIs(graph, node), "names a value that is not there");
  }
  return {};
}

Result<void> CheckPorts(const Graph& graph, const std::vector<ValueId>& ports, const char* kind) {
  std::set<std::string_view> names;
  for (const ValueId id : ports) {
    if (id >= graph.values.size()) return Refused("graph", std::string("names an ") + kind + " that is not there");
    const Value& value = graph.values[id];
    const std::string where = Numbered(kind, id, value.name);
    if (value.name.empty()) return Refused(where, "has no name");
    if (!names.insert(value.name).second) return Refused(where, "has the name of another");
    if (!HasRows(value.shape)) return Refused(where, "has no rows");
  }
  return {};
}

// Follows the nodes: which values are there before each.
class Order {
 public:
  explicit Order(const Graph& graph) : graph_(graph), is_there_(graph.values.size()), is_made_(graph.values.size()) {
    for (std::size_t id = 0; id < is_there_.size(); ++id) is_there_[id] = graph.values[id].constant.has_value();
  }

  Result<void> AddInputs() {
    for (const ValueId id : graph_.inputs) {
      if (is_there_[id])
        return Refused(Numbered("value", id, graph_.values[id].name), "is an input, and something else");
      is_there_[id] = true;
    }
    return {};
  }

  Result<void> Add(const Node& node) {
    for (const ValueId id : node.inputs) {
      if (!is_there_[id]) {
        return Refused(WhereIs(graph_, node),
                       Numbered("value", id, graph_.values[id].name) + " is not computed before");
      }
    }
    if (is_there_[node.output]) return Refused(WhereIs(graph_, node), "has an output that something else gives too");
    is_there_[node.output] = true;
    is_made_[node.output] = true;
    return {};
  }

  [[nodiscard]] Result<void> CheckEnd() const {
    for (std::size_t id = 0; id < is_there_.size(); ++id) {
      if (!is_there_[id]) return Refused(Numbered("value", id, graph_.values[id].name), "is given by nothing");
    }
    for (const ValueId id : graph_.outputs) {
      if (!is_made_[id]) return Refused(Numbered("output", id, graph_.values[id].name), "is computed by no node");
    }
    return {};
  }

 private:
  const Graph& graph_;
  std::vector<bool> is_there_;
  std::vector<bool> is_made_;
};

Result<void> CheckOrder(const Graph& graph) {
  Order order(graph);
  TACIT_TRY_VOID(order.AddInputs());
  for (const Node& node : graph.nodes) TACIT_TRY_VOID(order.Add(node));
  return order.CheckEnd();
}

Result<void> CheckMeaning(const Graph& graph) {
  std::uint64_t work = 0;
  for (const Node& node : graph.nodes) {
    const auto inferred = InferOutput(graph, node);
    if (!inferred) return Refused(WhereIs(graph, node), inferred.error().message);
    const Value& output = graph.values[node.output];
    if (output.shape != inferred->shape || output.element != inferred->element) {
      return Refused(WhereIs(graph, node), "gives " + TextOf(inferred->shape) + ", not " + TextOf(output.shape) +
                                               " or not of the element that is recorded");
    }
    work += WorkOf(graph, node);
    if (work > kMaxRowWork)
      return Refused(WhereIs(graph, node), "makes a row cost more than an engine may be asked for");
  }
  return {};
}

Result<void> CheckPlaces(const Graph& graph, std::size_t weights_size) {
  if (weights_size > kMaxWeightBytes) {
    return Refused("graph", std::to_string(weights_size) + " bytes of weights are over the limit of " +
                                std::to_string(kMaxWeightBytes));
  }
  std::vector<std::pair<Place, ValueId>> places;
  for (ValueId id = 0; id < graph.values.size(); ++id) {
    const Value& value = graph.values[id];
    if (!value.constant) continue;
    const std::string where = Numbered("value", id, value.name);
    const Place place = *value.constant;
    if (place.offset % kAlignment != 0) return Refused(where, "is at no multiple of " + std::to_string(kAlignment));
    if (place.offset > weights_size || place.size > weights_size - place.offset) {
      return Refused(where, "is not inside the weights");
    }
    TACIT_TRY(const std::int64_t elements, ElementsOf(value.shape));
    const std::size_t wanted = static_cast<std::size_t>(elements) * SizeOf(value.element);
    if (place.size != wanted) {
      return Refused(where, "has " + std::to_string(place.size) + " bytes, not " + std::to_string(wanted));
    }
    places.emplace_back(place, id);
  }
  std::ranges::sort(places, {}, [](const auto& entry) { return entry.first.offset; });
  const auto overlap = std::ranges::adjacent_find(
      places, [](const auto& a, const auto& b) { return a.first.offset + a.first.size > b.first.offset; });
  if (overlap == places.end()) return {};
  return Refused(Numbered("value", overlap->second, graph.values[overlap->second].name), "overlaps another constant");
}

template <typename T, typename Predicate>
bool AllOf(ByteSpan bytes, Predicate holds) {
  for (std::size_t at = 0; at + sizeof(T) <= bytes.size(); at += sizeof(T)) {
    T number = 0;
    std::memcpy(&number, bytes.data() + at, sizeof number);
    if (!holds(number)) return false;
  }
  return true;
}

}  // namespace

Result<void> Check(const Graph& graph, std::size_t weights_size) {
  TACIT_TRY_VOID(CheckCounts(graph));
  for (ValueId id = 0; id < graph.values.size(); ++id) TACIT_TRY_VOID(CheckValue(graph, id));
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) TACIT_TRY_VOID(CheckNode(graph, graph.nodes[i], i));
  TACIT_TRY_VOID(CheckPorts(graph, graph.inputs, "input"));
  TACIT_TRY_VOID(CheckPorts(graph, graph.outputs, "output"));
  TACIT_TRY_VOID(CheckOrder(graph));
  TACIT_TRY_VOID(CheckMeaning(graph));
  return CheckPlaces(graph, weights_size);
}

Result<void> CheckScales(const Graph& graph, ByteSpan weights) {
  const auto bytes_of = [&](ValueId id) {
    const Place place = Present(graph.values[id].constant, "Check takes no other scales and zero points");
    return weights.subspan(place.offset, place.size);
  };
  for (const Node& node : graph.nodes) {
    if (node.op != Operator::kQuantizeLinear && node.op != Operator::kDequantizeLinear) continue;
    if (!AllOf<float>(bytes_of(node.inputs[1]), [](float scale) { return std::isfinite(scale) && scale > 0; })) {
      return Refused(WhereIs(graph, node), "has a scale that is not finite and above 0");
    }
    const bool is_int32 = graph.values[node.inputs[2]].element == Element::kInt32;
    if (is_int32 && !AllOf<std::int32_t>(bytes_of(node.inputs[2]), [](std::int32_t zero) { return zero == 0; })) {
      return Refused(WhereIs(graph, node), "has a zero point of an int32 value that is not 0");
    }
  }
  return {};
}

}  // namespace tacit::graph
