#include "cli/describe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tacit::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

Json Task() {
  return Json::parse(R"({"name":"har","state":"active","state_reason":"","mechanism":"gaussian","rounds_total":20,
    "rounds_published":3,"cohort_size":21,"cohort_min":15,"latest_version":3,"parameters":3372,"noise_multiplier":1.25,
    "clip_norm":1,"delta":1e-5,"epsilon_budget":8,"epsilon_spent":2.71828,
    "current_round":{"round":4,"phase":"open","counted":7,"leased":21,
      "waiting_for":"waiting for updates: 7 of 21 counted"}})");
}

TEST(DescribeTask, SaysWhatTheRoundWaitsForAndWhatIsSpent) {
  const std::string text = DescribeTask(Task());
  EXPECT_THAT(text, HasSubstr("4, open, 7 counted, 21 leased (waiting for updates: 7 of 21 counted)"));
  EXPECT_THAT(text, HasSubstr("2.719 of 8"));
  EXPECT_THAT(text, HasSubstr("3 of 20"));
}

TEST(DescribeTask, SaysWhatABufferTakesAndHowManyWorkForIt) {
  Json task = Task();
  EXPECT_THAT(DescribeTask(task), HasSubstr("21, at least 15"));
  task["asynchronous"] = Json::parse(R"({"max_staleness":4,"discount":"inverse","concurrency":40})");
  EXPECT_THAT(DescribeTask(task),
              HasSubstr("21 a buffer, from models up to 4 versions old; devices at work at a time: 40\n"));
}

TEST(DescribeTask, SaysWhatDevicesMaySend) {
  Json task = Task();
  EXPECT_THAT(DescribeTask(task), Not(HasSubstr("that changed most")));
  task["top_k"] = 337;
  EXPECT_THAT(DescribeTask(task), HasSubstr("a number for each parameter, or for the 337 that changed most\n"));
  task["compression"] = "zstd";
  EXPECT_THAT(DescribeTask(task), HasSubstr("that changed most; compressed\n"));
}

TEST(DescribeTask, ShowsNoBracketsWithoutAReason) {
  EXPECT_THAT(DescribeTask(Task()), Not(HasSubstr("()")));
  Json stopped = Task();
  stopped["state_reason"] = "by the operator";
  EXPECT_THAT(DescribeTask(stopped), HasSubstr("active (by the operator)"));
}

TEST(DescribeEdge, SaysWhatWasCountedAndWhatIsMissing) {
  Json edge = Json::parse(R"({"task":"har","newest_version":4,"withheld":false,"last_extraction_alarm_at":null,
    "last_changed_weights_at":"2026-01-02T03:04:05.000Z","last_refused_call_at":null,"reports":7,
    "totals":{"rows":123,"changed_weights":1},"devices":3,"reporting":2,"drifted":1,
    "versions":[{"version":4,"devices":2,"reporting":1}],
    "degradations":[{"protection":"secret_pages","devices":3}]})");
  const std::string text = DescribeEdge(edge);
  EXPECT_THAT(
      text, AllOf(HasSubstr("last at 2026-01-02T03:04:05.000Z"), HasSubstr("never"), HasSubstr("3, 2 in the last day"),
                  HasSubstr("1 of these"), HasSubstr("rows"), HasSubstr("123"), HasSubstr("secret_pages")));
  edge["versions"] = Json::array();
  EXPECT_THAT(DescribeEdge(edge), HasSubstr("no device has reported yet"));
  edge["withheld"] = true;
  EXPECT_THAT(DescribeEdge(edge), AllOf(HasSubstr("withheld"), Not(HasSubstr("123"))));
}

TEST(DescribeRound, SaysWhatARoundWaitsForAndWhatItMade) {
  const Json waiting = Json::parse(R"({"round":1,"phase":"scheduled","waiting_for":"2 of 10 devices","counted":0})");
  EXPECT_EQ(DescribeRound(waiting), "round 1  scheduled (2 of 10 devices)  counted 0\n");
  const Json made =
      Json::parse(R"({"round":2,"phase":"published","reason":"","counted":21,"model_version":2,"epsilon_after":1.25})");
  EXPECT_EQ(DescribeRound(made), "round 2  published  counted 21  model 2  epsilon 1.25\n");
}

TEST(DescribeRound, NeverReadsAsPerfectPrivacyWhenThereIsNone) {
  const Json round =
      Json::parse(R"({"round":2,"phase":"published","counted":3,"model_version":2,"epsilon_after":0.0})");
  EXPECT_THAT(DescribeRound(round), Not(HasSubstr("epsilon")));
  EXPECT_THAT(DescribeRounds(Json::array({round})), HasSubstr("3       -  "));
}

TEST(DescribePlan, NamesTheCostOrThatThereIsNoPrivacy) {
  const Json plan = Json::parse(R"({"name":"har","mechanism":"gaussian","epsilon":8,"noise_multiplier":2.7,
    "noise_to_signal":0.13,"meaning":"drowned","cohort_needed":895})");
  EXPECT_THAT(DescribePlan(plan), HasSubstr("drowned"));
  EXPECT_THAT(DescribePlan(Json::parse(R"({"mechanism":"none"})")), HasSubstr("would add no noise"));
  Json unbounded = plan;
  unbounded["epsilon"] = nullptr;
  EXPECT_THAT(DescribePlan(unbounded),
              AllOf(HasSubstr("no bound is proved"), HasSubstr("2.7"), Not(HasSubstr("no noise"))));
}

TEST(DescribePlan, SaysThatARoundWouldBeABuffer) {
  const Json plan =
      Json::parse(R"({"mechanism":"none","cohort_size":2,"asynchronous":{"max_staleness":4,"concurrency":1}})");
  EXPECT_THAT(DescribePlan(plan), HasSubstr("2 a buffer, from models up to 4 versions old"));
}

TEST(DescribePlan, SaysWhenTheBudgetEndsTheTaskBeforeItsLastRound) {
  Json plan = Json::parse(R"({"mechanism":"gaussian","epsilon":8,"rounds":5,"rounds_within_budget":null})");
  EXPECT_THAT(DescribePlan(plan), HasSubstr("all 5\n"));
  plan["rounds_within_budget"] = 1;
  EXPECT_THAT(DescribePlan(plan), HasSubstr("1 of 5: the task ends there\n"));
}

TEST(DescribeTask, NamesTheLackOfPrivacy) {
  Json task = Task();
  task["mechanism"] = "none";
  EXPECT_THAT(DescribeTask(task), HasSubstr("no differential privacy"));
  EXPECT_THAT(DescribeTasks(Json::array({task})), HasSubstr("no differential privacy"));
}

TEST(Describe, ShowsADashForEverythingAnAnswerLacks) {
  for (const Json& odd : {Json::object(), Json::array(), Json(), Json("text"), Json(7)}) {
    EXPECT_THAT(DescribeTask(odd), HasSubstr("-"));
    EXPECT_THAT(DescribePlan(odd), HasSubstr("-"));
    EXPECT_THAT(DescribePrivacy(odd), HasSubstr("-"));
    EXPECT_THAT(DescribeToken(odd, "h"), HasSubstr("-"));
    EXPECT_THAT(DescribeFleet(odd), HasSubstr("-"));
    EXPECT_THAT(DescribeRound(odd), HasSubstr("-"));
  }
}

TEST(Describe, SaysWhatToDoWhenThereIsNothing) {
  EXPECT_THAT(DescribeTasks(Json::array()), HasSubstr("tacit task create"));
  EXPECT_THAT(DescribeDevices(Json::array()), HasSubstr("tacit device token create"));
}

TEST(DescribeFleet, SaysWhatRunsAndWhatEnds) {
  const std::string text = DescribeFleet(Json::parse(
      R"({"active":7,"revoked":2,"agents":[{"version":"tacit-agent 0.1.0","devices":5}],
          "certificates":{"total":7,"within":[{"seconds":0.0,"certificates":1},
                                              {"seconds":86400.0,"certificates":3}]}})"));
  for (const char* shown : {"7", "2", "run tacit-agent 0.1.0", "5", "have ended", "end within 24 h"})
    EXPECT_THAT(text, HasSubstr(shown));
}

TEST(DescribePrivacy, ShowsTheClaimItsLimitsAndWhatItMeansForTheModel) {
  const Json privacy =
      Json::parse(R"({"mechanism":"gaussian","unit":"device","neighbouring":"zero-out","accountant":"pld",
    "delta":1e-5,"epsilon_spent":1,"epsilon_reserved":0.5,"epsilon_budget":8,"noise_multiplier":1,"rounds_charged":2,
    "max_participations":20,"rounds_left":null,
    "utility":{"noise_to_signal":0.0476,"meaning":"drowned","cohort_needed":400},"not_covered":["timing"]})");
  const std::string text = DescribePrivacy(privacy);
  EXPECT_THAT(text, HasSubstr("no limit by the budget"));
  Json ended = privacy;
  ended["state"] = "finished";
  EXPECT_THAT(DescribePrivacy(ended), HasSubstr("none: the task is finished"));
  ended["state"] = "active";
  ended["filter"] = Json::object();
  ended["rounds_by_noise"] =
      Json::parse(R"([{"rounds":5,"noise_multiplier":8.0},{"rounds":3,"noise_multiplier":12.5}])");
  EXPECT_THAT(DescribePrivacy(ended), HasSubstr("1; rounds so far: 5 with 8, 3 with 12.5\n"));
  EXPECT_THAT(text, HasSubstr("1 of 8"));
  EXPECT_THAT(text, HasSubstr("drowned"));
  EXPECT_THAT(text, HasSubstr("  - timing"));
  EXPECT_THAT(text, HasSubstr("no limit by the budget"));
  const std::string none = DescribePrivacy(Json::parse(R"({"mechanism":"none","statement":"nothing is claimed"})"));
  EXPECT_THAT(none, HasSubstr("nothing is claimed"));
  EXPECT_THAT(none, Not(HasSubstr("epsilon")));
}

TEST(DescribeToken, PrintsTheCommandForTheDevice) {
  const Json token = Json::parse(
      R"({"token":"tct_1","expires_at":"2026-01-01T00:00:00.000Z","uses":1,
    "ca_fingerprint":"sha256:ab","enrolment_port":8445})");
  EXPECT_THAT(DescribeToken(token, "::1"), HasSubstr("tacit-agent join --server ::1 --enrolment-port 8445 "
                                                     "--ca-fingerprint sha256:ab --token-file FILE --state DIR"));
  EXPECT_THAT(DescribeToken(token, "::1"), Not(HasSubstr("readmits")));
}

TEST(DescribeToken, SaysWhenItReplacesADevice) {
  const Json token = Json::parse(
      R"({"token":"tct_1.bed-1","device":"bed-1","readmits":true,"expires_at":"2026-01-01T00:00:00.000Z","uses":1,
    "ca_fingerprint":"sha256:ab","enrolment_port":8445})");
  EXPECT_THAT(DescribeToken(token, "::1"), HasSubstr("device 'bed-1' is enrolled: this token readmits it"));
}

}  // namespace
}  // namespace tacit::cli
