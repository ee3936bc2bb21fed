#include "server/api/metrics_api.h"

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

}  // namespace

std::vector<Route> MetricsRoutes(Context& context) {
  return {
      {"GET", "/metrics",
       [&context](HttpRequest&, const PathArguments&) {
         context.metrics.SetUploadMemory(context.upload_memory.used(), context.upload_memory.limit());
         return PlainText(200, context.metrics.Render());
       }},
      {"GET", "/healthz", [](HttpRequest&, const PathArguments&) { return PlainText(200, "ok\n"); }},
      {"GET", "/readyz",
       [&context](HttpRequest&, const PathArguments&) {
         return context.ready() ? PlainText(200, "ready\n") : PlainText(503, "not ready\n");
       }},
  };
}

}  // namespace tacit::api
