#include "dp/vector_kernels.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include <gmock/gmock.h>

#include "tests/unit/dp/dp_support.h"

namespace tacit::dp {
namespace {

using testing::RadiusOf;

__extension__ using Wide = unsigned __int128;
constexpr Norm kNorms[] = {Norm::kL1, Norm::kL2};
constexpr std::size_t kSizes[] = {0, 1, 7, 8, 15, 16, 17, 63, 64, 65, 127, 128, 1000, 2047, 2048, 2049, 5000};

std::vector<float> RandomFloats(std::size_t size, std::mt19937& random) {
  std::uniform_real_distribution<float> exponent(-30, 30);
  std::vector<float> values(size);
  for (float& value : values) value = std::exp2(exponent(random)) * (random() % 2 == 0 ? 1.0F : -1.0F);
  return values;
}

/// As large as they come, the smallest integer among them.
std::vector<std::int32_t> RandomIntegers(std::size_t size, std::mt19937& random) {
  std::vector<std::int32_t> values(size);
  for (std::int32_t& value : values) value = static_cast<std::int32_t>(random() >> (random() % 32));
  if (size > 2) values[size / 2] = std::numeric_limits<std::int32_t>::min();
  return values;
}

std::uint64_t Magnitude(std::int32_t value) {
  return static_cast<std::uint64_t>(std::abs(std::int64_t{value}));
}

/// Whether `measure` is what one integer after another adds up to.
void ExpectSumsOf(std::span<const std::int32_t> grid, Norm norm, const GridMeasure& measure) {
  Wide squares = 0;
  std::uint64_t magnitudes = 0;
  std::uint64_t largest = 0;
  for (const std::int32_t value : grid) {
    squares += Wide{Magnitude(value)} * Magnitude(value);
    magnitudes += Magnitude(value);
    largest = std::max(largest, Magnitude(value));
  }
  EXPECT_EQ(measure.largest, largest);
  if (norm == Norm::kL1) {
    EXPECT_EQ(measure.magnitudes, magnitudes);
  } else {
    EXPECT_TRUE((Wide{measure.high} << 32U) + measure.low == squares);
  }
}

class VectorKernelsTest : public ::testing::TestWithParam<VectorPath> {
 protected:
  void SetUp() override {
    if (!Has(GetParam())) GTEST_SKIP() << "this processor lacks the path";
  }
  [[nodiscard]] const VectorKernels& kernels() const { return KernelsOf(GetParam()); }
  std::mt19937 random_{20'261'127};
};

TEST_P(VectorKernelsTest, MeasuresFloatsToTheSameBits) {
  for (const std::size_t size : kSizes) {
    const std::vector<float> values = RandomFloats(size, random_);
    for (const Norm norm : kNorms) {
      FloatMeasure measure;
      FloatMeasure portable;
      kernels().measure(values, norm, measure);
      kPortableKernels.measure(values, norm, portable);
      EXPECT_EQ(std::bit_cast<std::uint64_t>(measure.Norm(norm)), std::bit_cast<std::uint64_t>(portable.Norm(norm)));
      long double exact = 0;
      for (const float value : values) {
        const auto wide = static_cast<long double>(value);
        exact += norm == Norm::kL2 ? wide * wide : std::abs(wide);
      }
      if (norm == Norm::kL2) exact = std::sqrt(exact);
      EXPECT_NEAR(measure.Norm(norm), static_cast<double>(exact), 1e-14 * static_cast<double>(exact));
      EXPECT_TRUE(measure.finite());
    }
  }
}

TEST_P(VectorKernelsTest, MeasuresPiecesAsTheWhole) {
  const std::vector<float> values = RandomFloats(1000, random_);
  for (const Norm norm : kNorms) {
    FloatMeasure whole;
    kernels().measure(values, norm, whole);
    FloatMeasure pieces;
    kernels().measure(std::span(values).first(64), norm, pieces);
    kernels().measure(std::span(values).subspan(64, 640), norm, pieces);
    kernels().measure(std::span(values).subspan(704), norm, pieces);
    EXPECT_EQ(whole.lanes, pieces.lanes);
  }
}

TEST_P(VectorKernelsTest, SeesAnEntryThatIsNotFiniteWhereverItStands) {
  constexpr float kBad[] = {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
                            std::numeric_limits<float>::quiet_NaN()};
  for (std::size_t at = 0; at < 130; ++at) {
    for (const float bad : kBad) {
      std::vector<float> values(130, std::numeric_limits<float>::max());
      values[at] = bad;
      FloatMeasure measure;
      kernels().measure(values, Norm::kL1, measure);
      EXPECT_FALSE(measure.finite()) << at;
    }
  }
}

TEST_P(VectorKernelsTest, TruncatesTowardZeroInPlace) {
  for (const std::size_t size : kSizes) {
    for (const Norm norm : kNorms) {
      std::uniform_real_distribution<float> uniform(-1, 1);
      // One entry behind the end, which must stay.
      std::vector<float> values(size + 1, 0.5F);
      for (std::size_t i = 0; i < size; ++i) values[i] = uniform(random_);
      const std::vector<float> before = values;
      for (const double factor : {0x1p30 * 1.2345, 0x1p20 * 1.2345}) {
        values = before;
        auto* const grid = reinterpret_cast<std::int32_t*>(values.data());
        const GridMeasure measure = kernels().truncate(std::span(values).first(size), factor, norm, grid);
        for (std::size_t i = 0; i < size; ++i)
          ASSERT_EQ(grid[i], static_cast<std::int32_t>(static_cast<double>(before[i]) * factor));
        EXPECT_EQ(values[size], 0.5F);
        ExpectSumsOf({grid, size}, norm, measure);
      }
    }
  }
}

// As they travel: the narrow entries at the end of the memory that they are widened into.
template <typename Narrow>
void ExpectWidened(void (*widen)(std::span<const Narrow>, std::uint32_t, std::int32_t*), std::uint32_t shift,
                   std::mt19937& random) {
  for (const std::size_t size : kSizes) {
    std::vector<Narrow> values(size);
    for (Narrow& value : values) value = static_cast<Narrow>(random());
    if (size > 1) values[size / 2] = std::numeric_limits<Narrow>::min();
    std::vector<std::int32_t> grid(size + 1, 77);
    auto* const narrow = reinterpret_cast<Narrow*>(grid.data() + size) - size;
    if (size > 0) std::memcpy(narrow, values.data(), size * sizeof(Narrow));
    widen({narrow, size}, shift, grid.data());
    for (std::size_t i = 0; i < size; ++i) ASSERT_EQ(grid[i], std::int32_t{values[i]} * (1 << shift)) << i;
    EXPECT_EQ(grid[size], 77);
  }
}

TEST_P(VectorKernelsTest, WidensInPlace) {
  for (const std::uint32_t shift : {0U, 3U, LargestShift(Width::k8)})
    ExpectWidened<std::int8_t>(kernels().widen8, shift, random_);
  for (const std::uint32_t shift : {0U, 3U, LargestShift(Width::k16)})
    ExpectWidened<std::int16_t>(kernels().widen16, shift, random_);
}

TEST_P(VectorKernelsTest, MeasuresIntegersExactly) {
  for (const std::size_t size : kSizes) {
    const std::vector<std::int32_t> grid = RandomIntegers(size, random_);
    for (const Norm norm : kNorms) ExpectSumsOf(grid, norm, kernels().measure_grid(grid, norm));
  }
}

TEST_P(VectorKernelsTest, MeasuresManyEntriesOfOneSizeExactly) {
  // On both sides of where the squares of many would leave 64 bits.
  for (const std::int32_t each : {1 << 20, (1 << 26) - 1, 1 << 26, (1 << 26) + 1, 1 << 27, 1 << 30,
                                  std::numeric_limits<std::int32_t>::max(), std::numeric_limits<std::int32_t>::min()}) {
    for (const std::size_t size : kSizes) {
      const std::vector<std::int32_t> grid(size, each);
      for (const Norm norm : kNorms) ExpectSumsOf(grid, norm, kernels().measure_grid(grid, norm));
    }
  }
}

TEST_P(VectorKernelsTest, AddsUpWithWeights) {
  for (const std::size_t size : kSizes) {
    for (const std::int64_t weight : {1, 1'000'003}) {
      const std::vector<std::int32_t> grid = RandomIntegers(size, random_);
      std::vector<std::int64_t> sum(size + 1, -5);
      kernels().add(grid, weight, sum.data());
      for (std::size_t i = 0; i < size; ++i) ASSERT_EQ(sum[i], weight * grid[i] - 5);
      EXPECT_EQ(sum[size], -5);
    }
  }
}

std::string NameOfPath(const ::testing::TestParamInfo<VectorPath>& test) {
  switch (test.param) {
    case VectorPath::kPortable:
      return "Portable";
    case VectorPath::kAvx2:
      return "Avx2";
    case VectorPath::kAvx512:
      return "Avx512";
  }
  return "";
}

INSTANTIATE_TEST_SUITE_P(Paths, VectorKernelsTest,
                         ::testing::Values(VectorPath::kPortable, VectorPath::kAvx2, VectorPath::kAvx512), NameOfPath);

TEST(GridMeasure, HoldsOnTheBoundAndNotOneStepBeyond) {
  GridMeasure on_the_bound;
  on_the_bound.high = 1U << 28U;  // 2^60
  EXPECT_TRUE(on_the_bound.Within(RadiusOf(1U << 30U), Norm::kL2));
  on_the_bound.low = 1;
  EXPECT_FALSE(on_the_bound.Within(RadiusOf(1U << 30U), Norm::kL2));
}

}  // namespace
}  // namespace tacit::dp
