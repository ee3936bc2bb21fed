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

TEST(FromSpec, WithoutHiddenLayersIsOneGemm) {
  const auto spec = model::ModelSpec::Create({.inputs = 3, .hidden = {}, .classes = 2});
  EXPECT_EQ(FromSpec(*spec, std::vector<float>(8)).graph.nodes.size(), 1U);
}

}  // namespace
}  // namespace tacit::graph
