#include "server/api/access.h"

#include <algorithm>
#include <array>
#include <memory>
#include <utility>

#include "common/base/check.h"
#include "common/base/text.h"
#include "common/crypto/digest.h"
#include "common/crypto/random.h"
#include "common/crypto/spiffe.h"
#include "server/api/identity_access.h"
#include "server/api/kept_answers.h"
#include "server/api/request_parts.h"

namespace tacit::api {
namespace {

using store::Role;

constexpr std::size_t kTokenBytes = 32;
constexpr std::string_view kTokenPrefix = "tacit_";

template <typename... Roles>
constexpr std::uint32_t Bits(Roles... roles) {
  return ((1U << static_cast<std::uint32_t>(roles)) | ...);
}
using enum store::Role;
constexpr std::uint32_t kEveryRole = Bits(kViewer, kScientist, kOperator, kAuditor, kAdmin);

// What single devices have spent is for auditors alone, who do nothing else here.
constexpr std::array<ActionRow, 15> kTable = {{
    {Action::kKnowOneself, "know_oneself", kEveryRole, true},
    {Action::kReadTasks, "read_tasks", kEveryRole, true},
    {Action::kManageTasks, "manage_tasks", Bits(kOperator, kAdmin), false},
    {Action::kReadPrivacy, "read_privacy", kEveryRole, false},
    {Action::kReadLedger, "read_ledger", Bits(kScientist, kOperator, kAuditor, kAdmin), false},
    {Action::kPlan, "plan", Bits(kScientist, kOperator, kAdmin), true},
    {Action::kReadModels, "read_models", Bits(kScientist, kOperator, kAdmin), false},
    {Action::kReadDevices, "read_devices", Bits(kOperator, kAuditor, kAdmin), false},
    {Action::kManageDevices, "manage_devices", Bits(kOperator, kAdmin), false},
    {Action::kReadDevicePrivacy, "read_device_privacy", Bits(kAuditor), false},
    {Action::kReadAudit, "read_audit", Bits(kAuditor, kAdmin), false},
    {Action::kReadOperations, "read_operations", Bits(kOperator, kAuditor, kAdmin), false},
    {Action::kManageAccess, "manage_access", Bits(kAdmin), false},
    {Action::kTraceModels, "trace_models", Bits(kOperator, kAdmin), false},
    // Who asks often enough learns what to unlearn; and a claim is shown with the log, which operators do not read.
    {Action::kClaimModels, "claim_models", Bits(kAdmin), false},
}};

constexpr bool IsInOrder() {
  for (std::size_t i = 0; i < kTable.size(); ++i)
    if (static_cast<std::size_t>(kTable.at(i).action) != i) return false;
  return true;
}
static_assert(IsInOrder(), "the table has a row for each action, in their order");

const ActionRow& RowOf(Action action) {
  return kTable.at(static_cast<std::size_t>(action));
}

// Why a request was not let in, as the metric names it, and what the client is told.
struct Refusal {
  std::string_view reason;
  Error error;
};

using Admission = std::expected<Principal, Refusal>;

std::unexpected<Refusal> Refuse(std::string_view reason, ErrorCode code, std::string message) {
  return std::unexpected(Refusal{reason, {code, std::move(message)}});
}

constexpr std::string_view kScheme = "Bearer ";

// The name of a scheme is compared without regard to case. Source: RFC 9110, section 11.1.
bool IsBearer(std::string_view header) {
  return header.size() > kScheme.size() && EqualInAnyCase(header.substr(0, kScheme.size()), kScheme);
}

// A right token is no attempt, nor is one that cannot be checked. Whose role is missing has shown who they are.
bool WasAGuess(ErrorCode code) {
  return code != ErrorCode::kUnavailable && code != ErrorCode::kPermissionDenied;
}

Admission ByIdentityToken(Context& context, const std::string& source, std::string_view token) {
  const IdentityAccess* access = context.identity_access;
  if (access == nullptr) {
    return Refuse("bad_identity_token", ErrorCode::kUnauthenticated,
                  "this server takes no identity tokens: no issuer is configured ([api.oidc])");
  }
  auto principal = ByIdentity(*access, token);
  if (principal) {
    context.access_rate.GiveBack(source);
    return *std::move(principal);
  }
  Error error = std::move(principal).error();
  if (!WasAGuess(error.code)) context.access_rate.GiveBack(source);
  const std::string_view reason = error.code == ErrorCode::kUnavailable        ? "no_issuer_keys"
                                  : error.code == ErrorCode::kPermissionDenied ? "role"
                                                                               : "bad_identity_token";
  return Refuse(reason, error.code, std::move(error.message));
}

Admission ByToken(Context& context, const net::HttpRequest& request, std::string_view header) {
  const std::string& source = request.peer().address;
  // Asked before the token is looked at: who guesses learns nothing more, not even by a right guess.
  if (!context.access_rate.Allow(source)) {
    return Refuse("rate_limited", ErrorCode::kRateLimited,
                  "too many attempts with wrong tokens from this address; wait a minute");
  }
  if (!IsBearer(header))
    return Refuse("malformed", ErrorCode::kUnauthenticated, "the Authorization header must be 'Bearer <token>'");
  const std::string_view shown = header.substr(kScheme.size());
  if (identity::LooksLikeToken(shown)) return ByIdentityToken(context, source, shown);
  const auto token = context.access_tokens.Find(HashOfAccessToken(shown));
  if (!token || token->expires_at <= context.clock.Now())
    return Refuse("bad_token", ErrorCode::kUnauthenticated,
                  "this token is unknown, revoked or expired; ask for another");
  context.access_rate.GiveBack(source);
  return Principal{.name = token->name.str(),
                   .role = token->role,
                   .proof = Proof::kAccessToken,
                   .token = token->id,
                   .tasks = token->tasks,
                   .expires_at = token->expires_at};
}

Admission ByCertificate(const Context& context, const net::PeerIdentity& peer) {
  const std::string wanted = "spiffe://" + context.trust_domain + "/<role>/<name>";
  const auto id = crypto::SpiffeId::Parse(peer.spiffe_uri);
  const auto* role = std::ranges::find_if(store::kRoles, [&](Role each) { return id && NameOf(each) == id->kind; });
  if (!id || id->trust_domain != context.trust_domain || role == store::kRoles.end()) {
    return Refuse("certificate", ErrorCode::kPermissionDenied,
                  "the client certificate is for '" + peer.spiffe_uri + "', this listener takes " + wanted +
                      " with role viewer, scientist, operator, auditor or admin");
  }
  return Principal{.name = id->name,
                   .role = *role,
                   .proof = Proof::kCertificate,
                   .token = {},
                   .tasks = {},
                   .expires_at = peer.not_after};
}

Admission Authenticate(Context& context, const net::HttpRequest& request) {
  // Who sends a token means it, whatever the connection has shown.
  if (const auto header = request.Header("authorization")) return ByToken(context, request, *header);
  if (!request.peer().certificate_sha256.empty()) return ByCertificate(context, request.peer());
  return Refuse("no_identity", ErrorCode::kUnauthenticated,
                "show a client certificate, or a token in an Authorization header: 'Bearer <token>'");
}

// A browser says which page made it ask. A page of another site could otherwise do here what the browser's certificate
// may, without its owner's doing; it cannot send a token. Source: W3C Fetch Metadata Request Headers, section 2.3; RFC
// 6454, section 7.
bool IsOfAnotherSite(const net::HttpRequest& request) {
  const std::string_view site = request.Header("sec-fetch-site").value_or("none");
  if (site != "none" && site != "same-origin") return true;
  const auto origin = request.Header("origin");
  return origin && *origin != "https://" + std::string(request.Header("host").value_or(""));
}

Admission Admit(Context& context, const net::HttpRequest& request) {
  if (!IsOfAnotherSite(request)) return Authenticate(context, request);
  return Refuse("cross_site", ErrorCode::kPermissionDenied, "this was asked by a page of another site");
}

std::string TaskList(const std::vector<TaskId>& tasks) {
  std::string list;
  for (const TaskId& task : tasks) list += (list.empty() ? "" : ", ") + task.str();
  return list;
}

std::string RolesOf(Action action) {
  std::string list;
  for (const Role role : store::kRoles)
    if (May(role, action)) list += (list.empty() ? "" : " or ") + std::string(NameOf(role));
  return list;
}

bool NamesATask(std::string_view pattern) {
  return pattern.starts_with("/api/v1/tasks/{task}");
}

bool IsInScope(const Principal& principal, const GuardedRoute& route, const PathArguments& path) {
  if (principal.tasks.empty()) return true;
  if (!NamesATask(route.pattern)) return RowOf(route.action).without_a_task;
  const auto task = TaskId::Parse(path.at(0));
  return task && principal.Opens(*task);
}

Admission Authorise(Principal principal, const GuardedRoute& route, const PathArguments& path) {
  if (!May(principal.role, route.action)) {
    return Refuse("role", ErrorCode::kPermissionDenied,
                  "role " + std::string(NameOf(principal.role)) + " may not do this (" +
                      std::string(NameOf(route.action)) + "): ask someone with role " + RolesOf(route.action));
  }
  if (IsInScope(principal, route, path)) return principal;
  return Refuse("scope", ErrorCode::kPermissionDenied,
                "this token opens nothing but task " + TaskList(principal.tasks));
}

net::HttpResponse Refused(Context& context, net::HttpRequest& request, const Refusal& refusal) {
  context.metrics.AccessRefused(refusal.reason);
  context.log.WarnSparingly(
      "access_refused", {{"reason", refusal.reason}, {"route", request.route()}, {"source", request.peer().address}});
  net::HttpResponse response = net::Problem(refusal.error, request.path());
  if (response.status == 401) response.headers.emplace_back("WWW-Authenticate", "Bearer realm=\"tacit\"");
  if (response.status == 429) response.headers.emplace_back("Retry-After", "60");
  if (response.status == 503) response.headers.emplace_back("Retry-After", "5");
  return response;
}

constexpr std::size_t kLongestKey = 255;
constexpr std::size_t kMaxKeyedBody = task::kMaxTaskBytes;
static_assert(kMaxKeyedBody >= kMaxSmallBody);

Result<void> CheckIdempotencyKey(std::string_view key) {
  const bool good =
      !key.empty() && key.size() <= kLongestKey && std::ranges::all_of(key, [](char c) { return c > ' ' && c <= '~'; });
  if (good) return {};
  return Fail(ErrorCode::kInvalidArgument,
              "an Idempotency-Key must be 1 to " + std::to_string(kLongestKey) + " printable ASCII characters");
}

// Source: the IETF draft "The Idempotency-Key HTTP Header Field".
net::Task<Result<net::HttpResponse>> HandleOnce(Call call, const GuardedRoute& route, std::string_view key) {
  TACIT_CO_TRY_VOID(CheckIdempotencyKey(key));
  TACIT_CO_TRY(Bytes body, co_await call.request.ReadBody(kMaxKeyedBody));
  const std::string whole_key =
      call.principal.Actor() + ' ' + call.request.method() + ' ' + call.request.path() + ' ' + std::string(key);
  TACIT_CO_TRY(KeptAnswers::Found found, call.context.kept_answers.Find(whole_key, crypto::Sha256(body)));
  if (found.answer) {
    found.answer->headers.emplace_back("Idempotent-Replayed", "true");
    co_return *std::move(found.answer);
  }
  net::BytesBody source(std::move(body));
  net::HttpRequest request(call.request.head(), call.request.peer(), source);
  Result<net::HttpResponse> response = co_await route.handle(Call{call.context, request, call.path, call.principal});
  call.request.SetRetryAfter(request.retry_after());
  if (response && response->status < 300 && found.turn) found.turn->Keep(*response);
  co_return response;
}

net::Task<Result<net::HttpResponse>> Handle(Context& context, net::HttpRequest& request, const PathArguments& path,
                                            const GuardedRoute& route) {
  Admission admission = Admit(context, request);
  if (admission) admission = Authorise(*std::move(admission), route, path);
  if (!admission) co_return Refused(context, request, admission.error());
  const Principal principal = *std::move(admission);
  const Call call{context, request, path, principal};
  const auto key = request.Header("idempotency-key");
  const bool once = key && route.method == "POST";
  Result<net::HttpResponse> response =
      once ? co_await HandleOnce(call, route, key.value_or("")) : co_await route.handle(call);
  if (!response) co_return response;
  if (route.method == "GET" && response->status == 200 && !response->body.empty()) net::TagBody(request, *response);
  // For one reader, and never more than what it says it is: browsers are on this listener, too.
  if (!response->stream) response->headers.emplace_back("Cache-Control", "private, no-cache");
  response->headers.emplace_back("X-Content-Type-Options", "nosniff");
  co_return response;
}

}  // namespace

std::span<const ActionRow> ActionTable() {
  return kTable;
}

bool May(Role role, Action action) {
  return (RowOf(action).roles & Bits(role)) != 0;
}

std::string_view NameOf(Action action) {
  return RowOf(action).name;
}

std::string_view NameOf(Proof proof) {
  switch (proof) {
    case Proof::kCertificate:
      return "certificate";
    case Proof::kAccessToken:
      return "token";
    case Proof::kIdentityToken:
      break;
  }
  return "identity_token";
}

bool Principal::Opens(const TaskId& task) const {
  return tasks.empty() || std::ranges::find(tasks, task) != tasks.end();
}

std::string Principal::Actor() const {
  const std::string who = std::string(NameOf(role)) + "/" + name;
  return token.empty() ? who : who + " by token/" + token;
}

void AccessTokens::Load(const std::vector<store::AccessTokenRecord>& tokens, WallTime now) {
  for (const store::AccessTokenRecord& token : tokens)
    if (!token.revoked_at && token.expires_at > now) Add(token);
}

Result<void> AccessTokens::CheckRoom(WallTime now) {
  const std::scoped_lock lock(mutex_);
  if (tokens_.size() >= kMost) std::erase_if(tokens_, [&](const auto& each) { return each.second.expires_at <= now; });
  if (tokens_.size() < kMost) return {};
  return Fail(ErrorCode::kConflict,
              "there are " + std::to_string(kMost) + " access tokens, as many as there may be; revoke some");
}

void AccessTokens::Add(const store::AccessTokenRecord& token) {
  const std::scoped_lock lock(mutex_);
  tokens_.insert_or_assign(token.hash, token);
}

void AccessTokens::Remove(const Digest256& hash) {
  const std::scoped_lock lock(mutex_);
  tokens_.erase(hash);
}

std::optional<store::AccessTokenRecord> AccessTokens::Find(const Digest256& hash) const {
  const std::scoped_lock lock(mutex_);
  const auto found = tokens_.find(hash);
  if (found == tokens_.end()) return std::nullopt;
  return found->second;
}

std::string MakeAccessToken() {
  Bytes raw(kTokenBytes);
  crypto::OsRandom().Fill(raw);
  return std::string(kTokenPrefix) + ToHex(raw);
}

Digest256 HashOfAccessToken(std::string_view text) {
  return crypto::Sha256(AsBytes(text));
}

bool IsStillIn(const Context& context, const net::HttpRequest& request, const Principal& principal) {
  if (principal.expires_at <= context.clock.Now()) return false;
  if (principal.proof == Proof::kCertificate) return true;  // one that is revoked has its connection cut
  const std::string_view header = request.Header("authorization").value_or("");
  if (!IsBearer(header)) return false;
  const std::string_view shown = header.substr(kScheme.size());
  if (principal.proof == Proof::kAccessToken) return context.access_tokens.Find(HashOfAccessToken(shown)).has_value();
  // Asked again: the issuer may have taken back the key.
  return context.identity_access != nullptr && context.identity_access->issuer.Check(shown).has_value();
}

std::vector<Route> Guard(Context& context, std::initializer_list<std::vector<GuardedRoute>> parts) {
  std::vector<Route> routes;
  for (const std::vector<GuardedRoute>& part : parts) {
    for (const GuardedRoute& route : part) {
      routes.push_back(
          {route.method, route.pattern, [&context, route](net::HttpRequest& request, const PathArguments& path) {
             return Handle(context, request, path, route);
           }});
    }
  }
  return routes;
}

}  // namespace tacit::api
