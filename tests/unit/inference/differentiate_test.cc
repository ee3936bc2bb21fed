#include "edge_agent/inference/differentiate.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

#include <gmock/gmock.h>

#include "common/graph/from_spec.h"
#include "edge_agent/inference/descend.h"
#include "tests/support/matchers.h"
#include "tests/unit/inference/small_models.h"

namespace tacit::inference {
namespace {

using graph::Operator;
using ::tacit::inference::testing::SmallModel;
using ::tacit::inference::testing::Spread;
using ::tacit::inference::testing::TestMemory;
using ::tacit::inference::testing::Uniform;
using ::tacit::inference::testing::ViewOf;
using ::tacit::testing::IsErrorSaying;
using ::tacit::testing::IsOk;

constexpr std::size_t kRowsOfTest = 3;

// A difference quotient of a loss that is computed in float32: about 1e-6 / kStep = 2e-4 of noise, and kStep^2 of
// curvature, where a term that is wrong or missing is of the slope's own size.
constexpr float kStep = 5e-3F;
void ExpectSlopes(std::span<const float> slopes, std::vector<float> at,
                  const std::function<double(std::span<const float>)>& loss, const char* of) {
  float largest = 0;
  for (std::size_t i = 0; i < slopes.size(); ++i) {
    const float here = at[i];
    at[i] = here + kStep;
    const double above = loss(at);
    at[i] = here - kStep;
    const double below = loss(at);
    const double quotient = (above - below) / (static_cast<double>(here + kStep) - static_cast<double>(here - kStep));
    at[i] = here;
    ASSERT_NEAR(slopes[i], quotient, 1e-3 + 0.01 * std::abs(quotient)) << of << " " << i;
    largest = std::max(largest, std::abs(slopes[i]));
  }
  EXPECT_TRUE(slopes.empty() || largest > 0.02F) << of << ": slopes too small to be told from noise";
}

// Input and parameters of the cross-entropy of three rows.
void ExpectRightSlopes(const graph::OwnedGraph& model, std::vector<float> x = {}) {
  TestMemory memory;
  auto made = Differentiator::Create(ViewOf(model), 2, memory);  // fewer rows at once than there are
  ASSERT_THAT(made, IsOk());
  Differentiator& network = *made;
  if (x.empty()) x = Spread(kRowsOfTest * network.RowSize(), 5);
  const std::vector<std::uint32_t> y = {0, 2, 1};
  std::vector<float> parameters(network.ParameterCount());
  network.CopyParameters(parameters);

  std::vector<float> gradient(x.size());
  ASSERT_THAT(network.InputGradient({.x = x, .y = y}, gradient), IsOk());
  ExpectSlopes(
      gradient, x, [&](std::span<const float> moved) { return network.Score(parameters, {.x = moved, .y = y})->loss; },
      "input");
  std::vector<float> by_parameter(parameters.size(), std::numeric_limits<float>::quiet_NaN());
  ASSERT_THAT(network.Gradient(parameters, {.x = x, .y = y}, by_parameter), IsOk());
  ExpectSlopes(
      by_parameter, parameters,
      [&](std::span<const float> moved) {
        return network.Score(moved, {.x = x, .y = y})->loss / static_cast<double>(y.size());
      },
      "parameter");
  EXPECT_EQ(memory.taken(), 1U);
}

TEST(Differentiator, SlopesOfADenseNetwork) {
  ExpectRightSlopes(SmallModel({7}).Dense(3).Finish());
  ExpectRightSlopes(SmallModel({4}).Dense(6).Then(Operator::kTanh).Dense(5).Then(Operator::kSigmoid).Dense(3).Finish());
}

TEST(Differentiator, SlopesOfAConvolution) {
  const auto conv = [](graph::Shape row, graph::Shape weight, const graph::Attributes& attributes) {
    SmallModel model(std::move(row));
    const std::int64_t out = weight[0];
    const graph::ValueId kernel = model.Weights(std::move(weight), -0.4, 0.4);
    ExpectRightSlopes(model.Then(Operator::kConv, {kernel, model.Weights({out})}, attributes).Dense(3).Finish());
  };
  conv({2, 5, 4}, {3, 2, 3, 3}, {.kernel = {3, 3}, .pads = {1, 1, 1, 1}});
  conv({2, 6, 5}, {3, 2, 3, 2}, {.kernel = {3, 2}, .strides = {2, 1}, .pads = {0, 1, 2, 0}});
  conv({1, 7, 8}, {2, 1, 2, 3}, {.kernel = {2, 3}, .strides = {1, 3}, .dilations = {3, 2}, .pads = {1, 2, 0, 3}});
  conv({4, 3, 3}, {6, 2, 2, 2}, {.kernel = {2, 2}, .groups = 2});
  conv({3, 3, 4}, {4, 3, 1, 1}, {});
  conv({3, 4, 4}, {4, 3, 1, 1}, {.strides = {2, 2}});
}

TEST(Differentiator, SlopesOfADepthwiseConvolution) {
  const auto conv = [](std::int64_t out, const graph::Attributes& attributes) {
    SmallModel model({3, 5, 5});
    const graph::ValueId kernel = model.Weights({out, 1, 3, 3}, -0.5, 0.5);
    ExpectRightSlopes(model.Then(Operator::kConv, {kernel, model.Weights({out})}, attributes).Dense(3).Finish());
  };
  conv(3, {.kernel = {3, 3}, .pads = {1, 1, 1, 1}, .groups = 3});
  conv(6, {.kernel = {3, 3}, .strides = {2, 2}, .pads = {1, 0, 1, 2}, .groups = 3});
}

TEST(Differentiator, SlopesOverOneDimensionOfSpace) {
  SmallModel model({2, 9});
  const graph::ValueId kernel = model.Weights({4, 2, 3}, -0.5, 0.5);
  model.Then(Operator::kConv, {kernel}, {.kernel = {1, 3}, .strides = {1, 2}, .pads = {0, 1, 0, 1}});
  ExpectRightSlopes(model.Then(Operator::kAveragePool, {}, {.kernel = {1, 2}}).Dense(3).Finish());
}

TEST(Differentiator, SlopesOfPools) {
  const graph::Attributes overlapping = {.kernel = {3, 2}, .strides = {2, 1}, .pads = {1, 0, 1, 1}};
  graph::Attributes counting = overlapping;
  counting.count_padding = true;
  for (const graph::Attributes& attributes : {graph::Attributes{.kernel = {2, 2}, .strides = {2, 2}}, overlapping}) {
    ExpectRightSlopes(SmallModel({2, 6, 4}).Then(Operator::kMaxPool, {}, attributes).Dense(3).Finish());
    ExpectRightSlopes(SmallModel({2, 6, 4}).Then(Operator::kAveragePool, {}, attributes).Dense(3).Finish());
  }
  ExpectRightSlopes(SmallModel({2, 6, 4}).Then(Operator::kAveragePool, {}, counting).Dense(3).Finish());
  ExpectRightSlopes(SmallModel({4, 3, 2}).Then(Operator::kGlobalAveragePool).Dense(3).Finish());
}

TEST(Differentiator, SlopesOfFunctionsOfOneNumber) {
  for (const Operator op : {Operator::kRelu, Operator::kSigmoid, Operator::kTanh}) {
    ExpectRightSlopes(SmallModel({8}).Then(op).Dense(3).Finish());
    // In the place of what they are of, and of what somebody else wants as well.
    ExpectRightSlopes(SmallModel({4}).Dense(8).Then(op).Then(op).Dense(3).Finish());
  }
  ExpectRightSlopes(SmallModel({8}).Then(Operator::kClip, {}, {.minimum = -0.21F, .maximum = 0.29F}).Dense(3).Finish());
  ExpectRightSlopes(SmallModel({3, 4}).Then(Operator::kSoftmax, {}, {.axis = 1}).Dense(3).Finish());
  ExpectRightSlopes(SmallModel({3, 4}).Then(Operator::kSoftmax, {}, {.axis = 2}).Dense(3).Finish());
}

TEST(Differentiator, SlopesOfSumsAndProducts) {
  for (const Operator op : {Operator::kAdd, Operator::kMul}) {
    for (const graph::Shape& shape : {graph::Shape{1, 3, 1, 1}, graph::Shape{3, 2, 4}, graph::Shape{4}, graph::Shape{},
                                      graph::Shape{2, 1}, graph::Shape{3, 1, 4}}) {
      SmallModel model({3, 2, 4});
      const graph::ValueId constant = model.Weights(shape, 0.5, 1.5);
      ExpectRightSlopes(model.Then(op, {constant}).Dense(3).Finish());
    }
    SmallModel twice({8});  // a value with itself
    const graph::ValueId value = twice.Dense(6).last();
    ExpectRightSlopes(twice.Then(op, {value}).Dense(3).Finish());
    SmallModel wide({2, 3});  // two computed values of different shape
    const graph::ValueId sums = wide.Then(Operator::kTanh).last();
    wide.Reshape({6}).Dense(3).Reshape({1, 3});
    ExpectRightSlopes(wide.Node(op, {wide.last(), sums}).Dense(3).Finish());
  }
}

TEST(Differentiator, SlopesOfAValueWithSeveralUses) {
  SmallModel model({2, 4, 4});
  const graph::Attributes same = {.kernel = {3, 3}, .pads = {1, 1, 1, 1}};
  const graph::ValueId before = model.Then(Operator::kConv, {model.Weights({2, 2, 3, 3})}, same).last();
  const graph::ValueId after = model.Then(Operator::kTanh).last();
  model.Then(Operator::kConv, {model.Weights({2, 2, 3, 3}, -0.4, 0.4)}, same).Then(Operator::kAdd, {before});
  ExpectRightSlopes(model.Then(Operator::kConcat, {after, before}).Dense(3).Finish());
}

TEST(Differentiator, SlopesOfWhatIsMoved) {
  ExpectRightSlopes(
      SmallModel({2, 3, 4}).Then(Operator::kTranspose, {}, {.permutation = {0, 3, 1, 2}}).Dense(3).Finish());
  SmallModel model({3, 4});
  const graph::ValueId x = model.last();
  const graph::ValueId tanh = model.Then(Operator::kTanh).last();
  ExpectRightSlopes(model.Node(Operator::kConcat, {x, tanh, x}, {.axis = 2}).Dense(3).Finish());
  SmallModel flat({3, 4});  // a reshape of the input, and of one of two uses of a value
  const graph::ValueId wide = flat.Reshape({12}).Dense(12).last();
  const graph::ValueId tall = flat.Reshape({3, 4}).Then(Operator::kTanh).Reshape({12}).last();
  ExpectRightSlopes(flat.Node(Operator::kMul, {wide, tall}).Dense(3).Finish());
}

TEST(Differentiator, SlopesOfProductsOfMatrices) {
  SmallModel attention({3, 4});
  const graph::ValueId x = attention.last();
  const graph::ValueId turned = attention.Then(Operator::kTranspose, {}, {.permutation = {0, 2, 1}}).last();
  const graph::ValueId weights =
      attention.Node(Operator::kMatMul, {x, turned}).Then(Operator::kSoftmax, {}, {.axis = 2}).last();
  ExpectRightSlopes(attention.Node(Operator::kMatMul, {weights, x}).Dense(3).Finish());
  SmallModel left({2, 3, 4});  // a constant that is the same for both of two matrices
  const graph::ValueId constant = left.Weights({5, 3});
  ExpectRightSlopes(left.Node(Operator::kMatMul, {constant, left.last()}).Dense(3).Finish());
}

// Weights that two nodes share have the sum of both slopes.
TEST(Differentiator, SlopesOfSharedWeights) {
  SmallModel model({4});
  const graph::ValueId weights = model.Weights({4, 4});
  model.Then(Operator::kGemm, {weights}).Then(Operator::kTanh).Then(Operator::kGemm, {weights});
  ExpectRightSlopes(model.Dense(3).Finish());
}

// A model that ends in a softmax has the logits and the loss of the one that does not, also where they overflow exp.
TEST(Differentiator, LooksBehindASoftmaxAtTheEnd) {
  TestMemory memory;
  const graph::OwnedGraph plain = SmallModel({4}).Dense(3).Finish();
  const graph::OwnedGraph ended =
      SmallModel({4}).Dense(3).Reshape({1, 3}).Then(Operator::kSoftmax, {}, {.axis = 2}).Reshape({3}).Finish();
  auto one = Differentiator::Create(ViewOf(plain), 4, memory);
  auto other = Differentiator::Create(ViewOf(ended), 4, memory);
  ASSERT_THAT(one, IsOk());
  ASSERT_THAT(other, IsOk());
  std::vector<float> x = Uniform(8, 1, -1000, 1000);
  std::vector<float> gradient(8);
  std::vector<float> same(8);
  const auto score = one->InputGradient({.x = x, .y = std::vector<std::uint32_t>{0, 1}}, gradient);
  const auto other_score = other->InputGradient({.x = x, .y = std::vector<std::uint32_t>{0, 1}}, same);
  ASSERT_THAT(score, IsOk());
  ASSERT_THAT(other_score, IsOk());
  EXPECT_EQ(gradient, same);
  EXPECT_EQ(score->loss, other_score->loss);
  EXPECT_TRUE(std::isfinite(score->loss));
  EXPECT_EQ(other->Classes(), 3U);
}

TEST(Differentiator, GivesLogitsAndFeaturesOfRows) {
  TestMemory memory;
  const graph::OwnedGraph model = SmallModel({4}).Dense(5).Then(Operator::kRelu).Dense(3).Finish();
  auto network = Differentiator::Create(ViewOf(model), 4, memory);
  ASSERT_THAT(network, IsOk());
  ASSERT_THAT(network->Forward(Uniform(8, 1)), IsOk());
  ASSERT_EQ(network->features().size(), 10U);
  ASSERT_EQ(network->logits().size(), 6U);
  std::vector<float> parameters(network->ParameterCount());
  network->CopyParameters(parameters);
  ASSERT_EQ(parameters.size(), 20U + 5 + 15 + 3);  // weight and bias of one layer after the other
  for (std::size_t row = 0; row < 2; ++row) {
    const std::span<const float> features = network->features().subspan(row * 5, 5);
    EXPECT_GE(std::ranges::min(features), 0);
    for (std::size_t i = 0; i < 3; ++i) {
      const float logit =
          std::inner_product(features.begin(), features.end(), &parameters[25 + i * 5], parameters[40 + i]);
      EXPECT_NEAR(network->logits()[row * 3 + i], logit, 1e-5F);
    }
  }
}

// An objective of one's own, that is linear in the logits: its slope is the rows of the weights, weighed.
TEST(Differentiator, GoesBackFromAnySlopeOfTheLogits) {
  TestMemory memory;
  SmallModel small({2});
  const std::vector<float> weights = {1, 2, 3, 4, 5, 6};
  const graph::ValueId constant =
      small.Constant({3, 2}, graph::Element::kFloat32, AsBytes(std::span<const float>(weights)));
  const graph::OwnedGraph model = small.Then(Operator::kGemm, {constant}).Finish();
  auto network = Differentiator::Create(ViewOf(model), 4, memory);
  ASSERT_THAT(network, IsOk());
  const std::vector<float> x = {1, 1, 2, 2};
  ASSERT_THAT(network->Forward(x), IsOk());
  std::vector<float> slope(4);
  network->BackwardFrom(std::vector<float>{1, 0, 0, 0, 10, -1}, slope);
  EXPECT_EQ(slope, (std::vector<float>{1, 2, 25, 34}));
}

// Rounding has no slope of its own; inside its range it is passed through, and outside there is none.
TEST(Differentiator, PassesStraightThroughRounding) {
  TestMemory memory;
  SmallModel small({4});
  const float scale_of_x = 0.5F;
  const std::uint8_t zero_of_x = 128;
  const std::vector<std::int8_t> weights = {1, -2, 3, 4, 10, 20, 30, -40};
  const std::vector<float> scales = {0.5F, 0.25F};
  const std::vector<std::int8_t> zeros = {0, 0};
  const graph::ValueId scale =
      small.Constant({}, graph::Element::kFloat32, AsBytes(std::span<const float>(&scale_of_x, 1)));
  const graph::ValueId zero = small.Constant({}, graph::Element::kUint8, {&zero_of_x, 1});
  const graph::ValueId levels =
      small.Constant({2, 4}, graph::Element::kInt8, AsBytes(std::span<const std::int8_t>(weights)));
  const graph::ValueId scale_of_weights =
      small.Constant({2}, graph::Element::kFloat32, AsBytes(std::span<const float>(scales)));
  const graph::ValueId zero_of_weights =
      small.Constant({2}, graph::Element::kInt8, AsBytes(std::span<const std::int8_t>(zeros)));
  const graph::ValueId x = small.last();
  const graph::ValueId fixed =
      small.Node(Operator::kDequantizeLinear, {levels, scale_of_weights, zero_of_weights}, {.axis = 0}).last();
  const graph::ValueId rounded =
      small.Node(Operator::kQuantizeLinear, {x, scale, zero}).Then(Operator::kDequantizeLinear, {scale, zero}).last();
  const graph::OwnedGraph model = small.Node(Operator::kGemm, {rounded, fixed}).Finish();
  auto network = Differentiator::Create(ViewOf(model), 4, memory);
  ASSERT_THAT(network, IsOk());
  EXPECT_EQ(network->ParameterCount(), 0U);
  const std::vector<float> row = {0.8F, -0.75F, 100.0F, -0.25F};  // to 1, -1 (to even), 63.5 (the most), 0 (to even)
  ASSERT_THAT(network->Forward(row), IsOk());
  EXPECT_EQ(network->logits()[0], 0.5F * (1 + 2 + 3 * 63.5F));
  EXPECT_EQ(network->logits()[1], 0.25F * (10 - 20 + 30 * 63.5F));
  std::vector<float> slope(4);
  network->BackwardFrom(std::vector<float>{1, 2}, slope);
  EXPECT_EQ(slope, (std::vector<float>{0.5F + 5, -1 + 10, 0, 2 - 20}));
  EXPECT_THAT(Descent::Create(*network, memory), IsErrorSaying(ErrorCode::kInvalidArgument, "no parameters"));
}

// However a batch is cut into parts: the same but for the order of sums.
TEST(Differentiator, GradientDoesNotDependOnRowsAtOnce) {
  const graph::OwnedGraph model = SmallModel({1, 8, 8})
                                      .Then(Operator::kMaxPool, {}, {.kernel = {2, 2}, .strides = {2, 2}})
                                      .Dense(12)
                                      .Then(Operator::kRelu)
                                      .Dense(4)
                                      .Finish();
  const std::vector<float> x = Uniform(20 * 64, 3);
  std::vector<std::uint32_t> y(20);
  for (std::size_t i = 0; i < y.size(); ++i) y[i] = static_cast<std::uint32_t>(i % 4);
  std::vector<std::vector<float>> gradients;
  std::vector<double> losses;
  for (const std::size_t rows : {1U, 3U, 20U, 64U}) {
    TestMemory memory;
    auto network = Differentiator::Create(ViewOf(model), rows, memory);
    ASSERT_THAT(network, IsOk());
    EXPECT_EQ(network->RowsAtOnce(), rows);
    std::vector<float> parameters(network->ParameterCount());
    network->CopyParameters(parameters);
    gradients.emplace_back(parameters.size());
    const auto score = network->Gradient(parameters, {.x = x, .y = y}, gradients.back());
    ASSERT_THAT(score, IsOk());
    losses.push_back(score->loss);
  }
  for (std::size_t i = 1; i < gradients.size(); ++i) {
    EXPECT_NEAR(losses[i], losses[0], 1e-5);
    for (std::size_t j = 0; j < gradients[0].size(); ++j) EXPECT_NEAR(gradients[i][j], gradients[0][j], 1e-6F);
  }
}

// What a federation sends around is a model's parameters as this has them.
TEST(Differentiator, HasTheParametersOfASpecificationInItsOrder) {
  const auto spec = model::ModelSpec::Create({.inputs = 4, .hidden = {6, 5, 3}, .classes = 3});
  ASSERT_THAT(spec, IsOk());
  const std::vector<float> parameters = spec->InitialParameters(4);
  const graph::OwnedGraph model = graph::FromSpec(*spec, parameters);
  TestMemory memory;
  auto network = Differentiator::Create(ViewOf(model), 4, memory);
  ASSERT_THAT(network, IsOk());
  std::vector<float> found(network->ParameterCount());
  network->CopyParameters(found);
  EXPECT_EQ(found, parameters);
  ExpectRightSlopes(model);
  // Without weights of its own it computes the same from these.
  auto bare = Differentiator::Create({.graph = model.graph, .weights = {}}, 4, memory);
  ASSERT_THAT(bare, IsOk());
  const std::vector<float> x = Uniform(8, 2);
  const std::vector<std::uint32_t> y = {1, 2};
  EXPECT_EQ(bare->Score(parameters, {.x = x, .y = y})->loss, network->Score(parameters, {.x = x, .y = y})->loss);
}

// What a batch may ask for is bounded: a million numbers a row are not kept of a thousand rows.
TEST(Differentiator, KeepsFewRowsWhereRowsAreLarge) {
  SmallModel small({1, 1, 2});
  const graph::OwnedGraph model =
      small.Then(Operator::kMul, {small.Weights({200, 300, 1})}).Then(Operator::kTanh).Dense(2).Finish();
  TestMemory memory;
  auto network = Differentiator::Create(ViewOf(model), 1000, memory);
  ASSERT_THAT(network, IsOk());
  EXPECT_GE(network->RowsAtOnce(), 1U);
  EXPECT_LE(network->RowsAtOnce(), 4U);
}

TEST(Differentiator, ANumberThatIsNoneShowsInTheLoss) {
  TestMemory memory;
  const graph::OwnedGraph model = SmallModel({2, 2, 2})
                                      .Then(Operator::kMaxPool, {}, {.kernel = {2, 2}})
                                      .Then(Operator::kRelu)
                                      .Then(Operator::kClip, {}, {.minimum = -1, .maximum = 1})
                                      .Dense(3)
                                      .Finish();
  auto network = Differentiator::Create(ViewOf(model), 4, memory);
  ASSERT_THAT(network, IsOk());
  std::vector<float> parameters(network->ParameterCount());
  network->CopyParameters(parameters);
  for (std::size_t place = 0; place < 8; ++place) {
    std::vector<float> x(8, 0.5F);
    x[place] = std::numeric_limits<float>::quiet_NaN();
    const auto score = network->Score(parameters, {.x = x, .y = std::vector<std::uint32_t>{0}});
    ASSERT_THAT(score, IsOk());
    EXPECT_TRUE(std::isnan(score->loss)) << place;
    EXPECT_EQ(score->correct, 0U);
  }
}

TEST(Differentiator, RefusesWhatHasNoDerivative) {
  TestMemory memory;
  graph::OwnedGraph model = SmallModel({4}).Dense(3).Finish();
  auto network = Differentiator::Create(ViewOf(model), 2, memory);
  ASSERT_THAT(network, IsOk());
  std::vector<float> gradient(8);
  const std::vector<float> x(8);
  EXPECT_THAT(network->InputGradient({.x = x, .y = std::vector<std::uint32_t>{0, 3}}, gradient),
              IsErrorSaying(ErrorCode::kInvalidArgument, "row 1 is of class 3, the model has 3"));
  EXPECT_THAT(network->InputGradient({.x = x, .y = std::vector<std::uint32_t>{0}}, gradient),
              IsErrorSaying(ErrorCode::kInvalidArgument, "1 rows of 4 numbers cannot be 8"));
  EXPECT_THAT(network->InputGradient({.x = {}, .y = {}}, {}), IsErrorSaying(ErrorCode::kInvalidArgument, "0 rows"));
  EXPECT_THAT(network->Forward(std::vector<float>(12)), IsErrorSaying(ErrorCode::kInvalidArgument, "at most 2"));
  model.graph.inputs.push_back(0);
  EXPECT_THAT(Differentiator::Create(ViewOf(model), 2, memory), IsErrorSaying(ErrorCode::kInvalidArgument, "2 inputs"));
  model.graph.inputs.pop_back();
  memory.left = 1000;
  EXPECT_THAT(Differentiator::Create(ViewOf(model), 2, memory), IsErrorSaying(ErrorCode::kUnavailable, "memory"));
}

// Two classes of pictures: a bright upper half, a bright left half.
struct Pictures {
  std::vector<float> x;
  std::vector<std::uint32_t> y;
};

Pictures DrawPictures(std::size_t count) {
  Pictures pictures{.x = Uniform(count * 64, 9, 0, 0.8), .y = std::vector<std::uint32_t>(count)};
  for (std::size_t i = 0; i < count; ++i) {
    pictures.y[i] = static_cast<std::uint32_t>(i % 2);
    for (std::size_t place = 0; place < 64; ++place) {
      const bool is_bright = i % 2 == 0 ? place < 32 : place % 8 < 4;
      if (is_bright) pictures.x[i * 64 + place] += 0.3F;
    }
  }
  return pictures;
}

graph::OwnedGraph PictureModel() {
  SmallModel model({1, 8, 8});
  model.Then(Operator::kConv, {model.Weights({4, 1, 3, 3}, -0.5, 0.5), model.Weights({4})},
             {.kernel = {3, 3}, .pads = {1, 1, 1, 1}});
  return model.Then(Operator::kRelu)
      .Then(Operator::kMaxPool, {}, {.kernel = {2, 2}, .strides = {2, 2}})
      .Dense(2)
      .Then(Operator::kSoftmax)
      .Finish();
}

TEST(Descent, LearnsToTellPicturesApart) {
  const Pictures pictures = DrawPictures(64);
  const graph::OwnedGraph model = PictureModel();
  TestMemory memory;
  auto network = Differentiator::Create(ViewOf(model), 16, memory);
  ASSERT_THAT(network, IsOk());
  auto descent = Descent::Create(*network, memory);
  ASSERT_THAT(descent, IsOk());
  const std::size_t taken = memory.taken();
  std::vector<double> losses;
  for (int step = 0; step < 40; ++step) {
    const auto loss =
        descent->Step({.input = pictures.x, .classes = pictures.y, .learning_rate = 0.05, .momentum = 0.9});
    ASSERT_THAT(loss, IsOk());
    losses.push_back(*loss);
  }
  EXPECT_LT(losses.back(), losses.front() / 3);
  const Pictures others = DrawPictures(200);
  const auto score = network->Score(descent->parameters(), {.x = others.x, .y = others.y});
  ASSERT_THAT(score, IsOk());
  EXPECT_GE(score->correct, 190U);
  EXPECT_EQ(memory.taken(), taken);
}

TEST(Descent, GivesTheSameBitsTwice) {
  const Pictures pictures = DrawPictures(24);
  const graph::OwnedGraph model = PictureModel();
  std::vector<std::vector<float>> trained;
  for (int run = 0; run < 2; ++run) {
    TestMemory memory;
    auto network = Differentiator::Create(ViewOf(model), 16, memory);
    ASSERT_THAT(network, IsOk());
    auto descent = Descent::Create(*network, memory);
    ASSERT_THAT(descent, IsOk());
    for (int step = 0; step < 3; ++step) {
      ASSERT_THAT(descent->Step({.input = pictures.x, .classes = pictures.y, .learning_rate = 0.1, .momentum = 0.5}),
                  IsOk());
    }
    trained.emplace_back(descent->parameters().begin(), descent->parameters().end());
  }
  EXPECT_EQ(trained[0], trained[1]);
}

// Two steps down a slope that stays: the second is 1 + momentum times as long.
TEST(Descent, CarriesMomentumOn) {
  std::vector<float> parameters = {1, 2};
  std::vector<float> velocity = {0, 0};
  const std::vector<float> gradient = {1, -2};
  Descend(parameters, gradient, velocity, {.learning_rate = 0.25, .momentum = 0.5});
  EXPECT_EQ(parameters, (std::vector<float>{0.75F, 2.5F}));
  Descend(parameters, gradient, velocity, {.learning_rate = 0.25, .momentum = 0.5});
  EXPECT_EQ(parameters, (std::vector<float>{0.375F, 3.25F}));
  Descend(parameters, gradient, {}, {.learning_rate = 0.25, .momentum = 0});
  EXPECT_EQ(parameters, (std::vector<float>{0.125F, 3.75F}));
}

TEST(Descent, LeavesParametersAloneWhereAStepWouldSpoilThem) {
  Pictures pictures = DrawPictures(4);
  const graph::OwnedGraph model = PictureModel();
  TestMemory memory;
  auto network = Differentiator::Create(ViewOf(model), 16, memory);
  ASSERT_THAT(network, IsOk());
  auto descent = Descent::Create(*network, memory);
  ASSERT_THAT(descent, IsOk());
  const std::vector<float> before(descent->parameters().begin(), descent->parameters().end());
  const auto step = [&](double rate, double momentum) {
    return descent->Step({.input = pictures.x, .classes = pictures.y, .learning_rate = rate, .momentum = momentum});
  };
  EXPECT_THAT(step(0, 0), IsErrorSaying(ErrorCode::kInvalidArgument, "learning_rate"));
  EXPECT_THAT(step(0.1, 1), IsErrorSaying(ErrorCode::kInvalidArgument, "momentum"));
  pictures.x[70] = std::numeric_limits<float>::infinity();
  EXPECT_THAT(step(0.1, 0.5), IsErrorSaying(ErrorCode::kInvalidArgument, "diverged"));
  EXPECT_EQ(before, std::vector<float>(descent->parameters().begin(), descent->parameters().end()));
}

}  // namespace
}  // namespace tacit::inference
