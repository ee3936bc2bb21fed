#include <algorithm>
#include <array>
#include <string>

#include "server/store/rows.h"
#include "server/store/sqlite_store.h"

// Rounds, their partial sums, and who is in them.
namespace tacit::store {

namespace {

constexpr std::array kRoundPhases = {RoundPhase::kScheduled, RoundPhase::kOpen,      RoundPhase::kClosing,
                                     RoundPhase::kCharged,   RoundPhase::kPublished, RoundPhase::kAbandoned};

std::string Shown(const RoundKey& key) {
  return "round " + std::to_string(key.round) + " of task '" + key.task.str() + "'";
}

/// Columns: task, round, phase, reason, opened_at, ended_at, counted, total_weight, base_version, epsilon_after.
Result<RoundRecord> TakeRound(Query& query) {
  TACIT_TRY(TaskId task, TakeName<TaskId>(query));
  const RoundNumber number = query.TakeU64();
  RoundRecord round{.key = {std::move(task), number}, .reason = {}, .opened_at = {}, .ended_at = {}};
  TACIT_TRY(round.phase, TakeWord(query, kRoundPhases));
  round.reason = query.TakeText();
  round.opened_at = query.TakeTime();
  round.ended_at = query.TakeOptionalTime();
  round.counted = query.TakeU64();
  round.total_weight = query.TakeU64();
  round.base_version = query.TakeU64();
  round.epsilon_after = query.TakeReal();
  return round;
}

Result<PartialFile> TakePartialFile(Query& query) {
  PartialFile file;
  file.sequence = query.TakeU64();
  file.digest = query.TakeDigest<Digest128>();
  file.bytes = query.TakeU64();
  return file;
}

Result<Contribution> TakeContribution(Query& query) {
  TACIT_TRY(DeviceId device, TakeName<DeviceId>(query));
  Contribution contribution{.device = std::move(device)};
  contribution.payload_digest = query.TakeDigest<Digest128>();
  contribution.weight = query.TakeU64();
  contribution.leased_in = query.TakeU64();
  return contribution;
}

Result<CountedLease> TakeCountedLease(Query& query) {
  TACIT_TRY(DeviceId device, TakeName<DeviceId>(query));
  const RoundNumber leased_in = query.TakeU64();
  return CountedLease{std::move(device), leased_in, query.TakeDigest<Digest128>()};
}

Result<Participation> TakeParticipation(Query& query) {
  TACIT_TRY(DeviceId device, TakeName<DeviceId>(query));
  const std::uint64_t rounds = query.TakeU64();
  return Participation{std::move(device), rounds, query.TakeU64()};
}

Result<void> AddPartial(Database& database, const RoundKey& key, const PartialFile& file) {
  TACIT_TRY(Query insert,
            database.Prepare("INSERT INTO partials (task, round, sequence, digest, bytes) VALUES (?, ?, ?, ?, ?)"));
  insert.Bind(key.task.str()).Bind(key.round).Bind(file.sequence).Bind(file.digest).Bind(file.bytes);
  Result<void> inserted = insert.Run();
  if (inserted || inserted.error().code != ErrorCode::kConflict) return inserted;
  return Fail(ErrorCode::kConflict,
              "partial sum " + std::to_string(file.sequence) + " of " + Shown(key) + " is recorded already");
}

Result<void> DeletePartials(Database& database, const RoundKey& key) {
  TACIT_TRY(Query rows, database.Prepare("DELETE FROM partials WHERE task = ? AND round = ?"));
  return rows.Bind(key.task.str()).Bind(key.round).Run();
}

}  // namespace

Result<void> SqliteStore::PutRound(const RoundRecord& round) {
  if (round.phase == RoundPhase::kPublished) {
    return Fail(ErrorCode::kInvalidArgument, "a round is published together with its model, by Publish");
  }
  TACIT_TRY(Transaction step, Transaction::Begin(*database_));
  TACIT_TRY_VOID(WriteRound(round));
  return CommitStep(step, "round_row");
}

Result<void> SqliteStore::WriteRound(const RoundRecord& round) {
  // The condition keeps an ended round as it ended, whoever asks.
  TACIT_TRY(Query upsert, database_->Prepare(R"sql(
INSERT INTO rounds
  (task, round, phase, reason, opened_at, ended_at, counted, total_weight, base_version, epsilon_after)
  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (task, round) DO UPDATE SET
  phase = excluded.phase, reason = excluded.reason, opened_at = excluded.opened_at,
  ended_at = excluded.ended_at, counted = excluded.counted, total_weight = excluded.total_weight,
  base_version = excluded.base_version, epsilon_after = excluded.epsilon_after
  WHERE phase NOT IN ('published', 'abandoned'))sql"));
  upsert.Bind(round.key.task.str()).Bind(round.key.round).Bind(NameOf(round.phase)).Bind(round.reason);
  upsert.Bind(round.opened_at).Bind(round.ended_at).Bind(round.counted).Bind(round.total_weight);
  TACIT_TRY_VOID(upsert.Bind(round.base_version).Bind(round.epsilon_after).Run());
  if (upsert.Changes() == 0) return Fail(ErrorCode::kConflict, Shown(round.key) + " has ended and stays as it ended");
  return {};
}

Result<RoundRecord> SqliteStore::RequireRound(const RoundKey& key) {
  TACIT_TRY(Query query, database_->Prepare("SELECT * FROM rounds WHERE task = ? AND round = ?"));
  query.Bind(key.task.str()).Bind(key.round);
  TACIT_TRY(std::optional<RoundRecord> round, TakeFirst(std::move(query), TakeRound));
  if (!round) return Fail(ErrorCode::kNotFound, "there is no " + Shown(key));
  return *std::move(round);
}

Result<void> SqliteStore::RequireTakesUpdates(const RoundKey& key) {
  TACIT_TRY(const RoundRecord round, RequireRound(key));
  if (round.phase == RoundPhase::kOpen || round.phase == RoundPhase::kClosing) return {};
  return Fail(ErrorCode::kGone, Shown(key) + " is " + std::string(NameOf(round.phase)) + " and takes no updates");
}

Result<std::vector<RoundRecord>> SqliteStore::Rounds(const TaskId& id, RoundNumber after, std::size_t limit) {
  TACIT_TRY(Query query,
            database_->Prepare("SELECT * FROM rounds WHERE task = ? AND round > ? ORDER BY round LIMIT ?"));
  query.Bind(id.str()).Bind(after).Bind(limit);
  return TakeAll(std::move(query), TakeRound);
}

Result<std::optional<RoundRecord>> SqliteStore::LatestRound(const TaskId& id) {
  TACIT_TRY(Query query, database_->Prepare("SELECT * FROM rounds WHERE task = ? ORDER BY round DESC LIMIT 1"));
  query.Bind(id.str());
  return TakeFirst(std::move(query), TakeRound);
}

Result<std::vector<RoundRecord>> SqliteStore::OpenRounds() {
  TACIT_TRY(Query query, database_->Prepare("SELECT * FROM rounds WHERE phase NOT IN ('published', 'abandoned')"
                                            " ORDER BY task, round"));
  return TakeAll(std::move(query), TakeRound);
}

Result<crypto::SecretKey> SqliteStore::CreateRoundKey(const RoundKey& key) {
  crypto::SecretKey secret = options_.round_key ? options_.round_key(key) : crypto::SecretKey::Random();
  TACIT_TRY_VOID(files_.WriteKey(key, secret));
  After("round_key");
  return secret;
}

Result<crypto::SecretKey> SqliteStore::LoadRoundKey(const RoundKey& key) {
  return files_.ReadKey(key);
}

Result<void> SqliteStore::DestroyRoundKey(const RoundKey& key) {
  TACIT_TRY_VOID(files_.DestroyKey(key, [this] { After("round_key_overwritten"); }));
  After("round_key_removed");
  return {};
}

Result<void> SqliteStore::AddContribution(const RoundKey& key, const Contribution& contribution) {
  TACIT_TRY(Query insert, database_->Prepare("INSERT INTO contributions (task, round, device, payload_digest, weight)"
                                             " VALUES (?, ?, ?, ?, ?)"));
  insert.Bind(key.task.str()).Bind(key.round).Bind(contribution.device.str());
  Result<void> inserted = insert.Bind(contribution.payload_digest).Bind(contribution.weight).Run();
  if (!inserted && inserted.error().code == ErrorCode::kConflict) {
    return Fail(ErrorCode::kConflict, "device '" + contribution.device.str() + "' is already counted in " + Shown(key));
  }
  TACIT_TRY_VOID(std::move(inserted));
  if (contribution.leased_in > 0) TACIT_TRY_VOID(AddCountedLease(key, contribution));
  TACIT_TRY(Query count, database_->Prepare("INSERT INTO participations (task, device, rounds, last_round)"
                                            " VALUES (?, ?, 1, ?) ON CONFLICT (task, device) DO UPDATE SET"
                                            " rounds = rounds + 1, last_round = max(last_round, excluded.last_round)"));
  return count.Bind(key.task.str()).Bind(contribution.device.str()).Bind(key.round).Run();
}

Result<void> SqliteStore::AddCountedLease(const RoundKey& key, const Contribution& contribution) {
  TACIT_TRY(Query insert, database_->Prepare("INSERT INTO counted_leases (task, device, leased_in, round,"
                                             " payload_digest) VALUES (?, ?, ?, ?, ?)"));
  insert.Bind(key.task.str()).Bind(contribution.device.str()).Bind(contribution.leased_in).Bind(key.round);
  Result<void> inserted = insert.Bind(contribution.payload_digest).Run();
  if (inserted || inserted.error().code != ErrorCode::kConflict) return inserted;
  return Fail(ErrorCode::kConflict, "what round " + std::to_string(contribution.leased_in) + " of task '" +
                                        key.task.str() + "' leased to device '" + contribution.device.str() +
                                        "' is already counted");
}

Result<void> SqliteStore::CommitPartial(const RoundKey& key, std::uint64_t sequence, ByteSpan sealed,
                                        std::span<const Contribution> contributions) {
  if (contributions.empty()) return Fail(ErrorCode::kInvalidArgument, "a partial sum has at least one contributor");
  const PartialFile file = PartialFile::Of(sequence, sealed);
  TACIT_TRY_VOID(RemoveFailedFile());
  // Rows first, so that a device counted twice is found before a file is written; the file is durable before the
  // commit.
  TACIT_TRY(Transaction step, Transaction::Begin(*database_));
  TACIT_TRY_VOID(RequireTakesUpdates(key));
  TACIT_TRY_VOID(AddPartial(*database_, key, file));
  for (const Contribution& contribution : contributions) TACIT_TRY_VOID(AddContribution(key, contribution));
  return CommitPartialStep(
      step, {.key = key, .file = file, .sealed = sealed, .written = "partial_file", .committed = "partial_rows"});
}

Result<void> SqliteStore::CommitPartialStep(Transaction& transaction, const PartialStep& step) {
  if (Result<void> written = files_.WritePartial(step.key, step.file, step.sealed); !written) {
    files_.RemovePartial(step.key, step.file);  // it may have got its name
    return written;
  }
  After(step.written);
  Result<void> committed = CommitStep(transaction, step.committed);
  if (!committed) failed_file_.emplace(step.key, step.file);
  return committed;
}

// A disk that goes on failing must not be filled with the files of its failed commits. A file may go once another
// commit stands where its own could be found, unless its own was made although it was said to have failed.
Result<void> SqliteStore::RemoveFailedFile() {
  if (!failed_file_) return {};
  const auto& [key, file] = *failed_file_;
  TACIT_TRY(const std::vector<PartialFile> recorded, PartialFiles(key));
  {
    TACIT_TRY(Transaction step, Transaction::Begin(*database_));
    TACIT_TRY_VOID(database_->Execute("PRAGMA user_version = 0"));  // writes its page although nothing changes
    TACIT_TRY_VOID(step.Commit());
  }
  if (std::ranges::find(recorded, file.digest, &PartialFile::digest) == recorded.end()) files_.RemovePartial(key, file);
  failed_file_.reset();
  After("failed_file_removed");
  return {};
}

Result<std::vector<PartialFile>> SqliteStore::PartialFiles(const RoundKey& key) {
  TACIT_TRY(Query query, database_->Prepare("SELECT sequence, digest, bytes FROM partials WHERE task = ? AND round = ?"
                                            " ORDER BY sequence"));
  query.Bind(key.task.str()).Bind(key.round);
  return TakeAll(std::move(query), TakePartialFile);
}

Result<std::vector<std::uint64_t>> SqliteStore::PartialSequences(const RoundKey& key) {
  TACIT_TRY(const std::vector<PartialFile> files, PartialFiles(key));
  std::vector<std::uint64_t> sequences;
  for (const PartialFile& file : files) sequences.push_back(file.sequence);
  return sequences;
}

Result<ByteSpan> SqliteStore::ReadPartial(const RoundKey& key, std::uint64_t sequence, AlignedBuffer& room) {
  TACIT_TRY(const std::vector<PartialFile> files, PartialFiles(key));
  const auto file = std::ranges::find(files, sequence, &PartialFile::sequence);
  if (file != files.end()) return files_.ReadPartial(key, *file, room);
  return Fail(ErrorCode::kNotFound, "there is no partial sum " + std::to_string(sequence) + " of " + Shown(key));
}

Result<void> SqliteStore::MergePartials(const RoundKey& key, std::span<const std::uint64_t> replaced,
                                        std::uint64_t sequence, ByteSpan sealed) {
  const PartialFile merged = PartialFile::Of(sequence, sealed);
  TACIT_TRY_VOID(RemoveFailedFile());
  TACIT_TRY(Transaction step, Transaction::Begin(*database_));
  TACIT_TRY_VOID(RequireTakesUpdates(key));
  TACIT_TRY(const std::vector<PartialFile> before, PartialFiles(key));
  if (!std::ranges::equal(before, replaced, {}, &PartialFile::sequence) ||
      (!before.empty() && sequence <= before.back().sequence)) {
    return Fail(ErrorCode::kConflict,
                "partial sum " + std::to_string(sequence) + " does not replace what is recorded of " + Shown(key));
  }
  TACIT_TRY_VOID(DeletePartials(*database_, key));
  TACIT_TRY_VOID(AddPartial(*database_, key, merged));
  TACIT_TRY_VOID(CommitPartialStep(
      step, {.key = key, .file = merged, .sealed = sealed, .written = "merged_file", .committed = "merged_rows"}));
  for (const PartialFile& file : before) files_.RemovePartial(key, file);
  After("merged_files_removed");
  return {};
}

Result<std::vector<Contribution>> SqliteStore::Contributions(const RoundKey& key) {
  TACIT_TRY(Query query, database_->Prepare("SELECT c.device, c.payload_digest, c.weight, coalesce(l.leased_in, 0)"
                                            " FROM contributions c LEFT JOIN counted_leases l"
                                            " ON l.task = c.task AND l.device = c.device AND l.round = c.round"
                                            " WHERE c.task = ? AND c.round = ? ORDER BY c.device"));
  query.Bind(key.task.str()).Bind(key.round);
  return TakeAll(std::move(query), TakeContribution);
}

Result<void> SqliteStore::DropPartials(const RoundKey& key) {
  TACIT_TRY(const RoundRecord round, RequireRound(key));
  if (!HasEnded(round.phase)) {
    return Fail(ErrorCode::kConflict, Shown(key) + " has not ended; its partial sums are still needed");
  }
  {
    TACIT_TRY(Transaction step, Transaction::Begin(*database_));
    TACIT_TRY_VOID(DeletePartials(*database_, key));
    TACIT_TRY(
        Query digests,
        database_->Prepare("UPDATE contributions SET payload_digest = zeroblob(16) WHERE task = ? AND round = ?"));
    TACIT_TRY_VOID(digests.Bind(key.task.str()).Bind(key.round).Run());
    TACIT_TRY_VOID(CommitStep(step, "partial_rows_dropped"));
  }
  // The digests just forgotten stand in the write-ahead log too, until it is written back and cut.
  TACIT_TRY_VOID(database_->CutLog());
  TACIT_TRY_VOID(files_.RemovePartials(key));
  After("partial_files_removed");
  return {};
}

Result<std::vector<CountedLease>> SqliteStore::CountedLeases(const TaskId& id) {
  TACIT_TRY(Query query, database_->Prepare("SELECT device, leased_in, payload_digest FROM counted_leases"
                                            " WHERE task = ? ORDER BY device, leased_in"));
  query.Bind(id.str());
  return TakeAll(std::move(query), TakeCountedLease);
}

Result<void> SqliteStore::DropCountedLeases(const TaskId& id, RoundNumber last) {
  {
    TACIT_TRY(Transaction step, Transaction::Begin(*database_));
    TACIT_TRY(Query rows, database_->Prepare("DELETE FROM counted_leases WHERE task = ? AND leased_in <= ?"));
    TACIT_TRY_VOID(rows.Bind(id.str()).Bind(last).Run());
    if (rows.Changes() == 0) return {};
    TACIT_TRY_VOID(CommitStep(step, "leases_dropped"));
  }
  // As in DropPartials.
  return database_->CutLog();
}

Result<std::vector<Participation>> SqliteStore::ParticipationCounts(const TaskId& id) {
  TACIT_TRY(Query query, database_->Prepare("SELECT device, rounds, last_round FROM participations"
                                            " WHERE task = ? ORDER BY device"));
  query.Bind(id.str());
  return TakeAll(std::move(query), TakeParticipation);
}

}  // namespace tacit::store
