#include "edge_agent/serving/infer_request.h"

#include <array>

#include "tests/support/matchers.h"

namespace tacit::serving {
namespace {

using ::tacit::testing::IsError;
using ::tacit::testing::IsOk;

inference::Signature TwoInputs() {
  return {.inputs = {{.name = "x", .element = graph::Element::kFloat32, .shape = {graph::kRows, 2}},
                     {.name = "n", .element = graph::Element::kInt32, .shape = {graph::kRows, 1}}},
          .outputs = {{.name = "y", .element = graph::Element::kFloat32, .shape = {graph::kRows, 3}},
                      {.name = "z", .element = graph::Element::kInt8, .shape = {graph::kRows, 1}}}};
}

Result<InferRequest> Parse(std::string_view json, ByteSpan binary = {}, const InferLimits& limits = {}) {
  return ParseInferRequest({.json = AsBytes(json), .binary = binary}, TwoInputs(), limits);
}

constexpr std::string_view kBoth = R"({"id":"7","inputs":[
  {"name":"n","datatype":"INT32","shape":[2,1],"data":[5,-6]},
  {"name":"x","datatype":"FP32","shape":[2,2],"data":[[1,2],[3,4]]}]})";

TEST(ParseInferRequest, PutsInputsIntoTheOrderOfTheModel) {
  const auto request = Parse(kBoth);
  ASSERT_THAT(request, IsOk());
  EXPECT_EQ(request->id, "7");
  EXPECT_EQ(request->rows, 2U);
  EXPECT_EQ(request->inputs[0].As<float>()[2], 3.0F);
  EXPECT_EQ(request->inputs[1].As<std::int32_t>()[1], -6);
  ASSERT_EQ(request->outputs.size(), 2U);
  EXPECT_EQ(request->outputs[1].form, TensorForm::kJson);
}

TEST(ParseInferRequest, MixesBinaryAndJson) {
  const std::array<float, 2> values = {1.5F, -2.5F};
  const auto request = Parse(R"({"inputs":[
    {"name":"n","datatype":"INT32","shape":[1,1],"data":[5]},
    {"name":"x","datatype":"FP32","shape":[1,2],"parameters":{"binary_data_size":8}}],
    "parameters":{"binary_data_output":true},
    "outputs":[{"name":"z"},{"name":"y","parameters":{"binary_data":false}}]})",
                             AsBytes(std::span<const float>(values)));
  ASSERT_THAT(request, IsOk());
  EXPECT_EQ(request->inputs[0].As<float>()[1], -2.5F);
  EXPECT_EQ(request->outputs[0].port, 1U);
  EXPECT_EQ(request->outputs[0].form, TensorForm::kBinary);
  EXPECT_EQ(request->outputs[1].form, TensorForm::kJson);
}

TEST(ParseInferRequest, NamesThePlaceOfWhatDoesNotFit) {
  const auto twice = Parse(R"({"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"data":[1,2]},
    {"name":"x","datatype":"FP32","shape":[1,2],"data":[1,2]}]})");
  ASSERT_THAT(twice, IsError(ErrorCode::kInvalidArgument));
  EXPECT_NE(twice.error().message.find("inputs[1]"), std::string::npos);
  const auto rows = Parse(R"({"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"data":[1,2]},
    {"name":"n","datatype":"INT32","shape":[2,1],"data":[1,2]}]})");
  ASSERT_THAT(rows, IsError(ErrorCode::kInvalidArgument));
  EXPECT_NE(rows.error().message.find("inputs[1].shape"), std::string::npos);
}

TEST(ParseInferRequest, TakesNoMemoryForRowsThatAreNotThere) {
  constexpr std::string_view kHuge = R"({"inputs":[{"name":"x","datatype":"FP32","shape":[1000000000,2],"data":[1]},
    {"name":"n","datatype":"INT32","shape":[1,1],"data":[1]}]})";
  EXPECT_THAT(Parse(kHuge), IsError(ErrorCode::kTooLarge));
  EXPECT_THAT(Parse(kHuge, {}, {.max_rows = std::size_t{1} << 40U, .max_bytes = std::size_t{1} << 50U}),
              IsError(ErrorCode::kInvalidArgument));
}

TEST(SplitBody, BelievesOnlyALengthThatFits) {
  const Bytes body(10);
  EXPECT_EQ(SplitBody(body, std::nullopt)->json.size(), 10U);
  EXPECT_EQ(SplitBody(body, "4")->binary.size(), 6U);
  EXPECT_THAT(SplitBody(body, "11"), IsError(ErrorCode::kInvalidArgument));
  for (const std::string_view length : {"", "-1", "4 ", "x", "99999999999999999999"})
    EXPECT_THAT(SplitBody(body, length), IsError(ErrorCode::kMalformed)) << length;
}

}  // namespace
}  // namespace tacit::serving
