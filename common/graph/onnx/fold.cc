#include "common/graph/onnx/fold.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "common/base/bytes.h"

namespace tacit::onnx {
namespace {

using graph::Node;
using graph::Operator;
using graph::ValueId;

class Folder {
 public:
  Folder(graph::Builder& builder, std::size_t room)
      : builder_(builder), room_(room), uses_(builder.graph().values.size()), producers_(uses_.size(), nullptr) {
    for (const Node& node : builder.graph().nodes) {
      for (const ValueId id : node.inputs) ++uses_[id];
    }
    for (const ValueId id : builder.graph().outputs) ++uses_[id];
  }

  // The nodes that go in the same order; those that are folded keep their place with an output that nothing uses.
  void Run() {
    for (Node& node : builder_.nodes()) {
      const bool can_fold = node.op == Operator::kMul || node.op == Operator::kAdd;
      if (!can_fold || !Fold(node)) producers_[node.output] = &node;
    }
  }

 private:
  bool Fold(Node& node) {
    const std::size_t x = builder_.IsConstant(node.inputs[0]) ? 1 : 0;
    if (!builder_.IsConstant(node.inputs[1 - x])) return false;
    Node* producer = producers_[node.inputs[x]];
    const bool can = producer != nullptr && uses_[node.inputs[x]] == 1 && HasFloatWeights(*producer) &&
                     builder_.ValueOf(node.output).shape == builder_.ValueOf(node.inputs[x]).shape;
    if (!can) return false;
    const auto numbers = ByChannel(node.inputs[1 - x], *producer);
    if (!numbers || !(node.op == Operator::kMul ? Scale(*producer, *numbers) : Shift(*producer, *numbers)))
      return false;
    // The producer gives what this node gave, which in turn is what nobody needs.
    std::swap(producer->output, node.output);
    producers_[producer->output] = producer;
    return true;
  }

  [[nodiscard]] bool HasFloatWeights(const Node& node) const {
    if (node.op != Operator::kConv && node.op != Operator::kGemm) return false;
    return std::ranges::all_of(std::span(node.inputs).subspan(1), [&](ValueId id) { return builder_.IsConstant(id); });
  }

  [[nodiscard]] std::vector<float> Numbers(ValueId id) const {
    const ByteSpan content = builder_.ContentOf(id);
    std::vector<float> numbers(content.size() / sizeof(float));
    std::memcpy(numbers.data(), content.data(), content.size());
    return numbers;
  }

  // One number a channel, where the constant has one for each or one for all.
  [[nodiscard]] std::optional<std::vector<float>> ByChannel(ValueId constant, const Node& producer) const {
    const graph::Shape& shape = builder_.ValueOf(constant).shape;
    const graph::Shape& values = builder_.ValueOf(producer.output).shape;
    const auto channels = static_cast<std::size_t>(values[1]);
    std::vector<float> numbers = Numbers(constant);
    if (numbers.size() == 1) return std::vector<float>(channels, numbers.front());
    const std::size_t behind = values.size() - 2;  // dimensions behind that of channels
    const bool fits =
        numbers.size() == channels && shape.size() > behind && shape[shape.size() - 1 - behind] == values[1];
    return fits ? std::optional(std::move(numbers)) : std::nullopt;
  }

  bool Take(std::size_t size) {
    if (size > room_) return false;
    room_ -= size;
    return true;
  }

  ValueId Add(graph::Shape shape, std::span<const float> numbers) {
    const ByteSpan bytes = AsBytes(numbers);
    uses_.push_back(1);
    producers_.push_back(nullptr);
    return builder_.AddOwnConstant("", graph::Element::kFloat32, std::move(shape), {bytes.begin(), bytes.end()});
  }

  bool Scale(Node& producer, std::span<const float> factors) {
    const graph::Shape shape = builder_.ValueOf(producer.inputs[1]).shape;
    std::vector<float> weight = Numbers(producer.inputs[1]);
    if (!Take((weight.size() + factors.size()) * sizeof(float))) return false;
    const std::size_t each = weight.size() / factors.size();
    for (std::size_t i = 0; i < weight.size(); ++i) weight[i] *= factors[i / each];
    producer.inputs[1] = Add(shape, weight);
    if (producer.inputs.size() < 3) return true;
    std::vector<float> bias = Numbers(producer.inputs[2]);
    for (std::size_t i = 0; i < bias.size(); ++i) bias[i] *= factors[i];
    producer.inputs[2] = Add({shape[0]}, bias);
    return true;
  }

  bool Shift(Node& producer, std::span<const float> shifts) {
    if (!Take(shifts.size_bytes())) return false;
    std::vector<float> bias(shifts.begin(), shifts.end());
    if (producer.inputs.size() > 2) {
      const std::vector<float> before = Numbers(producer.inputs[2]);
      for (std::size_t i = 0; i < bias.size(); ++i) bias[i] += before[i];
      producer.inputs.pop_back();
    }
    producer.inputs.push_back(Add({static_cast<std::int64_t>(bias.size())}, bias));
    return true;
  }

  graph::Builder& builder_;
  std::size_t room_;
  std::vector<std::size_t> uses_;
  std::vector<Node*> producers_;
};

}  // namespace

void FoldByChannel(graph::Builder& builder, std::size_t room) {
  Folder(builder, room).Run();
}

}  // namespace tacit::onnx
