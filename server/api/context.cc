#include "server/api/context.h"

#include <utility>

namespace tacit::api {

Result<crypto::SpiffeId> Identify(const Context& context, const net::HttpRequest& request, std::string_view kind) {
  const std::string wanted = "spiffe://" + context.trust_domain + "/" + std::string(kind) + "/<name>";
  if (request.peer().spiffe_uri.empty()) {
    return Fail(ErrorCode::kPermissionDenied,
                "the client certificate must have exactly one URI name of the form " + wanted);
  }
  const auto id = crypto::SpiffeId::Parse(request.peer().spiffe_uri);
  if (!id || id->trust_domain != context.trust_domain || id->kind != kind) {
    return Fail(ErrorCode::kPermissionDenied,
                "the client certificate is for " + request.peer().spiffe_uri + ", this listener takes " + wanted);
  }
  return *id;
}

Result<DeviceId> IdentifyDevice(const Context& context, net::HttpRequest& request) {
  TACIT_TRY(const auto id, Identify(context, request, "device"));
  TACIT_TRY(DeviceId device, DeviceId::Parse(id.name));
  TACIT_TRY_VOID(context.coordinator.devices().CheckActive(device, request.peer().public_key_sha256));
  context.coordinator.devices().Saw(device, context.clock.Now());
  request.SetRetryAfter(context.coordinator.RetryAfter(device, request.retry_after()));
  return device;
}

net::Task<Result<void>> Audit(Context& context, std::string actor, std::string action, std::string target,
                              std::string detail) {
  const store::AuditEvent event{.at = context.clock.Now(),
                                .actor = std::move(actor),
                                .action = std::move(action),
                                .target = std::move(target),
                                .detail = std::move(detail)};
  const auto recorded = co_await context.coordinator.store().Call(
      "audit", [&event](store::Store& store) { return store.AppendAudit(event); });
  if (!recorded) {
    context.log.Error("audit_not_recorded", {{"action", event.action}, {"reason", recorded.error().message}});
    co_return std::unexpected(recorded.error());
  }
  co_return Result<void>{};
}

net::HttpResponse ProtobufResponse(const Bytes& message) {
  net::HttpResponse response;
  response.content_type = "application/x-protobuf";
  response.body = std::string(AsText(message));
  return response;
}

}  // namespace tacit::api
