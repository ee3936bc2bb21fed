#include <array>
#include <string>

#include "common/crypto/digest.h"
#include "server/store/chains.h"
#include "server/store/rows.h"
#include "server/store/sqlite_store.h"

// The two append-only, hash-chained tables: the privacy ledger and the audit log.
namespace tacit::store {

namespace {

Result<dp::LedgerEntry> TakeEntry(Query& query) {
  TACIT_TRY(TaskId task, TakeName<TaskId>(query));
  dp::LedgerEntry entry{.task = std::move(task), .at = {}};
  entry.sequence = query.TakeU64();
  const Result<dp::LedgerKind> kind = dp::ParseLedgerKind(query.TakeText());
  if (!kind) return Fail(ErrorCode::kDataLoss, "the ledger holds an unknown kind of entry");
  entry.kind = *kind;
  entry.round = query.TakeU64();
  Result<dp::Mechanism> mechanism = dp::ParseMechanism(query.TakeText());
  if (!mechanism) return Fail(ErrorCode::kDataLoss, "the ledger holds an unknown mechanism");
  entry.mechanism = *mechanism;
  entry.noise_multiplier = query.TakeReal();
  entry.clip_norm = query.TakeReal();
  entry.grid_radius = static_cast<std::uint32_t>(query.TakeU64());
  entry.cohort = query.TakeU64();
  entry.at = query.TakeTime();
  entry.epsilon_after = query.TakeReal();
  entry.previous = query.TakeDigest<Digest256>();
  entry.hash = query.TakeDigest<Digest256>();
  return entry;
}

struct ChainEnd {
  std::uint64_t sequence = 0;
  Digest256 hash{};
};

Result<ChainEnd> TakeChainEnd(Query& query) {
  ChainEnd end;
  end.sequence = query.TakeU64();
  end.hash = query.TakeDigest<Digest256>();
  return end;
}

/// A ledger that came apart here would be found at the next start, too late to refuse the release.
Result<void> CheckContinues(Database& database, const dp::LedgerEntry& entry) {
  TACIT_TRY(Query query,
            database.Prepare("SELECT sequence, hash FROM ledger WHERE task = ? ORDER BY sequence DESC LIMIT 1"));
  query.Bind(entry.task.str());
  TACIT_TRY(const std::optional<ChainEnd> last, TakeFirst(std::move(query), TakeChainEnd));
  // What the first entry continues is the policy, which only the ledger itself can check.
  const ChainEnd end = last.value_or(ChainEnd{.hash = entry.previous});
  if (entry.sequence == end.sequence + 1 && entry.previous == end.hash) return {};
  return Fail(ErrorCode::kConflict, "ledger entry " + std::to_string(entry.sequence) + " of task '" + entry.task.str() +
                                        "' does not continue entry " + std::to_string(end.sequence));
}

Result<void> InsertEntry(Database& database, const dp::LedgerEntry& entry) {
  TACIT_TRY(Query insert,
            database.Prepare("INSERT INTO ledger (task, sequence, kind, round, mechanism, noise_multiplier,"
                             " clip_norm, grid_radius, cohort, at, epsilon_after, previous, hash)"
                             " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"));
  insert.Bind(entry.task.str()).Bind(entry.sequence).Bind(dp::NameOf(entry.kind)).Bind(entry.round);
  insert.Bind(dp::NameOf(entry.mechanism)).Bind(entry.noise_multiplier).Bind(entry.clip_norm);
  insert.Bind(std::uint64_t{entry.grid_radius}).Bind(entry.cohort).Bind(entry.at).Bind(entry.epsilon_after);
  return insert.Bind(entry.previous).Bind(entry.hash).Run();
}

Result<AuditRecord> TakeAudit(Query& query) {
  AuditRecord record;
  record.sequence = query.TakeU64();
  record.event.at = query.TakeTime();
  record.event.actor = query.TakeText();
  record.event.action = query.TakeText();
  record.event.target = query.TakeText();
  record.event.detail = query.TakeText();
  record.previous = query.TakeDigest<Digest256>();
  record.hash = query.TakeDigest<Digest256>();
  return record;
}

Result<void> InsertAudit(Database& database, const AuditRecord& record) {
  TACIT_TRY(Query insert,
            database.Prepare("INSERT INTO audit (sequence, at, actor, action, target, detail, previous, hash)"
                             " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"));
  const AuditEvent& event = record.event;
  insert.Bind(record.sequence)
      .Bind(event.at)
      .Bind(event.actor)
      .Bind(event.action)
      .Bind(event.target)
      .Bind(event.detail);
  return insert.Bind(record.previous).Bind(record.hash).Run();
}

constexpr std::size_t kAtOnce = 1000;

struct Page {
  std::uint64_t after;
  std::size_t limit;
};

Result<std::vector<dp::LedgerEntry>> PageOfLedger(Database& database, const TaskId& task, Page page) {
  TACIT_TRY(Query query,
            database.Prepare("SELECT * FROM ledger WHERE task = ? AND sequence > ? ORDER BY sequence LIMIT ?"));
  query.Bind(task.str()).Bind(page.after).Bind(page.limit);
  return TakeAll(std::move(query), TakeEntry);
}

Result<std::vector<AuditRecord>> AuditPage(Database& database, Page page) {
  TACIT_TRY(Query query, database.Prepare("SELECT * FROM audit WHERE sequence > ? ORDER BY sequence LIMIT ?"));
  query.Bind(page.after).Bind(page.limit);
  return TakeAll(std::move(query), TakeAudit);
}

/// How many entries one task's ledger has.
Result<std::uint64_t> VerifyLedger(Database& database, const TaskId& task) {
  ChainEnd end;
  while (true) {
    TACIT_TRY(const auto entries, PageOfLedger(database, task, {end.sequence, kAtOnce}));
    for (const dp::LedgerEntry& entry : entries) {
      // What the first continues is the policy, which is not looked at here.
      const bool continues = entry.sequence == end.sequence + 1 && (end.sequence == 0 || entry.previous == end.hash);
      if (!continues || entry.hash != crypto::Sha256(dp::CanonicalBytes(entry))) {
        return Fail(ErrorCode::kDataLoss, "entry " + std::to_string(entry.sequence) + " of the ledger of task '" +
                                              task.str() + "' does not continue entry " + std::to_string(end.sequence) +
                                              ": the ledger was changed");
      }
      end = {entry.sequence, entry.hash};
    }
    if (entries.size() < kAtOnce) return end.sequence;
  }
}

}  // namespace

Result<Durable<dp::LedgerEntry>> SqliteStore::AppendLedger(const dp::LedgerEntry& entry) {
  TACIT_TRY(Transaction step, Transaction::Begin(*database_));
  TACIT_TRY_VOID(CheckContinues(*database_, entry));
  TACIT_TRY_VOID(InsertEntry(*database_, entry));
  TACIT_TRY_VOID(CommitStep(step, "ledger_" + std::string(dp::NameOf(entry.kind))));
  return Mint(entry);
}

Result<std::vector<Durable<dp::LedgerEntry>>> SqliteStore::Ledger(const TaskId& id) {
  TACIT_TRY(Query query, database_->Prepare("SELECT * FROM ledger WHERE task = ? ORDER BY sequence"));
  query.Bind(id.str());
  return TakeAll(std::move(query), [](Query& row) -> Result<Durable<dp::LedgerEntry>> {
    TACIT_TRY(dp::LedgerEntry entry, TakeEntry(row));
    return Mint(std::move(entry));
  });
}

Result<std::vector<dp::LedgerEntry>> SqliteStore::LedgerPage(const TaskId& id, std::uint64_t after, std::size_t limit) {
  return PageOfLedger(*database_, id, {after, limit});
}

Result<AuditHead> SqliteStore::LastAudit() {
  TACIT_TRY(Query query, database_->Prepare("SELECT sequence, hash FROM audit ORDER BY sequence DESC LIMIT 1"));
  TACIT_TRY(const std::optional<ChainEnd> last, TakeFirst(std::move(query), TakeChainEnd));
  if (!last) return AuditHead{};
  return AuditHead{last->sequence, last->hash};
}

Result<AuditRecord> SqliteStore::AppendAudit(const AuditEvent& event) {
  TACIT_TRY(Transaction step, Transaction::Begin(*database_));
  TACIT_TRY(AuditRecord record, AddAudit(event));
  TACIT_TRY_VOID(CommitStep(step, "audit_row"));
  return record;
}

Result<AuditRecord> SqliteStore::AddAudit(const AuditEvent& event) {
  TACIT_TRY(const AuditHead head, LastAudit());
  AuditRecord record{.sequence = head.sequence + 1, .event = event, .previous = head.hash};
  record.hash = AuditHash(record);
  TACIT_TRY_VOID(InsertAudit(*database_, record));
  return record;
}

Result<std::optional<AuditRecord>> SqliteStore::Commitment(const TaskId& id, ModelVersion version) {
  TACIT_TRY(Query query, database_->Prepare("SELECT * FROM audit WHERE action = ? AND target = ?"
                                            " ORDER BY sequence LIMIT 1"));
  query.Bind(kCommitAction).Bind(CommitTarget(id, version));
  return TakeFirst(std::move(query), TakeAudit);
}

Result<bool> SqliteStore::HasCommitments() {
  TACIT_TRY(Query query, database_->Prepare("SELECT 1 FROM audit WHERE action = ? LIMIT 1"));
  return query.Bind(kCommitAction).Next();
}

Result<crypto::SecretKey> SqliteStore::OwnerKey() {
  Result<crypto::SecretKey> kept = files_.ReadOwnerKey();
  if (kept || kept.error().code != ErrorCode::kNotFound) return kept;
  TACIT_TRY(const bool marked, HasCommitments());
  if (marked) {
    return Fail(ErrorCode::kDataLoss,
                "models are marked with owner.key, which is missing from the data directory: restore it from a backup");
  }
  crypto::SecretKey secret = options_.owner_key ? options_.owner_key() : crypto::SecretKey::Random();
  TACIT_TRY_VOID(files_.WriteOwnerKey(secret));
  After("owner_key");
  return secret;
}

Result<std::vector<AuditRecord>> SqliteStore::Audit(std::uint64_t after, std::size_t limit) {
  return AuditPage(*database_, {after, limit});
}

Result<AuditHead> SqliteStore::VerifyAudit() {
  return tacit::store::VerifyAudit(*database_);
}

Result<AuditHead> VerifyAudit(Database& database) {
  AuditHead head;
  while (true) {
    TACIT_TRY(const std::vector<AuditRecord> records, AuditPage(database, {head.sequence, kAtOnce}));
    TACIT_TRY(head, FollowAudit(head, records));
    if (records.size() < kAtOnce) return head;
  }
}

Result<std::uint64_t> VerifyLedgers(Database& database) {
  TACIT_TRY(Query query, database.Prepare("SELECT DISTINCT task FROM ledger ORDER BY task"));
  TACIT_TRY(const std::vector<TaskId> tasks, TakeAll(std::move(query), TakeName<TaskId>));
  std::uint64_t entries = 0;
  for (const TaskId& task : tasks) {
    TACIT_TRY(const std::uint64_t of_task, VerifyLedger(database, task));
    entries += of_task;
  }
  return entries;
}

}  // namespace tacit::store
