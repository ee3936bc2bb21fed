#pragma once

#include <array>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "server/store/data_files.h"
#include "server/store/database.h"
#include "server/store/store.h"

namespace tacit::store {

/// Every durable step there is, as `StoreOptions::after_step` is told of it. What is not here cannot be taken, so that
/// a test that goes through this list has stopped a process at every step.
inline constexpr std::array<std::string_view, 39> kSteps = {"schema",
                                                            "sweep",
                                                            "task_model_file",
                                                            "task_rows",
                                                            "task_state",
                                                            "round_row",
                                                            "round_key",
                                                            "round_key_overwritten",
                                                            "round_key_removed",
                                                            "owner_key",
                                                            "partial_file",
                                                            "partial_rows",
                                                            "merged_file",
                                                            "merged_rows",
                                                            "merged_files_removed",
                                                            "failed_file_removed",
                                                            "partial_rows_dropped",
                                                            "partial_files_removed",
                                                            "leases_dropped",
                                                            "ledger_reserve",
                                                            "ledger_charge",
                                                            "ledger_void",
                                                            "ledger_adjust",
                                                            "publish_model_file",
                                                            "publish_optimizer_file",
                                                            "publish_rows",
                                                            "device_row",
                                                            "device_revoked",
                                                            "device_certificate",
                                                            "devices_touched",
                                                            "model_lease",
                                                            "edge_report",
                                                            "token_row",
                                                            "token_redeemed",
                                                            "token_repeated",
                                                            "token_revoked",
                                                            "access_token_row",
                                                            "access_token_revoked",
                                                            "audit_row"};

struct StoreOptions {
  /// Made (mode 0700) when it does not exist; its parent must.
  std::filesystem::path data_dir;
  /// For crash tests: called with the step's name after every durable step. Empty in production.
  std::function<void(std::string_view step)> after_step = {};
  /// Where the key of a round comes from; empty: from the operating system, as it must wherever privacy is promised.
  /// Only a simulation has another source: whoever can work the key out can take the noise off.
  std::function<crypto::SecretKey(const RoundKey& key)> round_key = {};
  /// The same of the key behind marks and copies.
  std::function<crypto::SecretKey()> owner_key = {};
};

/// The embedded store: SQLite (WAL, full sync) for rows, files for what is large. README.md of this directory has the
/// layout. Threads: one thread at a time.
class SqliteStore final : public Store, private DurableMinter {
 public:
  /// Takes the directory's lock, brings the schema forward, and removes what unfinished steps left.
  /// Errors: kConflict when another process has the directory open, or its schema is newer than this program; kDataLoss
  /// when
  ///   the database is missing beside files that need it.
  static Result<std::unique_ptr<SqliteStore>> Open(StoreOptions options);

  Result<void> CreateTask(const TaskRecord& record, std::span<const float> initial_model) override;
  Result<std::vector<TaskRecord>> Tasks() override;
  Result<void> SetTaskState(const TaskId& id, const TaskStateChange& change) override;

  Result<void> PutRound(const RoundRecord& round) override;
  Result<std::vector<RoundRecord>> Rounds(const TaskId& id, RoundNumber after, std::size_t limit) override;
  Result<std::optional<RoundRecord>> LatestRound(const TaskId& id) override;
  Result<std::vector<RoundRecord>> OpenRounds() override;

  Result<crypto::SecretKey> CreateRoundKey(const RoundKey& key) override;
  Result<crypto::SecretKey> LoadRoundKey(const RoundKey& key) override;
  Result<void> DestroyRoundKey(const RoundKey& key) override;

  Result<void> CommitPartial(const RoundKey& key, std::uint64_t sequence, ByteSpan sealed,
                             std::span<const Contribution> contributions) override;
  Result<void> MergePartials(const RoundKey& key, std::span<const std::uint64_t> replaced, std::uint64_t sequence,
                             ByteSpan sealed) override;
  Result<std::vector<std::uint64_t>> PartialSequences(const RoundKey& key) override;
  Result<ByteSpan> ReadPartial(const RoundKey& key, std::uint64_t sequence, AlignedBuffer& room) override;
  Result<std::vector<Contribution>> Contributions(const RoundKey& key) override;
  Result<void> DropPartials(const RoundKey& key) override;
  Result<std::vector<CountedLease>> CountedLeases(const TaskId& id) override;
  Result<void> DropCountedLeases(const TaskId& id, RoundNumber last) override;
  Result<std::vector<Participation>> ParticipationCounts(const TaskId& id) override;

  Result<Durable<dp::LedgerEntry>> AppendLedger(const dp::LedgerEntry& entry) override;
  Result<std::vector<Durable<dp::LedgerEntry>>> Ledger(const TaskId& id) override;
  Result<std::vector<dp::LedgerEntry>> LedgerPage(const TaskId& id, std::uint64_t after, std::size_t limit) override;

  Result<crypto::SecretKey> OwnerKey() override;
  Result<std::optional<AuditRecord>> Commitment(const TaskId& id, ModelVersion version) override;

  Result<ModelRecord> Publish(const PublishStep& step) override;
  Result<ModelRecord> LatestModel(const TaskId& id) override;
  Result<ModelRecord> Model(const TaskId& id, ModelVersion version) override;
  Result<ModelRecord> ModelByDigest(const Digest256& digest) override;
  Result<SharedBytes> MapModel(const Digest256& digest) override;
  Result<Bytes> OptimizerState(const TaskId& id) override;

  Result<void> AddDevice(const DeviceRecord& device) override;
  Result<DeviceRecord> Device(const DeviceId& id) override;
  Result<std::vector<DeviceRecord>> Devices(const std::optional<DeviceId>& after, std::size_t limit) override;
  Result<DeviceCounts> CountDevices() override;
  Result<void> RevokeDevice(const DeviceId& id) override;
  Result<void> UpdateDeviceCertificate(const DeviceId& id, const DeviceCertificate& certificate) override;
  Result<void> TouchDevices(std::span<const DeviceSighting> sightings) override;

  Result<DeviceKeyRecord> LeaseModel(const ModelLeaseStep& step) override;
  Result<std::optional<DeviceKeyRecord>> DeviceKey(const DeviceId& device) override;
  Result<std::vector<ModelLeaseRecord>> ModelLeases(const DeviceId& device) override;
  Result<std::optional<ModelLeaseRecord>> ModelLease(const TaskId& task, const DeviceId& device) override;
  Result<std::vector<LeasedVersion>> LeasedVersions(const TaskId& task, WallTime now, std::size_t limit) override;

  Result<ReportOutcome> RecordReport(const ReportStep& step) override;
  Result<std::vector<EdgeReportRecord>> ReportsOf(const DeviceId& device) override;
  Result<EdgeFleet> EdgeOf(const TaskId& task, WallTime lately, std::size_t limit) override;

  Result<TokenPurpose> CreateToken(const TokenRecord& token) override;
  Result<Redemption> RedeemToken(const Digest256& hash, WallTime now, const DeviceRecord& device) override;
  Result<std::vector<TokenRecord>> Tokens(const std::optional<TokenRecord::Id>& after, std::size_t limit) override;
  Result<TokenRecord> RevokeToken(const TokenRecord::Id& id) override;

  Result<void> CreateAccessToken(const AccessTokenRecord& token) override;
  Result<std::vector<AccessTokenRecord>> AccessTokens() override;
  Result<AccessTokenRecord> RevokeAccessToken(const std::string& id, WallTime now) override;

  Result<AuditRecord> AppendAudit(const AuditEvent& event) override;
  Result<std::vector<AuditRecord>> Audit(std::uint64_t after, std::size_t limit) override;
  Result<AuditHead> VerifyAudit() override;

 private:
  SqliteStore(StoreOptions options, DataFiles files, std::unique_ptr<Database> database);

  void After(std::string_view step);
  [[nodiscard]] Result<void> CommitStep(Transaction& transaction, std::string_view step);
  [[nodiscard]] Result<void> SweepFiles();

  [[nodiscard]] Result<RoundRecord> RequireRound(const RoundKey& key);
  [[nodiscard]] Result<void> RequireTakesUpdates(const RoundKey& key);
  [[nodiscard]] Result<void> WriteRound(const RoundRecord& round);
  [[nodiscard]] Result<std::vector<PartialFile>> PartialFiles(const RoundKey& key);
  /// A partial sum's file, and the rows that speak of it.
  struct PartialStep {
    const RoundKey& key;
    PartialFile file;
    ByteSpan sealed;
    std::string_view written;    ///< The step's name once the file is durable,
    std::string_view committed;  ///< and once the rows are.
  };
  [[nodiscard]] Result<void> CommitPartialStep(Transaction& transaction, const PartialStep& step);
  [[nodiscard]] Result<void> RemoveFailedFile();
  [[nodiscard]] Result<void> AddContribution(const RoundKey& key, const Contribution& contribution);
  [[nodiscard]] Result<void> AddCountedLease(const RoundKey& key, const Contribution& contribution);
  [[nodiscard]] Result<void> AddModel(const ModelRecord& model);
  [[nodiscard]] Result<void> RequireModelSize(const TaskId& id, std::uint64_t bytes);
  [[nodiscard]] Result<void> ReplaceOptimizerState(const TaskId& id, ByteSpan state);
  [[nodiscard]] Result<std::optional<Digest256>> OptimizerDigest(const TaskId& id);
  [[nodiscard]] Result<bool> HasBlobRow(BlobKind kind, const Digest256& digest);
  [[nodiscard]] Result<void> AddTasks(const AccessTokenRecord& token);
  [[nodiscard]] Result<std::vector<TaskId>> TasksOf(const std::string& access_token);
  [[nodiscard]] Result<AuditHead> LastAudit();
  [[nodiscard]] Result<AuditRecord> AddAudit(const AuditEvent& event);
  [[nodiscard]] Result<bool> HasCommitments();

  StoreOptions options_;
  DataFiles files_;  // before the database, so that the lock is released last
  std::unique_ptr<Database> database_;
  /// The file of a commit that the disk failed: a start could still find that it was made.
  std::optional<std::pair<RoundKey, PartialFile>> failed_file_;
};

}  // namespace tacit::store
