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

// Stored tasks and devices in the field name their models by these.
TEST(ModelSpecText, AndItsDigestAreWhatTheyWereInEveryReleaseBefore) {
  const struct {
    std::string_view text;
    std::string_view digest;
  } golden[] = {
      {"tacit-mlp/1:561,128,6", "96d9383ae1e17c940f43bdaef92d7c46"},
      {"tacit-mlp/1:10,3", "85062f6a7cb5613fee800f2886bab49d"},
      {"tacit-mlp/1:784,128,64,10", "e81c7b1dfdb24e5af7e2c64f078a51e2"},
      {"tacit-layers/1:1x28x28;conv 16 3x3;relu;max-pool 2;flatten;dense 64;relu;dense 10",
       "a17d05c078733e2243de8d81b799c549"},
  };
  for (const auto& each : golden) {
    const auto spec = ModelSpec::Parse(each.text);
    ASSERT_THAT(spec, IsOk()) << each.text;
    EXPECT_EQ(spec->CanonicalText(), each.text);
    EXPECT_EQ(ToHex(spec->SchemaDigest()), each.digest);
  }
}

TEST(ModelSpecText, OfLayersRoundTripsAndHasOneSpelling) {
  constexpr std::string_view kSignal =
      "tacit-layers/1:6x128;conv 16 5 stride 2;relu6;average-pool 2;global-average-pool;flatten;dense 6";
  const auto spec = ModelSpec::Parse(kSignal);
  ASSERT_THAT(spec, IsOk());
  EXPECT_EQ(spec->inputs(), 768U);
  EXPECT_EQ(spec->classes(), 6U);
  EXPECT_TRUE(spec->HasSpace());
  EXPECT_EQ(*ModelSpec::Create(spec->layers()), *spec);
  for (const std::string_view bad :
       {"tacit-layers/1:6x0128;flatten;dense 6", "tacit-layers/1:6x128;;flatten;dense 6",
        "tacit-layers/1:6x128;flatten;dense 6;", "tacit-layers/1:6x128x;flatten;dense 6",
        "tacit-layers/1:6x128;flatten; dense 6", "tacit-layers/1:6x128;flatten;dense 06", "tacit-layers/1:sixx128;relu",
        "tacit-layers/1:1x8x8;conv 4 3;flatten;dense 2", "tacit-layers/2:6x128;flatten;dense 6"}) {
    const auto parsed = ModelSpec::Parse(bad);
    EXPECT_FALSE(parsed.has_value()) << bad;
  }
  EXPECT_THAT(ModelSpec::Parse("tacit-layers/1:6x128;flatten;dense 06"),
              IsErrorSaying(ErrorCode::kMalformed, "expected 'tacit-layers/1:6x128;flatten;dense 6'"));
  EXPECT_THAT(ModelSpec::Parse(std::string(kSignal) + std::string(5000, ' ')), IsError(ErrorCode::kMalformed));
}

TEST(ModelSpecText, OfTheLongestModelIsWithinItsLimit) {
  LayerStack stack = *LayerStack::Create({1, 1, 1});
  while (stack.layers().size() + 2 < LayerStack::kMaxLayers)
    ASSERT_THAT(stack.Add("conv 1 1000x1001 stride 1024x1023 pad 999x1000"), IsOk());
  ASSERT_THAT(stack.Add("flatten"), IsOk());
  ASSERT_THAT(stack.Add("dense 1048576"), IsOk());
  EXPECT_LE(ModelSpec::Create(stack)->CanonicalText().size(), ModelSpec::kMaxTextBytes);
}

TEST(ModelSpec, OfLayersIsOverRowsWithSpaceAndEndsInItsClasses) {
  const auto create = [](std::vector<std::uint32_t> input, const std::vector<std::string_view>& layers) {
    LayerStack stack = *LayerStack::Create(std::move(input));
    for (const std::string_view layer : layers) EXPECT_THAT(stack.Add(layer), IsOk()) << layer;
    return ModelSpec::Create(std::move(stack));
  };
  EXPECT_THAT(create({9}, {"dense 2"}), IsErrorSaying(ErrorCode::kInvalidArgument, "over a signal or an image"));
  EXPECT_THAT(create({1, 9}, {}), IsErrorSaying(ErrorCode::kInvalidArgument, "the last layer must be \"dense N\""));
  EXPECT_THAT(create({1, 9}, {"flatten", "dense 2", "relu"}),
              IsErrorSaying(ErrorCode::kInvalidArgument, "the last layer must be"));
  EXPECT_NE(*create({1, 9}, {"flatten", "dense 2"}), Spec({.inputs = 9, .hidden = {}, .classes = 2}));
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

// By another program: the generator, twelve uniforms, the root, and one rounding to float32.
TEST(InitialParameters, AreTheSameBitsOnEveryMachineAndInEveryRelease) {
  const auto digest = [](const ModelSpec& spec) {
    const std::vector<float> parameters = spec.InitialParameters(7);
    return ToHex(Xxh3(AsBytes(std::span<const float>(parameters))));
  };
  EXPECT_EQ(digest(Spec({.inputs = 3, .hidden = {4}, .classes = 2})), "991f2a233d69eb34ef20dae0c93fd268");
  EXPECT_EQ(digest(*ModelSpec::Parse("tacit-layers/1:1x8x8;conv 4 3x3 pad 1;relu;max-pool 2;flatten;dense 3")),
            "ccd0efbfa96ce425e3715f0a6e303ea2");
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
