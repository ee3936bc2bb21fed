#include "edge_agent/serving/detection.h"

#include <memory>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/fake_clock.h"

namespace tacit::serving {
namespace {

using detect::Concern;
using detect::ExtractionReason;
using detect::Mode;
using detect::RowVerdict;
using detect::Score;
using ::testing::HasSubstr;
using Kind = DetectionEvent::Kind;

constexpr RowVerdict kClean{};
constexpr RowVerdict kNoise{.suspicious = true, .concern = Concern::kOutOfDistribution, .strongest = Score::kInput};
constexpr RowVerdict kAttack{.suspicious = true, .concern = Concern::kAdversarial, .strongest = Score::kGradient};
constexpr RowVerdict kNoNumber{.suspicious = true, .is_finite = false};
constexpr RowVerdict kMade{.extraction = ExtractionReason::kIdentityDistances};

class DetectionTest : public ::testing::Test {
 protected:
  // What several requests get, of whose rows the worker was asked at once.
  static std::vector<BatchedAnswer> Batch(Mode mode, const std::vector<std::vector<RowVerdict>>& requests) {
    auto whole = std::make_shared<worker::Answer>();
    whole->judged.emplace();
    whole->judged->detectors.policy.mode = mode;
    std::vector<BatchedAnswer> answers;
    detect::Judgement& judgement = whole->judged->judgement;
    for (const auto& rows : requests) {
      answers.push_back({.whole = whole, .outputs = {}, .first_row = judgement.rows.size(), .rows = rows.size()});
      judgement.rows.insert(judgement.rows.end(), rows.begin(), rows.end());
    }
    return answers;
  }
  std::expected<std::string, std::string> Decide(Mode mode, const std::vector<RowVerdict>& rows) {
    return detection_.Decide("user 7", Batch(mode, {rows})[0]);
  }

  tacit::testing::FakeClock clock_;
  std::vector<DetectionEvent> events_;
  Detection detection_{clock_, [this](const DetectionEvent& event) { events_.push_back(event); }};
  const detect::Policy budgets_{
      .mode = Mode::kObserve, .identity_budget = 10, .device_budget = 15, .window_seconds = 60};
};

TEST_F(DetectionTest, SaysNothingOfAModelWithoutDetectors) {
  const auto whole = std::make_shared<const worker::Answer>();
  EXPECT_EQ(detection_.Decide("user 7", {.whole = whole, .outputs = {}, .first_row = 0, .rows = 3}), "");
  EXPECT_EQ(detection_.Counted(), detect::Tally());
}

TEST_F(DetectionTest, ObservesSilently) {
  EXPECT_EQ(Decide(Mode::kObserve, {kClean, kNoise, kAttack, kNoNumber}), "");
  const detect::Tally tally = detection_.Counted();
  EXPECT_EQ(tally.rows, 4U);
  EXPECT_EQ(tally.out_of_distribution, 1U);
  EXPECT_EQ(tally.adversarial, 2U);
  EXPECT_EQ(tally.rejected, 0U);
}

TEST_F(DetectionTest, FlagsEachRowInItsPlace) {
  EXPECT_EQ(Decide(Mode::kFlag, {kClean, kNoise, kAttack, kNoNumber}),
            R"({"tacit_verdict":"accepted,out_of_distribution,adversarial,not_finite"})");
  EXPECT_EQ(Decide(Mode::kFlag, {kMade}), R"({"tacit_verdict":"accepted","tacit_extraction":"identity distances"})");
}

TEST_F(DetectionTest, RejectsWithTheRowAndWhatItLooksLike) {
  EXPECT_EQ(Decide(Mode::kReject, {kClean, kClean}), R"({"tacit_verdict":"accepted,accepted"})");
  const auto rejected = Decide(Mode::kReject, {kClean, kNoise, kAttack});
  ASSERT_FALSE(rejected.has_value());
  EXPECT_THAT(rejected.error(), HasSubstr("row 2 of 3 was rejected"));
  EXPECT_THAT(rejected.error(), HasSubstr("out of distribution, by input; 2 rows were"));
  EXPECT_EQ(detection_.Counted().rejected, 3U) << "rows that got no answer";
}

TEST_F(DetectionTest, TouchesNoOtherRequestOfABatch) {
  const auto answers = Batch(Mode::kReject, {{kClean, kClean}, {kAttack}, {kClean}});
  EXPECT_TRUE(detection_.Decide("user 7", answers[0]).has_value());
  EXPECT_FALSE(detection_.Decide("user 8", answers[1]).has_value());
  EXPECT_TRUE(detection_.Decide("user 7", answers[2]).has_value());
  EXPECT_EQ(detection_.Counted().rejected, 1U);
}

TEST_F(DetectionTest, CountsTheDriftOfABatchOnceAndNamesIt) {
  auto answers = Batch(Mode::kObserve, {{kClean}, {kClean}});
  worker::Answer whole;
  whole.judged = answers[0].whole->judged;
  whole.judged->judgement.drift_windows = 1;
  whole.judged->judgement.drift_alarms = 1;
  whole.judged->judgement.drifted = 1U << 9U | 1U;
  const auto shared = std::make_shared<const worker::Answer>(std::move(whole));
  for (BatchedAnswer& answer : answers) {
    answer.whole = shared;
    EXPECT_TRUE(detection_.Decide("user 7", answer).has_value());
  }
  EXPECT_EQ(detection_.Counted().drift_windows, 1U);
  EXPECT_EQ(detection_.Counted().drift_alarms, 1U);
  ASSERT_EQ(events_.size(), 1U);
  EXPECT_EQ(events_[0].kind, Kind::kDrift);
  EXPECT_EQ(events_[0].detail, "unlike the clean rows in mean, classes");
}

TEST_F(DetectionTest, TellsOfAnAskerOnceInAWindowAndAnswersAllTheSame) {
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(Decide(Mode::kReject, {kMade, kMade}).has_value());
  EXPECT_EQ(detection_.Counted().extraction_alarms, 1U);
  ASSERT_EQ(events_.size(), 1U);
  EXPECT_EQ(events_[0].kind, Kind::kExtraction);
  EXPECT_EQ(events_[0].asker, "user 7");
  clock_.Advance(std::chrono::hours(25));
  EXPECT_TRUE(Decide(Mode::kReject, {kMade}).has_value());
  EXPECT_EQ(detection_.Counted().extraction_alarms, 2U);
}

TEST_F(DetectionTest, RefusesWhatIsOverABudgetInAnyMode) {
  EXPECT_TRUE(detection_.Admit(budgets_, "user 7", 10).has_value());
  const auto refused = detection_.Admit(budgets_, "user 7", 1);
  ASSERT_FALSE(refused.has_value());
  EXPECT_THAT(refused.error().reason, HasSubstr("10 rows in 60 seconds of this identity"));
  EXPECT_GT(refused.error().retry_after, Millis(0));
  EXPECT_TRUE(detection_.Admit(budgets_, "user 8", 5).has_value()) << "it has its own";
  const auto all = detection_.Admit(budgets_, "user 9", 2);
  ASSERT_FALSE(all.has_value());
  EXPECT_THAT(all.error().reason, HasSubstr("all who ask on this device"));
  EXPECT_EQ(detection_.Counted().over_budget, 3U);
  EXPECT_EQ(events_.size(), 2U) << "once for each asker";
  clock_.Advance(std::chrono::seconds(121));
  EXPECT_TRUE(detection_.Admit(budgets_, "user 7", 10).has_value());
}

TEST_F(DetectionTest, HasOneBudgetForAllWhomItCannotTellApart) {
  detect::Policy policy = budgets_;
  policy.device_budget = 0;
  for (std::size_t i = 0; i < Detection::kMostAskers; ++i) {
    EXPECT_TRUE(detection_.Admit(policy, "user " + std::to_string(i), 1).has_value());
  }
  EXPECT_TRUE(detection_.Admit(policy, "one more", 6).has_value());
  EXPECT_FALSE(detection_.Admit(policy, "another", 6).has_value());
}

TEST_F(DetectionTest, LimitsNothingWithoutABudget) {
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(detection_.Admit({}, "user 7", 1'000'000).has_value());
  EXPECT_EQ(detection_.Counted().over_budget, 0U);
}

}  // namespace
}  // namespace tacit::serving
