#include "edge_agent/detect/extraction.h"

#include <string>

#include "tests/support/matchers.h"
#include "tests/unit/detect/clusters.h"

namespace tacit::detect {
namespace {

using ::tacit::testing::IsError;
using ::tacit::testing::IsOk;
using testing::ClusterCalibration;
using testing::Clusters;

ExtractionOptions SmallBudgets() {
  ExtractionOptions options;
  options.window_seconds = 100;
  options.identity_budget = 3;
  options.group_budget = 5;
  return options;
}

constexpr std::array kAsked = {1.0F, 1.0F, 0.0F, 0.0F, 0.0F, 0.0F};
constexpr std::array kAnswer = {4.0F, 0.0F, 0.0F};

ExtractionVerdict Ask(ExtractionGuard& guard, std::string_view identity, std::string_view group, std::uint64_t now) {
  return guard.Observe({.identity = identity, .group = group, .now = now, .input = kAsked, .logits = kAnswer});
}

TEST(SlidingCount, ForgetsAWindowLinearly) {
  SlidingCount count;
  for (int i = 0; i < 10; ++i) count.Add(100, 50);
  EXPECT_EQ(count.Within(100, 99), 10);
  EXPECT_EQ(count.Within(100, 100), 10);
  EXPECT_EQ(count.Within(100, 150), 5);
  EXPECT_EQ(count.Within(100, 200), 0);
}

TEST(ExtractionGuard, RefusesQueriesBeyondTheBudgetOfAnIdentity) {
  auto guard = ExtractionGuard::Create(SmallBudgets(), Mode::kReject, ClusterCalibration());
  ASSERT_THAT(guard, IsOk());
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Ask(*guard, "a", "g", 0).decision, Decision::kAccepted);
  const ExtractionVerdict verdict = Ask(*guard, "a", "g", 1);
  EXPECT_EQ(verdict.decision, Decision::kRejected);
  EXPECT_EQ(verdict.reason, ExtractionReason::kIdentityBudget);
  EXPECT_EQ(verdict.text, "identity budget: 4.000, and the limit is 3.000");
  EXPECT_EQ(Ask(*guard, "a", "g", 201).decision, Decision::kAccepted);
}

TEST(ExtractionGuard, LetsTheIdentitiesOfAGroupShareABudget) {
  auto guard = ExtractionGuard::Create(SmallBudgets(), Mode::kReject, ClusterCalibration());
  ASSERT_THAT(guard, IsOk());
  for (int i = 0; i < 5; ++i) EXPECT_EQ(Ask(*guard, std::to_string(i), "g", 0).decision, Decision::kAccepted);
  EXPECT_EQ(Ask(*guard, "new", "g", 0).reason, ExtractionReason::kGroupBudget);
  EXPECT_EQ(Ask(*guard, "new", "another", 0).decision, Decision::kAccepted);
}

TEST(ExtractionGuard, OnlyCountsWhereItsModeObserves) {
  auto guard = ExtractionGuard::Create(SmallBudgets(), Mode::kObserve, ClusterCalibration());
  ASSERT_THAT(guard, IsOk());
  for (int i = 0; i < 3; ++i) (void)Ask(*guard, "a", "g", 0);
  const ExtractionVerdict verdict = Ask(*guard, "a", "g", 0);
  EXPECT_EQ(verdict.decision, Decision::kAccepted);
  EXPECT_EQ(verdict.reason, ExtractionReason::kIdentityBudget);
}

TEST(ExtractionGuard, GivesIdentitiesBeyondItsPlacesOneBudget) {
  ExtractionOptions options = SmallBudgets();
  options.max_identities = 2;
  options.group_budget = 1'000;
  auto guard = ExtractionGuard::Create(options, Mode::kReject, ClusterCalibration());
  ASSERT_THAT(guard, IsOk());
  std::size_t accepted = 0;
  for (int i = 0; i < 100; ++i) {
    accepted += Ask(*guard, std::to_string(i), "g", 0).decision == Decision::kAccepted ? 1U : 0U;
  }
  EXPECT_EQ(accepted, 2U + options.identity_budget);
  // When nothing of them counts any more, there is room again.
  EXPECT_EQ(Ask(*guard, "later", "g", 200).decision, Decision::kAccepted);
}

// The answer to the first query that looks made, or its number.
std::size_t QueriesToAlarm(std::span<const float> x) {
  ExtractionOptions options;
  options.hardness_threshold = 2;
  auto guard = ExtractionGuard::Create(options, Mode::kFlag, ClusterCalibration());
  Clusters model;
  Answer answer;
  (void)model.Run(x, answer);
  const std::size_t rows = x.size() / Clusters::kInputs;
  for (std::size_t i = 0; i < rows; ++i) {
    const auto verdict = guard->Observe({.identity = "a",
                                         .group = "g",
                                         .now = i,
                                         .input = x.subspan(i * Clusters::kInputs, Clusters::kInputs),
                                         .logits = std::span(answer.logits).subspan(i * 3, 3)});
    if (verdict.reason == ExtractionReason::kIdentityDistances) return i + 1;
  }
  return rows;
}

TEST(ExtractionGuard, FindsInputsThatStandInALattice) {
  // Steps of one size from a few seeds: what an attacker makes who has few inputs of his own.
  std::vector<float> x = Clusters::Draw(5, 5).x;
  for (int round = 0; x.size() < 1'000 * Clusters::kInputs; ++round) {
    std::vector<float> next = x;
    for (std::size_t i = 0; i < next.size(); ++i)
      next[i] += i % 6 == static_cast<std::size_t>(round) % 6 ? 0.05F : 0.0F;
    x.insert(x.end(), next.begin(), next.end());
  }
  EXPECT_LT(QueriesToAlarm(x), 300U);
}

TEST(ExtractionGuard, FindsNothingInCleanInputs) {
  EXPECT_EQ(QueriesToAlarm(Clusters::Draw(600, 6).x), 600U);
}

TEST(DistanceTest, CountsNoInputTwiceAndNoneThatIsNotFinite) {
  const DistanceReference& reference = ClusterCalibration().distances;
  DistanceTest test(reference);
  EXPECT_EQ(test.Add(0, kAsked), std::nullopt);
  EXPECT_EQ(test.Add(0, kAsked), std::nullopt);
  std::array bad = kAsked;
  bad[2] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(test.Add(0, bad), std::nullopt);
  std::array moved = kAsked;
  moved[0] += 3;
  moved[1] += 4;
  EXPECT_NEAR(test.Add(0, moved).value_or(0), 5, 1e-6);
}

TEST(DistanceTest, SaysNothingOfFewDistances) {
  DistanceTest test(ClusterCalibration().distances);
  const Clusters::Rows rows = Clusters::Draw(100, 8);
  for (std::size_t i = 0; i < 100; ++i) (void)test.Add(0, std::span(rows.x).subspan(i * 6, 6));
  EXPECT_EQ(test.Normality(), std::nullopt);  // 99
  (void)test.Add(0, kAsked);
  EXPECT_TRUE(test.Normality().has_value());
  EXPECT_TRUE(test.Strangeness().has_value());
}

TEST(ExtractionGuard, SaysWhatMemoryItCanTakeAndRefusesTooMuch) {
  auto guard = ExtractionGuard::Create({}, Mode::kFlag, ClusterCalibration());
  ASSERT_THAT(guard, IsOk());
  EXPECT_LT(guard->MemoryBound(), std::size_t{1} << 20U);
  ExtractionOptions many;
  many.max_identities = 100'000;
  many.max_groups = 100'000;
  EXPECT_THAT(ExtractionGuard::Create(many, Mode::kFlag, ClusterCalibration()), IsError(ErrorCode::kInvalidArgument));
}

TEST(ExtractionGuard, RefusesAGroupBudgetBelowThatOfAnIdentity) {
  ExtractionOptions options = SmallBudgets();
  options.group_budget = 2;
  EXPECT_THAT(ExtractionGuard::Create(options, Mode::kFlag, ClusterCalibration()),
              IsError(ErrorCode::kInvalidArgument));
}

}  // namespace
}  // namespace tacit::detect
