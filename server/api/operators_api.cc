#include "server/api/operators_api.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "common/base/version.h"
#include "common/crypto/digest.h"
#include "common/model/export.h"
#include "server/api/access.h"
#include "server/api/edge_api.h"
#include "server/api/enrolment_api.h"
#include "server/api/json.h"
#include "server/api/openapi.h"
#include "server/api/privacy_pages.h"
#include "server/api/request_parts.h"
#include "server/api/update_form.h"

namespace tacit::api {
namespace {

using coordinator::AdjustOrder;
using coordinator::TaskView;
using net::HttpResponse;
using net::Task;

constexpr std::uint64_t kMaxTokenUses = 1'000'000;
constexpr std::int64_t kMaxTokenLifetimeSeconds = 366LL * 24 * 3600;

// ---- Tasks ----

// A ledger would refuse its first round, with a fleet waiting: better now, while somebody looks.
Result<task::TaskSpec> ParseAffordable(std::string_view toml, std::string_view file) {
  TACIT_TRY(task::TaskSpec spec, task::ParseTask(toml, file));
  if (spec.privacy.mechanism == dp::Mechanism::kNone) return spec;
  const dp::BudgetPolicy policy = spec.Policy(&crypto::Sha256);
  const double first = dp::CostOf(policy, 1).epsilon;
  if (first <= policy.budget.value()) return spec;
  const std::string cost = std::isfinite(first) ? Json(first).dump() : std::string("more than is bounded");
  return Fail(ErrorCode::kInvalidArgument,
              std::string(file) + ": 'privacy.epsilon_budget' pays for no round: the first costs " + cost + " of " +
                  Json(policy.budget.value()).dump() +
                  "; raise it or the noise ('tacit privacy calibrate' says what a budget needs)");
}

// To find the noise for an epsilon takes up to a second.
Task<Result<task::TaskSpec>> ReadTask(const Call& call, std::string& toml) {
  TACIT_CO_TRY(const Bytes body, co_await call.request.ReadBody(task::kMaxTaskBytes));
  toml = AsText(body);
  const std::string file(call.request.Header("x-tacit-file").value_or("task.toml"));
  co_return co_await call.context.figures.Run([&] { return ParseAffordable(toml, file); });
}

// What an update may take is a rule of how updates come in, which the coordinator does not know.
Result<void> CheckUpdateFits(const Context& context, const task::TaskSpec& spec) {
  const auto memory = MemoryFor(context, {.parameters = spec.model.ParameterCount(),
                                          .values = spec.TopK(),
                                          .may_travel_compressed = spec.updates.takes_zstd});
  if (memory) return {};
  return Fail(ErrorCode::kInvalidArgument, memory.error().message);
}

Task<Result<HttpResponse>> PostTask(Call call) {
  std::string toml;
  TACIT_CO_TRY(task::TaskSpec spec, co_await ReadTask(call, toml));
  const std::string name = spec.id.str();
  const std::string digest = ToHex(crypto::Sha256(AsBytes(toml)));
  TACIT_CO_TRY_VOID(CheckUpdateFits(call.context, spec));
  TACIT_CO_TRY(const TaskView view, co_await call.context.coordinator.CreateTask(std::move(spec), std::move(toml)));
  TACIT_CO_TRY_VOID(
      co_await Audit(call.context, call.principal.Actor(), "task_create", "task/" + name, "sha256 " + digest));
  HttpResponse response = JsonResponse(ToJson(view, call.context.clock.Now()), 201);
  response.headers.emplace_back("Location", "/api/v1/tasks/" + name);
  co_return response;
}

Task<Result<HttpResponse>> PostPlan(Call call) {
  std::string toml;
  TACIT_CO_TRY(const task::TaskSpec spec, co_await ReadTask(call, toml));
  TACIT_CO_TRY_VOID(CheckUpdateFits(call.context, spec));
  TACIT_CO_TRY_VOID(co_await call.context.coordinator.CheckTask(spec));
  TACIT_CO_TRY(const Json plan, co_await call.context.figures.Run([&spec] { return PlanJson(spec); }));
  co_return JsonResponse(plan);
}

Task<Result<HttpResponse>> GetTasks(Call call) {
  Json items = Json::array();
  for (const TaskView& view : co_await call.context.coordinator.Tasks())
    if (call.principal.Opens(view.record.spec.id)) items.push_back(ToJson(view, call.context.clock.Now()));
  co_return JsonResponse({{"items", items}, {"next_cursor", nullptr}});
}

Task<Result<HttpResponse>> GetTask(Call call) {
  TACIT_CO_TRY(const TaskView view, co_await FindTask(call));
  co_return JsonResponse(ToJson(view, call.context.clock.Now()));
}

constexpr std::size_t kLongestReason = 200;

Result<std::string> ParseReason(const Bytes& body) {
  if (body.empty()) return std::string("stopped by an operator");
  const Json json = Json::parse(AsText(body), nullptr, /*allow_exceptions=*/false);
  const bool good = json.is_object() && json.size() == 1 && json.contains("reason") && json["reason"].is_string();
  if (!good) return Fail(ErrorCode::kMalformed, "the body must be empty, or {\"reason\": \"...\"}");
  auto reason = json["reason"].get<std::string>();
  if (reason.empty() || reason.size() > kLongestReason) {
    return FailAt("#/reason", ErrorCode::kInvalidArgument,
                  "reason must be 1 to " + std::to_string(kLongestReason) + " bytes");
  }
  return reason;
}

Task<Result<HttpResponse>> StopTask(Call call) {
  TACIT_CO_TRY(const TaskId id, TaskId::Parse(call.path[0]));
  TACIT_CO_TRY(const Bytes body, co_await call.request.ReadBody(kMaxSmallBody));
  TACIT_CO_TRY(const std::string reason, ParseReason(body));
  TACIT_CO_TRY(const TaskView view, co_await call.context.coordinator.StopTask(id, reason));
  TACIT_CO_TRY_VOID(co_await Audit(call.context, call.principal.Actor(), "task_stop", "task/" + id.str(), reason));
  co_return JsonResponse(ToJson(view, call.context.clock.Now()));
}

Result<AdjustOrder> ParseAdjust(const Bytes& body) {
  const Json json = Json::parse(AsText(body), nullptr, /*allow_exceptions=*/false);
  const bool has_trial = json.is_object() && json.contains("dry_run");
  const bool good = json.is_object() && json.contains("noise_multiplier") && json["noise_multiplier"].is_number() &&
                    (!has_trial || json["dry_run"].is_boolean()) && json.size() == (has_trial ? 2U : 1U);
  if (!good) {
    return Fail(ErrorCode::kMalformed, "the body must be {\"noise_multiplier\": number, \"dry_run\": true or false}");
  }
  TACIT_TRY(const auto noise_multiplier,
            At("#/noise_multiplier", dp::NoiseMultiplier::Create(json["noise_multiplier"].get<double>())));
  const bool trial = has_trial && json["dry_run"].get<bool>();
  return AdjustOrder{.noise_multiplier = noise_multiplier,
                     .trial = trial ? AdjustOrder::Trial::kYes : AdjustOrder::Trial::kNo,
                     .only_at = std::nullopt};
}

// The figures that the caller has seen, where it says so.
Task<Result<std::optional<coordinator::PrivacyMoment>>> AskedMoment(Call call, const TaskId& task) {
  if (!call.request.Header("if-match")) co_return std::nullopt;
  TACIT_CO_TRY(const auto page, co_await call.context.privacy_pages.Get(call.context.coordinator, task));
  if (net::MeetsIfMatch(call.request, net::TagOf(page->text))) co_return page->moment;
  co_return Fail(ErrorCode::kChanged, "If-Match is not the entity tag of /api/v1/tasks/" + task.str() +
                                          "/privacy any more: look at it again");
}

Task<Result<HttpResponse>> AdjustTask(Call call) {
  TACIT_CO_TRY(const TaskId id, TaskId::Parse(call.path[0]));
  TACIT_CO_TRY(const Bytes body, co_await call.request.ReadBody(kMaxSmallBody));
  TACIT_CO_TRY(AdjustOrder order, ParseAdjust(body));
  TACIT_CO_TRY(order.only_at, co_await AskedMoment(call, id));
  TACIT_CO_TRY(const dp::Adjustment made, co_await call.context.coordinator.AdjustTask(id, order));
  if (order.trial == AdjustOrder::Trial::kNo) {
    TACIT_CO_TRY_VOID(co_await Audit(call.context, call.principal.Actor(), "task_adjust", "task/" + id.str(),
                                     "noise multiplier " + Json(order.noise_multiplier.value()).dump()));
  }
  co_return JsonResponse(ToJson(made));
}

// ---- Models ----

model::Metadata MetadataOf(const TaskView& view, const store::ModelRecord& record) {
  const task::Privacy& privacy = view.record.spec.privacy;
  model::Metadata metadata = {{"task", record.task.str()},
                              {"version", std::to_string(record.version)},
                              {"sha256", ToHex(record.digest)},
                              {"created_at", FormatRfc3339(record.created_at)},
                              {"mechanism", std::string(dp::NameOf(privacy.mechanism))}};
  if (view.privacy) {
    // As JSON writes numbers: all their digits, and as few as that takes.
    metadata.emplace("delta", Json(privacy.promise().delta.value()).dump());
    metadata.emplace("epsilon_spent", Json(view.privacy->epsilon_spent).dump());
  }
  return metadata;
}

Result<ModelVersion> ParseVersion(const TaskView& view, const std::string& text) {
  if (text == "latest") return view.latest_version;
  return ParseNumber("the model version", text);
}

Task<Result<HttpResponse>> GetModel(Call call) {
  TACIT_CO_TRY(const TaskView view, co_await FindTask(call));
  TACIT_CO_TRY(const ModelVersion version, ParseVersion(view, call.path[1]));
  const TaskId id = view.record.spec.id;
  TACIT_CO_TRY(const store::ModelRecord record,
               co_await call.context.coordinator.store().Call(
                   "model", [&](store::Store& store) { return store.Model(id, version); }));
  co_return JsonResponse({{"task", id.str()},
                          {"version", record.version},
                          {"sha256", ToHex(record.digest)},
                          {"parameters", view.record.spec.model.ParameterCount()},
                          {"bytes", record.bytes},
                          {"created_at", FormatRfc3339(record.created_at)}});
}

// A model in the format asked for; its memory counts until the last byte is sent.
struct ExportedFile {
  ExportedFile(UploadMemory::Share taken, Bytes file) : share(std::move(taken)), bytes(std::move(file)) {}
  UploadMemory::Share share;
  Bytes bytes;
};

Task<Result<HttpResponse>> GetModelContent(Call call) {
  TACIT_CO_TRY(const TaskView view, co_await FindTask(call));
  TACIT_CO_TRY(const ModelVersion version, ParseVersion(view, call.path[1]));
  const std::string format(call.request.Query("format").value_or("safetensors"));
  if (format != "safetensors" && format != "npz") {
    co_return FailAt("?format", ErrorCode::kInvalidArgument, "format must be safetensors or npz, not '" + format + "'");
  }
  const model::ModelSpec& spec = view.record.spec.model;
  const TaskId id = view.record.spec.id;
  TACIT_CO_TRY(const store::ModelRecord record,
               co_await call.context.coordinator.store().Call(
                   "model", [&](store::Store& store) { return store.Model(id, version); }));
  auto share = call.context.upload_memory.TryShare(record.bytes);
  if (!share) {
    co_return Fail(ErrorCode::kUnavailable,
                   "all memory for updates and for models on their way out is in use; ask again");
  }
  TACIT_CO_TRY(const SharedBytes raw,
               co_await call.context.coordinator.store().Call(
                   "map_model", [&](store::Store& store) { return store.MapModel(record.digest); }));
  const model::Metadata metadata = MetadataOf(view, record);
  TACIT_CO_TRY(Bytes exported, co_await call.context.compute.Run([&] {
    const std::span<const float> parameters(reinterpret_cast<const float*>(raw.bytes.data()),
                                            raw.bytes.size() / sizeof(float));
    return format == "npz" ? model::ToNpz(spec, parameters, metadata)
                           : model::ToSafetensors(spec, parameters, metadata);
  }));
  auto file = std::make_shared<const ExportedFile>(*std::move(share), std::move(exported));
  const ByteSpan bytes = file->bytes;
  HttpResponse response = net::ServeBytes(call.request, {std::move(file), bytes}, "application/octet-stream",
                                          ToHex(record.digest) + "." + format);
  response.headers.emplace_back("X-Tacit-Model-Version", std::to_string(record.version));
  co_return response;
}

// ---- Devices and tokens ----

struct TokenWish {
  std::uint64_t uses = 1;
  std::int64_t ttl_s = 86'400;
  std::optional<DeviceId> name;
};

Result<TokenWish> ParseTokenWish(const Json& json) {
  TokenWish wish;
  if (!json.is_object())
    return Fail(ErrorCode::kMalformed, "the body must be a JSON object such as {\"uses\": 1, \"ttl_s\": 86400}");
  for (const auto& [key, value] : json.items()) {
    if (key == "uses" && value.is_number_unsigned()) {
      wish.uses = value.get<std::uint64_t>();
    } else if (key == "ttl_s" && value.is_number_unsigned()) {
      wish.ttl_s = value.get<std::int64_t>();
    } else if (key == "name" && value.is_string()) {
      TACIT_TRY(DeviceId name, At("#/name", DeviceId::Parse(value.get<std::string>())));
      wish.name = std::move(name);
    } else if (key != "name" || !value.is_null()) {
      return FailAt(PointerTo(key), ErrorCode::kInvalidArgument,
                    "'" + key + "' is unknown or of the wrong type; known: uses (whole number), " +
                        "ttl_s (whole number of seconds), name (text)");
    }
  }
  if (wish.uses == 0 || wish.uses > kMaxTokenUses) {
    return FailAt("#/uses", ErrorCode::kInvalidArgument, "uses must be between 1 and " + std::to_string(kMaxTokenUses));
  }
  if (wish.ttl_s <= 0 || wish.ttl_s > kMaxTokenLifetimeSeconds) {
    return FailAt("#/ttl_s", ErrorCode::kInvalidArgument,
                  "ttl_s must be between 1 and " + std::to_string(kMaxTokenLifetimeSeconds));
  }
  if (wish.name && wish.uses != 1) {
    return FailAt("#/uses", ErrorCode::kInvalidArgument, "a token for one name has one use");
  }
  return wish;
}

std::string TokenText(const store::TokenRecord& token, store::TokenPurpose purpose) {
  std::string text = std::to_string(token.uses_left) + " uses until " + FormatRfc3339(token.expires_at);
  if (!token.fixed_name) return text;
  return text + (purpose == store::TokenPurpose::kReadmits ? ", readmits device/" : ", admits device/") +
         token.fixed_name->str();
}

Task<Result<HttpResponse>> PostToken(Call call) {
  TACIT_CO_TRY(const Bytes body, co_await call.request.ReadBody(kMaxSmallBody));
  const Json json = body.empty() ? Json::object() : Json::parse(AsText(body), nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) co_return Fail(ErrorCode::kMalformed, "the body is not JSON");
  TACIT_CO_TRY(const TokenWish wish, ParseTokenWish(json));
  const std::string token = MakeToken(wish.name);
  const WallTime now = call.context.clock.Now();
  const store::TokenRecord record{.hash = crypto::Sha256(AsBytes(token)),
                                  .uses_left = wish.uses,
                                  .expires_at = now + std::chrono::seconds(wish.ttl_s),
                                  .fixed_name = wish.name,
                                  .created_at = now};
  TACIT_CO_TRY(const store::TokenPurpose purpose,
               co_await call.context.coordinator.store().Call(
                   "create_token", [&record](store::Store& store) { return store.CreateToken(record); }));
  // Before the token is told: nobody takes a device's place without an entry that says who allowed it.
  TACIT_CO_TRY_VOID(co_await Audit(call.context, call.principal.Actor(), "token_create", "token/" + ToHex(record.id()),
                                   TokenText(record, purpose)));
  co_return JsonResponse({{"token", token},
                          {"id", ToHex(record.id())},
                          {"device", wish.name ? Json(wish.name->str()) : Json()},
                          {"readmits", purpose == store::TokenPurpose::kReadmits},
                          {"uses", wish.uses},
                          {"expires_at", FormatRfc3339(record.expires_at)},
                          {"ca_fingerprint", crypto::FormatFingerprint(call.context.ca.certificate().Fingerprint())},
                          {"enrolment_port", call.context.enrolment_port}},
                         201);
}

Json EnrolmentTokenJson(const store::TokenRecord& token, WallTime now) {
  const char* state = token.uses_left == 0 ? "used_up" : token.expires_at <= now ? "expired" : "active";
  return {{"id", ToHex(token.id())},
          {"device", token.fixed_name ? Json(token.fixed_name->str()) : Json()},
          {"state", state},
          {"uses_left", token.uses_left},
          {"created_at", FormatRfc3339(token.created_at)},
          {"expires_at", FormatRfc3339(token.expires_at)}};
}

Task<Result<HttpResponse>> GetTokens(Call call) {
  TACIT_CO_TRY(const std::size_t limit, PageSize(call.request));
  std::optional<store::TokenRecord::Id> after;
  if (const auto text = call.request.Query("after"); text && !text->empty()) {
    TACIT_CO_TRY(after, At("?after", store::ParseTokenId(*text)));
  }
  TACIT_CO_TRY(const auto tokens, co_await call.context.coordinator.store().Call(
                                      "tokens", [&](store::Store& store) { return store.Tokens(after, limit); }));
  Json items = Json::array();
  for (const store::TokenRecord& token : tokens) items.push_back(EnrolmentTokenJson(token, call.context.clock.Now()));
  Json next = nullptr;
  if (tokens.size() == limit) next = ToHex(tokens.back().id());
  co_return JsonResponse({{"items", items}, {"next_cursor", next}});
}

Task<Result<HttpResponse>> RevokeToken(Call call) {
  TACIT_CO_TRY(const auto id, store::ParseTokenId(call.path[0]));
  TACIT_CO_TRY(const store::TokenRecord token,
               co_await call.context.coordinator.store().Call(
                   "revoke_token", [&](store::Store& store) { return store.RevokeToken(id); }));
  TACIT_CO_TRY_VOID(co_await Audit(call.context, call.principal.Actor(), "token_revoke", "token/" + ToHex(id),
                                   "devices that it admitted stay"));
  co_return JsonResponse(EnrolmentTokenJson(token, call.context.clock.Now()));
}

Task<LastSeen> PrecisionOf(Context& context) {
  co_return co_await context.coordinator.AnyCohortIsSecret() ? LastSeen::kDay : LastSeen::kExact;
}

Task<Result<HttpResponse>> GetDevices(Call call) {
  TACIT_CO_TRY(const std::size_t limit, PageSize(call.request));
  std::optional<DeviceId> after;
  if (const auto text = call.request.Query("after"); text && !text->empty()) {
    TACIT_CO_TRY(after, At("?after", DeviceId::Parse(*text)));
  }
  TACIT_CO_TRY(const auto devices, co_await call.context.coordinator.store().Call(
                                       "devices", [&](store::Store& store) { return store.Devices(after, limit); }));
  Json items = Json::array();
  const LastSeen precision = co_await PrecisionOf(call.context);
  for (const store::DeviceRecord& device : devices) items.push_back(ToJson(device, precision));
  Json next = nullptr;
  if (devices.size() == limit) next = devices.back().id.str();
  co_return JsonResponse({{"items", items}, {"next_cursor", next}});
}

Task<Result<HttpResponse>> GetFleet(Call call) {
  co_return JsonResponse(FleetJson(call.context.coordinator.devices(), call.context.clock.Now()));
}

Task<Result<store::DeviceRecord>> FindDevice(Context& context, const DeviceId& device) {
  co_return co_await context.coordinator.store().Call("device",
                                                      [&](store::Store& store) { return store.Device(device); });
}

/// What one device has of models: beside its row, all that there is to say of it.
struct DeviceDetails {
  store::DeviceRecord row;
  std::optional<store::DeviceKeyRecord> key;
  std::vector<store::ModelLeaseRecord> leases;
  std::vector<store::EdgeReportRecord> reports;
};

Result<DeviceDetails> ReadDetails(store::Store& store, const DeviceId& device) {
  TACIT_TRY(store::DeviceRecord row, store.Device(device));
  TACIT_TRY(std::optional<store::DeviceKeyRecord> key, store.DeviceKey(device));
  TACIT_TRY(std::vector<store::ModelLeaseRecord> leases, store.ModelLeases(device));
  TACIT_TRY(std::vector<store::EdgeReportRecord> reports, store.ReportsOf(device));
  return DeviceDetails{
      .row = std::move(row), .key = std::move(key), .leases = std::move(leases), .reports = std::move(reports)};
}

Task<Result<HttpResponse>> GetDevice(Call call) {
  TACIT_CO_TRY(const DeviceId device, DeviceId::Parse(call.path[0]));
  TACIT_CO_TRY(const DeviceDetails details, co_await call.context.coordinator.store().Call(
                                                "device", [&](store::Store& s) { return ReadDetails(s, device); }));
  const LastSeen precision = co_await PrecisionOf(call.context);
  Json json = ToJson(details.row, precision);
  json["model_key"] = details.key ? ToJson(*details.key) : Json();
  json["models"] = Json::array();
  for (const store::ModelLeaseRecord& lease : details.leases) json["models"].push_back(ToJson(lease, precision));
  json["reports"] = Json::array();
  for (const store::EdgeReportRecord& report : details.reports) json["reports"].push_back(ToJson(report, precision));
  co_return JsonResponse(json);
}

constexpr std::size_t kMostVersions = 100;

Task<Result<HttpResponse>> GetDeployment(Call call) {
  TACIT_CO_TRY(const coordinator::TaskView view, co_await FindTask(call));
  const task::TaskSpec& spec = view.record.spec;
  if (!spec.deployment) {
    co_return Fail(ErrorCode::kNotFound,
                   "task '" + spec.id.str() + "' gives devices no models to use: its file has no table [deployment]");
  }
  const WallTime now = call.context.clock.Now();
  TACIT_CO_TRY(const auto versions, co_await call.context.coordinator.store().Call("leased", [&](store::Store& store) {
    return store.LeasedVersions(spec.id, now, kMostVersions);
  }));
  // Who asks again sees when devices come, which a coin hides.
  const bool withheld = co_await PrecisionOf(call.context) == LastSeen::kDay;
  Json items = Json::array();
  for (const store::LeasedVersion& each : withheld ? std::vector<store::LeasedVersion>() : versions) {
    items.push_back({{"version", each.version},
                     {"devices", each.devices},
                     {"running_leases", each.running},
                     {"leases", each.leases}});
  }
  co_return JsonResponse({{"task", spec.id.str()},
                          {"lease_ms", spec.deployment->lease.count()},
                          {"copies", spec.deployment->obfuscate ? "own" : "shared"},
                          {"newest_version", view.latest_version},
                          {"withheld", withheld},
                          {"items", std::move(items)}});
}

Task<Result<HttpResponse>> RevokeDevice(Call call) {
  TACIT_CO_TRY(const DeviceId device, DeviceId::Parse(call.path[0]));
  TACIT_CO_TRY_VOID(co_await call.context.coordinator.store().Call(
      "revoke_device", [&](store::Store& store) { return store.RevokeDevice(device); }));
  co_await call.context.coordinator.DeviceRevoked(device);
  call.context.close_connections(device);
  TACIT_CO_TRY_VOID(co_await Audit(call.context, call.principal.Actor(), "device_revoke", "device/" + device.str(),
                                   "updates it already contributed stay in the sums they are part of"));
  call.context.log.Warn("device_revoked", {{"device", device.str()}});
  TACIT_CO_TRY(const store::DeviceRecord row, co_await FindDevice(call.context, device));
  co_return JsonResponse(ToJson(row, co_await PrecisionOf(call.context)));
}

Task<Result<HttpResponse>> GetVersion(Call call) {
  co_return JsonResponse({{"name", "tacitd"}, {"version", kVersion}, {"trust_domain", call.context.trust_domain}});
}

Task<Result<HttpResponse>> GetOpenApi(Call /*call*/) {
  HttpResponse response;
  response.content_type = "application/json";
  response.body = OpenApiDocument();
  co_return response;
}

}  // namespace

std::vector<GuardedRoute> OperatorRoutes() {
  using enum Action;
  return {
      {"GET", "/api/v1/version", kKnowOneself, &GetVersion},
      {"GET", "/api/v1/openapi.json", kKnowOneself, &GetOpenApi},
      {"POST", "/api/v1/tasks", kManageTasks, &PostTask},
      {"GET", "/api/v1/tasks", kReadTasks, &GetTasks},
      {"GET", "/api/v1/tasks/{task}", kReadTasks, &GetTask},
      {"POST", "/api/v1/tasks/{task}:stop", kManageTasks, &StopTask},
      {"POST", "/api/v1/tasks/{task}:adjust", kManageTasks, &AdjustTask},
      {"GET", "/api/v1/tasks/{task}/models/{version}", kReadModels, &GetModel},
      {"GET", "/api/v1/tasks/{task}/models/{version}/content", kReadModels, &GetModelContent},
      {"POST", "/api/v1/plan", kPlan, &PostPlan},
      {"POST", "/api/v1/enrolment/tokens", kManageDevices, &PostToken},
      {"GET", "/api/v1/fleet", kReadDevices, &GetFleet},
      {"GET", "/api/v1/enrolment/tokens", kManageDevices, &GetTokens},
      {"POST", "/api/v1/enrolment/tokens/{enrolment_token}:revoke", kManageDevices, &RevokeToken},
      {"GET", "/api/v1/tasks/{task}/deployment", kReadDevices, &GetDeployment},
      {"GET", "/api/v1/devices", kReadDevices, &GetDevices},
      {"GET", "/api/v1/devices/{device}", kReadDevices, &GetDevice},
      {"POST", "/api/v1/devices/{device}:revoke", kManageDevices, &RevokeDevice},
  };
}

}  // namespace tacit::api
