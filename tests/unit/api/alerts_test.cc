#include "server/api/alerts.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "common/base/check.h"
#include "tests/support/task_text.h"

namespace tacit::api {
namespace {

using std::chrono::days;
using std::chrono::hours;
using std::chrono::minutes;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

const WallTime kNow{std::chrono::days(20'000)};

std::vector<std::string> NamesOf(const std::vector<Alert>& alerts) {
  std::vector<std::string> names;
  for (const Alert& alert : alerts) names.emplace_back(alert.name);
  return names;
}

metrics::CertificatesLeft Fleet(std::uint64_t within_a_day, std::uint64_t certificates) {
  return {.within = {{0, 0}, {86'400, within_a_day}, {172'800, certificates}},
          .certificates = certificates,
          .sum_seconds = 0};
}

const ServerFacts kInOrder{.ca_ends = kNow + days(1000), .certificate_ends = kNow + days(100), .devices = Fleet(0, 10)};

TEST(ServerAlerts, AreNoneOfAServerInOrder) {
  EXPECT_THAT(AlertsOf(kInOrder, kNow), IsEmpty());
}

TEST(ServerAlerts, TellOfCertificatesThatEndSoonAndOnceOfEach) {
  ServerFacts server = kInOrder;
  server.certificate_ends = kNow + days(20);
  EXPECT_THAT(NamesOf(AlertsOf(server, kNow)), ElementsAre("TacitServerCertificateEnds"));
  server.certificate_ends = kNow + days(1);
  EXPECT_THAT(NamesOf(AlertsOf(server, kNow)), ElementsAre("TacitServerCertificateEndsNow"));
  server = kInOrder;
  server.ca_ends = kNow + days(179);
  EXPECT_THAT(NamesOf(AlertsOf(server, kNow)), ElementsAre("TacitCaEnds"));
}

TEST(EdgeAlerts, TellOfAWorkerThatWasTamperedWithForADay) {
  const TaskId task = *TaskId::Parse("har");
  EXPECT_THAT(AlertsOf(task, store::EdgeFleet{}, kNow), IsEmpty());
  store::EdgeFleet edge;
  edge.totals.changed_weights_at = kNow - hours(23);
  edge.totals.refused_call_at = kNow;
  edge.totals.extraction_alarm_at = kNow - hours(1);
  const auto alerts = AlertsOf(task, edge, kNow);
  EXPECT_THAT(NamesOf(alerts), ElementsAre("TacitEdgeWeightsChanged", "TacitEdgeCallRefused", "TacitEdgeExtraction"));
  EXPECT_EQ(alerts.front().task, task);
  EXPECT_EQ(alerts.front().severity, "page");
  EXPECT_THAT(NamesOf(AlertsOf(task, edge, kNow + hours(2))),
              ElementsAre("TacitEdgeCallRefused", "TacitEdgeExtraction"));
}

TEST(EdgeAlerts, TellOfDriftOnMoreThanAShareOfTheDevicesThatReport) {
  const TaskId task = *TaskId::Parse("har");
  store::EdgeFleet edge{.devices = 200, .reporting = 100, .drifted = 10};
  EXPECT_THAT(AlertsOf(task, edge, kNow), IsEmpty());
  edge.drifted = 11;
  EXPECT_THAT(NamesOf(AlertsOf(task, edge, kNow)), ElementsAre("TacitEdgeDrift"));
  edge = {.devices = 1, .reporting = 1, .drifted = 1};
  EXPECT_THAT(AlertsOf(task, edge, kNow), IsEmpty()) << "one device is no fleet";
}

TEST(ServerAlerts, TellOfAFleetThatDoesNotRenew) {
  ServerFacts server = kInOrder;
  server.devices = Fleet(2, 10);
  EXPECT_THAT(AlertsOf(server, kNow), IsEmpty());
  server.devices = Fleet(3, 10);
  EXPECT_THAT(NamesOf(AlertsOf(server, kNow)), ElementsAre("TacitDeviceCertificatesEnd"));
  server.devices = Fleet(0, 0);
  EXPECT_THAT(AlertsOf(server, kNow), IsEmpty()) << "a server without devices";
}

// One that has spent 8 of 10.
coordinator::TaskView TaskInOrder() {
  const std::string text = testing::SmallTask("t", R"(
[rounds]
count = 5
max_participations = 5
[cohort]
size = 4
min = 4
deadline = "1h"
[privacy]
mechanism = "gaussian"
clip_norm = 1.0
noise_multiplier = 4.0
delta = 1e-6
epsilon_budget = 10.0
population = 1000
)");
  coordinator::TaskView view{.record = {.spec = *task::ParseTask(text, "t.toml"),
                                        .toml = text,
                                        .created_at = kNow - days(30),
                                        .state = store::TaskState::kActive,
                                        .state_reason = {}},
                             .latest_version = 0,
                             .rounds_published = 0,
                             .current = std::nullopt,
                             .privacy = std::nullopt,
                             .local = std::nullopt,
                             .moment = {}};
  view.current = coordinator::CurrentRoundView{.round = 1,
                                               .phase = "open",
                                               .since = kNow - days(9),
                                               .waiting_for = "updates",
                                               .counted = 0,
                                               .leased = 0,
                                               .time_left = std::nullopt};
  view.privacy = coordinator::PrivacyView{.accountant = "pld",
                                          .epsilon_spent = 8,
                                          .epsilon_rdp = 8,
                                          .rho_zcdp = 1,
                                          .epsilon_reserved = 0,
                                          .rounds_charged = 1,
                                          .rounds_left = 1,
                                          .noise_multiplier = *dp::NoiseMultiplier::Create(4),
                                          .rounds_by_noise = {},
                                          .filter_order = std::nullopt};
  return view;
}

TEST(TaskAlerts, AreNoneOfATaskInOrder) {
  EXPECT_THAT(AlertsOf(TaskInOrder(), kNow), IsEmpty());
}

TEST(TaskAlerts, TellOfABudgetThatIsNearlySpentWhileTheTaskRuns) {
  coordinator::TaskView view = TaskInOrder();
  Present(view.privacy, "set above").epsilon_spent = 9.01;
  EXPECT_THAT(NamesOf(AlertsOf(view, kNow)), ElementsAre("TacitBudgetNearlySpent"));
  view.record.state = store::TaskState::kFinished;
  EXPECT_THAT(AlertsOf(view, kNow), IsEmpty());
}

TEST(TaskAlerts, TellOfABudgetThatIsExceededWhateverTheTaskDoes) {
  coordinator::TaskView view = TaskInOrder();
  view.record.state = store::TaskState::kFinished;
  Present(view.privacy, "set above").epsilon_spent = 10 * (1 + 1e-12);
  EXPECT_THAT(AlertsOf(view, kNow), IsEmpty()) << "rounding";
  Present(view.privacy, "set above").epsilon_spent = 10.01;
  EXPECT_THAT(NamesOf(AlertsOf(view, kNow)), ElementsAre("TacitBudgetExceeded"));
}

TEST(TaskAlerts, TellOfARoundThatDoesNotGetOn) {
  coordinator::TaskView view = TaskInOrder();
  coordinator::CurrentRoundView& round = Present(view.current, "set above");
  for (const char* phase : {"closing", "charged"}) {
    round.phase = phase;
    round.since = kNow - minutes(10);
    EXPECT_THAT(AlertsOf(view, kNow), IsEmpty());
    round.since = kNow - minutes(11);
    EXPECT_THAT(NamesOf(AlertsOf(view, kNow)), ElementsAre("TacitRoundStuck")) << phase;
  }
  round.phase = "scheduled";
  EXPECT_THAT(AlertsOf(view, kNow), IsEmpty());
  round.since = kNow - hours(25);
  EXPECT_THAT(NamesOf(AlertsOf(view, kNow)), ElementsAre("TacitRoundWaits"));
  view.record.state = store::TaskState::kStopped;
  EXPECT_THAT(AlertsOf(view, kNow), IsEmpty());
}

}  // namespace
}  // namespace tacit::api
