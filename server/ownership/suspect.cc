#include "server/ownership/suspect.h"

#include <algorithm>
#include <utility>

#include "common/base/check.h"
#include "common/graph/file.h"
#include "common/graph/from_spec.h"
#include "common/model/export.h"

namespace tacit::ownership {

namespace {

// A safetensors file begins with the length of its header, which is far below what these letters are as a number.
constexpr std::string_view kGraphMagic = "TACITGRF";

// Whether two nodes compute the same of values of the same shapes, but for what their constants hold.
bool AreAlike(const graph::Graph& one, const graph::Node& a, const graph::Graph& other, const graph::Node& b) {
  const auto alike = [&](graph::ValueId left, graph::ValueId right) {
    const graph::Value& l = one.values[left];
    const graph::Value& r = other.values[right];
    return l.element == r.element && l.shape == r.shape && l.constant.has_value() == r.constant.has_value();
  };
  return a.op == b.op && a.attributes == b.attributes && std::ranges::equal(a.inputs, b.inputs, alike) &&
         alike(a.output, b.output);
}

}  // namespace

Result<Suspect> Suspect::Read(ByteSpan file) {
  Suspect suspect;
  if (AsText(file).starts_with(kGraphMagic)) {
    suspect.memory_ = AlignedBuffer(file.size());  // where a graph wants it
    std::ranges::copy(file, suspect.memory_.data());
    TACIT_TRY(graph::GraphView view, graph::Parse(std::as_const(suspect.memory_).bytes()));
    suspect.graph_ = std::move(view.graph);
    suspect.weights_ = view.weights;
    return suspect;
  }
  TACIT_TRY(const model::LoadedModel loaded, model::ParseSafetensors(file));
  graph::OwnedGraph owned = graph::FromSpec(loaded.spec, loaded.parameters);
  suspect.graph_ = std::move(owned.graph);
  suspect.memory_ = std::move(owned.weights);
  suspect.weights_ = std::as_const(suspect.memory_).bytes();
  return suspect;
}

graph::GraphView Suspect::View() const {
  return {graph_, weights_};
}

Result<std::vector<float>> Suspect::ParametersAs(const model::ModelSpec& spec) const {
  const auto other = [&spec] {
    return Fail(ErrorCode::kInvalidArgument, "the file is no model of the task's kind, " + spec.CanonicalText() +
                                                 ": its answers cannot be asked for");
  };
  std::vector<float> parameters(spec.ParameterCount());
  const graph::Graph wanted = graph::FromSpec(spec, parameters).graph;
  if (graph_.nodes.size() != wanted.nodes.size() || graph_.inputs.size() != 1) return other();
  graph::ValueId previous = graph_.inputs[0];
  if (graph_.values[previous].shape != wanted.values[wanted.inputs[0]].shape) return other();
  auto to = parameters.begin();
  for (std::size_t i = 0; i < wanted.nodes.size(); ++i) {
    const graph::Node& node = graph_.nodes[i];
    if (!AreAlike(graph_, node, wanted, wanted.nodes[i]) || node.inputs[0] != previous) return other();
    previous = node.output;
    for (std::size_t part = 1; part < node.inputs.size(); ++part) {
      const graph::Place place = Present(graph_.values[node.inputs[part]].constant, "alike values are constants alike");
      const auto* numbers = reinterpret_cast<const float*>(weights_.data() + place.offset);
      to = std::copy_n(numbers, place.size / sizeof(float), to);
    }
  }
  return parameters;
}

}  // namespace tacit::ownership
