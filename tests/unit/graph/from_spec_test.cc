#include "common/graph/from_spec.h"

#include <algorithm>
#include <numeric>

#include <gmock/gmock.h>

#include "common/graph/check.h"
#include "tests/support/matchers.h"

namespace tacit::graph {
namespace {

using ::testing::ElementsAre;

TEST(FromSpec, IsAChainOfGemmAndReluWithTheParametersInTheirOrder) {
  const auto spec = model::ModelSpec::Create({.inputs = 3, .hidden = {4}, .classes = 2});
  std::vector<float> parameters(spec->ParameterCount());
  std::iota(parameters.begin(), parameters.end(), 0.5F);
  const OwnedGraph model = FromSpec(*spec, parameters);
  EXPECT_THAT(Check(model.graph, model.weights.size()), ::tacit::testing::IsOk());
  std::vector<Operator> operators;
  for (const Node& node : model.graph.nodes) operators.push_back(node.op);
  EXPECT_THAT(operators, ElementsAre(Operator::kGemm, Operator::kRelu, Operator::kGemm));
  EXPECT_EQ(model.graph.values[model.graph.inputs[0]].name, "features");
  EXPECT_EQ(model.graph.values[model.graph.outputs[0]].name, "logits");
  EXPECT_EQ(model.graph.values[model.graph.outputs[0]].shape, (Shape{kRows, 2}));
  std::vector<float> found;
  for (const Value& value : model.graph.values) {
    if (!value.constant) continue;
    const auto numbers = model.weights.As<float>().subspan(value.constant->offset / 4, value.constant->size / 4);
    found.insert(found.end(), numbers.begin(), numbers.end());
  }
  EXPECT_EQ(found, parameters);
}

model::ModelSpec Layered(std::string_view text) {
  return *model::ModelSpec::Parse(text);
}

TEST(FromSpec, OfLayersHasANodeForEachWithItsAttributes) {
  const model::ModelSpec spec = Layered(
      "tacit-layers/1:4x9x9;conv 8 3x2 stride 2x1 pad 1x0 groups 2;relu6;average-pool 2 stride 1;tanh;max-pool "
      "2;sigmoid;"
      "global-average-pool;flatten;dense 3");
  std::vector<float> parameters(spec.ParameterCount());
  std::iota(parameters.begin(), parameters.end(), 0.5F);
  const OwnedGraph model = FromSpec(spec, parameters);
  EXPECT_THAT(Check(model.graph, model.weights.size()), ::tacit::testing::IsOk());
  EXPECT_EQ(model.graph.values[model.graph.inputs[0]].shape, (Shape{kRows, 4, 9, 9}));
  std::vector<Operator> operators;
  for (const Node& node : model.graph.nodes) operators.push_back(node.op);
  EXPECT_THAT(operators,
              ElementsAre(Operator::kConv, Operator::kClip, Operator::kAveragePool, Operator::kTanh, Operator::kMaxPool,
                          Operator::kSigmoid, Operator::kGlobalAveragePool, Operator::kReshape, Operator::kGemm));
  const Attributes& conv = model.graph.nodes[0].attributes;
  EXPECT_THAT(conv.kernel, ElementsAre(3, 2));
  EXPECT_THAT(conv.strides, ElementsAre(2, 1));
  EXPECT_THAT(conv.pads, ElementsAre(1, 0, 1, 0));
  EXPECT_EQ(conv.groups, 2U);
  EXPECT_EQ(model.graph.nodes[1].attributes.maximum, 6.0F);
  EXPECT_EQ(model.graph.values[model.graph.nodes[0].output].shape, (Shape{kRows, 8, 5, 8}));
  EXPECT_EQ(model.graph.values[model.graph.outputs[0]].name, "logits");
}

TEST(FromSpec, OverASignalHasWindowsOfOneDimension) {
  const model::ModelSpec spec = Layered("tacit-layers/1:6x128;conv 16 5 stride 2;relu;max-pool 3;flatten;dense 6");
  const OwnedGraph model = FromSpec(spec, std::vector<float>(spec.ParameterCount()));
  EXPECT_THAT(Check(model.graph, model.weights.size()), ::tacit::testing::IsOk());
  EXPECT_THAT(model.graph.nodes[0].attributes.kernel, ElementsAre(1, 5));
  EXPECT_EQ(model.graph.values[model.graph.nodes[2].output].shape, (Shape{kRows, 16, 20}));
}

TEST(FromSpec, WithoutHiddenLayersIsOneGemm) {
  const auto spec = model::ModelSpec::Create({.inputs = 3, .hidden = {}, .classes = 2});
  EXPECT_EQ(FromSpec(*spec, std::vector<float>(8)).graph.nodes.size(), 1U);
}

}  // namespace
}  // namespace tacit::graph
