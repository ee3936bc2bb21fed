#include "dp/clip.h"

#include <cmath>
#include <cstring>
#include <limits>

#include <gmock/gmock.h>

#include "tests/support/matchers.h"
#include "tests/unit/dp/dp_support.h"

namespace tacit::dp {
namespace {

using tacit::testing::IsError;
using tacit::testing::IsErrorSaying;
using tacit::testing::IsOk;
using namespace std::literals;
using testing::ClipOf;
using ::testing::Each;
using ::testing::ElementsAre;
using testing::NormIsAtMost;
using testing::RadiusOf;

constexpr std::uint32_t kFineRadius = 1U << 20U;

std::vector<std::int32_t> Clipped(std::span<const float> values, double clip, std::uint32_t radius, Norm norm) {
  std::vector<std::int32_t> grid(values.size(), -7);
  EXPECT_THAT(ClipToGrid(values, ClipOf(clip), RadiusOf(radius), norm, grid), IsOk());
  return grid;
}

TEST(ClipL2, LeavesShortVectorUnchanged) {
  const std::vector<float> values = {0.25F, -0.5F, 0.0F, 0x1p-20F};
  std::vector<std::int32_t> grid(values.size());
  const auto outcome = ClipToGrid(values, ClipOf(1), RadiusOf(kFineRadius), Norm::kL2, grid);
  ASSERT_THAT(outcome, IsOk());
  EXPECT_FALSE(outcome->clipped);
  EXPECT_THAT(grid, ElementsAre(kFineRadius / 4, -static_cast<std::int32_t>(kFineRadius / 2), 0, 1));
}

TEST(ClipL2, ScalesLongVectorOntoTheBound) {
  const std::vector<float> values = {3.0F, -4.0F};
  std::vector<std::int32_t> grid(values.size());
  const auto outcome = ClipToGrid(values, ClipOf(0.5), RadiusOf(kFineRadius), Norm::kL2, grid);
  ASSERT_THAT(outcome, IsOk());
  EXPECT_TRUE(outcome->clipped);
  EXPECT_NEAR(grid[0], 0.6 * kFineRadius, 1);
  EXPECT_NEAR(grid[1], -0.8 * kFineRadius, 1);
}

TEST(ClipL1, ScalesByTheSumOfMagnitudes) {
  const std::vector<float> values = {3.0F, -1.0F, 4.0F};
  const auto grid = Clipped(values, 2, kFineRadius, Norm::kL1);
  EXPECT_NEAR(grid[0], 0.375 * kFineRadius, 1);
  EXPECT_NEAR(grid[1], -0.125 * kFineRadius, 1);
  EXPECT_NEAR(grid[2], 0.5 * kFineRadius, 1);
  EXPECT_TRUE(NormIsAtMost<std::int32_t>(grid, kFineRadius, Norm::kL1));
}

TEST(ClipToGrid, RoundsTowardZero) {
  const std::vector<float> values = {0x1.8p-20F, -0x1.8p-20F, 0x1.fffffep-21F, -0x1.fffffep-21F};
  EXPECT_THAT(Clipped(values, 1, kFineRadius, Norm::kL2), ElementsAre(1, -1, 0, 0));
}

TEST(ClipToGrid, TakesAZeroVectorForAValidUpdate) {
  EXPECT_THAT(Clipped(std::vector<float>(100), 1, kFineRadius, Norm::kL2), Each(0));
  EXPECT_THAT(Clipped(std::vector<float>(100), 1, kFineRadius, Norm::kL1), Each(0));
  EXPECT_THAT(Clipped({}, 1, kFineRadius, Norm::kL2), ::testing::IsEmpty());
}

TEST(ClipToGrid, NeverLetsTheIntegerNormExceedTheRadius) {
  for (const auto& [name, values] : testing::AdversarialVectors()) {
    for (const Norm norm : {Norm::kL1, Norm::kL2}) {
      for (const std::uint32_t radius : {1U << 10U, 1U << 30U}) {
        for (const double clip : {1.0, 0.3, 0x1p-64, 0x1p64}) {
          const auto grid = Clipped(values, clip, radius, norm);
          EXPECT_TRUE(NormIsAtMost<std::int32_t>(grid, radius, norm))
              << name << ", clip " << clip << ", radius " << radius << (norm == Norm::kL1 ? ", L1" : ", L2");
        }
      }
    }
  }
}

TEST(ClipToGrid, HoldsTheNormOfAMillionEqualEntries) {
  // A single float32 chain measures these too short and leaves them over the bound.
  const std::vector<float> values(1'000'000, -1.1e-3F);
  EXPECT_TRUE(NormIsAtMost<std::int32_t>(Clipped(values, 1, 1U << 30U, Norm::kL2), 1U << 30U, Norm::kL2));
  EXPECT_TRUE(NormIsAtMost<std::int32_t>(Clipped(values, 1, 1U << 30U, Norm::kL1), 1U << 30U, Norm::kL1));
}

TEST(ClipToGrid, KeepsNearlyAllOfALongVector) {
  const std::vector<float> values(10'000, 1.0F);
  const auto grid = Clipped(values, 1, 1U << 30U, Norm::kL2);
  EXPECT_THAT(grid, Each((1U << 30U) / 100));
}

TEST(ClipToGrid, WorksInPlace) {
  std::vector<float> values(1000);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = std::sin(static_cast<float>(i));
  const auto apart = Clipped(values, 1, kFineRadius, Norm::kL2);
  auto* const memory = reinterpret_cast<std::int32_t*>(values.data());
  ASSERT_THAT(ClipToGrid(values, ClipOf(1), RadiusOf(kFineRadius), Norm::kL2, {memory, values.size()}), IsOk());
  EXPECT_EQ(std::memcmp(apart.data(), values.data(), apart.size() * sizeof(std::int32_t)), 0);
}

TEST(ClipToGrid, NamesTheFirstEntryThatIsNotFinite) {
  std::vector<std::int32_t> grid(200);
  for (const auto& [bad, word] : {std::pair{std::numeric_limits<float>::quiet_NaN(), "entry 130 is NaN"s},
                                  std::pair{std::numeric_limits<float>::infinity(), "entry 130 is infinite"s},
                                  std::pair{-std::numeric_limits<float>::infinity(), "entry 130 is infinite"s}}) {
    std::vector<float> values(200, 3e38F);
    values[130] = bad;
    values[150] = bad;
    for (const Norm norm : {Norm::kL1, Norm::kL2}) {
      EXPECT_THAT(ClipToGrid(values, ClipOf(1), RadiusOf(kFineRadius), norm, grid),
                  IsErrorSaying(ErrorCode::kInvalidArgument, word));
    }
  }
}

TEST(ClipToGrid, RefusesAGridOfAnotherLength) {
  std::vector<std::int32_t> grid(3);
  EXPECT_THAT(ClipToGrid(std::vector<float>(4), ClipOf(1), RadiusOf(kFineRadius), Norm::kL2, grid),
              IsError(ErrorCode::kInvalidArgument));
}

TEST(ShrinkToNorm, MovesTowardZeroUntilTheNormHolds) {
  for (const Norm norm : {Norm::kL1, Norm::kL2}) {
    std::vector<std::int32_t> grid = {1030, -1, 0, 3, -1030};
    ShrinkToNorm(grid, RadiusOf(1024), norm);
    EXPECT_TRUE(NormIsAtMost<std::int32_t>(grid, 1024, norm));
    EXPECT_GT(grid[0], 500);
    EXPECT_LT(grid[4], -500);
    EXPECT_THAT(std::span(grid).subspan(1, 3), ElementsAre(0, 0, 0));
  }
}

TEST(ShrinkToNorm, LeavesAVectorOnTheBoundAlone) {
  std::vector<std::int32_t> grid = {0, 1024, 0};
  ShrinkToNorm(grid, RadiusOf(1024), Norm::kL2);
  EXPECT_THAT(grid, ElementsAre(0, 1024, 0));
}

TEST(VerifyGrid, PassesOnTheBoundAndNotOneStepBeyond) {
  const auto verify = [](std::vector<std::int32_t> grid, Norm norm) { return VerifyGrid(grid, RadiusOf(1024), norm); };
  EXPECT_THAT(verify({0, -1024}, Norm::kL2), IsOk());
  EXPECT_THAT(verify({512, 512, -512, -512}, Norm::kL2), IsOk());
  EXPECT_THAT(verify({512, 512, -512, -512, 1}, Norm::kL2), IsErrorSaying(ErrorCode::kInvalidArgument, "L2 norm"));
  EXPECT_THAT(verify({1000, -24}, Norm::kL1), IsOk());
  EXPECT_THAT(verify({1000, -25}, Norm::kL1), IsErrorSaying(ErrorCode::kInvalidArgument, "L1 norm"));
  EXPECT_THAT(verify({0, 0, 1025}, Norm::kL2), IsErrorSaying(ErrorCode::kInvalidArgument, "entry 2"));
}

TEST(VerifyGrid, IsNotFooledByNumbersWhoseSquaresWouldWrap) {
  constexpr std::int32_t kLowest = std::numeric_limits<std::int32_t>::min();
  for (const Norm norm : {Norm::kL1, Norm::kL2}) {
    for (const std::int32_t bad : {kLowest, kLowest + 1, std::numeric_limits<std::int32_t>::max(), (1 << 30) + 1}) {
      EXPECT_THAT(VerifyGrid(std::vector<std::int32_t>{bad}, RadiusOf(1U << 30U), norm),
                  IsErrorSaying(ErrorCode::kInvalidArgument, "entry 0"))
          << bad;
    }
    // 2^60 sixteen times over is 2^64, which a 64-bit sum would take for 0.
    EXPECT_THAT(VerifyGrid(std::vector<std::int32_t>(16, 1 << 30), RadiusOf(1U << 30U), norm),
                IsErrorSaying(ErrorCode::kInvalidArgument, "norm"));
  }
}

}  // namespace
}  // namespace tacit::dp
