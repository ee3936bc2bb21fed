#include "common/model/layers.h"

#include <string>
#include <string_view>
#include <vector>

#include <gmock/gmock.h>

#include "tests/support/matchers.h"

namespace tacit::model {
namespace {

using ::tacit::testing::IsErrorSaying;
using ::tacit::testing::IsOk;
using ::testing::ElementsAre;

using Shape = std::vector<std::uint32_t>;

LayerStack Over(Shape input, const std::vector<std::string_view>& layers = {}) {
  auto stack = LayerStack::Create(std::move(input));
  EXPECT_THAT(stack, IsOk());
  for (const std::string_view layer : layers) EXPECT_THAT(stack->Add(layer), IsOk()) << layer;
  return *stack;
}

TEST(LayerStack, SaysWhatComesOutOfEachLayer) {
  LayerStack stack = Over({1, 28, 28});
  const struct {
    std::string_view layer;
    Shape output;
  } steps[] = {
      {"conv 16 3x3", {16, 26, 26}},
      {"relu", {16, 26, 26}},
      {"max-pool 2", {16, 13, 13}},
      {"conv 32 3x5 stride 2x1 pad 1x2 groups 4", {32, 7, 13}},
      {"relu6", {32, 7, 13}},
      {"average-pool 3x2 stride 2 pad 1", {32, 4, 7}},
      {"tanh", {32, 4, 7}},
      {"conv 8 1x1", {8, 4, 7}},
      {"sigmoid", {8, 4, 7}},
      {"global-average-pool", {8, 1, 1}},
      {"flatten", {8}},
      {"dense 10", {10}},
  };
  for (const auto& step : steps) {
    ASSERT_THAT(stack.Add(step.layer), IsOk());
    EXPECT_EQ(stack.output(), step.output) << step.layer;
  }
}

TEST(LayerStack, OverASignalHasWindowsOfOneNumber) {
  const LayerStack stack =
      Over({6, 128}, {"conv 16 5 stride 2 pad 2", "relu", "max-pool 2", "global-average-pool", "flatten", "dense 6"});
  EXPECT_EQ(stack.layers()[0].kernel, (Extent{1, 5}));
  EXPECT_EQ(stack.layers()[2].stride, (Extent{1, 2}));
  EXPECT_EQ(stack.output(), Shape{6});
  EXPECT_EQ(stack.TextOf(0), "conv 16 5 stride 2 pad 2");
  const std::vector<Tensor> tensors = stack.Tensors();
  ASSERT_EQ(tensors.size(), 4U);
  EXPECT_THAT(tensors[0].shape, ElementsAre(16, 6, 5));
  EXPECT_THAT(Over({6, 128}).Add("conv 16 5x5"), IsErrorSaying(ErrorCode::kInvalidArgument, "one number a window"));
}

TEST(LayerStack, LaysOutWeightsThenBiasesOfTheLayersThatHaveSome) {
  const LayerStack stack = Over({2, 8, 8}, {"conv 4 3x3 groups 2", "relu", "max-pool 2", "flatten", "dense 5"});
  const std::vector<Tensor> tensors = stack.Tensors();
  ASSERT_EQ(tensors.size(), 4U);
  EXPECT_EQ(tensors[0].name, "layer0.weight");
  EXPECT_THAT(tensors[0].shape, ElementsAre(4, 1, 3, 3));
  EXPECT_THAT(tensors[1].shape, ElementsAre(4));
  EXPECT_EQ(tensors[2].name, "layer1.weight");
  EXPECT_THAT(tensors[2].shape, ElementsAre(5, 36));
  std::size_t offset = 0;
  for (const Tensor& tensor : tensors) {
    EXPECT_EQ(tensor.offset, offset) << tensor.name;
    offset += tensor.size();
  }
  EXPECT_EQ(offset, stack.parameter_count());
}

TEST(LayerStack, CountsWhatARowCosts) {
  const LayerStack stack = Over({2, 6, 6}, {"conv 4 3x3", "relu", "max-pool 2", "tanh", "flatten", "dense 3"});
  // 4 x 4 x 4 of the convolution, in which the ReLU works; 4 x 2 x 2 of the pool, beside which the tanh; and 3.
  EXPECT_EQ(stack.cost().numbers, 64U + 16U + 16U + 3U);
  EXPECT_EQ(stack.cost().columns, 2U * 9U * 16U);
  EXPECT_EQ(stack.cost().work, 64U * 19U + 16U * 4U + 3U * 17U);
}

TEST(LayerStack, WritesEachLayerInItsShortestForm) {
  const struct {
    std::string_view read;
    std::string_view written;
  } cases[] = {
      {"conv 16 3", "conv 16 3x3"},
      {"conv 16 3x3 stride 1 pad 0 groups 1", "conv 16 3x3"},
      {"conv 16 3x3  groups 2 pad 1x1 stride 2x2", "conv 16 3x3 stride 2 pad 1 groups 2"},
      {"conv 016 3x5 pad 1x2", "conv 16 3x5 pad 1x2"},
      {"max-pool 2x2 stride 2", "max-pool 2"},
      {"average-pool 3x2 stride 3x2", "average-pool 3x2"},
      {"max-pool 3 stride 2 pad 1", "max-pool 3 stride 2 pad 1"},
      {" relu6 ", "relu6"},
  };
  for (const auto& test : cases) {
    EXPECT_EQ(Over({4, 12, 12}, {test.read}).TextOf(0), test.written) << test.read;
    EXPECT_EQ(Over({4, 12, 12}, {test.read}), Over({4, 12, 12}, {test.written}));
  }
}

TEST(LayerStack, SaysWhichLayerIsWrongAndWhy) {
  const struct {
    std::string_view layer;
    std::string_view says;
  } cases[] = {
      {"", "layer 2: '' is no layer"},
      {"convolve 3", "is no layer"},
      {"max-pol 2", "did you mean 'max-pool'?"},
      {"conv 16", "in 'conv 16' something is missing; the form is \"conv N KxK [stride S] [pad P] [groups G]\""},
      {"conv many 3x3", "'many' is wrong"},
      {"conv 4 3x3x3", "'3x3x3' is wrong"},
      {"conv 4 3x3 stride", "something is missing"},
      {"conv 4 3x3 dilation 2", "'dilation' is wrong"},
      {"conv 4 3x3 pad 1 pad 1", "'pad' is wrong"},
      {"max-pool 2 groups 2", "'groups' is wrong"},
      {"relu 6", "'6' is wrong"},
      {"conv -4 3x3", "'-4' is wrong"},
      {"conv 0 3x3", "layer 2 \"conv 0 3x3\": its channels must be 1 to 1048576, found 0"},
      {"conv 4 0x3", "a window must be 1 to 1024"},
      {"conv 4 3x3 stride 0", "a stride must be 1 to 1024"},
      {"conv 4 3x3 pad 1025", "a pad must be 0 to 1024"},
      {"conv 4 3x3 groups 0", "groups must be 1 to 65536"},
      {"conv 4 3x3 groups 3", "groups must divide the channels, of which 2 come and 4 go"},
      {"conv 4 9x9", "layer 2 \"conv 4 9x9\": a window of 9 does not fit into 8 places with a pad of 0"},
      {"max-pool 2 pad 2", "a pool's pad must be smaller than its window"},
      {"dense 10", "layer 2 \"dense 10\": takes a flat row, what comes is 2x8x8; put \"flatten\" before it"},
      {"conv 1048576 8x8 pad 1000", "numbers a row"},
      {"conv 1048576 16x16 pad 4", "parameters"},
  };
  for (const auto& test : cases) {
    LayerStack stack = Over({2, 8, 8}, {"relu"});
    EXPECT_THAT(stack.Add(test.layer), IsErrorSaying(ErrorCode::kInvalidArgument, std::string(test.says)))
        << test.layer;
    EXPECT_EQ(stack, Over({2, 8, 8}, {"relu"})) << "it stays as it was";
  }
  for (const std::string_view layer : {"conv 4 3x3", "max-pool 2", "global-average-pool"}) {
    EXPECT_THAT(Over({9}).Add(layer), IsErrorSaying(ErrorCode::kInvalidArgument,
                                                    "takes an image or a signal, what comes is a flat row of 9"));
  }
  EXPECT_THAT(Over({9}).Add("flatten"), IsErrorSaying(ErrorCode::kInvalidArgument, "has nothing to do"));
}

TEST(LayerStack, RefusesRowsThatAreNoneOrTooLarge) {
  const auto create = [](Shape input) { return LayerStack::Create(std::move(input)); };
  EXPECT_THAT(create({}), IsErrorSaying(ErrorCode::kInvalidArgument, "not 0 dimensions"));
  EXPECT_THAT(create({1, 2, 3, 4}), IsErrorSaying(ErrorCode::kInvalidArgument, "not 4 dimensions"));
  EXPECT_THAT(create({1, 0, 3}), IsErrorSaying(ErrorCode::kInvalidArgument, "a dimension must be 1 to 1048576"));
  EXPECT_THAT(create({4, 1024, 1024}), IsErrorSaying(ErrorCode::kInvalidArgument, "together must be 1 to 1048576"));
  EXPECT_THAT(create({1U << 20U, 1U << 20U, 1U << 20U}),
              IsErrorSaying(ErrorCode::kInvalidArgument, "together must be 1 to 1048576"));
  EXPECT_THAT(create({1, 1024, 1024}), IsOk());
}

TEST(LayerStack, BoundsLayersNumbersColumnsAndWork) {
  LayerStack deep = Over({1, 4, 4});
  for (std::size_t i = 0; i < LayerStack::kMaxLayers; ++i) ASSERT_THAT(deep.Add("relu"), IsOk());
  EXPECT_THAT(deep.Add("relu"), IsErrorSaying(ErrorCode::kInvalidArgument, "at most 32 layers"));
  EXPECT_THAT(Over({1, 1024, 1024}, {"conv 63 1x1", "max-pool 1024"}).Add("relu"), IsOk());
  EXPECT_THAT(Over({1, 1024, 1024}).Add("conv 65 1x1"), IsErrorSaying(ErrorCode::kInvalidArgument, "numbers a row"));
  EXPECT_THAT(Over({1, 1024, 1024}).Add("conv 1 9x9 pad 4"),
              IsErrorSaying(ErrorCode::kInvalidArgument, "numbers in a convolution's columns"));
  EXPECT_THAT(Over({64, 128, 128}, {"conv 256 3x3 pad 1"}).Add("conv 512 1x1"),
              IsErrorSaying(ErrorCode::kInvalidArgument, "multiplications and comparisons a row"));
  EXPECT_THAT(Over({1, 1024, 1024}).Add("max-pool 512 stride 1"),
              IsErrorSaying(ErrorCode::kInvalidArgument, "multiplications and comparisons a row"));
}

}  // namespace
}  // namespace tacit::model
