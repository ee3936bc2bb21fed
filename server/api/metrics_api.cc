#include "server/api/metrics_api.h"

#include <functional>
#include <string>
#include <string_view>
#include <utility>

namespace tacit::api {
namespace {

using net::HttpRequest;
using net::HttpResponse;
using net::Task;

Task<Result<HttpResponse>> PlainText(int status, std::string text) {
  HttpResponse response;
  response.status = status;
  response.content_type = "text/plain; version=0.0.4; charset=utf-8";
  response.body = std::move(text);
  co_return response;
}

Task<Result<HttpResponse>> Refusal(Error error) {
  co_return std::unexpected(std::move(error));
}

std::string Page(Context& context) {
  GatherMetrics(context);
  return context.metrics.Render();
}

// With TLS the devices' certificates get past the handshake as well: they are of the same CA.
Route Watched(Context& context, std::string_view path, std::function<Task<Result<HttpResponse>>()> answer) {
  return {"GET", path, [&context, answer = std::move(answer)](HttpRequest& request, const PathArguments&) {
            if (!context.metrics_need_certificate) return answer();
            const auto monitor = Identify(context, request, "monitor");
            return monitor ? answer() : Refusal(monitor.error());
          }};
}

}  // namespace

void GatherMetrics(Context& context) {
  const coordinator::DeviceRegistry& devices = context.coordinator.devices();
  context.metrics.SetUploadMemory(context.upload_memory.used(), context.upload_memory.limit());
  context.metrics.SetAgents(devices.Agents());
  context.metrics.SetDeviceCertificates(devices.CertificatesLeft(context.clock.Now()));
}

std::vector<Route> MetricsRoutes(Context& context) {
  return {Watched(context, "/metrics", [&context] { return PlainText(200, Page(context)); }),
          Watched(context, "/healthz", [] { return PlainText(200, "ok\n"); }), Watched(context, "/readyz", [&context] {
            return context.ready() ? PlainText(200, "ready\n") : PlainText(503, "not ready\n");
          })};
}

}  // namespace tacit::api
