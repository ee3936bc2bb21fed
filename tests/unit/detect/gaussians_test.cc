#include "edge_agent/detect/gaussians.h"

#include <array>
#include <cmath>
#include <vector>

#include "tests/support/matchers.h"

namespace tacit::detect {
namespace {

using ::tacit::testing::IsError;

// Variances 0.5 and 2 without correlation, around 0.
constexpr std::array kCross = {1.0F, 0.0F, -1.0F, 0.0F, 0.0F, 2.0F, 0.0F, -2.0F};
constexpr std::array<std::uint32_t, 4> kOneClass = {0, 0, 0, 0};

TEST(ClassGaussians, MeasuresByTheShrunkCovariance) {
  const auto gaussians = ClassGaussians::Fit({.features = 2, .classes = 1, .seed = 0}, kCross, kOneClass);
  ASSERT_THAT(gaussians, ::tacit::testing::IsOk());
  // 0.95 variance + 0.05 mean variance, which is 1.25.
  EXPECT_NEAR(gaussians->Distance(std::array{1.0F, 0.0F}), 1 / (0.95 * 0.5 + 0.0625), 1e-5);
  EXPECT_NEAR(gaussians->Distance(std::array{0.0F, 1.0F}), 1 / (0.95 * 2 + 0.0625), 1e-5);
}

TEST(ClassGaussians, KnowsFeaturesThatMoveTogether) {
  std::vector<float> rows;
  for (const float a : {-1.0F, 1.0F}) {
    for (const float b : {-0.1F, 0.1F}) rows.insert(rows.end(), {a + b, a - b});
  }
  const auto gaussians = ClassGaussians::Fit({.features = 2, .classes = 1, .seed = 0}, rows, kOneClass);
  ASSERT_THAT(gaussians, ::tacit::testing::IsOk());
  EXPECT_GT(gaussians->Distance(std::array{1.0F, -1.0F}), 8 * gaussians->Distance(std::array{1.0F, 1.0F}));
}

TEST(ClassGaussians, TakesTheNearestClassAndLeavesOutOneWithoutRows) {
  std::vector<float> rows(kCross.begin(), kCross.end());
  for (const float value : kCross) rows.push_back(value + 10);
  const std::array<std::uint32_t, 8> labels = {0, 0, 0, 0, 2, 2, 2, 2};
  const auto gaussians = ClassGaussians::Fit({.features = 2, .classes = 3, .seed = 0}, rows, labels);
  ASSERT_THAT(gaussians, ::tacit::testing::IsOk());
  EXPECT_EQ(gaussians->parts().means.size(), 4U);
  EXPECT_NEAR(gaussians->Distance(std::array{10.0F, 10.0F}), 0, 1e-6);
  EXPECT_NEAR(gaussians->Distance(std::array{0.0F, 0.0F}), 0, 1e-6);
  EXPECT_GT(gaussians->Distance(std::array{5.0F, 5.0F}), 10);
}

TEST(ClassGaussians, IsFiniteWhereAFeatureNeverMoves) {
  constexpr std::array kFlat = {1.0F, 5.0F, -1.0F, 5.0F, 1.0F, 5.0F, -1.0F, 5.0F};
  const auto gaussians = ClassGaussians::Fit({.features = 2, .classes = 1, .seed = 0}, kFlat, kOneClass);
  ASSERT_THAT(gaussians, ::tacit::testing::IsOk());
  EXPECT_TRUE(std::isfinite(gaussians->Distance(std::array{0.0F, 6.0F})));
}

TEST(ClassGaussians, RefusesFewRowsAndFeaturesThatAreNotFinite) {
  const ClassGaussians::Options options{.features = 2, .classes = 1, .seed = 0};
  EXPECT_THAT(ClassGaussians::Fit(options, std::span(kCross).first(6), std::span(kOneClass).first(3)),
              IsError(ErrorCode::kInvalidArgument));
  std::array rows = kCross;
  rows[3] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(ClassGaussians::Fit(options, rows, kOneClass), IsError(ErrorCode::kInvalidArgument));
}

TEST(ClassGaussians, ComesBackFromItsParts) {
  const auto gaussians = ClassGaussians::Fit({.features = 2, .classes = 1, .seed = 0}, kCross, kOneClass);
  ASSERT_THAT(gaussians, ::tacit::testing::IsOk());
  const auto again = ClassGaussians::FromParts(gaussians->parts());
  ASSERT_THAT(again, ::tacit::testing::IsOk());
  EXPECT_EQ(again->Distance(std::array{0.3F, 0.4F}), gaussians->Distance(std::array{0.3F, 0.4F}));
  ClassGaussians::Parts broken = gaussians->parts();
  broken.factor[0] = 0;
  EXPECT_THAT(ClassGaussians::FromParts(broken), IsError(ErrorCode::kMalformed));
}

TEST(FeatureHash, KeepsWhatIsNoLongerThanItsDimension) {
  const FeatureHash hash({.inputs = 3, .dimension = 8, .seed = 1});
  std::array<float, 3> out{};
  hash.Apply(std::array{1.0F, 2.0F, 3.0F}, out);
  EXPECT_THAT(out, ::testing::ElementsAre(1, 2, 3));
}

TEST(FeatureHash, PutsEveryCoordinateIntoOnePlace) {
  const FeatureHash hash({.inputs = 100, .dimension = 8, .seed = 1});
  std::vector<float> unit(100);
  for (std::size_t i = 0; i < unit.size(); ++i) {
    unit[i] = 1;
    std::array<float, 8> out{};
    hash.Apply(unit, out);
    unit[i] = 0;
    float sum = 0;
    for (const float value : out) sum += std::abs(value);
    EXPECT_EQ(sum, 1);
  }
}

}  // namespace
}  // namespace tacit::detect
