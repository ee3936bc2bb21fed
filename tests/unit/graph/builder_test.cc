#include "common/graph/builder.h"

#include <gmock/gmock.h>

#include "tests/support/matchers.h"
#include "tests/unit/graph/samples.h"

namespace tacit::graph {
namespace {

using ::testing::ElementsAre;
using testing::Sample;

TEST(Builder, LeavesOutWhatNoOutputNeeds) {
  Sample sample;
  const ValueId x = sample.Input({kRows, 3});
  sample.Node(Operator::kGemm, {x, sample.Ones({5, 3})});
  const ValueId y = sample.Node(Operator::kRelu, {x});
  sample.Node(Operator::kTanh, {y});
  const OwnedGraph model = sample.Finish(y);
  ASSERT_EQ(model.graph.nodes.size(), 1U);
  EXPECT_EQ(model.graph.nodes[0].op, Operator::kRelu);
  EXPECT_EQ(model.graph.values.size(), 2U);
  EXPECT_EQ(model.weights.size(), 0U);
}

TEST(Builder, PutsConstantsAtMultiplesOf64WithZerosBetween) {
  Sample sample;
  const ValueId x = sample.Input({kRows, 2});
  const OwnedGraph model = sample.Finish(sample.Node(Operator::kGemm, {x, sample.Ones({1, 2}), sample.Ones({1})}));
  EXPECT_EQ(model.graph.values[1].constant, (Place{.offset = 0, .size = 8}));
  EXPECT_EQ(model.graph.values[2].constant, (Place{.offset = 64, .size = 4}));
  ASSERT_EQ(model.weights.size(), 68U);
  EXPECT_EQ(model.weights.As<float>()[1], 1.0F);
  EXPECT_EQ(model.weights.As<float>()[2], 0.0F);
}

TEST(StripNames, LeavesThoseOfInputsAndOutputs) {
  OwnedGraph model = testing::Varied();
  StripNames(model.graph);
  std::vector<std::string> names;
  for (const Value& value : model.graph.values) {
    if (!value.name.empty()) names.push_back(value.name);
  }
  EXPECT_THAT(names, ElementsAre("x", "y"));
  for (const Node& node : model.graph.nodes) EXPECT_EQ(node.name, "");
}

}  // namespace
}  // namespace tacit::graph
