#include "dp/noise.h"

#include <cmath>
#include <map>

#include <gmock/gmock.h>

#include "tests/support/matchers.h"
#include "tests/unit/dp/dp_support.h"

namespace tacit::dp {
namespace {

using tacit::testing::IsError;
using tacit::testing::IsErrorSaying;
using tacit::testing::IsOk;
using testing::MultiplierOf;
using testing::RadiusOf;

TEST(NoiseSteps, RoundUpToAWholeStep) {
  EXPECT_EQ(*NoiseSteps(MultiplierOf(1), RadiusOf(1U << 20U)), 1U << 20U);
  EXPECT_EQ(*NoiseSteps(MultiplierOf(1 + 0x1p-52), RadiusOf(1U << 20U)), (1U << 20U) + 1);
  EXPECT_EQ(*NoiseSteps(MultiplierOf(0.1), RadiusOf(1U << 10U)), 103U);  // 102.4
}

TEST(NoiseSteps, RefuseNoiseThatTheGridWouldShowThrough) {
  EXPECT_EQ(*NoiseSteps(MultiplierOf(4.0 / 1024), RadiusOf(1024)), 4U);
  EXPECT_THAT(NoiseSteps(MultiplierOf(3.99 / 1024), RadiusOf(1024)),
              IsErrorSaying(ErrorCode::kInvalidArgument, "larger noise multiplier or grid radius"));
}

TEST(NoiseSteps, RefuseNoiseThatCouldOverflow) {
  EXPECT_EQ(*NoiseSteps(MultiplierOf(128), RadiusOf(1U << 20U)), kMaxNoiseSteps);
  EXPECT_THAT(NoiseSteps(MultiplierOf(128.001), RadiusOf(1U << 20U)),
              IsErrorSaying(ErrorCode::kInvalidArgument, "smaller grid radius"));
}

TEST(DiscreteSamplers, AreMadeForScalesInRangeOnly) {
  for (const std::uint64_t bad : {std::uint64_t{0}, std::uint64_t{3}, kMaxNoiseSteps + 1, ~std::uint64_t{0}}) {
    EXPECT_THAT(DiscreteGaussian::Create(bad), IsError(ErrorCode::kInvalidArgument)) << bad;
    EXPECT_THAT(DiscreteLaplace::Create(bad), IsError(ErrorCode::kInvalidArgument)) << bad;
  }
  EXPECT_THAT(DiscreteGaussian::Create(kMaxNoiseSteps), IsOk());
  EXPECT_THAT(DiscreteLaplace::Create(kMinNoiseSteps), IsOk());
}

TEST(DiscreteGaussian, DrawsTheSameFromTheSameKeyAndOtherwiseFromAnother) {
  const auto draw = [](std::uint8_t key) {
    auto bits = testing::TestBits(key);
    RandomWords words(bits);
    std::vector<std::int64_t> draws(200);
    for (auto& value : draws) value = DiscreteGaussian::Create(1U << 20U)->Sample(words);
    return draws;
  };
  EXPECT_EQ(draw(1), draw(1));
  EXPECT_NE(draw(1), draw(2));
}

/// Counts what is asked of it.
class CountingBits final : public BitSource {
 public:
  void Fill(std::span<std::uint8_t> out) override {
    ++calls;
    source_.Fill(out);
  }
  int calls = 0;

 private:
  crypto::KeystreamBits source_ = testing::TestBits(3);
};

TEST(RandomWords, AskTheSourceForAPageAtATime) {
  CountingBits bits;
  RandomWords words(bits);
  for (int i = 0; i < 2048; ++i) static_cast<void>(words.Next32());
  EXPECT_EQ(bits.calls, 1);
  static_cast<void>(words.Next32());
  EXPECT_EQ(bits.calls, 2);
}

/// Gives out chosen words, then zeros.
class ChosenWords final : public BitSource {
 public:
  explicit ChosenWords(std::vector<std::uint32_t> words) : words_(std::move(words)) {}
  void Fill(std::span<std::uint8_t> out) override {
    std::fill(out.begin(), out.end(), std::uint8_t{0});
    std::memcpy(out.data(), words_.data(), words_.size() * sizeof(std::uint32_t));
  }

 private:
  std::vector<std::uint32_t> words_;
};

TEST(RandomWords, RejectTheWordsThatWouldMakeABoundUneven) {
  // For bound 3, 2^32 = 3 * 1431655765 + 1: exactly one word, 0, must be rejected.
  ChosenWords bits({0, 0, 5, 1431655766, 0xffffffff});
  RandomWords words(bits);
  EXPECT_EQ(words.Below(3), 0U);  // from 5
  EXPECT_EQ(words.Below(3), 1U);
  EXPECT_EQ(words.Below(3), 2U);
}

TEST(DiscreteGaussian, SumsWithinTheTailBoundAtTheLargestScale) {
  auto bits = testing::TestBits(4);
  RandomWords words(bits);
  const auto gaussian = *DiscreteGaussian::Create(kMaxNoiseSteps);
  double squares = 0;
  for (int i = 0; i < 20'000; ++i) {
    const double draw = static_cast<double>(gaussian.Sample(words)) / static_cast<double>(kMaxNoiseSteps);
    ASSERT_LT(std::abs(draw), 7);
    squares += draw * draw;
  }
  EXPECT_NEAR(squares / 20'000, 1, 0.05);  // five standard deviations
}

}  // namespace
}  // namespace tacit::dp
