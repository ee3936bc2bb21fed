#include "server/ownership/channels.h"

#include <algorithm>
#include <cstdint>

namespace tacit::ownership {

namespace {

using graph::Graph;
using graph::Node;
using graph::Operator;
using graph::Shape;
using Segments = std::vector<Segment>;

std::size_t Size(std::int64_t dimension) {
  return static_cast<std::size_t>(dimension);
}

/// Goes through a graph once, from its inputs on, and notes what ties channels to each other or to their places.
class Finder {
 public:
  explicit Finder(const Graph& graph) : graph_(graph), layouts_(graph.values.size()), uses_(graph.values.size()) {}

  Channels Find() {
    for (const Node& node : graph_.nodes)
      for (const graph::ValueId input : node.inputs) ++uses_[input];
    for (const graph::ValueId input : graph_.inputs) layouts_[input] = FixedLayout(input);
    for (std::size_t i = 0; i < graph_.nodes.size(); ++i) Visit(i);
    for (const graph::ValueId output : graph_.outputs) Fix(layouts_[output]);
    return Finish();
  }

 private:
  struct Candidate {
    std::size_t parent;
    std::size_t channels;
    bool fixed = false;
    bool scales = true;
  };

  [[nodiscard]] const Shape& ShapeOf(graph::ValueId id) const { return graph_.values[id].shape; }
  [[nodiscard]] bool IsConstant(graph::ValueId id) const { return graph_.values[id].constant.has_value(); }

  [[nodiscard]] Segments FixedLayout(graph::ValueId id) const {
    const Shape& shape = ShapeOf(id);
    if (shape.size() < 2) return {};
    return {{.group = kFixed, .channels = Size(shape[1]), .block = 1}};
  }

  std::size_t Root(std::size_t candidate) {
    while (candidates_[candidate].parent != candidate) candidate = candidates_[candidate].parent;
    return candidate;
  }
  void Fix(const Segments& segments) {
    for (const Segment& each : segments)
      if (each.group != kFixed) candidates_[Root(each.group)].fixed = true;
  }
  void KeepScale(const Segments& segments) {
    for (const Segment& each : segments)
      if (each.group != kFixed) candidates_[Root(each.group)].scales = false;
  }
  void Tie(std::size_t one, std::size_t other) {
    Candidate& into = candidates_[std::min(Root(one), Root(other))];
    Candidate& from = candidates_[std::max(Root(one), Root(other))];
    into.fixed = into.fixed || from.fixed;
    into.scales = into.scales && from.scales;
    from.parent = into.parent;
  }
  // Both are in one order from here on.
  void Tie(const Segments& one, const Segments& other) {
    const auto alike = [](const Segment& a, const Segment& b) {
      return a.channels == b.channels && a.block == b.block;
    };
    const bool same = std::ranges::equal(one, other, alike);
    for (std::size_t i = 0; same && i < one.size(); ++i) {
      if (one[i].group != kFixed && other[i].group != kFixed) Tie(one[i].group, other[i].group);
      if (one[i].group == kFixed) Fix({other[i]});
      if (other[i].group == kFixed) Fix({one[i]});
    }
    if (same) return;
    Fix(one);
    Fix(other);
  }

  void Visit(std::size_t index) {
    const Node& node = graph_.nodes[index];
    switch (node.op) {
      case Operator::kGemm:
      case Operator::kConv:
        return VisitLinear(index);
      case Operator::kRelu:
      case Operator::kMaxPool:
      case Operator::kAveragePool:
      case Operator::kGlobalAveragePool:
        layouts_[node.output] = layouts_[node.inputs[0]];
        return;
      case Operator::kClip:
      case Operator::kSigmoid:
      case Operator::kTanh:
        layouts_[node.output] = layouts_[node.inputs[0]];
        return KeepScale(layouts_[node.output]);
      case Operator::kAdd:
      case Operator::kMul:
        return VisitPair(node);
      case Operator::kConcat:
        return VisitConcat(node);
      case Operator::kReshape:
        return VisitReshape(node);
      default:
        return VisitOther(node);
    }
  }

  void VisitOther(const Node& node) {
    for (const graph::ValueId input : node.inputs) Fix(layouts_[input]);
    layouts_[node.output] = FixedLayout(node.output);
  }

  void VisitLinear(std::size_t index) {
    const Node& node = graph_.nodes[index];
    const Shape& weight = ShapeOf(node.inputs[1]);
    const std::size_t outputs = Size(weight[0]);
    const Segments& in = layouts_[node.inputs[0]];
    bool own = true;  // constants that it may change: its own, and float32
    for (std::size_t i = 1; i < node.inputs.size(); ++i) {
      const graph::Value& constant = graph_.values[node.inputs[i]];
      own = own && uses_[node.inputs[i]] == 1 && constant.constant && constant.element == graph::Element::kFloat32;
    }
    const bool depthwise = node.attributes.groups > 1 && node.attributes.groups == outputs && weight[1] == 1 &&
                           ShapeOf(node.inputs[0])[1] == weight[0];
    if (!own || (node.attributes.groups > 1 && !depthwise)) return VisitOther(node);
    if (depthwise) {
      found_.nodes.push_back({.node = index, .out = in, .in = {}});
      layouts_[node.output] = in;
      return;
    }
    candidates_.push_back({.parent = candidates_.size(), .channels = outputs});
    const Segments out = {{.group = candidates_.size() - 1, .channels = outputs, .block = 1}};
    found_.nodes.push_back({.node = index, .out = out, .in = in});
    layouts_[node.output] = out;
  }

  void VisitPair(const Node& node) {
    const graph::ValueId one = node.inputs[0];
    const graph::ValueId other = node.inputs[1];
    if (IsConstant(one) || IsConstant(other) || ShapeOf(one).size() < 2 || ShapeOf(one).size() != ShapeOf(other).size())
      return VisitOther(node);
    Tie(layouts_[one], layouts_[other]);
    layouts_[node.output] = layouts_[one];
    if (layouts_[one].empty() || ShapeOf(one)[1] != ShapeOf(other)[1]) return VisitOther(node);
    // A factor of both would be squared.
    if (node.op == Operator::kMul) KeepScale(layouts_[node.output]);
  }

  void VisitConcat(const Node& node) {
    Segments all;
    for (const graph::ValueId input : node.inputs) {
      if (IsConstant(input) || layouts_[input].empty()) return VisitOther(node);
      all.insert(all.end(), layouts_[input].begin(), layouts_[input].end());
    }
    if (node.attributes.axis != 1) {
      for (const graph::ValueId input : node.inputs) Tie(layouts_[node.inputs[0]], layouts_[input]);
      all = layouts_[node.inputs[0]];
    }
    layouts_[node.output] = std::move(all);
  }

  void VisitReshape(const Node& node) {
    const Shape& from = ShapeOf(node.inputs[0]);
    const Shape& to = ShapeOf(node.output);
    if (IsConstant(node.inputs[0]) || from.size() < 2 || to.size() < 2) return VisitOther(node);
    Segments layout = layouts_[node.inputs[0]];
    if (from[1] != to[1]) {
      if (to.size() != 2) return VisitOther(node);
      std::size_t places = 1;
      for (std::size_t i = 2; i < from.size(); ++i) places *= Size(from[i]);
      for (Segment& each : layout) each.block *= places;
    }
    layouts_[node.output] = std::move(layout);
  }

  Channels Finish() {
    std::vector<std::size_t> names(candidates_.size(), kFixed);
    for (std::size_t i = 0; i < candidates_.size(); ++i) {
      const Candidate& root = candidates_[Root(i)];
      if (root.fixed || root.channels < 2) continue;
      if (Root(i) == i) {
        names[i] = found_.groups.size();
        found_.groups.push_back({.channels = root.channels, .scales = root.scales});
      } else {
        names[i] = names[Root(i)];
      }
    }
    for (LinearNode& node : found_.nodes) {
      for (Segments* side : {&node.out, &node.in})
        for (Segment& each : *side)
          if (each.group != kFixed) each.group = names[each.group];
    }
    return std::move(found_);
  }

  const Graph& graph_;
  std::vector<Segments> layouts_;      // of each value's second dimension
  std::vector<std::size_t> uses_;      // of each value, by nodes
  std::vector<Candidate> candidates_;  // for groups
  Channels found_;
};

}  // namespace

Channels FindChannels(const graph::Graph& graph) {
  return Finder(graph).Find();
}

}  // namespace tacit::ownership
