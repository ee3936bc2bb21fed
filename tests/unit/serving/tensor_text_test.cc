#include "edge_agent/serving/tensor_text.h"

#include <array>
#include <limits>

#include "tests/support/matchers.h"

namespace tacit::serving {
namespace {

using ::tacit::testing::IsError;
using ::tacit::testing::IsOk;

template <typename T, std::size_t Size>
std::span<std::uint8_t> BytesOf(std::array<T, Size>& values) {
  return {reinterpret_cast<std::uint8_t*>(values.data()), sizeof values};
}

Result<void> ReadFour(std::string_view text, std::array<float, 4>& values) {
  constexpr std::array<std::int64_t, 2> kShape = {2, 2};
  return ReadNumbers(text, graph::Element::kFloat32, kShape, BytesOf(values));
}

TEST(SplitTensors, TakesTheArraysOfInputsOutAndLeavesTheRest) {
  const auto split = SplitTensors(R"({"inputs": [{"data" : [1,[2]], "name":"\"a"}], "id":"x", "data": 3})");
  ASSERT_THAT(split, IsOk());
  EXPECT_EQ(split->skeleton, R"({"inputs": [{"data":0, "name":"\"a"}], "id":"x", "data": 3})");
  EXPECT_EQ(split->arrays, std::vector<std::string_view>{"[1,[2]]"});
}

TEST(SplitTensors, RefusesWhatTwoReadersCouldReadInTwoWays) {
  for (const std::string_view text :
       {R"({"a]})", R"({"a":[})", R"({"inputs":[{"data":1}]})", R"({"inputs":[{"data":["x"]}]})",
        R"({"inputs":[{"d\u0061ta":[1]}]})", R"({"inputs":[{"data":[1)", R"({"a)", "}"}) {
    EXPECT_THAT(SplitTensors(text), IsError(ErrorCode::kMalformed)) << text;
  }
  EXPECT_THAT(SplitTensors(std::string(kMostNesting + 1, '[')), IsError(ErrorCode::kMalformed));
  EXPECT_THAT(SplitTensors('"' + std::string(kLongestSkeleton, 'x') + '"'), IsError(ErrorCode::kTooLarge));
}

TEST(ReadNumbers, ReadsFlatAndNestedTheSame) {
  for (const std::string_view text : {"[1,-2.5,3e2,0]", "[[1,-2.5],[3e2,0]]", " [ [1 , -2.5]\n, [3E+2,0] ]"}) {
    std::array<float, 4> values{};
    ASSERT_THAT(ReadFour(text.substr(text.find('[')), values), IsOk()) << text;
    EXPECT_EQ(values, (std::array<float, 4>{1, -2.5F, 300, 0}));
  }
}

TEST(ReadNumbers, RefusesWhatIsNoNumberOfJson) {
  for (const std::string_view text :
       {"[01,2,3,4]", "[1.,2,3,4]", "[.5,2,3,4]", "[+1,2,3,4]", "[nan,2,3,4]", "[inf,2,3,4]", "[1e,2,3,4]",
        "[0x1,2,3,4]", "[1e400,2,3,4]", "[1e39,2,3,4]", "[true,2,3,4]", "[-,2,3,4]"}) {
    std::array<float, 4> values{};
    EXPECT_THAT(ReadFour(text, values), IsError(ErrorCode::kInvalidArgument)) << text;
  }
}

TEST(ReadNumbers, RefusesAnotherCountOrNesting) {
  for (const std::string_view text : {"[1,2,3]", "[1,2,3,4,5]", "[[1,2],[3]]", "[[1,2,3],[4]]", "[[1],[2],[3],[4]]",
                                      "[[[1,2],[3,4]]]", "[[1,2],3,4]", "[1,[2,3,4]]", "[]", "[1 2,3,4]", "[1,,2,3]",
                                      "[1,2,3,4,]", "[1,2,3,4", "[1,2,3,4]]", "[[1,2][3,4]]", "[,1,2,3,4]"}) {
    std::array<float, 4> values{};
    EXPECT_FALSE(ReadFour(text, values).has_value()) << text;
  }
}

TEST(ReadNumbers, KeepsIntegersWithinTheirElement) {
  constexpr std::array<std::int64_t, 1> kShape = {2};
  std::array<std::int8_t, 2> bytes{};
  ASSERT_THAT(ReadNumbers("[-128,127]", graph::Element::kInt8, kShape, BytesOf(bytes)), IsOk());
  EXPECT_EQ(bytes, (std::array<std::int8_t, 2>{-128, 127}));
  for (const std::string_view text : {"[-129,0]", "[128,0]", "[1.5,0]", "[1e1,0]"})
    EXPECT_FALSE(ReadNumbers(text, graph::Element::kInt8, kShape, BytesOf(bytes)).has_value()) << text;
  std::array<std::uint8_t, 2> unsigned_bytes{};
  EXPECT_FALSE(ReadNumbers("[-1,0]", graph::Element::kUint8, kShape, BytesOf(unsigned_bytes)).has_value());
  std::array<std::int32_t, 2> words{};
  ASSERT_THAT(ReadNumbers("[-2147483648,2147483647]", graph::Element::kInt32, kShape, BytesOf(words)), IsOk());
  EXPECT_EQ(words[0], std::numeric_limits<std::int32_t>::min());
}

TEST(AppendNumbers, WritesWhatIsReadBackAsTheSameBits) {
  const std::array<float, 4> values = {0.1F, -3.0e-38F, 3.4028235e38F, 16777217.0F};
  std::string json;
  ASSERT_THAT(AppendNumbers(AsBytes(std::span<const float>(values)), graph::Element::kFloat32, json), IsOk());
  std::array<float, 4> again{};
  ASSERT_THAT(ReadFour(json, again), IsOk());
  EXPECT_EQ(again, values);
  const std::array<float, 1> endless = {std::numeric_limits<float>::infinity()};
  EXPECT_THAT(AppendNumbers(AsBytes(std::span<const float>(endless)), graph::Element::kFloat32, json),
              IsError(ErrorCode::kDataLoss));
}

}  // namespace
}  // namespace tacit::serving
