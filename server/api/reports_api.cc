#include "server/api/reports_api.h"

#include <algorithm>
#include <initializer_list>
#include <string>
#include <utility>

#include "common/crypto/key_signature.h"
#include "proto/codec/reports.h"
#include "server/api/delivery_api.h"

namespace tacit::api {
namespace {

using net::HttpRequest;
using net::HttpResponse;
using net::Task;

/// Who says it of which task, and how it is signed.
struct Claim {
  DeviceId device;
  TaskId task;
  codec::ReportBatch batch;
  Digest256 device_key{};  ///< That the connection was opened with.
};

Task<Result<Claim>> ReadClaim(Context& context, HttpRequest& request, const PathArguments& arguments) {
  TACIT_CO_TRY(DeviceId device, IdentifyDevice(context, request));
  if (!context.report_rate.Allow(device.str()))
    co_return Fail(ErrorCode::kRateLimited, "too many reports of this device; wait a minute");
  TACIT_CO_TRY(const Bytes body, co_await request.ReadBody(codec::kMaxReportBatchBytes));
  TACIT_CO_TRY(codec::ReportBatch batch, codec::ParseReportBatch(body));
  TACIT_CO_TRY(const coordinator::TaskView view, co_await FindDeployed(context, arguments[0]));
  co_return Claim{.device = std::move(device),
                  .task = view.record.spec.id,
                  .batch = std::move(batch),
                  .device_key = request.peer().public_key_sha256};
}

// The connection has proved whose the bytes are; the signature proves it to whoever reads them later.
Result<codec::EdgeReport> Verified(const Claim& claim) {
  TACIT_TRY(const crypto::KeyVerifier key, crypto::KeyVerifier::FromDer(claim.batch.public_key));
  if (key.PublicKeySha256() != claim.device_key)
    return Fail(ErrorCode::kPermissionDenied, "public_key is not the key of this device's certificate");
  const Bytes message = codec::ReportMessage(claim.device, claim.task, claim.batch.statement);
  if (!key.Verify(message, claim.batch.signature)) {
    return Fail(ErrorCode::kPermissionDenied, "signature is not that of device '" + claim.device.str() +
                                                  "' under this report of task '" + claim.task.str() + "'");
  }
  return codec::ParseEdgeReport(claim.batch.statement);
}

metrics::EdgeFacts FactsOf(const EdgeCounts& counts) {
  const std::uint64_t known = counts.changed_weights + counts.refused_calls;
  return {.rows = counts.rows,
          .adversarial = counts.adversarial,
          .out_of_distribution = counts.out_of_distribution,
          .rejected = counts.rejected,
          .over_budget = counts.over_budget,
          .extraction_alarms = counts.extraction_alarms,
          .drift_windows = counts.drift_windows,
          .drift_alarms = counts.drift_alarms,
          .changed_weights = counts.changed_weights,
          .refused_calls = counts.refused_calls,
          .other_endings = counts.worker_endings - std::min(counts.worker_endings, known)};
}

// What a person should know of at once, a line each.
void Tell(Context& context, const store::ReportStep& step, bool withholds) {
  const EdgeCounts& counts = step.counts;
  const auto with = [&step](std::uint64_t count, auto tell) {
    if (count == 0) return;
    tell({{"task", step.task.str()}, {"device", step.device.str()}, {"version", step.version}, {"count", count}});
  };
  using Fields = std::initializer_list<LogField>;
  with(counts.changed_weights, [&](Fields fields) { context.log.Error("edge_weights_changed", fields); });
  with(counts.refused_calls, [&](Fields fields) { context.log.Error("edge_call_refused", fields); });
  with(counts.extraction_alarms, [&](Fields fields) { context.log.Warn("edge_extraction_alarm", fields); });
  if (withholds) return;
  with(counts.drift_alarms, [&](Fields fields) { context.log.Warn("edge_drift", fields); });
}

store::ReportStep StepOf(const Claim& claim, codec::EdgeReport report, WallTime now) {
  return {.task = claim.task,
          .device = claim.device,
          .stream = report.stream,
          .sequence = report.sequence,
          .version = report.model_version,
          .counts = report.counts,
          .degradations = std::move(report.degradations),
          .statement = claim.batch.statement,
          .public_key = claim.batch.public_key,
          .signature = claim.batch.signature,
          .at = now};
}

Task<Result<store::ReportOutcome>> Count(Context& context, const store::ReportStep& step) {
  TACIT_CO_TRY(const store::ReportOutcome outcome,
               co_await context.coordinator.store().Call(
                   "record_report", [&](store::Store& store) { return store.RecordReport(step); }));
  if (outcome == store::ReportOutcome::kCounted) {
    context.metrics.EdgeCounted(step.task.str(), FactsOf(step.counts));
    // How often a device drifts is how often it is asked, which tells of coins.
    const bool withholds = co_await context.coordinator.AnyCohortIsSecret();
    Tell(context, step, withholds);
  }
  co_return outcome;
}

/// What a report was answered with.
struct Answered {
  store::ReportOutcome outcome;
  std::uint64_t sequence;
};

Task<Result<Answered>> CountClaim(Context& context, const Claim& claim) {
  TACIT_CO_TRY(codec::EdgeReport report, co_await context.compute.Run([&claim] { return Verified(claim); }));
  const store::ReportStep step = StepOf(claim, std::move(report), context.clock.Now());
  TACIT_CO_TRY(const store::ReportOutcome outcome, co_await Count(context, step));
  co_return Answered{.outcome = outcome, .sequence = step.sequence};
}

Task<Result<Answered>> AnswerReport(Context& context, HttpRequest& request, const PathArguments& arguments) {
  TACIT_CO_TRY(const Claim claim, co_await ReadClaim(context, request, arguments));
  const auto answered = co_await CountClaim(context, claim);
  if (!answered) {
    context.log.Warn("edge_report_refused", {{"task", claim.task.str()},
                                             {"device", claim.device.str()},
                                             {"code", TraitsOf(answered.error().code).name},
                                             {"reason", answered.error().message}});
  }
  co_return answered;
}

Task<Result<HttpResponse>> PostReport(Context& context, HttpRequest& request, const PathArguments& arguments) {
  const auto answered = co_await AnswerReport(context, request, arguments);
  if (!answered) {
    context.metrics.EdgeReport(TraitsOf(answered.error().code).name);
    co_return std::unexpected(answered.error());
  }
  context.metrics.EdgeReport(answered->outcome == store::ReportOutcome::kCounted ? "counted" : "repeated");
  co_return ProtobufResponse(codec::Encode(codec::ReportAck{.sequence = answered->sequence}));
}

}  // namespace

std::vector<Route> ReportRoutes(Context& context) {
  return {
      {"POST", "/v1/tasks/{task}/reports",
       [&context](HttpRequest& request, const PathArguments& path) { return PostReport(context, request, path); }},
  };
}

}  // namespace tacit::api
