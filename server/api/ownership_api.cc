#include "server/api/ownership_api.h"

#include <cmath>
#include <optional>
#include <string>
#include <utility>

#include "common/base/check.h"
#include "common/crypto/digest.h"
#include "common/graph/from_spec.h"
#include "server/api/json.h"
#include "server/api/request_parts.h"
#include "server/ownership/obfuscate.h"
#include "server/ownership/suspect.h"
#include "server/ownership/trace.h"
#include "server/ownership/watermark.h"

namespace tacit::api {
namespace {

using coordinator::TaskView;
using net::HttpResponse;
using net::Task;

// What stands in a file before its parameters.
constexpr std::uint64_t kMaxHead = 512 * 1024;
constexpr std::size_t kDevicesAtOnce = 10'000;

/// A model that was found, and the version that it is held against.
struct Found {
  UploadMemory::Share share;
  Digest256 file{};
  ownership::Suspect suspect;
  TaskView view;
  store::ModelRecord record;
};

Result<ModelVersion> VersionOf(const Call& call, const TaskView& view) {
  const auto text = call.request.Query("version");
  if (!text || *text == "latest") return view.latest_version;
  return ParseNumber("?version", *text);
}

Task<Result<Found>> ReadFound(Call call) {
  TACIT_CO_TRY(TaskView view, co_await FindTask(call));
  TACIT_CO_TRY(const ModelVersion version, VersionOf(call, view));
  const TaskId id = view.record.spec.id;
  TACIT_CO_TRY(store::ModelRecord record, co_await call.context.coordinator.store().Call(
                                              "model", [&](store::Store& store) { return store.Model(id, version); }));
  // The file, what is read from it, the master beside it, what is put in order to compare them, and the triggers' way
  // through the model.
  const task::TaskSpec& spec = view.record.spec;
  const std::uint64_t of_mark = spec.watermark ? ownership::MemoryOfMark(spec.model, *spec.watermark) : 0;
  auto share = call.context.upload_memory.TryShare(8 * record.bytes + kMaxHead + of_mark);
  if (!share) {
    co_return Fail(ErrorCode::kUnavailable,
                   "all memory for updates and for models on their way is in use; send the file again");
  }
  TACIT_CO_TRY(const Bytes body, co_await call.request.ReadBody(static_cast<std::size_t>(record.bytes + kMaxHead)));
  TACIT_CO_TRY(ownership::Suspect suspect,
               co_await call.context.compute.Run([&body] { return ownership::Suspect::Read(body); }));
  co_return Found{.share = *std::move(share),
                  .file = crypto::Sha256(body),
                  .suspect = std::move(suspect),
                  .view = std::move(view),
                  .record = std::move(record)};
}

// ---- Claims ----

struct Promise {
  crypto::SecretKey mark_key;
  ownership::Opening opening;
  store::AuditRecord record;
};

// No claim without a promise that stands in the log since before the model was released.
Task<Result<Promise>> FindPromise(Call call, const Found& found, const ownership::Triggers& triggers,
                                  crypto::SecretKey mark_key) {
  const TaskId id = found.record.task;
  const ModelVersion version = found.record.version;
  TACIT_CO_TRY(auto record, co_await call.context.coordinator.store().Call(
                                "commitment", [&](store::Store& store) { return store.Commitment(id, version); }));
  if (!record) {
    co_return Fail(ErrorCode::kConflict, "the audit log has no commitment to a mark of version " +
                                             std::to_string(version) + " of task " + id.str() +
                                             ": without one from before its release there is no claim");
  }
  const ownership::Opening opening{.task = id,
                                   .version = version,
                                   .model = found.record.digest,
                                   .triggers = ownership::DigestOf(triggers),
                                   .nonce = ownership::NonceOf(mark_key, version)};
  if (record->event.detail != "sha256 " + ToHex(ownership::CommitmentTo(opening))) {
    co_return Fail(ErrorCode::kDataLoss, "owner.key does not open the commitment in audit record " +
                                             std::to_string(record->sequence) +
                                             ": it is another key than the one that marked this model");
  }
  co_return Promise{.mark_key = std::move(mark_key), .opening = opening, .record = *std::move(record)};
}

Json OpeningJson(const Promise& promise, const task::TaskSpec& spec) {
  const task::Watermark& rules = Present(spec.watermark, "a claim is about a marked task");
  return {{"mark_key", ToHex(promise.mark_key.bytes())},
          {"nonce", ToHex(promise.opening.nonce)},
          {"model", spec.model.CanonicalText()},
          {"triggers", rules.triggers},
          {"input_min", rules.input_min},
          {"input_max", rules.input_max}};
}

Json VerdictJson(const Found& found, const ownership::Verdict& verdict) {
  return {{"task", found.record.task.str()},
          {"version", found.record.version},
          {"model_sha256", ToHex(found.record.digest)},
          {"file_sha256", ToHex(found.file)},
          {"matched", verdict.matched},
          {"triggers", verdict.triggers},
          {"match_rate", verdict.match_rate},
          {"match_rate_low", verdict.match_rate_low},
          {"threshold", ownership::kClaimThreshold},
          {"chance", verdict.chance},
          {"p_value", verdict.p_value},
          {"supports_claim", verdict.supports_claim}};
}

Task<Result<HttpResponse>> PostClaim(Call call) {
  TACIT_CO_TRY(const Found found, co_await ReadFound(call));
  const task::TaskSpec& spec = found.view.record.spec;
  if (!spec.watermark) {
    co_return Fail(ErrorCode::kConflict,
                   "task " + spec.id.str() + " has no table [watermark]: its models bear no mark to claim them by");
  }
  TACIT_CO_TRY(const auto owner, co_await call.context.coordinator.store().Call(
                                     "owner_key", [](store::Store& store) { return store.OwnerKey(); }));
  crypto::SecretKey mark_key = ownership::MarkKeyOf(owner, spec.id);
  TACIT_CO_TRY(const ownership::Triggers triggers, co_await call.context.compute.Run([&] {
    return ownership::MakeTriggers(mark_key, spec.model, *spec.watermark);
  }));
  TACIT_CO_TRY(const Promise promise, co_await FindPromise(call, found, triggers, std::move(mark_key)));
  TACIT_CO_TRY(const ownership::Verdict verdict, co_await call.context.compute.Run([&]() -> Result<ownership::Verdict> {
    TACIT_TRY(const std::vector<float> parameters, found.suspect.ParametersAs(spec.model));
    const std::size_t matched = ownership::CountMatches(spec.model, parameters, triggers);
    return ownership::Judge(matched, triggers.y.size(), spec.model.classes());
  }));
  const bool discloses = call.request.Query("disclose").value_or("") == "true";
  TACIT_CO_TRY_VOID(co_await Audit(call.context, call.principal.Actor(),
                                   discloses ? "model_claim_disclosed" : "model_claim",
                                   store::CommitTarget(spec.id, found.record.version),
                                   "sha256 " + ToHex(found.file) + " matched " + std::to_string(verdict.matched) +
                                       " of " + std::to_string(verdict.triggers)));
  Json claim = VerdictJson(found, verdict);
  claim["commitment"] = ToJson(promise.record);
  claim["opening"] = discloses ? OpeningJson(promise, spec) : Json();
  co_return JsonResponse(claim);
}

// ---- Traces ----

// In pages, so that whatever else wants the store and the pool gets them in between.
Task<Result<ownership::Lineup>> CompareFleet(Call call, const Found& found, const ownership::Likeness& likeness) {
  TACIT_CO_TRY(const auto owner, co_await call.context.coordinator.store().Call(
                                     "owner_key", [](store::Store& store) { return store.OwnerKey(); }));
  ownership::Lineup lineup;
  std::optional<DeviceId> after;
  for (bool more = true; more;) {
    TACIT_CO_TRY(const auto devices,
                 co_await call.context.coordinator.store().Call(
                     "devices", [&](store::Store& store) { return store.Devices(after, kDevicesAtOnce); }));
    more = devices.size() == kDevicesAtOnce;
    if (more) after = devices.back().id;
    TACIT_CO_TRY_VOID(co_await call.context.compute.Run([&] {
      for (const store::DeviceRecord& device : devices) {
        const crypto::SecretKey key = ownership::CopyKeyOf(owner, found.record.task, found.record.version, device.id);
        lineup.Add(device.id, ownership::ScoreOf(likeness, key));
      }
    }));
  }
  co_return lineup;
}

Json EntryJson(const std::optional<ownership::Lineup::Entry>& entry) {
  if (!entry) return nullptr;
  const ownership::Score& score = entry->score;
  return {{"device", entry->device.str()},
          {"match", score.match()},
          {"in_order", score.in_order},
          {"places", score.places},
          {"at_factor", score.at_factor},
          {"factors", score.factors},
          {"log10_p", score.log_p / std::log(10.0)}};
}

Task<Result<HttpResponse>> PostTrace(Call call) {
  TACIT_CO_TRY(const Found found, co_await ReadFound(call));
  const model::ModelSpec& spec = found.view.record.spec.model;
  TACIT_CO_TRY(const SharedBytes raw,
               co_await call.context.coordinator.store().Call(
                   "map_model", [&](store::Store& store) { return store.MapModel(found.record.digest); }));
  TACIT_CO_TRY(const ownership::Likeness likeness, co_await call.context.compute.Run([&] {
    const std::span<const float> parameters(reinterpret_cast<const float*>(raw.bytes.data()),
                                            raw.bytes.size() / sizeof(float));
    const graph::OwnedGraph master = graph::FromSpec(spec, parameters);
    return ownership::Compare({master.graph, master.bytes()}, found.suspect.View());
  }));
  TACIT_CO_TRY(const ownership::Lineup lineup, co_await CompareFleet(call, found, likeness));
  const std::string named =
      lineup.Names() ? Present(lineup.best(), "who is named is the best").device.str() : std::string();
  TACIT_CO_TRY_VOID(co_await Audit(
      call.context, call.principal.Actor(), "model_trace", store::CommitTarget(found.record.task, found.record.version),
      "sha256 " + ToHex(found.file) + (named.empty() ? " names nobody" : " names device/" + named)));
  co_return JsonResponse({{"task", found.record.task.str()},
                          {"version", found.record.version},
                          {"file_sha256", ToHex(found.file)},
                          {"similarity", likeness.similarity},
                          {"devices", lineup.devices()},
                          {"named", named.empty() ? Json() : Json(named)},
                          {"false_accusation", lineup.FalseAccusation()},
                          {"limit", ownership::kAccusationLimit},
                          {"best", EntryJson(lineup.best())},
                          {"runner_up", EntryJson(lineup.runner_up())}});
}

}  // namespace

std::vector<GuardedRoute> OwnershipRoutes() {
  using enum Action;
  return {
      {"POST", "/api/v1/tasks/{task}/claims", kClaimModels, &PostClaim},
      {"POST", "/api/v1/tasks/{task}/traces", kTraceModels, &PostTrace},
  };
}

}  // namespace tacit::api
