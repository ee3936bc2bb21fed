#include "server/api/access_api.h"

#include <algorithm>
#include <utility>

#include "common/base/check.h"
#include "common/base/text.h"
#include "common/crypto/random.h"
#include "server/api/json.h"
#include "server/api/request_parts.h"

namespace tacit::api {
namespace {

using net::HttpResponse;
using net::Task;

constexpr std::size_t kIdBytes = 6;
constexpr std::size_t kMostTasks = 100;
constexpr std::int64_t kDefaultLifetimeSeconds = 90LL * 24 * 3600;
constexpr std::int64_t kMaxLifetimeSeconds = 366LL * 24 * 3600;

Json NamesOf(const std::vector<TaskId>& tasks) {
  Json names = Json::array();
  for (const TaskId& task : tasks) names.push_back(task.str());
  return names;
}

// ---- Oneself ----

Task<Result<HttpResponse>> GetWhoami(Call call) {
  const Principal& caller = call.principal;
  Json actions = Json::array();
  for (const ActionRow& row : ActionTable())
    if (May(caller.role, row.action)) actions.push_back(row.name);
  co_return JsonResponse({{"name", caller.name},
                          {"role", NameOf(caller.role)},
                          {"proven_by", NameOf(caller.proof)},
                          {"token", caller.token.empty() ? Json() : Json(caller.token)},
                          {"expires_at", FormatRfc3339(caller.expires_at)},
                          {"tasks", caller.tasks.empty() ? Json() : NamesOf(caller.tasks)},
                          {"actions", actions}});
}

// ---- Access tokens ----

Json TokenJson(const store::AccessTokenRecord& token, WallTime now) {
  const char* state = token.revoked_at ? "revoked" : token.expires_at <= now ? "expired" : "active";
  return {{"id", token.id},
          {"name", token.name.str()},
          {"role", NameOf(token.role)},
          {"tasks", token.tasks.empty() ? Json() : NamesOf(token.tasks)},
          {"state", state},
          {"created_by", token.created_by},
          {"created_at", FormatRfc3339(token.created_at)},
          {"expires_at", FormatRfc3339(token.expires_at)},
          {"revoked_at", token.revoked_at ? Json(FormatRfc3339(*token.revoked_at)) : Json()}};
}

struct AccessWish {
  std::optional<store::PersonName> name;
  std::optional<store::Role> role;
  std::int64_t ttl_s = kDefaultLifetimeSeconds;
  std::vector<TaskId> tasks;
};

Result<store::Role> ParseRole(std::string_view text) {
  const auto* role = std::ranges::find_if(store::kRoles, [&](store::Role each) { return NameOf(each) == text; });
  if (role != store::kRoles.end()) return *role;
  return FailAt("#/role", ErrorCode::kInvalidArgument,
                "role must be viewer, scientist, operator, auditor or admin, not '" + std::string(text) + "'");
}

Result<void> ReadTasks(const Json& value, AccessWish& wish) {
  const bool good = value.is_array() && !value.empty() && value.size() <= kMostTasks &&
                    std::ranges::all_of(value, [](const Json& each) { return each.is_string(); });
  if (!good) {
    return FailAt("#/tasks", ErrorCode::kInvalidArgument,
                  "tasks must be a list of 1 to " + std::to_string(kMostTasks) + " task names; leave it out for all");
  }
  for (const Json& each : value) {
    TACIT_TRY(TaskId task, At("#/tasks", TaskId::Parse(each.get<std::string>())));
    if (std::ranges::find(wish.tasks, task) == wish.tasks.end()) wish.tasks.push_back(std::move(task));
  }
  return {};
}

Result<void> ReadField(const std::string& key, const Json& value, AccessWish& wish) {
  if (key == "name" && value.is_string()) {
    TACIT_TRY(wish.name, At("#/name", store::PersonName::Parse(value.get<std::string>())));
  } else if (key == "role" && value.is_string()) {
    TACIT_TRY(wish.role, ParseRole(value.get<std::string>()));
  } else if (key == "ttl_s" && value.is_number_unsigned()) {
    const auto seconds = value.get<std::uint64_t>();
    if (seconds == 0 || seconds > static_cast<std::uint64_t>(kMaxLifetimeSeconds)) {
      return FailAt("#/ttl_s", ErrorCode::kInvalidArgument,
                    "ttl_s must be between 1 and " + std::to_string(kMaxLifetimeSeconds));
    }
    wish.ttl_s = static_cast<std::int64_t>(seconds);
  } else if (key == "tasks") {
    if (!value.is_null()) return ReadTasks(value, wish);
  } else {
    return FailAt(PointerTo(key), ErrorCode::kInvalidArgument,
                  "'" + key +
                      "' is unknown or of the wrong type; known: name (text), role (text), "
                      "ttl_s (whole number of seconds), tasks (list of names)");
  }
  return {};
}

Result<AccessWish> ParseAccessWish(const Bytes& body) {
  const Json json = Json::parse(AsText(body), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) {
    return Fail(ErrorCode::kMalformed,
                R"(the body must be a JSON object such as {"name": "ada", "role": "scientist", "ttl_s": 86400})");
  }
  AccessWish wish;
  for (const auto& [key, value] : json.items()) TACIT_TRY_VOID(ReadField(key, value, wish));
  if (!wish.name || !wish.role)
    return FailAt(wish.name ? "#/role" : "#/name", ErrorCode::kInvalidArgument, "name and role must be given");
  return wish;
}

std::string RandomId() {
  Bytes raw(kIdBytes);
  crypto::OsRandom().Fill(raw);
  return ToHex(raw);
}

std::string TokenText(const store::AccessTokenRecord& token) {
  std::string text = "role " + std::string(NameOf(token.role)) + " for " + token.name.str() + " until " +
                     FormatRfc3339(token.expires_at);
  for (std::size_t i = 0; i < token.tasks.size(); ++i) text += (i == 0 ? ", task " : ", ") + token.tasks[i].str();
  return text;
}

Task<Result<HttpResponse>> PostAccessToken(Call call) {
  Context& context = call.context;
  TACIT_CO_TRY(const Bytes body, co_await call.request.ReadBody(kMaxSmallBody));
  TACIT_CO_TRY(AccessWish wish, ParseAccessWish(body));
  for (const TaskId& task : wish.tasks) TACIT_CO_TRY_VOID(co_await context.coordinator.Task(task));
  const WallTime now = context.clock.Now();
  TACIT_CO_TRY_VOID(context.access_tokens.CheckRoom(now));
  const std::string text = MakeAccessToken();
  const store::AccessTokenRecord token{.id = RandomId(),
                                       .hash = HashOfAccessToken(text),
                                       .name = std::move(Present(wish.name, "checked when it was parsed")),
                                       .role = Present(wish.role, "as the name"),
                                       .tasks = std::move(wish.tasks),
                                       .created_by = call.principal.Actor(),
                                       .created_at = now,
                                       .expires_at = now + std::chrono::seconds(wish.ttl_s),
                                       .revoked_at = std::nullopt};
  TACIT_CO_TRY_VOID(co_await context.coordinator.store().Call(
      "create_access_token", [&token](store::Store& store) { return store.CreateAccessToken(token); }));
  // Before it opens anything, and before it is told: nobody gets in without an entry that says who let them.
  TACIT_CO_TRY_VOID(co_await Audit(context, call.principal.Actor(), "access_token_create", "access_token/" + token.id,
                                   TokenText(token)));
  context.access_tokens.Add(token);
  Json json = TokenJson(token, now);
  json["secret"] = text;
  co_return JsonResponse(json, 201);
}

Task<Result<HttpResponse>> GetAccessTokens(Call call) {
  TACIT_CO_TRY(const auto tokens, co_await call.context.coordinator.store().Call(
                                      "access_tokens", [](store::Store& store) { return store.AccessTokens(); }));
  Json items = Json::array();
  for (const store::AccessTokenRecord& token : tokens) items.push_back(TokenJson(token, call.context.clock.Now()));
  co_return JsonResponse({{"items", items}, {"next_cursor", nullptr}});
}

Task<Result<HttpResponse>> RevokeAccessToken(Call call) {
  Context& context = call.context;
  const std::string id = call.path[0];
  const WallTime now = context.clock.Now();
  TACIT_CO_TRY(const store::AccessTokenRecord token,
               co_await context.coordinator.store().Call(
                   "revoke_access_token", [&](store::Store& store) { return store.RevokeAccessToken(id, now); }));
  context.access_tokens.Remove(token.hash);
  TACIT_CO_TRY_VOID(co_await Audit(context, call.principal.Actor(), "access_token_revoke", "access_token/" + token.id,
                                   TokenText(token)));
  co_return JsonResponse(TokenJson(token, now));
}

// ---- The audit log ----

Task<Result<HttpResponse>> GetAudit(Call call) {
  TACIT_CO_TRY(const std::uint64_t after, QueryNumber(call.request, "after", 0));
  TACIT_CO_TRY(const std::size_t limit, PageSize(call.request));
  TACIT_CO_TRY(const auto records, co_await call.context.coordinator.store().Call(
                                       "audit_page", [&](store::Store& store) { return store.Audit(after, limit); }));
  Json items = Json::array();
  for (const store::AuditRecord& record : records) items.push_back(ToJson(record));
  const bool more = records.size() == limit;
  co_return JsonResponse(
      {{"items", items}, {"next_cursor", more ? Json(std::to_string(records.back().sequence)) : Json()}});
}

// In pages: whatever else wants the store gets it in between.
Task<Result<HttpResponse>> GetAuditVerification(Call call) {
  constexpr std::size_t kAtOnce = 1000;
  store::AuditHead head;
  Json fault = nullptr;
  for (bool more = true; more && fault.is_null();) {
    TACIT_CO_TRY(const auto records,
                 co_await call.context.coordinator.store().Call(
                     "audit_page", [&](store::Store& store) { return store.Audit(head.sequence, kAtOnce); }));
    more = records.size() == kAtOnce;
    const auto next = co_await call.context.compute.Run([&] { return store::FollowAudit(head, records); });
    if (!next && next.error().code != ErrorCode::kDataLoss) co_return std::unexpected(next.error());
    if (next) {
      head = *next;
    } else {
      fault = next.error().message;
    }
  }
  const bool holds = fault.is_null();
  co_return JsonResponse({{"holds", holds},
                          {"fault", fault},
                          {"records", head.sequence},
                          {"head", holds ? Json(ToHex(head.hash)) : Json()}});
}

}  // namespace

std::vector<GuardedRoute> AccessRoutes() {
  using enum Action;
  return {
      {"GET", "/api/v1/whoami", kKnowOneself, &GetWhoami},
      {"POST", "/api/v1/access/tokens", kManageAccess, &PostAccessToken},
      {"GET", "/api/v1/access/tokens", kManageAccess, &GetAccessTokens},
      {"POST", "/api/v1/access/tokens/{token}:revoke", kManageAccess, &RevokeAccessToken},
      {"GET", "/api/v1/audit", kReadAudit, &GetAudit},
      {"GET", "/api/v1/audit/verification", kReadAudit, &GetAuditVerification},
  };
}

}  // namespace tacit::api
