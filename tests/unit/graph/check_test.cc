#include "common/graph/check.h"

#include <cstring>
#include <functional>
#include <limits>

#include <gmock/gmock.h>

#include "tests/support/matchers.h"
#include "tests/unit/graph/samples.h"

namespace tacit::graph {
namespace {

using ::tacit::testing::IsErrorSaying;
using ::tacit::testing::IsOk;
using testing::Sample;
using testing::Varied;

// What Check says of the sample after a change.
Result<void> Changed(const std::function<void(Graph&)>& change) {
  OwnedGraph model = Varied();
  change(model.graph);
  return Check(model.graph, model.weights.size());
}

auto Says(const std::string& part) {
  return IsErrorSaying(ErrorCode::kInvalidArgument, part);
}

TEST(Check, TakesWhatTheBuilderMakes) {
  EXPECT_THAT(Changed([](Graph&) {}), IsOk());
}

TEST(Check, HoldsNodesToAnOrderInWhichEachHasItsInputs) {
  EXPECT_THAT(Changed([](Graph& graph) { std::swap(graph.nodes[0], graph.nodes[1]); }), Says("is not computed before"));
  EXPECT_THAT(Changed([](Graph& graph) { graph.nodes[0].inputs[0] = graph.nodes[0].output; }),
              Says("is not computed before"));
  EXPECT_THAT(Changed([](Graph& graph) { graph.nodes[1].output = graph.nodes[0].output; }),
              Says("something else gives"));
  EXPECT_THAT(Changed([](Graph& graph) { graph.nodes.pop_back(); }), Says("is given by nothing"));
}

TEST(Check, HoldsIdsToValuesThatAreThere) {
  EXPECT_THAT(Changed([](Graph& graph) { graph.nodes[2].inputs[0] = 1000; }), Says("not there"));
  EXPECT_THAT(Changed([](Graph& graph) { graph.nodes[2].output = 1000; }), Says("not there"));
  EXPECT_THAT(Changed([](Graph& graph) { graph.inputs[0] = 1000; }), Says("not there"));
  EXPECT_THAT(Changed([](Graph& graph) { graph.outputs[0] = 1000; }), Says("not there"));
}

TEST(Check, HoldsRecordedShapesToWhatNodesGive) {
  EXPECT_THAT(Changed([](Graph& graph) { graph.values[graph.nodes[0].output].shape[2] = 5; }),
              Says("node 0 'node0' (Conv): gives [rows, 2, 4, 4]"));
  EXPECT_THAT(Changed([](Graph& graph) { graph.values[graph.nodes[1].output].element = Element::kInt8; }),
              Says("(QuantizeLinear)"));
  EXPECT_THAT(Changed([](Graph& graph) { graph.values[graph.nodes[1].output].element = Element{9}; }),
              Says("unknown element"));
  EXPECT_THAT(Changed([](Graph& graph) { graph.nodes[1].op = Operator{77}; }), Says("no known code"));
}

TEST(Check, HoldsInputsAndOutputsToNamesAndRows) {
  EXPECT_THAT(Changed([](Graph& graph) { graph.values[graph.outputs[0]].name.clear(); }), Says("has no name"));
  EXPECT_THAT(Changed([](Graph& graph) { graph.outputs.push_back(graph.outputs[0]); }), Says("name of another"));
  EXPECT_THAT(Changed([](Graph& graph) { graph.outputs[0] = graph.inputs[0]; }), Says("computed by no node"));
  EXPECT_THAT(Changed([](Graph& graph) { graph.inputs.push_back(graph.outputs[0]); }), Says("something else gives"));
  EXPECT_THAT(Changed([](Graph& graph) { graph.outputs.clear(); }), Says("needs an input and an output"));
  EXPECT_THAT(Changed([](Graph& graph) { graph.values[0].name = "a\nb"; }), Says("not ASCII"));
}

TEST(Check, HoldsConstantsToPlacesOfTheirOwnInsideTheWeights) {
  const auto last = [](Graph& graph) -> Place& {
    Place* place = nullptr;
    for (Value& value : graph.values) {
      if (value.constant) place = &*value.constant;
    }
    return *place;
  };
  EXPECT_THAT(Changed([&](Graph& graph) { last(graph).offset += 64; }), Says("not inside the weights"));
  EXPECT_THAT(Changed([&](Graph& graph) { last(graph).offset -= 64; }), Says("overlaps"));
  EXPECT_THAT(Changed([&](Graph& graph) { last(graph).offset -= 4; }), Says("no multiple of 64"));
  EXPECT_THAT(Changed([&](Graph& graph) { last(graph).size -= 4; }), Says("bytes, not"));
  EXPECT_THAT(Changed([&](Graph& graph) { last(graph).offset = SIZE_MAX - 63; }), Says("not inside the weights"));
}

TEST(Check, BoundsWhatOneRowCosts) {
  Sample sample;
  ValueId x = sample.Input({kRows, 1 << 20});
  x = sample.builder.AddReshape("", x, {kRows, 1 << 10, 1 << 10}).value();
  for (int i = 0; i < 63; ++i) x = sample.Node(Operator::kMatMul, {x, x});
  sample.builder.AddOutput(x, "y");
  EXPECT_THAT(std::move(sample.builder).Finish(), IsOk());
  Sample more;
  x = more.Input({kRows, 1 << 20});
  x = more.builder.AddReshape("", x, {kRows, 1 << 10, 1 << 10}).value();
  for (int i = 0; i < 64; ++i) x = more.Node(Operator::kMatMul, {x, x});
  more.builder.AddOutput(x, "y");
  EXPECT_THAT(std::move(more.builder).Finish(), Says("cost more"));
}

TEST(CheckScales, RefusesScalesThatAreNotAboveZero) {
  OwnedGraph model = Varied();
  const ValueId scale = model.graph.nodes[1].inputs[1];
  for (const float wrong :
       {0.0F, -1.0F, std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    std::memcpy(model.weights.data() + model.graph.values[scale].constant->offset, &wrong, sizeof wrong);
    EXPECT_THAT(CheckScales(model.graph, model.bytes()), Says("(QuantizeLinear): has a scale"));
  }
}

TEST(CheckScales, RefusesZeroPointsOfInt32) {
  Sample sample;
  const ValueId x = sample.Input({kRows, 2});
  const ValueId bias = sample.builder.AddOwnConstant("", Element::kInt32, {2}, Bytes(8));
  const ValueId zero = sample.builder.AddOwnConstant("", Element::kInt32, {}, {1, 0, 0, 0});
  const ValueId b = sample.Node(Operator::kDequantizeLinear, {bias, sample.Ones({}), zero});
  sample.builder.AddOutput(sample.Node(Operator::kGemm, {x, sample.Ones({2, 2}), b}), "y");
  EXPECT_THAT(std::move(sample.builder).Finish(), Says("zero point"));
}

}  // namespace
}  // namespace tacit::graph
