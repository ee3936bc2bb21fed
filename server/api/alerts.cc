#include "server/api/alerts.h"

#include <algorithm>
#include <utility>

#include "common/base/check.h"

namespace tacit::api {
namespace {

using std::chrono::days;
using std::chrono::minutes;

constexpr std::string_view kAtOnce = "page";
constexpr std::string_view kThisWeek = "ticket";

constexpr double kNearlySpent = 0.9;
constexpr double kBeyondRounding = 1 + 1e-9;
constexpr minutes kStuck{10};
constexpr days kWaitsLong{1};
constexpr days kServerCertificateEnds{21};
constexpr days kServerCertificateEndsNow{2};
constexpr days kCaEnds{180};
constexpr double kDayInSeconds = 86'400;
constexpr double kShareOfFleet = 0.2;
constexpr days kEdgeEventIsNews{1};
constexpr double kShareThatDrifts = 0.1;
constexpr std::uint64_t kFewestThatDrift = 2;

void AddBudgetAlert(const coordinator::TaskView& view, std::vector<Alert>& alerts) {
  if (!view.privacy) return;
  const task::TaskSpec& spec = view.record.spec;
  const double spent = view.privacy->epsilon_spent;
  const double budget = spec.privacy.promise().budget.value();
  const std::string name = spec.id.str();
  if (spent > budget * kBeyondRounding) {
    alerts.push_back({"TacitBudgetExceeded", kAtOnce,
                      "task " + name + " has spent more than its budget, which cannot be",
                      "tacit task stop " + name + ", then tacit privacy ledger " + name + " and report it", spec.id});
  } else if (spent > kNearlySpent * budget && view.record.state == store::TaskState::kActive) {
    alerts.push_back({"TacitBudgetNearlySpent", kThisWeek,
                      "task " + name + " has spent more than nine tenths of its budget", "tacit privacy show " + name,
                      spec.id});
  }
}

void AddRoundAlert(const coordinator::TaskView& view, WallTime now, std::vector<Alert>& alerts) {
  if (!view.current || !view.current->since || view.record.state != store::TaskState::kActive) return;
  const coordinator::CurrentRoundView& round = *view.current;
  const auto in_phase = now - *view.current->since;
  const std::string name = view.record.spec.id.str();
  const bool closed = round.phase == "closing" || round.phase == "charged";
  if (closed && in_phase > kStuck) {
    alerts.push_back({"TacitRoundStuck", kAtOnce, "a round of task " + name + " has closed and does not get on",
                      "the server's log says which step fails; tacit doctor --config FILE looks at the disk",
                      view.record.spec.id});
  } else if (round.phase == "scheduled" && in_phase > kWaitsLong) {
    alerts.push_back({"TacitRoundWaits", kThisWeek, "task " + name + " has waited for a day: " + round.waiting_for,
                      "tacit device list", view.record.spec.id});
  }
}

std::uint64_t EndingWithinADay(const metrics::CertificatesLeft& left) {
  const auto within = std::ranges::find(left.within, kDayInSeconds, &metrics::CertificatesLeft::Within::seconds);
  TACIT_CHECK(within != left.within.end(), "a day is among the bounds that certificates are counted by");
  return within->certificates;
}

void AddWorkerAlerts(const TaskId& task, const store::EdgeTotals& totals, WallTime now, std::vector<Alert>& alerts) {
  const auto is_news = [now](const std::optional<WallTime>& at) { return at && now - *at < kEdgeEventIsNews; };
  const std::string look = "the server's log names the device; tacit task edge " + task.str();
  if (is_news(totals.changed_weights_at)) {
    alerts.push_back({"TacitEdgeWeightsChanged", kAtOnce,
                      "on a device the weights of a model of task " + task.str() + " were changed in memory", look,
                      task});
  }
  if (is_news(totals.refused_call_at)) {
    alerts.push_back({"TacitEdgeCallRefused", kAtOnce,
                      "on a device a worker of task " + task.str() + " tried what its sandbox forbids", look, task});
  }
  if (is_news(totals.extraction_alarm_at)) {
    alerts.push_back(
        {"TacitEdgeExtraction", kThisWeek,
         "on a device somebody's questions to the model of task " + task.str() + " look like a copy being made", look,
         task});
  }
}

}  // namespace

std::vector<Alert> AlertsOf(const TaskId& task, const store::EdgeFleet& edge, WallTime now) {
  std::vector<Alert> alerts;
  AddWorkerAlerts(task, edge.totals, now, alerts);
  const double share_at_most = kShareThatDrifts * static_cast<double>(edge.reporting);
  if (edge.drifted >= kFewestThatDrift && static_cast<double>(edge.drifted) > share_at_most) {
    alerts.push_back({"TacitEdgeDrift", kThisWeek,
                      "what devices see has moved away from what the model of task " + task.str() + " was taught on",
                      "tacit task edge " + task.str() + ", then look at what changed where the devices are", task});
  }
  return alerts;
}

std::vector<Alert> AlertsOf(const coordinator::TaskView& task, WallTime now) {
  std::vector<Alert> alerts;
  AddBudgetAlert(task, alerts);
  AddRoundAlert(task, now, alerts);
  return alerts;
}

std::vector<Alert> AlertsOf(const ServerFacts& server, WallTime now) {
  std::vector<Alert> alerts;
  const auto left = server.certificate_ends - now;
  const char* const renew = "have the CA issue another one for the same names, put it in its place, and restart tacitd";
  if (left < kServerCertificateEndsNow) {
    alerts.push_back({"TacitServerCertificateEndsNow", kAtOnce, "the server's certificate ends within two days", renew,
                      std::nullopt});
  } else if (left < kServerCertificateEnds) {
    alerts.push_back({"TacitServerCertificateEnds", kThisWeek, "the server's certificate ends within three weeks",
                      renew, std::nullopt});
  }
  if (server.ca_ends - now < kCaEnds) {
    alerts.push_back({"TacitCaEnds", kThisWeek, "the CA's certificate ends within half a year",
                      "plan a new CA ('tacit init' makes one): every device has to enrol with it before this one ends",
                      std::nullopt});
  }
  const double share_at_most = kShareOfFleet * static_cast<double>(server.devices.certificates);
  if (static_cast<double>(EndingWithinADay(server.devices)) > share_at_most) {
    alerts.push_back(
        {"TacitDeviceCertificatesEnd", kThisWeek, "a fifth of the fleet is a day from its certificates' end",
         "devices renew them when they check in: see with 'tacit device list' who does not", std::nullopt});
  }
  return alerts;
}

}  // namespace tacit::api
