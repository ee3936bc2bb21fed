#include "edge_agent/detect/drift.h"

#include <array>
#include <cmath>
#include <limits>
#include <numeric>

#include "common/crypto/random.h"
#include "tests/support/matchers.h"
#include "tests/unit/detect/clusters.h"

namespace tacit::detect {
namespace {

using ::tacit::testing::IsError;
using ::tacit::testing::IsOk;
using testing::ClusterCalibration;
using testing::Clusters;

using Counts = std::vector<std::uint32_t>;

TEST(KolmogorovSmirnov, IsTheLargestDistanceOfTheSums) {
  EXPECT_NEAR(KolmogorovSmirnov(Counts{5, 5}, Counts{8, 2}), 0.3, 1e-15);
  EXPECT_NEAR(KolmogorovSmirnov(Counts{1, 0, 0, 1}, Counts{0, 50, 50, 0}), 0.5, 1e-15);
  EXPECT_EQ(KolmogorovSmirnov(Counts{1, 2}, Counts{10, 20}), 0);
}

TEST(StabilityIndex, HasItsValueWithHalfARowInEachBin) {
  // q = 7/8, 1/8 and p = 3/8, 5/8: 0.5 ln(7/3) + 0.5 ln 5.
  EXPECT_NEAR(StabilityIndex(Counts{3, 0}, Counts{1, 2}), 0.5 * std::log(7.0 / 3) + 0.5 * std::log(5.0), 1e-12);
  EXPECT_EQ(StabilityIndex(Counts{4, 4}, Counts{4, 4}), 0);
}

TEST(DriftNumbers, AreThoseOfTheInput) {
  const DriftNumbersOf numbers_of(4, 1);
  const DriftNumbers numbers = numbers_of(std::array{0.0F, 1.0F, 1.0F, 0.0F}, std::array{0.0F, 0.0F});
  EXPECT_FLOAT_EQ(numbers[0], 0.5F);  // mean
  EXPECT_FLOAT_EQ(numbers[1], 0.5F);  // spread
  EXPECT_FLOAT_EQ(numbers[2], 0.5F);  // roughness: 1 + 0 + 1 over 4
  EXPECT_FLOAT_EQ(numbers[3], 0.0F);  // floor
  EXPECT_FLOAT_EQ(numbers[8], std::log(0.5F));
}

TEST(EdgesOf, SeesWhatLiesBelowANumberThatIsNearlyAlwaysTheSame) {
  const DriftBins bins{.edges = EdgesOf(std::vector<float>(100, 0.0F)), .counts = {}, .threshold = 0};
  EXPECT_NE(BinOf(bins, -0.1F), BinOf(bins, 0.0F));
  EXPECT_NE(BinOf(bins, 0.1F), BinOf(bins, 0.0F));
  EXPECT_EQ(BinOf(bins, std::numeric_limits<float>::quiet_NaN()), bins.edges.size());
}

TEST(EdgesOf, MakesBinsOfTheSameSize) {
  std::vector<float> numbers(1600);
  std::iota(numbers.begin(), numbers.end(), 0.0F);
  DriftBins bins{.edges = EdgesOf(numbers), .counts = Counts(DriftReference::kMaxBins), .threshold = 0};
  ASSERT_EQ(bins.edges.size(), DriftReference::kMaxBins - 1);
  for (const float number : numbers) ++bins.counts[BinOf(bins, number)];
  EXPECT_THAT(bins.counts, ::testing::Each(::testing::AllOf(::testing::Ge(99U), ::testing::Le(101U))));
}

// What the monitor says of `count` rows that `change` was applied to.
std::vector<DriftMonitor::Window> Watch(std::size_t count, float added) {
  DriftMonitor monitor(ClusterCalibration().drift, Clusters::kInputs);
  Clusters model;
  Clusters::Rows rows = Clusters::Draw(count, 99);
  for (float& value : rows.x) value += added;
  Answer answer;
  (void)model.Run(rows.x, answer);
  std::vector<DriftMonitor::Window> windows;
  for (std::size_t i = 0; i < count; ++i) {
    auto window = monitor.Observe(std::span(rows.x).subspan(i * Clusters::kInputs, Clusters::kInputs),
                                  std::span(answer.logits).subspan(i * Clusters::kClasses, Clusters::kClasses));
    if (window) windows.push_back(*std::move(window));
  }
  return windows;
}

TEST(DriftMonitor, SpeaksOnceAWindow) {
  EXPECT_EQ(Watch(149, 0).size(), 2U);
  EXPECT_EQ(Watch(150, 0).size(), 3U);
}

TEST(DriftMonitor, FindsInputsThatMovedAndSaysWhere) {
  const auto windows = Watch(50, 0.5F);
  ASSERT_EQ(windows.size(), 1U);
  EXPECT_TRUE(windows[0].report.drifted);
  EXPECT_THAT(windows[0].report.reason, ::testing::HasSubstr("mean"));
}

TEST(DriftMonitor, NeverLearnsFromWhatItWatches) {
  const DriftReference before = ClusterCalibration().drift;
  DriftMonitor monitor(before, Clusters::kInputs);
  for (int i = 0; i < 200; ++i)
    (void)monitor.Observe(std::array<float, 6>{9, 9, 9, 9, 9, 9}, std::array{1.0F, 0.0F, 0.0F});
  EXPECT_EQ(monitor.reference(), before);
}

TEST(DriftSketch, AddsUp) {
  const auto windows = Watch(100, 0);
  ASSERT_EQ(windows.size(), 2U);
  DriftSketch both = windows[0].sketch;
  both.Merge(windows[1].sketch);
  EXPECT_EQ(both.rows, 100U);
  for (std::size_t i = 0; i < kDriftStatistics; ++i) {
    EXPECT_EQ(std::accumulate(both.counts[i].begin(), both.counts[i].end(), 0U), 100U);
    EXPECT_EQ(both.counts[i][0], windows[0].sketch.counts[i][0] + windows[1].sketch.counts[i][0]);
  }
}

TEST(CompareDrift, SaysNothingOfLessThanAWindow) {
  const DriftReference& reference = ClusterCalibration().drift;
  DriftSketch sketch(reference);
  for (int i = 0; i < 49; ++i) sketch.Add({});
  EXPECT_FALSE(CompareDrift(reference, sketch).drifted);
  sketch.Add({});
  EXPECT_TRUE(CompareDrift(reference, sketch).drifted);
}

TEST(FitDrift, RefusesFewRowsAndWindowsOutOfTheirRange) {
  const std::vector<DriftNumbers> numbers(249);
  const std::vector<std::uint32_t> classes(249);
  DriftOptions options{.window = 50, .false_alarms = 0.01, .seed = 0, .classes = 2};
  EXPECT_THAT(FitDrift(options, {.numbers = numbers, .classes = classes}),
              ::tacit::testing::IsErrorSaying(ErrorCode::kInvalidArgument, "need 250 clean rows"));
  options.window = 49;
  EXPECT_THAT(FitDrift(options, {.numbers = numbers, .classes = classes}), IsError(ErrorCode::kInvalidArgument));
}

TEST(NoisedCounts, RefusesAnEpsilonThatNoNoiseCanServe) {
  const DriftSketch sketch(ClusterCalibration().drift);
  crypto::AesKeystream bits(*crypto::SecretKey::FromBytes(Digest256{}));
  EXPECT_THAT(NoisedCounts(sketch, *dp::Epsilon::Create(1e-9), bits), IsError(ErrorCode::kInvalidArgument));
}

}  // namespace
}  // namespace tacit::detect
