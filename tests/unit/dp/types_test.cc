#include "dp/types.h"

#include <cmath>
#include <limits>
#include <type_traits>

#include <gmock/gmock.h>

#include "tests/support/matchers.h"
#include "tests/unit/dp/dp_support.h"

namespace tacit::dp {
namespace {

using tacit::testing::IsErrorSaying;
using tacit::testing::IsOk;
using testing::kNan;

// A privacy parameter that nobody chose must not compile.
static_assert(!std::is_default_constructible_v<Epsilon> && !std::is_default_constructible_v<Delta>);
static_assert(!std::is_default_constructible_v<NoiseMultiplier> && !std::is_default_constructible_v<ClipNorm>);
static_assert(!std::is_convertible_v<double, Epsilon> && !std::is_constructible_v<Epsilon, double>);

TEST(Epsilon, RefusesWhatIsNotAFiniteNumberAboveZero) {
  EXPECT_THAT(Epsilon::Create(8), IsOk());
  for (const double bad : {0.0, -1.0, kNan, kInfinity}) {
    EXPECT_THAT(Epsilon::Create(bad), IsErrorSaying(ErrorCode::kInvalidArgument, "epsilon is ")) << bad;
  }
}

TEST(Delta, RefusesWhatIsNotBetweenZeroAndOne) {
  EXPECT_THAT(Delta::Create(1e-10), IsOk());
  for (const double bad : {0.0, 1.0, -1e-5, 2.0, kNan}) {
    EXPECT_THAT(Delta::Create(bad), IsErrorSaying(ErrorCode::kInvalidArgument, "delta is ")) << bad;
  }
}

TEST(NoiseMultiplier, RefusesZeroAndWhatNoGridCouldHold) {
  EXPECT_THAT(NoiseMultiplier::Create(kMaxNoiseMultiplier), IsOk());
  for (const double bad : {0.0, -1.0, kMaxNoiseMultiplier * 1.001, kNan, kInfinity}) {
    EXPECT_THAT(NoiseMultiplier::Create(bad), IsErrorSaying(ErrorCode::kInvalidArgument, "noise multiplier")) << bad;
  }
}

TEST(ClipNorm, RefusesZeroAndWhatWouldLeaveTheRangeOfAFloat) {
  EXPECT_THAT(ClipNorm::Create(1e-6), IsOk());
  for (const double bad : {0.0, -1.0, 1e-300, 1e300, kNan, kInfinity}) {
    EXPECT_THAT(ClipNorm::Create(bad), IsErrorSaying(ErrorCode::kInvalidArgument, "clip norm")) << bad;
  }
}

TEST(GridRadius, TakesPowersOfTwoOnly) {
  for (unsigned bits = 10; bits <= 30; ++bits) EXPECT_THAT(GridRadius::Create(1U << bits), IsOk()) << bits;
  for (const std::uint32_t bad : {0U, 1U, 512U, 1000U, (1U << 20U) + 1, 1U << 31U, ~0U}) {
    EXPECT_THAT(GridRadius::Create(bad), IsErrorSaying(ErrorCode::kInvalidArgument, "power of two")) << bad;
  }
}

TEST(Mechanism, IsNamedOneWayAndMeasuredInItsOwnNorm) {
  for (const Mechanism mechanism : {Mechanism::kNone, Mechanism::kGaussian, Mechanism::kLaplace}) {
    EXPECT_EQ(*ParseMechanism(NameOf(mechanism)), mechanism);
  }
  EXPECT_THAT(ParseMechanism("Gaussian"), IsErrorSaying(ErrorCode::kInvalidArgument, "\"gaussian\", \"laplace\""));
  EXPECT_EQ(NormOf(Mechanism::kGaussian), Norm::kL2);
  EXPECT_EQ(NormOf(Mechanism::kLaplace), Norm::kL1);
}

}  // namespace
}  // namespace tacit::dp
