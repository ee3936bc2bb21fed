#include "server/api/edge_api.h"

#include <string>
#include <utility>

#include "proto/codec/reports.h"
#include "server/api/request_parts.h"

namespace tacit::api {
namespace {

using net::HttpResponse;
using net::Task;

// Of versions and of protections.
constexpr std::size_t kMostRows = 100;

Json TimeJson(const std::optional<WallTime>& time, bool coarse) {
  if (!time) return {};
  return FormatRfc3339(coarse ? std::chrono::floor<std::chrono::days>(*time) : *time);
}

Json CountsJson(const EdgeCounts& counts) {
  Json json = Json::object();
  for (const EdgeCounter& each : kEdgeCounters) json[std::string(each.name)] = counts.*each.member;
  return json;
}

Json VersionsJson(const std::vector<store::EdgeVersion>& versions) {
  Json items = Json::array();
  for (const store::EdgeVersion& each : versions)
    items.push_back({{"version", each.version}, {"devices", each.devices}, {"reporting", each.reporting}});
  return items;
}

Json DegradationsJson(const std::vector<store::EdgeDegradation>& degradations) {
  Json items = Json::array();
  for (const store::EdgeDegradation& each : degradations)
    items.push_back({{"protection", each.protection}, {"devices", each.devices}});
  return items;
}

Task<Result<HttpResponse>> GetEdge(Call call) {
  TACIT_CO_TRY(const coordinator::TaskView view, co_await FindTask(call));
  const task::TaskSpec& spec = view.record.spec;
  if (!spec.deployment) {
    co_return Fail(ErrorCode::kNotFound,
                   "task '" + spec.id.str() + "' gives devices no models to use: its file has no table [deployment]");
  }
  TACIT_CO_TRY(store::EdgeFleet fleet, co_await ReadEdge(call.context, spec.id));
  // What a device serves says nothing of rounds, but who asks again sees when devices come, which a coin hides. What
  // became of workers, and alarms, stay.
  const bool withheld = co_await call.context.coordinator.AnyCohortIsSecret();
  Json json = {{"task", spec.id.str()},
               {"newest_version", view.latest_version},
               {"withheld", withheld},
               {"last_extraction_alarm_at", TimeJson(fleet.totals.extraction_alarm_at, withheld)},
               {"last_changed_weights_at", TimeJson(fleet.totals.changed_weights_at, withheld)},
               {"last_refused_call_at", TimeJson(fleet.totals.refused_call_at, withheld)}};
  if (withheld) fleet = {};
  json["reports"] = withheld ? Json() : Json(fleet.totals.reports);
  json["totals"] = withheld ? Json() : CountsJson(fleet.totals.counts);
  json["devices"] = withheld ? Json() : Json(fleet.devices);
  json["reporting"] = withheld ? Json() : Json(fleet.reporting);
  json["drifted"] = withheld ? Json() : Json(fleet.drifted);
  json["versions"] = VersionsJson(fleet.versions);
  json["degradations"] = DegradationsJson(fleet.degradations);
  co_return JsonResponse(json);
}

}  // namespace

Task<Result<store::EdgeFleet>> ReadEdge(Context& context, const TaskId& task) {
  const WallTime lately = context.clock.Now() - kReportsLately;
  co_return co_await context.coordinator.store().Call(
      "edge", [&](store::Store& store) { return store.EdgeOf(task, lately, kMostRows); });
}

Json ToJson(const store::EdgeReportRecord& report, LastSeen precision) {
  const bool coarse = precision == LastSeen::kDay;
  const WallTime received = coarse ? std::chrono::floor<std::chrono::days>(report.received_at) : report.received_at;
  Json json = {{"task", report.task.str()}, {"received_at", FormatRfc3339(received)}, {"version", report.version}};
  // What was stored was parsed before: this says what it says, for people who do not decode it.
  json["degradations"] = Json::array();
  json["calibration"] = nullptr;
  if (const auto statement = codec::ParseEdgeReport(report.statement)) {
    json["degradations"] = statement->degradations;
    if (const auto& calibration = statement->calibration) json["calibration"] = ToHex(*calibration);
  }
  // Behind a coin: how much it served, and when it came.
  json["sequence"] = coarse ? Json() : Json(report.sequence);
  json["totals"] = coarse ? Json() : CountsJson(report.totals);
  json["statement"] = coarse ? Json() : Json(ToBase64(report.statement));
  json["public_key"] = coarse ? Json() : Json(ToBase64(report.public_key));
  json["signature"] = coarse ? Json() : Json(ToBase64(report.signature));
  return json;
}

std::vector<GuardedRoute> EdgeRoutes() {
  using enum Action;
  return {
      {"GET", "/api/v1/tasks/{task}/edge", kReadDevices, &GetEdge},
  };
}

}  // namespace tacit::api
