#include "server/api/delivery_api.h"

#include <chrono>
#include <optional>
#include <string>
#include <utility>

#include "common/base/text.h"
#include "common/bundle/lease.h"
#include "common/crypto/hpke.h"
#include "proto/codec/delivery.h"
#include "server/delivery/bundle_cache.h"
#include "server/delivery/make_bundle.h"
#include "server/detectors/calibrations.h"

namespace tacit::api {
namespace {

using coordinator::TaskView;
using delivery::BundleCache;
using delivery::BundleName;
using net::HttpRequest;
using net::HttpResponse;
using net::Task;

// By which the clock of a device may be behind that of the server.
constexpr Millis kClockSkew{300'000};
constexpr std::size_t kChargesAtOnce = 500;

const task::Deployment& DeploymentOf(const TaskView& view) {
  return Present(view.record.spec.deployment, "only tasks that are deployed come so far");
}

BundleName NameOf(const TaskView& view, ModelVersion version, const DeviceId& device) {
  return {.task = view.record.spec.id,
          .version = version,
          .device = DeploymentOf(view).obfuscate ? std::optional(device) : std::nullopt};
}

/// All that a bundle is made from and that the store has.
struct Stored {
  store::ModelRecord model;
  SharedBytes parameters;
  crypto::SecretKey owner;
  std::optional<Digest256> receipt;
  std::optional<Digest256> commitment;
};

// The charge of the round that made the model; none where rounds are not accounted for.
Result<std::optional<Digest256>> ReceiptOf(store::Store& store, const TaskId& task, RoundNumber round) {
  for (std::uint64_t after = 0;;) {
    TACIT_TRY(const auto entries, store.LedgerPage(task, after, kChargesAtOnce));
    for (const dp::LedgerEntry& entry : entries) {
      if (entry.kind == dp::LedgerKind::kCharge && entry.round == round) return entry.hash;
      after = entry.sequence;
    }
    if (entries.size() < kChargesAtOnce) return std::nullopt;
  }
}

// What stands in the log behind "sha256 ".
Result<std::optional<Digest256>> CommitmentOf(store::Store& store, const TaskId& task, ModelVersion version) {
  TACIT_TRY(const auto record, store.Commitment(task, version));
  if (!record) return std::nullopt;
  const std::string& detail = record->event.detail;
  TACIT_TRY(const Bytes raw, ParseHex(std::string_view(detail).substr(detail.rfind(' ') + 1)));
  Digest256 digest{};
  if (raw.size() != digest.size()) {
    return Fail(ErrorCode::kDataLoss,
                "audit record " + std::to_string(record->sequence) + " commits to a mark by no digest");
  }
  std::ranges::copy(raw, digest.begin());
  return digest;
}

Result<Stored> ReadStored(store::Store& store, const BundleName& name) {
  TACIT_TRY(store::ModelRecord model, store.Model(name.task, name.version));
  TACIT_TRY(SharedBytes parameters, store.MapModel(model.digest));
  TACIT_TRY(crypto::SecretKey owner, store.OwnerKey());
  TACIT_TRY(std::optional<Digest256> receipt, ReceiptOf(store, name.task, name.version));
  TACIT_TRY(std::optional<Digest256> commitment, CommitmentOf(store, name.task, name.version));
  return Stored{.model = std::move(model),
                .parameters = std::move(parameters),
                .owner = std::move(owner),
                .receipt = receipt,
                .commitment = commitment};
}

// What watches a version on devices; nothing for a task that has no detectors. Without a calibration, what can only
// tell is left out, and what must keep an answer back keeps the model back.
Result<std::optional<detect::Detectors>> DetectorsOf(Context& context, const task::TaskSpec& spec, ModelVersion version,
                                                     ByteSpan parameters) {
  if (!spec.detectors) return std::optional<detect::Detectors>();
  const auto calibration =
      context.calibrations.FindOrMake(spec, version, {.model = spec.model, .parameters = parameters});
  if (calibration) {
    return std::optional(
        detect::Detectors{.policy = detectors::PolicyOf(*spec.detectors), .calibration = **calibration});
  }
  if (spec.detectors->mode != task::DetectorMode::kReject) return std::optional<detect::Detectors>();
  return Fail(ErrorCode::kUnavailable, "task '" + spec.id.str() + "' gives no model without detectors, and those of " +
                                           "version " + std::to_string(version) +
                                           " could not be calibrated: " + calibration.error().message);
}

Task<Result<BundleCache::Held>> BundleOf(Context& context, const TaskView& view, const BundleName& name) {
  if (BundleCache::Held here = context.bundles.Find(name)) co_return here;
  TACIT_CO_TRY(const Stored stored, co_await context.coordinator.store().Call(
                                        "read_deployed", [&](store::Store& store) { return ReadStored(store, name); }));
  const model::ModelSpec& model = view.record.spec.model;
  delivery::BundleParts parts{.name = name,
                              .model = model,
                              .parameters = stored.parameters.bytes,
                              .published_at = stored.model.created_at,
                              .receipt = stored.receipt,
                              .commitment = stored.commitment};
  const delivery::BundleSecrets secrets{.owner = stored.owner, .signer = context.model_key};
  const auto make = [&]() -> Result<delivery::MadeBundle> {
    TACIT_TRY(const std::optional<detect::Detectors> detectors,
              DetectorsOf(context, view.record.spec, name.version, stored.parameters.bytes));
    parts.detectors = detectors ? &*detectors : nullptr;
    return delivery::MakeBundle(parts, secrets);
  };
  co_return co_await context.bundling.Run([&]() -> Result<BundleCache::Held> {
    return context.bundles.FindOrMake(name, delivery::PeakBytes(model.ParameterCount()), make);
  });
}

// ---- Leases ----

/// What a device asks for, once nothing speaks against it but what the store knows.
struct Wanted {
  DeviceId device;
  codec::ModelLeaseRequest wish;
  TaskView view;
};

Task<Result<Wanted>> ReadWanted(Context& context, HttpRequest& request, const PathArguments& arguments) {
  TACIT_CO_TRY(DeviceId device, IdentifyDevice(context, request));
  TACIT_CO_TRY(const Bytes body, co_await request.ReadBody(codec::kMaxModelLeaseRequestBytes));
  TACIT_CO_TRY(codec::ModelLeaseRequest wish, codec::ParseModelLeaseRequest(body));
  TACIT_CO_TRY(TaskView view, co_await FindDeployed(context, arguments[0]));
  const std::string task = "task '" + view.record.spec.id.str() + "'";
  if (view.latest_version == 0) co_return Fail(ErrorCode::kUnavailable, task + " has published no model yet");
  if (wish.highest_version > view.latest_version) {
    co_return Fail(ErrorCode::kConflict, "this device has used version " + std::to_string(wish.highest_version) +
                                             " of " + task + ", and the newest here is " +
                                             std::to_string(view.latest_version) +
                                             ": an older one is given to nobody; was this server set back?");
  }
  co_return Wanted{.device = std::move(device), .wish = std::move(wish), .view = std::move(view)};
}

store::ModelLeaseStep StepOf(const Wanted& wanted, WallTime now) {
  return {.task = wanted.view.record.spec.id,
          .device = wanted.device,
          .version = wanted.view.latest_version,
          .key = wanted.wish.device_key,
          .tier = wanted.wish.key_tier,
          .at = now,
          .expires_at = now + DeploymentOf(wanted.view).lease};
}

// A key that is none must not become the device's: there would be no way back but another enrolment.
Result<void> CheckPoint(const crypto::P256Point& point) {
  const Bytes nothing(1);
  const auto sealed = crypto::HpkeSeal(point, {.info = {}, .aad = {}}, nothing);
  if (sealed) return {};
  return Fail(ErrorCode::kInvalidArgument, "device_key must be a point of P-256, uncompressed");
}

Task<Result<codec::ModelLeaseReply>> GiveLease(Context& context, const Wanted& wanted) {
  const BundleName name = NameOf(wanted.view, wanted.view.latest_version, wanted.device);
  TACIT_CO_TRY(const BundleCache::Held held, co_await BundleOf(context, wanted.view, name));
  TACIT_CO_TRY_VOID(co_await context.bundling.Run([&] { return CheckPoint(wanted.wish.device_key); }));
  const store::ModelLeaseStep step = StepOf(wanted, context.clock.Now());
  TACIT_CO_TRY(const auto key, co_await context.coordinator.store().Call(
                                   "lease_model", [&](store::Store& store) { return store.LeaseModel(step); }));
  const bundle::LeaseTerms terms{.device = wanted.device,
                                 .manifest = held->manifest.digest(),
                                 .key_epoch = key.epoch,
                                 .not_before = step.at - kClockSkew,
                                 .expires = step.expires_at};
  TACIT_CO_TRY(std::string lease, co_await context.bundling.Run([&]() -> Result<std::string> {
    return bundle::IssueLease({.terms = terms, .recipient = step.key, .content_key = held->content_key},
                              {&context.model_key, 1});
  }));
  context.log.Info("model_leased", {{"task", step.task.str()},
                                    {"device", step.device.str()},
                                    {"version", step.version},
                                    {"key_tier", step.tier},
                                    {"expires", FormatRfc3339(step.expires_at)}});
  co_return codec::ModelLeaseReply{.version = step.version,
                                   .manifest_digest = terms.manifest,
                                   .bundle_bytes = held->file.size(),
                                   .lease = std::move(lease),
                                   .key_epoch = key.epoch,
                                   .renew_after = DeploymentOf(wanted.view).lease / 2,
                                   .signer = context.model_key.public_key()};
}

Task<Result<codec::ModelLeaseReply>> AnswerLease(Context& context, HttpRequest& request,
                                                 const PathArguments& arguments) {
  TACIT_CO_TRY(const Wanted wanted, co_await ReadWanted(context, request, arguments));
  auto reply = co_await GiveLease(context, wanted);
  if (!reply) {
    context.log.WarnSparingly("model_lease_refused", {{"task", wanted.view.record.spec.id.str()},
                                                      {"device", wanted.device.str()},
                                                      {"code", TraitsOf(reply.error().code).name},
                                                      {"reason", reply.error().message}});
  }
  co_return reply;
}

Task<Result<HttpResponse>> PostLease(Context& context, HttpRequest& request, const PathArguments& arguments) {
  const auto reply = co_await AnswerLease(context, request, arguments);
  context.metrics.ModelLease(reply ? "given" : TraitsOf(reply.error().code).name);
  if (!reply) co_return std::unexpected(reply.error());
  HttpResponse response = ProtobufResponse(codec::Encode(*reply));
  response.headers.emplace_back("Cache-Control", "no-store");
  co_return response;
}

// ---- Bundles ----

Task<Result<HttpResponse>> GetBundle(Context& context, HttpRequest& request, const PathArguments& arguments) {
  TACIT_CO_TRY(const DeviceId device, IdentifyDevice(context, request));
  TACIT_CO_TRY(const TaskView view, co_await FindDeployed(context, arguments[0]));
  const std::optional<std::uint64_t> version = ParseWhole(arguments[1]);
  const TaskId& task = view.record.spec.id;
  TACIT_CO_TRY(const auto lease, co_await context.coordinator.store().Call("model_lease", [&](store::Store& store) {
    return store.ModelLease(task, device);
  }));
  // What it has no lease for opens nothing for it, and is not made for it.
  if (!version || !lease || lease->version != *version) {
    co_return Fail(ErrorCode::kNotFound, "this device's last lease of task '" + task.str() +
                                             "' is not for a version '" + arguments[1] + "': ask for a lease first");
  }
  TACIT_CO_TRY(const BundleCache::Held held, co_await BundleOf(context, view, NameOf(view, *version, device)));
  HttpResponse response = net::ServeBytes(request, SharedBytes{.owner = held, .bytes = held->file},
                                          "application/vnd.tacit.model-bundle", held->tag);
  response.headers.emplace_back("Cache-Control", "private, no-transform");
  context.metrics.BundleBytesSent(response.length);
  co_return response;
}

}  // namespace

net::Task<Result<coordinator::TaskView>> FindDeployed(Context& context, const std::string& name) {
  TACIT_CO_TRY(TaskId id, TaskId::Parse(name));
  TACIT_CO_TRY(coordinator::TaskView view, co_await context.coordinator.Task(id));
  if (view.record.spec.deployment) co_return view;
  co_return Fail(ErrorCode::kNotFound,
                 "task '" + id.str() + "' gives devices no models to use: its file has no table [deployment]");
}

std::vector<Route> DeliveryRoutes(Context& context) {
  return {
      {"POST", "/v1/tasks/{task}/lease",
       [&context](HttpRequest& request, const PathArguments& path) { return PostLease(context, request, path); }},
      {"GET", "/v1/tasks/{task}/bundles/{version}",
       [&context](HttpRequest& request, const PathArguments& path) { return GetBundle(context, request, path); }},
  };
}

}  // namespace tacit::api
