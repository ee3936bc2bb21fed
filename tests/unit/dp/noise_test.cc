#include "dp/noise.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <numbers>
#include <utility>
#include <vector>

#include <boost/multiprecision/cpp_dec_float.hpp>
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

// Sixty decimal digits and more, in decimal: nothing is shared with the tables' own arithmetic.
using Decimal = boost::multiprecision::cpp_dec_float_100;

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

TEST(NoiseSteps, RefuseNoiseThatTheTablesDoNotReach) {
  EXPECT_EQ(*NoiseSteps(MultiplierOf(256), RadiusOf(1U << 20U)), kMaxNoiseSteps);
  EXPECT_THAT(NoiseSteps(MultiplierOf(256.001), RadiusOf(1U << 20U)),
              IsErrorSaying(ErrorCode::kInvalidArgument, "smaller grid radius"));
}

TEST(NoiseSampler, IsMadeForScalesInRangeOnly) {
  for (const std::uint64_t bad : {std::uint64_t{0}, std::uint64_t{3}, kMaxNoiseSteps + 1, ~std::uint64_t{0}}) {
    EXPECT_THAT(NoiseSampler::Gaussian(bad), IsError(ErrorCode::kInvalidArgument)) << bad;
    EXPECT_THAT(NoiseSampler::Laplace(bad), IsError(ErrorCode::kInvalidArgument)) << bad;
  }
  for (const std::uint64_t good : {kMinNoiseSteps, kMaxNoiseSteps}) {
    EXPECT_THAT(NoiseSampler::Gaussian(good), IsOk());
    EXPECT_THAT(NoiseSampler::Laplace(good), IsOk());
  }
}

// ---- The tables ----

Decimal ToDecimal(Wide value) {
  return ldexp(Decimal(static_cast<std::uint64_t>(value >> 64U)), 64) + Decimal(static_cast<std::uint64_t>(value));
}

/// The probability of each place, read off the table.
std::vector<Decimal> ProbabilitiesOf(const AliasTable& table) {
  const Decimal full = ldexp(Decimal(1), static_cast<int>(AliasTable::kThresholdBits));
  std::vector<Decimal> probability(AliasTable::kPlaces, Decimal(0));
  for (std::size_t place = 0; place < AliasTable::kPlaces; ++place) {
    const Decimal keeps = ToDecimal(table.threshold(place)) / full;
    probability[place] += keeps;
    probability[table.alias(place)] += 1 - keeps;
    EXPECT_EQ(
        table.fast()[place] >> AliasTable::kPlaceBits,
        static_cast<std::uint32_t>(table.threshold(place) >> (AliasTable::kThresholdBits - AliasTable::kFastBits)));
  }
  for (Decimal& each : probability) each /= AliasTable::kPlaces;
  return probability;
}

/// Half the sum of the differences from what `weight` says, scaled to one.
double LogDistance(const AliasTable& table, const std::function<Decimal(int place)>& weight) {
  std::vector<Decimal> wanted;
  Decimal total = 0;
  for (int place = 0; place < static_cast<int>(AliasTable::kPlaces); ++place) {
    wanted.push_back(weight(place));
    total += wanted.back();
  }
  const std::vector<Decimal> found = ProbabilitiesOf(table);
  Decimal distance = 0;
  for (std::size_t place = 0; place < AliasTable::kPlaces; ++place)
    distance += abs(found[place] - wanted[place] / total) / 2;
  return distance == 0 ? -1000 : static_cast<double>(log2(distance));
}

TEST(AliasTable, OfAGaussianIsTheDistributionToAHundredBits) {
  for (const std::uint64_t sigma : {4U, 100U, 155U}) {
    const auto table = AliasTable::Gaussian(1, sigma);
    const auto weight = [&](int place) {
      const Decimal x = place - 2048;
      return place == 0 ? Decimal(0) : Decimal(exp(-x * x / (2 * Decimal(sigma) * sigma)));
    };
    EXPECT_LT(LogDistance(*table, weight), -100) << sigma;
    // What lies beyond the table is less than that, too.
    EXPECT_LT(-std::pow(2047.0 / static_cast<double>(sigma), 2) / 2 * std::numbers::log2e, -100) << sigma;
  }
}

TEST(AliasTable, OfAGeometricIsTheDistributionToAHundredBits) {
  for (const std::uint64_t step : {1U, 4096U}) {
    const auto table = AliasTable::Geometric(step, 5000);
    const auto weight = [&](int place) { return Decimal(exp(-Decimal(place) * step / 5000)); };
    EXPECT_LT(LogDistance(*table, weight), -100);
  }
  const auto sign = AliasTable::Sign(7);
  const auto weight = [&](int place) {
    return place == 0 ? Decimal(1) : place == 1 ? Decimal(exp(-Decimal(1) / 7)) : Decimal(0);
  };
  EXPECT_LT(LogDistance(*sign, weight), -100);
}

// Two terms against the discrete Gaussian that they stand for, summed with a hundred digits.
TEST(Convolution, OfTwoTermsIsTheDiscreteGaussianToSixtySixBits) {
  // Where two terms come closest to leaving gaps: the stride has just become its largest.
  const int stride = 93;
  const Decimal sigma = 14'261;
  const Decimal term_squared = sigma * sigma / (1 + stride * stride);
  const auto term = [&](const Decimal& x) { return Decimal(exp(-x * x / (2 * term_squared))); };
  Decimal at_zero = 0;
  for (const int n : {0, 1, 47, 92, 93, 1000, 20'000, 86'401}) {
    Decimal sum = 0;
    const int middle = n * stride / (1 + stride * stride);
    for (int m = middle - 40; m <= middle + 40; ++m) sum += term(Decimal(n - stride * m)) * term(Decimal(m));
    if (n == 0) at_zero = sum;
    const Decimal wanted = exp(-Decimal(n) * n / (2 * sigma * sigma));
    EXPECT_LT(static_cast<double>(log2(abs(sum / at_zero / wanted - 1) + Decimal(1e-60))), -75) << n;
  }
}

// ---- The draws ----

std::vector<std::int64_t> Draw(const NoiseSampler& sampler, std::size_t count, std::uint64_t first, Keystream& bits,
                               NoiseSampler::Path path) {
  std::vector<std::int64_t> values(count, 0);
  sampler.AddTo(values, first, bits, path);
  return values;
}

/// The paths that this processor has beside the portable one; nothing is compared where there is none.
std::vector<NoiseSampler::Path> FasterPaths() {
  std::vector<NoiseSampler::Path> paths = {NoiseSampler::Path::kFastest};
  for (const auto path : {NoiseSampler::Path::kAvx2, NoiseSampler::Path::kAvx512}) {
    if (NoiseSampler::Has(path)) paths.push_back(path);
  }
  return paths;
}

/// One of each kind of loop: one to five tables of a Gaussian, a sign and one to three digits.
std::vector<NoiseSampler> SamplersOfEveryKind() {
  std::vector<NoiseSampler> samplers;
  for (const std::uint64_t scale : {4U, 155U, 156U, 14'400U, 14'500U, 1U << 20U, 1U << 24U, 124'000'000U, 1U << 28U}) {
    samplers.push_back(*NoiseSampler::Gaussian(scale));
    samplers.push_back(*NoiseSampler::Laplace(scale));
  }
  return samplers;
}

TEST(NoiseSampler, DrawsTheSameOnEveryPathHoweverAVectorIsCut) {
  constexpr std::size_t kCount = 20'003;
  for (const NoiseSampler& sampler : SamplersOfEveryKind()) {
    auto bits = testing::TestBits(5);
    const auto whole = Draw(sampler, kCount, 0, bits, NoiseSampler::Path::kPortable);
    for (const auto path : FasterPaths()) {
      EXPECT_EQ(Draw(sampler, kCount, 0, bits, path), whole);
      const std::size_t cut = 16 * 1001;
      const auto rest = Draw(sampler, kCount - cut, cut, bits, path);
      EXPECT_TRUE(std::ranges::equal(rest, std::span(whole).subspan(cut)));
    }
  }
}

// Whatever is left over when a vector is cut into registers, and beyond what 32 bits count.
TEST(NoiseSampler, DrawsTheSameOnEveryPathAtEveryLengthAndOffset) {
  for (const NoiseSampler& sampler : SamplersOfEveryKind()) {
    auto bits = testing::TestBits(7);
    for (const std::uint64_t first : {std::uint64_t{0}, std::uint64_t{16} * 3, (std::uint64_t{1} << 32U) - 16 * 5,
                                      (std::uint64_t{1} << 35U) - 16 * 5, (std::uint64_t{1} << 40U) + 16}) {
      const auto whole = Draw(sampler, 200, first, bits, NoiseSampler::Path::kPortable);
      for (const auto path : FasterPaths()) {
        for (const std::size_t count : {1U, 15U, 16U, 17U, 31U, 32U, 33U, 63U, 64U, 65U, 95U, 129U, 199U}) {
          std::vector<std::int64_t> values(200, 0);
          sampler.AddTo(std::span(values).first(count), first, bits, path);
          EXPECT_TRUE(std::equal(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(count), whole.begin()));
          EXPECT_EQ(std::ranges::count(std::span(values).subspan(count), 0), 200 - static_cast<std::ptrdiff_t>(count));
        }
      }
    }
  }
}

/// An AES stream that notes which words could not decide.
class NotedTies final : public Keystream {
 public:
  void Fill(std::uint64_t first, std::span<std::uint8_t> out) override { bits_.Fill(first, out); }
  Block MoreFor(std::uint64_t word) override {
    asked.push_back(word);
    return bits_.MoreFor(word);
  }
  [[nodiscard]] const Block* AesKey() const override { return bits_.AesKey(); }
  std::vector<std::uint64_t> asked;

 private:
  crypto::AesKeystream bits_ = testing::TestBits(1);
};

// A path that took no notice of ties, or put them on a neighbour's account, would differ only once in 2^20 words. Under
// this key eight words of four million are ties, at least one in each of the four groups that go side by side.
TEST(NoiseSampler, LooksAtTheSameTiesOnEveryPath) {
  constexpr std::size_t kCount = std::size_t{1} << 19U;
  for (const NoiseSampler& sampler : {*NoiseSampler::Gaussian(1U << 24U), *NoiseSampler::Laplace(1U << 24U)}) {
    NotedTies bits;
    const auto whole = Draw(sampler, kCount, 0, bits, NoiseSampler::Path::kPortable);
    const auto asked = std::exchange(bits.asked, {});
    EXPECT_EQ(asked.size(), 4U);
    for (const auto path : FasterPaths()) {
      EXPECT_EQ(Draw(sampler, kCount, 0, bits, path), whole);
      EXPECT_THAT(std::exchange(bits.asked, {}), ::testing::UnorderedElementsAreArray(asked));
    }
  }
}

TEST(NoiseSampler, AddsToWhatIsThere) {
  auto bits = testing::TestBits(6);
  const auto sampler = *NoiseSampler::Gaussian(1000);
  const auto noise = Draw(sampler, 100, 0, bits, NoiseSampler::Path::kFastest);
  std::vector<std::int64_t> values(100, -(std::int64_t{1} << 62U));
  sampler.AddTo(values, 0, bits);
  for (std::size_t i = 0; i < values.size(); ++i) EXPECT_EQ(values[i], noise[i] - (std::int64_t{1} << 62U));
}

TEST(NoiseSampler, DrawsOtherwiseFromAnotherKeyAndAtAnotherPlace) {
  auto one = testing::TestBits(1);
  auto two = testing::TestBits(2);
  const auto sampler = *NoiseSampler::Gaussian(1U << 20U);
  const auto here = Draw(sampler, 160, 0, one, NoiseSampler::Path::kFastest);
  EXPECT_NE(Draw(sampler, 160, 0, two, NoiseSampler::Path::kFastest), here);
  EXPECT_NE(Draw(sampler, 160, 160, one, NoiseSampler::Path::kFastest), here);
}

/// Every word is the same; what decides a tie is chosen.
class ChosenWord final : public Keystream {
 public:
  ChosenWord(std::uint32_t word, Wide more) : word_(word), more_(more) {}
  void Fill(std::uint64_t /*first*/, std::span<std::uint8_t> out) override {
    for (std::size_t i = 0; i < out.size(); i += sizeof word_) std::memcpy(&out[i], &word_, sizeof word_);
  }
  Block MoreFor(std::uint64_t word) override {
    asked.push_back(word);
    Block block;
    std::memcpy(block.data(), &more_, sizeof more_);
    return block;
  }
  std::vector<std::uint64_t> asked;

 private:
  std::uint32_t word_;
  Wide more_;
};

// A word whose first bits equal the threshold's decides nothing: the other ninety-two bits do, exactly.
TEST(NoiseSampler, DecidesATieByTheBitsThatFollow) {
  const auto sampler = *NoiseSampler::Gaussian(100);
  const auto table = AliasTable::Gaussian(1, 100);
  constexpr unsigned kMoreBits = AliasTable::kThresholdBits - AliasTable::kFastBits;
  constexpr Wide kMoreMask = (Wide{1} << kMoreBits) - 1;
  int tried = 0;
  for (std::uint32_t place = 1900; place < 2200; ++place) {
    if (table->alias(place) == place) continue;
    const std::uint32_t first = table->fast()[place] & ~std::uint32_t{AliasTable::kPlaces - 1};
    const Wide more = table->threshold(place) & kMoreMask;
    const auto drawn = [&](Wide chosen) {
      ChosenWord bits(first | place, chosen);
      const auto values = Draw(sampler, 16, 0, bits, NoiseSampler::Path::kFastest);
      EXPECT_EQ(bits.asked.size(), 16U);
      return values[0] + 2048;
    };
    // Bits above the ninety-two belong to nobody and must not matter.
    const Wide above = Wide{0xfffff} << kMoreBits;
    if (more > 0) EXPECT_EQ(drawn((more - 1) | above), place);
    EXPECT_EQ(drawn(more), table->alias(place));
    if (more < kMoreMask) EXPECT_EQ(drawn((more + 1) | above), table->alias(place));
    ++tried;
  }
  EXPECT_GT(tried, 200);
}

TEST(NoiseSampler, StaysWithinItsTailAtTheLargestScale) {
  auto bits = testing::TestBits(4);
  const auto values = Draw(*NoiseSampler::Gaussian(kMaxNoiseSteps), 20'000, 0, bits, NoiseSampler::Path::kFastest);
  double squares = 0;
  for (const std::int64_t value : values) {
    const double draw = static_cast<double>(value) / static_cast<double>(kMaxNoiseSteps);
    ASSERT_LT(std::abs(draw), 7);
    squares += draw * draw;
  }
  EXPECT_NEAR(squares / 20'000, 1, 0.05);  // five standard deviations
}

}  // namespace
}  // namespace tacit::dp
