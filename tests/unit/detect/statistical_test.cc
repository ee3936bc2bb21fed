// Statistical tests. Each says its null hypothesis, how much it looks at, how often it fails where nothing is wrong,
// and which defect it would find. Seeds are fixed, so a test that passes once always does.

#include <algorithm>
#include <cmath>

#include "common/crypto/random.h"
#include "edge_agent/detect/detector.h"
#include "tests/support/matchers.h"
#include "tests/unit/detect/clusters.h"

namespace tacit::detect {
namespace {

using testing::ClusterCalibration;
using testing::Clusters;
using testing::Normal;

// H0: a new score is above the threshold of 99 with probability 5/100 exactly, their ranks being uniform. 20,000 draws;
// within five standard deviations of 30.8: false alarms below 6e-7. A rank one too low would add 200.
TEST(ConformalThreshold, IsExceededAsOftenAsItSays) {
  constexpr int kDraws = 20'000;
  SplitMix64 random(21);
  int above = 0;
  for (int draw = 0; draw < kDraws; ++draw) {
    std::vector<double> clean(99);
    for (double& score : clean) score = random.Uniform();
    above += random.Uniform() > *ConformalThreshold(std::move(clean), 0.05) ? 1 : 0;
  }
  EXPECT_NEAR(above, 0.05 * kDraws, 154);
}

// H0: the false-positive rate of one calibration is Beta(38, 712) distributed, 750 rows being its threshold's: mean
// 0.0507, standard deviation 0.008. 20,000 new rows add 0.0016. Within five deviations of both together, 0.041: false
// alarms below 6e-7. Scores that were calibrated on the rows that their features were fitted on, or one threshold a
// score at the whole rate, would be found: four scores, one threshold each, would flag near 0.12.
TEST(Calibration, HasTheFalsePositiveRateOfItsTarget) {
  Clusters model;
  const Clusters::Rows rows = Clusters::Draw(20'000, 77);
  const auto detector = Detector::Create(ClusterCalibration(), Mode::kFlag, model.shape());
  Answer answer;
  (void)model.Run(rows.x, answer);
  const auto verdicts = detector->Judge(model, rows.x, answer);
  ASSERT_THAT(verdicts, ::tacit::testing::IsOk());
  const auto suspicious = std::ranges::count_if(*verdicts, [](const Verdict& verdict) { return verdict.suspicious; });
  EXPECT_NEAR(static_cast<double>(suspicious) / 20'000, 0.0507, 0.041);
}

// H0: a window of clean rows drifts with probability 0.02 at most: the 0.01 asked for, and as much again for a
// reference that is a sample itself. 2,000 windows: more than 75 come with probability below 1e-6. Without the share
// of Bonferroni, with ten statistics, there would be some 160.
TEST(Drift, RarelyFindsAnythingInCleanRows) {
  constexpr std::size_t kWindows = 2'000;
  const DriftReference& reference = ClusterCalibration().drift;
  DriftMonitor monitor(reference, Clusters::kInputs);
  Clusters model;
  const Clusters::Rows rows = Clusters::Draw(kWindows * reference.window, 78);
  Answer answer;
  (void)model.Run(rows.x, answer);
  std::size_t windows = 0;
  std::size_t drifting = 0;
  for (std::size_t i = 0; i < rows.y.size(); ++i) {
    const auto window =
        monitor.Observe(std::span(rows.x).subspan(i * 6, 6), std::span(answer.logits).subspan(i * 3, 3));
    if (!window) continue;
    ++windows;
    drifting += window->report.drifted ? 1U : 0U;
  }
  EXPECT_EQ(windows, kWindows);
  EXPECT_LE(drifting, 75U);
}

// H0: the noise on each count is two-sided geometric of scale 2 * 10 / epsilon = 20, with mean 0 and mean size 20. Some
// 150 counts of 40 sketches: 6,000 draws, standard errors of 0.37 and 0.26; within five and a half of them: false
// alarms below 1e-7. Noise for one count a statistic, or for one statistic, would have half the size or a tenth of it.
TEST(NoisedCounts, HaveTheNoiseOfTheirEpsilon) {
  const DriftSketch sketch(ClusterCalibration().drift);
  double sum = 0;
  double size = 0;
  double draws = 0;
  for (std::uint8_t i = 0; i < 40; ++i) {
    Digest256 key{};
    key[0] = i;
    crypto::AesKeystream bits(*crypto::SecretKey::FromBytes(key));
    const auto noised = NoisedCounts(sketch, *dp::Epsilon::Create(1), bits);
    ASSERT_THAT(noised, ::tacit::testing::IsOk());
    for (const auto& counts : *noised) {
      for (const std::int64_t count : counts) {
        sum += static_cast<double>(count);
        size += std::abs(static_cast<double>(count));
        draws += 1;
      }
    }
  }
  EXPECT_GT(draws, 5'000);
  EXPECT_NEAR(sum / draws, 0, 5.5 * 20 * std::sqrt(2.0 / draws));
  EXPECT_NEAR(size / draws, 20, 5.5 * 20 / std::sqrt(draws));
}

}  // namespace
}  // namespace tacit::detect
