#include "server/ownership/suspect.h"

#include <algorithm>
#include <utility>

#include "common/graph/file.h"
#include "common/graph/from_spec.h"
#include "common/model/export.h"

namespace tacit::ownership {

namespace {

// A safetensors file begins with the length of its header, which is far below what these letters are as a number.
constexpr std::string_view kGraphMagic = "TACITGRF";

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
  const std::vector<model::Tensor> tensors = spec.Tensors();
  if (graph_.nodes.size() + 1 != tensors.size() || graph_.inputs.size() != 1) return other();
  graph::ValueId previous = graph_.inputs[0];
  for (std::size_t i = 0; i < graph_.nodes.size(); ++i) {
    const graph::Node& node = graph_.nodes[i];
    const bool linear = i % 2 == 0;
    if (node.op != (linear ? graph::Operator::kGemm : graph::Operator::kRelu) || node.inputs[0] != previous)
      return other();
    previous = node.output;
    if (!linear) continue;
    if (node.inputs.size() != 3) return other();
    for (std::size_t part = 0; part < 2; ++part) {
      const graph::Value& value = graph_.values[node.inputs[part + 1]];
      const model::Tensor& tensor = tensors[i + part];
      const graph::Shape shape(tensor.shape.begin(), tensor.shape.end());
      if (!value.constant || value.element != graph::Element::kFloat32 || value.shape != shape) return other();
      const auto* numbers = reinterpret_cast<const float*>(weights_.data() + value.constant->offset);
      std::copy_n(numbers, tensor.size(), parameters.begin() + static_cast<std::ptrdiff_t>(tensor.offset));
    }
  }
  return parameters;
}

}  // namespace tacit::ownership
