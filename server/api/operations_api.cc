#include "server/api/operations_api.h"

#include <utility>

#include "server/api/alerts.h"
#include "server/api/edge_api.h"
#include "server/api/json.h"
#include "server/api/metrics_api.h"

namespace tacit::api {
namespace {

using net::HttpResponse;
using net::Task;

Json AlertJson(const Alert& alert) {
  return {{"name", alert.name},
          {"severity", alert.severity},
          {"task", alert.task ? Json(alert.task->str()) : Json(nullptr)},
          {"summary", alert.summary},
          {"next", alert.next}};
}

void Append(const std::vector<Alert>& alerts, Json& items) {
  for (const Alert& alert : alerts) items.push_back(AlertJson(alert));
}

Task<Result<HttpResponse>> GetAlerts(Call call) {
  Context& context = call.context;
  const WallTime now = context.clock.Now();
  Json items = Json::array();
  Append(AlertsOf({.ca_ends = context.ca.certificate().NotAfter(),
                   .certificate_ends = context.certificate_ends,
                   .devices = context.coordinator.devices().CertificatesLeft(now)},
                  now),
         items);
  const bool withholds = co_await context.coordinator.AnyCohortIsSecret();
  for (const coordinator::TaskView& view : co_await context.coordinator.Tasks()) {
    Append(AlertsOf(view, now), items);
    if (!view.record.spec.deployment) continue;
    TACIT_CO_TRY(store::EdgeFleet edge, co_await ReadEdge(context, view.record.spec.id));
    if (withholds) edge.drifted = 0;
    Append(AlertsOf(view.record.spec.id, edge, now), items);
  }
  co_return JsonResponse({{"items", items}, {"next_cursor", nullptr}});
}

Json SeriesJson(const metrics::MetricSeries& series) {
  Json json = {{"labels", Json::object()}};
  for (const auto& [name, value] : series.labels) json["labels"][name] = value;
  if (series.buckets.empty()) {
    json["value"] = series.value;
    return json;
  }
  // The last bound is infinite, which JSON writes as null, as it does any number that is none.
  Json buckets = Json::array();
  for (const auto& bucket : series.buckets) buckets.push_back({{"up_to", bucket.up_to}, {"count", bucket.count}});
  json.update({{"count", series.count}, {"sum", series.sum}, {"buckets", buckets}});
  return json;
}

Json MetricJson(const metrics::MetricFacts& facts) {
  Json series = Json::array();
  for (const metrics::MetricSeries& each : facts.series) series.push_back(SeriesJson(each));
  return {{"name", facts.name}, {"help", facts.help}, {"type", facts.type}, {"series", series}};
}

Task<Result<HttpResponse>> GetMetrics(Call call) {
  GatherMetrics(call.context);
  Json items = Json::array();
  for (const metrics::MetricFacts& facts : call.context.metrics.Snapshot()) items.push_back(MetricJson(facts));
  co_return JsonResponse({{"items", items}, {"next_cursor", nullptr}});
}

}  // namespace

std::vector<GuardedRoute> OperationsRoutes() {
  using enum Action;
  return {
      {"GET", "/api/v1/alerts", kReadOperations, &GetAlerts},
      {"GET", "/api/v1/metrics", kReadOperations, &GetMetrics},
  };
}

}  // namespace tacit::api
