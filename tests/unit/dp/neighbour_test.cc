// Replaces one device's vector by zeros and looks at how far the integer sum moves: the sensitivity that noise is
// scaled to.
#include <algorithm>
#include <cmath>
#include <functional>
#include <string_view>

#include <gmock/gmock.h>

#include "dp/clip.h"
#include "dp/sum.h"
#include "tests/support/matchers.h"
#include "tests/unit/dp/dp_support.h"

namespace tacit::dp {
namespace {

using tacit::testing::IsOk;
using testing::ContentsOf;
using testing::kRadius;
using testing::NormIsAtMost;
using testing::RadiusOf;

/// How a device's floats enter a sum.
using Enter = std::function<void(std::span<const float> values, Mechanism mechanism, UnnoisedSum* sum)>;

void EnterAsBuilt(std::span<const float> values, Mechanism mechanism, UnnoisedSum* sum) {
  std::vector<std::int32_t> grid(values.size());
  ASSERT_THAT(ClipToGrid(values, testing::ClipOf(1), RadiusOf(kRadius), NormOf(mechanism), grid), IsOk());
  ASSERT_THAT(sum->Add(grid), IsOk());
}

std::vector<std::int64_t> SumOf(const Enter& enter, Mechanism mechanism, std::span<const float> device) {
  auto sum = UnnoisedSum::Create({.round = {.task = testing::TaskOf("t"), .round = 1},
                                  .mechanism = mechanism,
                                  .grid_radius = RadiusOf(kRadius),
                                  .parameters = device.size()});
  std::vector<float> other(device.size());
  for (std::size_t i = 0; i < other.size(); ++i) other[i] = std::cos(static_cast<float>(i));
  enter(other, mechanism, &*sum);
  enter(device, mechanism, &*sum);
  enter(other, mechanism, &*sum);
  return ContentsOf(*sum);
}

/// The adversarial vectors that move the sum by more than the radius.
std::vector<std::string_view> Violations(const Enter& enter, Mechanism mechanism) {
  std::vector<std::string_view> violations;
  for (const auto& [name, values] : testing::AdversarialVectors()) {
    std::vector<std::int64_t> difference = SumOf(enter, mechanism, values);
    const std::vector<std::int64_t> without = SumOf(enter, mechanism, std::vector<float>(values.size()));
    std::ranges::transform(difference, without, difference.begin(), std::minus());
    if (!NormIsAtMost<std::int64_t>(difference, kRadius, NormOf(mechanism))) violations.push_back(name);
  }
  return violations;
}

TEST(Neighbours, MoveTheSumByAtMostTheRadius) {
  EXPECT_THAT(Violations(EnterAsBuilt, Mechanism::kGaussian), ::testing::IsEmpty());
  EXPECT_THAT(Violations(EnterAsBuilt, Mechanism::kLaplace), ::testing::IsEmpty());
  EXPECT_THAT(Violations(EnterAsBuilt, Mechanism::kNone), ::testing::IsEmpty());
}

/// How it is often done: a float norm in one chain, rounding to nearest, and no check of the integers.
void EnterBroken(std::span<const float> values, Mechanism mechanism, std::vector<std::int64_t>* sum) {
  float norm = 0;
  for (const float value : values) norm += mechanism == Mechanism::kLaplace ? std::abs(value) : value * value;
  if (mechanism != Mechanism::kLaplace) norm = std::sqrt(norm);
  const float scale = norm > 1 ? 1 / norm : 1;
  for (std::size_t i = 0; i < values.size(); ++i) (*sum)[i] += std::lround(values[i] * scale * kRadius);
}

TEST(Neighbours, FindTheFaultOfACopyThatRoundsToNearestUnchecked) {
  for (const Mechanism mechanism : {Mechanism::kGaussian, Mechanism::kLaplace}) {
    std::vector<std::string_view> violations;
    for (const auto& [name, values] : testing::AdversarialVectors()) {
      std::vector<std::int64_t> difference(values.size());
      EnterBroken(values, mechanism, &difference);
      if (!NormIsAtMost<std::int64_t>(difference, kRadius, NormOf(mechanism))) violations.push_back(name);
    }
    EXPECT_THAT(violations, ::testing::Contains(mechanism == Mechanism::kLaplace ? "above half a step, L1"
                                                                                 : "above half a step, L2"));
  }
}

TEST(Neighbours, AreProtectedBySumsThatVerifyWhatACallerForgotToClip) {
  const Enter unclipped = [](std::span<const float> values, Mechanism, UnnoisedSum* sum) {
    std::vector<std::int32_t> grid(values.size());
    std::ranges::transform(values, grid.begin(),
                           [](float value) { return static_cast<std::int32_t>(value * 4 * kRadius); });
    // A vector over the bound is refused here and leaves the sum alone.
    [[maybe_unused]] const Result<void> outcome = sum->Add(grid);
  };
  for (const Mechanism mechanism : {Mechanism::kGaussian, Mechanism::kLaplace}) {
    for (const std::size_t size : {1U, 100U, 10'000U}) {
      std::vector<std::int64_t> difference = SumOf(unclipped, mechanism, std::vector<float>(size, 0.5F));
      const std::vector<std::int64_t> without = SumOf(unclipped, mechanism, std::vector<float>(size));
      std::ranges::transform(difference, without, difference.begin(), std::minus());
      EXPECT_TRUE(NormIsAtMost<std::int64_t>(difference, kRadius, NormOf(mechanism))) << size;
    }
  }
}

}  // namespace
}  // namespace tacit::dp
