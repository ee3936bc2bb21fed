#include "server/store/rows.h"
#include "server/store/sqlite_store.h"

// What people show in place of certificates.
namespace tacit::store {

namespace {

Result<AccessTokenRecord> TakeAccessToken(Query& query) {
  std::string id = query.TakeText();
  const auto hash = query.TakeDigest<Digest256>();
  TACIT_TRY(PersonName name, TakeName<PersonName>(query));
  TACIT_TRY(const Role role, TakeWord(query, kRoles));
  AccessTokenRecord token{.id = std::move(id),
                          .hash = hash,
                          .name = std::move(name),
                          .role = role,
                          .tasks = {},
                          .created_by = {},
                          .created_at = {},
                          .expires_at = {},
                          .revoked_at = std::nullopt};
  token.created_by = query.TakeText();
  token.created_at = query.TakeTime();
  token.expires_at = query.TakeTime();
  token.revoked_at = query.TakeOptionalTime();
  return token;
}

constexpr const char* kColumns =
    "SELECT id, hash, name, role, created_by, created_at, expires_at, revoked_at FROM access_tokens";

}  // namespace

Result<void> SqliteStore::CreateAccessToken(const AccessTokenRecord& token) {
  TACIT_TRY(Transaction step, Transaction::Begin(*database_));
  TACIT_TRY(Query insert, database_->Prepare("INSERT INTO access_tokens (id, hash, name, role, created_by, created_at,"
                                             " expires_at) VALUES (?, ?, ?, ?, ?, ?, ?)"));
  insert.Bind(token.id).Bind(token.hash).Bind(token.name.str()).Bind(NameOf(token.role)).Bind(token.created_by);
  TACIT_TRY_VOID(insert.Bind(token.created_at).Bind(token.expires_at).Run());
  TACIT_TRY_VOID(AddTasks(token));
  return CommitStep(step, "access_token_row");
}

Result<void> SqliteStore::AddTasks(const AccessTokenRecord& token) {
  for (const TaskId& task : token.tasks) {
    TACIT_TRY(Query insert, database_->Prepare("INSERT INTO access_token_tasks (token, task) VALUES (?, ?)"));
    TACIT_TRY_VOID(insert.Bind(token.id).Bind(task.str()).Run());
  }
  return {};
}

Result<std::vector<TaskId>> SqliteStore::TasksOf(const std::string& access_token) {
  TACIT_TRY(Query query, database_->Prepare("SELECT task FROM access_token_tasks WHERE token = ? ORDER BY task"));
  query.Bind(access_token);
  return TakeAll(std::move(query), TakeName<TaskId>);
}

Result<std::vector<AccessTokenRecord>> SqliteStore::AccessTokens() {
  static const std::string kAll = std::string(kColumns) + " ORDER BY ordinal";
  TACIT_TRY(Query query, database_->Prepare(kAll.c_str()));
  TACIT_TRY(std::vector<AccessTokenRecord> tokens, TakeAll(std::move(query), TakeAccessToken));
  for (AccessTokenRecord& token : tokens) {
    TACIT_TRY(token.tasks, TasksOf(token.id));
  }
  return tokens;
}

Result<AccessTokenRecord> SqliteStore::RevokeAccessToken(const std::string& id, WallTime now) {
  static const std::string kOne = std::string(kColumns) + " WHERE id = ?";
  {
    TACIT_TRY(Query update, database_->Prepare("UPDATE access_tokens SET revoked_at = ? WHERE id = ?"
                                               " AND revoked_at IS NULL"));
    TACIT_TRY_VOID(update.Bind(now).Bind(id).Run());
    if (update.Changes() > 0) After("access_token_revoked");
  }
  TACIT_TRY(Query query, database_->Prepare(kOne.c_str()));
  query.Bind(id);
  TACIT_TRY(std::optional<AccessTokenRecord> token, TakeFirst(std::move(query), TakeAccessToken));
  if (!token) return Fail(ErrorCode::kNotFound, "there is no access token '" + id + "'");
  TACIT_TRY(token->tasks, TasksOf(id));
  return *std::move(token);
}

}  // namespace tacit::store
