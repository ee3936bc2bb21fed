#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/net/http.h"
#include "server/api/context.h"
#include "server/api/router.h"
#include "server/store/records.h"

// Who may do what on the operators' listener.
namespace tacit::api {

/// What a request does, as the table of roles knows it.
enum class Action : std::uint8_t {
  kKnowOneself,
  kReadTasks,
  kManageTasks,
  kReadPrivacy,
  kReadLedger,
  kPlan,
  kReadModels,
  kReadDevices,
  kManageDevices,
  kReadDevicePrivacy,
  kReadAudit,
  kReadOperations,
  kManageAccess,
  kTraceModels,
  kClaimModels,
};

struct ActionRow {
  Action action;
  std::string_view name;
  std::uint32_t roles;  ///< A bit for each store::Role that may.
  /// Also of a token that opens some tasks only, where the path names none: it is about no task, or shows those alone.
  bool without_a_task;
};

/// The table itself, in the order of `Action`: docs, `GET /api/v1/whoami` and every check read it.
std::span<const ActionRow> ActionTable();
bool May(store::Role role, Action action);
std::string_view NameOf(Action action);

/// What somebody shows to be believed.
enum class Proof : std::uint8_t { kCertificate, kAccessToken, kIdentityToken };
/// `certificate`, `token` or `identity_token`.
std::string_view NameOf(Proof proof);

/// Who is calling, and what proved it.
struct Principal {
  std::string name;
  store::Role role = store::Role::kViewer;
  Proof proof = Proof::kCertificate;
  std::string token;          ///< The id of an access token.
  std::vector<TaskId> tasks;  ///< The only ones it opens; empty: all.
  WallTime expires_at;

  [[nodiscard]] bool Opens(const TaskId& task) const;
  /// As the audit log names who did something.
  [[nodiscard]] std::string Actor() const;
};

/// The access tokens that are neither revoked nor expired, in memory: to ask costs nothing of the disk. Threads: any.
class AccessTokens {
 public:
  static constexpr std::size_t kMost = 10'000;

  void Load(const std::vector<store::AccessTokenRecord>& tokens, WallTime now);
  /// Errors: kConflict for one more than kMost.
  Result<void> CheckRoom(WallTime now);
  void Add(const store::AccessTokenRecord& token);
  void Remove(const Digest256& hash);
  [[nodiscard]] std::optional<store::AccessTokenRecord> Find(const Digest256& hash) const;

 private:
  mutable std::mutex mutex_;
  std::map<Digest256, store::AccessTokenRecord> tokens_;
};

/// The text of a new token, of 256 random bits, and what is kept of one.
std::string MakeAccessToken();
Digest256 HashOfAccessToken(std::string_view text);

/// A request with whoever sends it.
struct Call {
  Context& context;
  net::HttpRequest& request;
  const PathArguments& path;
  const Principal& principal;
};

/// One row of a guarded listener's routing table.
struct GuardedRoute {
  std::string_view method;
  std::string_view pattern;
  Action action;
  net::Task<Result<net::HttpResponse>> (*handle)(Call call);
};

/// Whether who was let in would still be: for answers that go on for long.
bool IsStillIn(const Context& context, const net::HttpRequest& request, const Principal& principal);

/// Routes whose handlers run only for whom the table lets. Answers 401 without a believable identity, 403 for a role or
/// a token that may not, 429 for a source whose attempts keep failing; each is counted, and none says a secret.
std::vector<Route> Guard(Context& context, std::initializer_list<std::vector<GuardedRoute>> parts);

}  // namespace tacit::api
