#include "common/graph/shapes.h"

#include <gmock/gmock.h>

#include "tests/support/matchers.h"
#include "tests/unit/graph/samples.h"

namespace tacit::graph {
namespace {

using ::tacit::testing::IsError;
using ::tacit::testing::IsErrorSaying;
using ::tacit::testing::IsOk;
using testing::Sample;

constexpr auto kRefused = ErrorCode::kInvalidArgument;

Attributes Square(std::uint32_t kernel, std::uint32_t stride, std::uint32_t pad) {
  Attributes attributes;
  attributes.kernel = {kernel, kernel};
  attributes.strides = {stride, stride};
  attributes.pads = {pad, pad, pad, pad};
  return attributes;
}

Attributes Along(std::int32_t axis) {
  Attributes attributes;
  attributes.axis = axis;
  return attributes;
}

TEST(InferOutput, ConvolutionHasOnePlaceForEachWindowThatFits) {
  Sample sample;
  const ValueId x = sample.Input({kRows, 4, 7, 5});
  Attributes attributes = Square(3, 2, 1);
  attributes.groups = 2;
  attributes.dilations = {2, 1};
  const ValueId y = sample.Node(Operator::kConv, {x, sample.Ones({6, 2, 3, 3}), sample.Ones({6})}, attributes);
  EXPECT_EQ(sample.ShapeOf(y), (Shape{kRows, 6, 3, 3}));
  EXPECT_EQ(WorkOf(sample.builder.graph(), sample.builder.graph().nodes[0]), 6U * 9 * 18);
}

TEST(InferOutput, ConvolutionOverOneDimensionUsesTheSecondOfEachPair) {
  Sample sample;
  const ValueId x = sample.Input({kRows, 2, 9});
  Attributes attributes;
  attributes.kernel = {1, 3};
  attributes.pads = {0, 2, 0, 0};
  EXPECT_EQ(sample.ShapeOf(sample.Node(Operator::kConv, {x, sample.Ones({5, 2, 3})}, attributes)),
            (Shape{kRows, 5, 9}));
  attributes.pads = {1, 2, 0, 0};
  EXPECT_THAT(sample.Try(Operator::kConv, {x, sample.Ones({5, 2, 3})}, attributes),
              IsErrorSaying(kRefused, "first of each pair"));
}

TEST(InferOutput, ConvolutionRefusesWeightsGroupsAndWindowsThatDoNotFit) {
  Sample sample;
  const ValueId x = sample.Input({kRows, 4, 5, 5});
  EXPECT_THAT(sample.Try(Operator::kConv, {x, sample.Ones({6, 3, 3, 3})}, Square(3, 1, 0)),
              IsErrorSaying(kRefused, "[6, 4, 3, 3]"));
  EXPECT_THAT(sample.Try(Operator::kConv, {x, sample.Ones({6, 4, 7, 7})}, Square(7, 1, 0)),
              IsErrorSaying(kRefused, "does not fit"));
  EXPECT_THAT(sample.Try(Operator::kConv, {x, x}, Square(3, 1, 0)), IsErrorSaying(kRefused, "must be a parameter"));
  Attributes attributes = Square(3, 1, 0);
  attributes.groups = 3;
  EXPECT_THAT(sample.Try(Operator::kConv, {x, sample.Ones({6, 1, 3, 3})}, attributes),
              IsErrorSaying(kRefused, "no multiple of groups"));
  EXPECT_THAT(sample.Try(Operator::kConv, {x, sample.Ones({6, 4, 3, 3}), sample.Ones({5})}, Square(3, 1, 0)),
              IsErrorSaying(kRefused, "input 2 has shape [5], not [6]"));
  EXPECT_THAT(sample.Try(Operator::kConv, {x, sample.Ones({6, 4, 3, 3})}, Square(3, 0, 0)),
              IsErrorSaying(kRefused, "strides"));
}

TEST(InferOutput, PoolRefusesWindowsOverPaddingAlone) {
  Sample sample;
  const ValueId x = sample.Input({kRows, 1, 4, 4});
  EXPECT_EQ(sample.ShapeOf(sample.Node(Operator::kMaxPool, {x}, Square(3, 2, 1))), (Shape{kRows, 1, 2, 2}));
  EXPECT_THAT(sample.Try(Operator::kMaxPool, {x}, Square(2, 2, 2)), IsErrorSaying(kRefused, "padding alone"));
  Attributes behind = Square(2, 2, 0);
  behind.pads = {0, 0, 0, 2};
  EXPECT_THAT(sample.Try(Operator::kAveragePool, {x}, behind), IsErrorSaying(kRefused, "padding alone"));
  behind.pads = {0, 0, 0, 1};
  EXPECT_THAT(sample.Try(Operator::kAveragePool, {x}, behind), IsOk());
  Attributes dilated = Square(2, 1, 0);
  dilated.dilations = {2, 2};
  EXPECT_THAT(sample.Try(Operator::kMaxPool, {x}, dilated), IsErrorSaying(kRefused, "no dilations"));
}

TEST(InferOutput, BroadcastNeverMovesRows) {
  Sample sample;
  const ValueId x = sample.Input({kRows, 3, 4});
  EXPECT_EQ(sample.ShapeOf(sample.Node(Operator::kAdd, {x, sample.Ones({3, 1})})), (Shape{kRows, 3, 4}));
  EXPECT_EQ(sample.ShapeOf(sample.Node(Operator::kMul, {sample.Ones({1, 1, 4}), x})), (Shape{kRows, 3, 4}));
  EXPECT_THAT(sample.Try(Operator::kAdd, {x, sample.Ones({2, 3, 4})}), IsErrorSaying(kRefused, "row by row"));
  EXPECT_THAT(sample.Try(Operator::kAdd, {x, sample.Ones({1, 1, 3, 4})}), IsError(kRefused));
  EXPECT_THAT(sample.Try(Operator::kAdd, {sample.Ones({4}), sample.Ones({4})}), IsError(kRefused));
  const ValueId flat = sample.builder.AddReshape("", x, {kRows, 12}).value();
  EXPECT_THAT(sample.Try(Operator::kAdd, {x, flat}), IsErrorSaying(kRefused, "row by row"));
}

TEST(InferOutput, MatMulIsOfMatricesWithinARow) {
  Sample sample;
  const ValueId x = sample.Input({kRows, 3, 4});
  const ValueId turned = sample.builder.AddReshape("", x, {kRows, 4, 3}).value();
  EXPECT_EQ(sample.ShapeOf(sample.Node(Operator::kMatMul, {x, turned})), (Shape{kRows, 3, 3}));
  EXPECT_EQ(sample.ShapeOf(sample.Node(Operator::kMatMul, {sample.Ones({5, 3}), x})), (Shape{kRows, 5, 4}));
  EXPECT_THAT(sample.Try(Operator::kMatMul, {x, x}), IsError(kRefused));
  const ValueId flat = sample.builder.AddReshape("", x, {kRows, 12}).value();
  EXPECT_THAT(sample.Try(Operator::kMatMul, {flat, flat}), IsError(kRefused));
}

TEST(InferOutput, AxesAndPermutationsLeaveRowsWhereTheyAre) {
  Sample sample;
  const ValueId x = sample.Input({kRows, 3, 4});
  EXPECT_EQ(sample.ShapeOf(sample.Node(Operator::kConcat, {x, x, x}, Along(2))), (Shape{kRows, 3, 12}));
  for (const std::int32_t axis : {-1, 0, 3}) {
    EXPECT_THAT(sample.Try(Operator::kConcat, {x, x}, Along(axis)), IsErrorSaying(kRefused, "axis"));
    EXPECT_THAT(sample.Try(Operator::kSoftmax, {x}, Along(axis)), IsErrorSaying(kRefused, "axis"));
  }
  Attributes turned;
  turned.permutation = {0, 2, 1};
  EXPECT_EQ(sample.ShapeOf(sample.Node(Operator::kTranspose, {x}, turned)), (Shape{kRows, 4, 3}));
  for (const std::vector<std::uint32_t>& wrong :
       {std::vector<std::uint32_t>{}, {0, 1}, {1, 0, 2}, {0, 1, 1}, {0, 1, 7}, {0, 1, 2, 2}}) {
    turned.permutation = wrong;
    EXPECT_THAT(sample.Try(Operator::kTranspose, {x}, turned), IsErrorSaying(kRefused, "permutation"));
  }
  EXPECT_THAT(sample.builder.AddReshape("", x, {12, kRows}), IsError(kRefused));
  EXPECT_THAT(sample.builder.AddReshape("", x, {kRows, 11}), IsErrorSaying(kRefused, "cannot become"));
}

TEST(InferOutput, ScalesAreConstantsOfOneNumberOrOneAPlace) {
  Sample sample;
  const ValueId x = sample.Input({kRows, 3});
  const ValueId zeros = sample.builder.AddOwnConstant("", Element::kInt8, {3}, Bytes(3));
  const ValueId q = sample.Node(Operator::kQuantizeLinear, {x, sample.Ones({3}), zeros});
  EXPECT_EQ(sample.builder.ValueOf(q).element, Element::kInt8);
  EXPECT_THAT(sample.Try(Operator::kQuantizeLinear, {x, sample.Ones({2}), zeros}), IsError(kRefused));
  EXPECT_THAT(sample.Try(Operator::kQuantizeLinear, {x, x, zeros}), IsErrorSaying(kRefused, "must be constants"));
  EXPECT_THAT(sample.Try(Operator::kQuantizeLinear, {x, sample.Ones({}), sample.Zero(Element::kInt32)}),
              IsErrorSaying(kRefused, "int8 or uint8"));
  EXPECT_THAT(sample.Try(Operator::kDequantizeLinear, {q, sample.Ones({}), sample.Zero(Element::kUint8)}),
              IsErrorSaying(kRefused, "the same"));
  EXPECT_THAT(sample.Try(Operator::kRelu, {q}), IsErrorSaying(kRefused, "float32"));
}

TEST(InferOutput, RefusesAttributesThatTheOperatorDoesNotHave) {
  Sample sample;
  const ValueId x = sample.Input({kRows, 3});
  EXPECT_THAT(sample.Try(Operator::kRelu, {x}, Along(2)), IsErrorSaying(kRefused, "does not have"));
  Attributes range;
  range.minimum = 2;
  range.maximum = 1;
  EXPECT_THAT(sample.Try(Operator::kClip, {x}, range), IsErrorSaying(kRefused, "at most the maximum"));
  range.minimum = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(sample.Try(Operator::kClip, {x}, range), IsError(kRefused));
}

TEST(ElementsOf, CountsOneRowWithinTheLimits) {
  EXPECT_EQ(ElementsOf({kRows, 3, 4}).value(), 12);
  EXPECT_EQ(ElementsOf({}).value(), 1);
  EXPECT_EQ(ElementsOf({kRows, kMaxElements}).value(), kMaxElements);
  EXPECT_THAT(ElementsOf({kRows, kMaxElements, 2}), IsErrorSaying(kRefused, "over 268435456 numbers"));
  EXPECT_THAT(ElementsOf({std::int64_t{1} << 62, std::int64_t{1} << 62}), IsError(kRefused));
  EXPECT_THAT(ElementsOf({3, kRows}), IsErrorSaying(kRefused, "at least 1"));
  EXPECT_THAT(ElementsOf({kRows, 0}), IsError(kRefused));
  EXPECT_THAT(ElementsOf(Shape(7, 1)), IsErrorSaying(kRefused, "7 dimensions"));
}

}  // namespace
}  // namespace tacit::graph
