#include "edge_agent/detect/squeeze.h"

#include <array>
#include <vector>

#include <gmock/gmock.h>

namespace tacit::detect {
namespace {

TEST(ReduceBitDepth, RoundsToTheStepsOfTheRange) {
  constexpr std::array kIn = {0.0F, 0.2F, 0.6F, 1.0F, 3.0F, -1.0F};
  std::array<float, 6> out{};
  ReduceBitDepth(kIn, {.low = 0, .high = 1}, 1, out);
  EXPECT_THAT(out, ::testing::ElementsAre(0, 0, 1, 1, 1, 0));
  ReduceBitDepth(kIn, {.low = -1, .high = 1}, 2, out);  // -1, -1/3, 1/3, 1
  EXPECT_FLOAT_EQ(out[1], 1.0F / 3);
}

TEST(MedianOfFour, RemovesAPixelThatStandsAlone) {
  std::vector<float> in(16);
  in[5] = 1;
  std::vector<float> out(16, 9);
  MedianOfFour(in, {.channels = 1, .height = 4, .width = 4}, out);
  EXPECT_THAT(out, ::testing::Each(0.0F));
}

TEST(MedianOfFour, TakesTheMeanOfTheMiddleTwo) {
  constexpr std::array kIn = {1.0F, 2.0F, 3.0F, 4.0F};
  std::array<float, 4> out{};
  MedianOfFour(kIn, {.channels = 1, .height = 2, .width = 2}, out);
  EXPECT_THAT(out, ::testing::Each(2.5F));  // reflected edges show every pixel all four
}

TEST(MedianOfFour, KeepsChannelsApart) {
  constexpr std::array kIn = {1.0F, 1.0F, 1.0F, 1.0F, 5.0F, 5.0F, 5.0F, 5.0F};
  std::array<float, 8> out{};
  MedianOfFour(kIn, {.channels = 2, .height = 2, .width = 2}, out);
  EXPECT_EQ(out, kIn);
}

}  // namespace
}  // namespace tacit::detect
