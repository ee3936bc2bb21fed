#include "common/model/spec.h"

#include <span>

#include <gmock/gmock.h>

#include "tests/support/matchers.h"

namespace tacit::model {
namespace {

using ::tacit::testing::IsError;
using ::tacit::testing::IsErrorSaying;
using ::tacit::testing::IsOk;
using ::testing::Each;

ModelSpec Spec(ModelShape shape) {
  return *ModelSpec::Create(std::move(shape));
}

TEST(ModelSpec, CountsAndLaysOutWeightsThenBiasesOfEachLayer) {
  const ModelSpec spec = Spec({.inputs = 561, .hidden = {128}, .classes = 6});
  EXPECT_EQ(spec.ParameterCount(), 72'710U);
  const std::vector<Tensor> tensors = spec.Tensors();
  ASSERT_EQ(tensors.size(), 4U);
  EXPECT_EQ(tensors[0].name, "layer0.weight");
  EXPECT_EQ(tensors[0].shape, (std::vector<std::size_t>{128, 561}));
  EXPECT_EQ(tensors[3].name, "layer1.bias");
  std::size_t offset = 0;
  for (const Tensor& tensor : tensors) {
    EXPECT_EQ(tensor.offset, offset) << tensor.name;
    offset += tensor.size();
  }
  EXPECT_EQ(offset, spec.ParameterCount());
}

TEST(ModelSpec, WithoutHiddenLayersIsSoftmaxRegression) {
  EXPECT_EQ(Spec({.inputs = 561, .hidden = {}, .classes = 6}).ParameterCount(), 3'372U);
}

TEST(ModelSpec, RefusesWidthsAndSizesOverItsLimitsNamingThem) {
  EXPECT_THAT(ModelSpec::Create({.inputs = 0, .hidden = {}, .classes = 2}),
              IsErrorSaying(ErrorCode::kInvalidArgument, "inputs"));
  EXPECT_THAT(ModelSpec::Create({.inputs = 4, .hidden = {3, 0}, .classes = 2}),
              IsErrorSaying(ErrorCode::kInvalidArgument, "hidden[1]"));
  EXPECT_THAT(ModelSpec::Create({.inputs = 4, .hidden = {}, .classes = (1U << 20U) + 1}),
              IsErrorSaying(ErrorCode::kInvalidArgument, "classes"));
  EXPECT_THAT(ModelSpec::Create({.inputs = 4, .hidden = std::vector<std::uint32_t>(9, 2), .classes = 2}),
              IsErrorSaying(ErrorCode::kInvalidArgument, "hidden layers"));
  EXPECT_THAT(ModelSpec::Create({.inputs = 1U << 20U, .hidden = {1U << 20U}, .classes = 2}),
              IsErrorSaying(ErrorCode::kInvalidArgument, "parameters"));
}

TEST(ModelSpec, AllowsExactlyTheLargestParameterCount) {
  // (2^14 - 1 + 1) * 2^14 = 2^28.
  EXPECT_THAT(ModelSpec::Create({.inputs = 16'383, .hidden = {}, .classes = 16'384}), IsOk());
  EXPECT_THAT(ModelSpec::Create({.inputs = 16'384, .hidden = {}, .classes = 16'384}),
              IsError(ErrorCode::kInvalidArgument));
}

TEST(ModelSpecText, RoundTripsAndIsWhatTheDigestCovers) {
  const ModelSpec spec = Spec({.inputs = 561, .hidden = {128}, .classes = 6});
  EXPECT_EQ(spec.CanonicalText(), "tacit-mlp/1:561,128,6");
  EXPECT_EQ(*ModelSpec::Parse(spec.CanonicalText()), spec);
  EXPECT_EQ(spec.SchemaDigest(), Xxh3(AsBytes(std::string_view("tacit-mlp/1:561,128,6"))));
  EXPECT_NE(spec.SchemaDigest(), Spec({.inputs = 561, .hidden = {127}, .classes = 6}).SchemaDigest());
}

TEST(ModelSpecText, HasOneSpellingForOneShape) {
  for (const std::string_view bad : {"", "tacit-mlp/1:", "tacit-mlp/1:5", "tacit-mlp/2:5,6", "tacit-mlp/1:5,,6",
                                     "tacit-mlp/1:5,6,", "tacit-mlp/1:05,6", "tacit-mlp/1:5,6 ", "tacit-mlp/1:-5,6",
                                     "tacit-mlp/1:5,99999999999", "tacit-mlp/1:1,1,1,1,1,1,1,1,1,1,1,1"}) {
    EXPECT_THAT(ModelSpec::Parse(bad), IsError(ErrorCode::kMalformed)) << bad;
  }
  EXPECT_THAT(ModelSpec::Parse("tacit-mlp/1:0,6"), IsError(ErrorCode::kInvalidArgument));
}

TEST(InitialParameters, AreZeroForSoftmaxRegression) {
  EXPECT_THAT(Spec({.inputs = 5, .hidden = {}, .classes = 3}).InitialParameters(1), Each(0.0F));
}

TEST(InitialParameters, OfANetworkHaveHeVarianceZeroBiasesAndDependOnTheSeedOnly) {
  const ModelSpec spec = Spec({.inputs = 200, .hidden = {300}, .classes = 4});
  const std::vector<float> parameters = spec.InitialParameters(7);
  EXPECT_EQ(parameters, spec.InitialParameters(7));
  EXPECT_NE(parameters, spec.InitialParameters(8));
  const std::vector<Tensor> tensors = spec.Tensors();
  const std::span<const float> weights(parameters.data(), tensors[0].size());
  double sum = 0;
  double squares = 0;
  for (const float weight : weights) {
    sum += static_cast<double>(weight);
    squares += static_cast<double>(weight) * static_cast<double>(weight);
  }
  const auto count = static_cast<double>(weights.size());
  // 60,000 samples: the standard error of the mean is 0.0004, of the variance 0.6 %; five of each is allowed.
  EXPECT_NEAR(sum / count, 0.0, 0.002);
  EXPECT_NEAR(squares / count, 2.0 / 200, 0.03 * 2.0 / 200);
  EXPECT_THAT(std::span(parameters).subspan(tensors[1].offset, tensors[1].size()), Each(0.0F));
}

}  // namespace
}  // namespace tacit::model
