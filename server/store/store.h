#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/durable.h"
#include "common/base/ids.h"
#include "common/crypto/secret.h"
#include "dp/ledger.h"
#include "server/store/records.h"

namespace tacit::store {

/// Everything of a server that must outlive it. A call that returns well is on disk; a call that fails did nothing, or
/// (when the disk failed in the very moment of the commit) is found whole or not at all at the next start. Never half.
///
/// Errors: any call: kUnavailable when the disk is full, read-only or fails; kDataLoss when stored state contradicts
/// itself.
///   Others are named at the call. Listings end when fewer than `limit` rows come back.
/// Threads: calls come from one thread at a time; nothing above may assume that one process owns the state.
class Store {
 public:
  virtual ~Store() = default;

  // --- Tasks ---

  /// Records the task and its model version 0. Errors: kConflict when the name is taken.
  [[nodiscard]] virtual Result<void> CreateTask(const TaskRecord& record, std::span<const float> initial_model) = 0;
  /// In order of creation.
  [[nodiscard]] virtual Result<std::vector<TaskRecord>> Tasks() = 0;
  /// Errors: kNotFound.
  [[nodiscard]] virtual Result<void> SetTaskState(const TaskId& id, const TaskStateChange& change) = 0;

  // --- Rounds ---

  /// Adds or replaces the round's row. Errors: kNotFound without its task; kConflict when the recorded round has ended;
  /// kInvalidArgument for phase kPublished, which only `Publish` can record.
  [[nodiscard]] virtual Result<void> PutRound(const RoundRecord& round) = 0;
  /// Ascending, from the first round after `after`.
  [[nodiscard]] virtual Result<std::vector<RoundRecord>> Rounds(const TaskId& id, RoundNumber after,
                                                                std::size_t limit) = 0;
  [[nodiscard]] virtual Result<std::optional<RoundRecord>> LatestRound(const TaskId& id) = 0;
  /// Every round that has not ended, of every task: what a restart must finish.
  [[nodiscard]] virtual Result<std::vector<RoundRecord>> OpenRounds() = 0;

  // --- The key that a round's partial sums are sealed with ---

  /// Errors: kConflict when the round has one.
  [[nodiscard]] virtual Result<crypto::SecretKey> CreateRoundKey(const RoundKey& key) = 0;
  /// Errors: kNotFound when it was never made or is destroyed.
  [[nodiscard]] virtual Result<crypto::SecretKey> LoadRoundKey(const RoundKey& key) = 0;
  /// Overwrites and removes the key. Succeeds when there is none, so it can be repeated.
  /// Privacy: with the key gone the sealed sums are unreadable, copies in backups included, if the key was not copied
  /// too.
  [[nodiscard]] virtual Result<void> DestroyRoundKey(const RoundKey& key) = 0;

  // --- Partial sums and who is in them ---

  /// Commits a sealed partial sum together with its contributors, and counts their participation, in one durable step.
  /// Errors: kConflict when a device is already counted in this round or under this lease, or the sequence is taken
  ///   (nothing is recorded);
  ///   kGone when the round is neither open nor closing; kNotFound without the round; kInvalidArgument for no
  ///   contributors.
  [[nodiscard]] virtual Result<void> CommitPartial(const RoundKey& key, std::uint64_t sequence, ByteSpan sealed,
                                                   std::span<const Contribution> contributions) = 0;
  /// Puts `sealed`, which is what `replaced` add up to, in their place, in one durable step: a crash leaves them or it,
  /// never both. Who is counted stays as it is.
  /// Errors: kConflict when the round's partial sums are not exactly `replaced`, or `sequence` is not above theirs
  ///   (nothing is changed); kGone when the round is neither open nor closing; kNotFound without the round.
  [[nodiscard]] virtual Result<void> MergePartials(const RoundKey& key, std::span<const std::uint64_t> replaced,
                                                   std::uint64_t sequence, ByteSpan sealed) = 0;
  /// The sequences of the round's partial sums, ascending.
  [[nodiscard]] virtual Result<std::vector<std::uint64_t>> PartialSequences(const RoundKey& key) = 0;
  /// One of them, sealed, in `room`, which is made larger when it is too small: a round's sums together can be larger
  /// than memory. Errors: kNotFound without it; kDataLoss when its file is missing or not what was written.
  [[nodiscard]] virtual Result<ByteSpan> ReadPartial(const RoundKey& key, std::uint64_t sequence,
                                                     AlignedBuffer& room) = 0;
  /// By device name. Kept for ever: it is each device's own ledger.
  [[nodiscard]] virtual Result<std::vector<Contribution>> Contributions(const RoundKey& key) = 0;
  /// Removes the round's partial sums and forgets its payload digests, once it has ended. Can be repeated.
  /// Errors: kConflict while the round has not ended.
  [[nodiscard]] virtual Result<void> DropPartials(const RoundKey& key) = 0;

  /// Of an asynchronous task, all that are not dropped.
  [[nodiscard]] virtual Result<std::vector<CountedLease>> CountedLeases(const TaskId& id) = 0;
  /// Forgets those that rounds up to `last` gave, with their payload digests. Can be repeated.
  [[nodiscard]] virtual Result<void> DropCountedLeases(const TaskId& id, RoundNumber last) = 0;

  /// Of every device that was counted at least once, by name.
  [[nodiscard]] virtual Result<std::vector<Participation>> ParticipationCounts(const TaskId& id) = 0;

  // --- The privacy ledger ---

  /// Appends one entry; it can never be changed or removed.
  /// Errors: kConflict when it does not continue the recorded chain, or its (round, kind) is recorded already.
  [[nodiscard]] virtual Result<Durable<dp::LedgerEntry>> AppendLedger(const dp::LedgerEntry& entry) = 0;
  /// By sequence. What is read from the disk is durable, so a restarted server can redeem a charge.
  [[nodiscard]] virtual Result<std::vector<Durable<dp::LedgerEntry>>> Ledger(const TaskId& id) = 0;
  /// Ascending, from the first entry after sequence `after`; to be shown, not to be redeemed.
  [[nodiscard]] virtual Result<std::vector<dp::LedgerEntry>> LedgerPage(const TaskId& id, std::uint64_t after,
                                                                        std::size_t limit) = 0;

  // --- Ownership ---

  /// The secret that marks of models and of their copies are derived from; made when it is asked for the first time.
  /// It is kept for as long as the server is, and its backups need it: a mark cannot be recognised without it.
  /// Errors: kDataLoss when it is missing although models are marked with it.
  [[nodiscard]] virtual Result<crypto::SecretKey> OwnerKey() = 0;
  /// The record that `PublishStep::commitment` made for this version; nothing when it was published without one.
  [[nodiscard]] virtual Result<std::optional<AuditRecord>> Commitment(const TaskId& id, ModelVersion version) = 0;

  // --- Models ---

  /// Makes model version `step.round.key.round` and the end of its round visible in one step, after the model's file is
  /// durable, and its commitment, where it has one, an audit record in that same step: nobody sees the model before.
  /// Errors: kNotFound without the round; kConflict when the recorded round has ended.
  [[nodiscard]] virtual Result<ModelRecord> Publish(const PublishStep& step) = 0;
  /// Errors: kNotFound.
  [[nodiscard]] virtual Result<ModelRecord> LatestModel(const TaskId& id) = 0;
  /// Errors: kNotFound.
  [[nodiscard]] virtual Result<ModelRecord> Model(const TaskId& id, ModelVersion version) = 0;
  /// The first model published with this digest. Errors: kNotFound.
  [[nodiscard]] virtual Result<ModelRecord> ModelByDigest(const Digest256& digest) = 0;
  /// The parameters, float32 little-endian, checked against the digest; the model's file, mapped.
  /// Errors: kNotFound; kDataLoss.
  [[nodiscard]] virtual Result<SharedBytes> MapModel(const Digest256& digest) = 0;
  /// What the last `Publish` of the task gave; empty before, or when it gave none.
  [[nodiscard]] virtual Result<Bytes> OptimizerState(const TaskId& id) = 0;

  // --- Devices ---

  /// Errors: kConflict when the name is taken, by a revoked device too.
  [[nodiscard]] virtual Result<void> AddDevice(const DeviceRecord& device) = 0;
  /// Errors: kNotFound.
  [[nodiscard]] virtual Result<DeviceRecord> Device(const DeviceId& id) = 0;
  /// By name, from the first after `after`.
  [[nodiscard]] virtual Result<std::vector<DeviceRecord>> Devices(const std::optional<DeviceId>& after,
                                                                  std::size_t limit) = 0;
  [[nodiscard]] virtual Result<DeviceCounts> CountDevices() = 0;
  /// For ever; can be repeated. Errors: kNotFound.
  [[nodiscard]] virtual Result<void> RevokeDevice(const DeviceId& id) = 0;
  /// A fresh certificate for the key that the device was admitted with.
  /// Errors: kNotFound; kPermissionDenied when it is revoked, or was admitted with another key.
  [[nodiscard]] virtual Result<void> UpdateDeviceCertificate(const DeviceId& id,
                                                             const DeviceCertificate& certificate) = 0;
  /// Moves `last_seen` forward, never back, for each known device; unknown ones are skipped.
  [[nodiscard]] virtual Result<void> TouchDevices(std::span<const DeviceSighting> sightings) = 0;

  // --- Keys and leases of models ---

  /// Records in one step that the device has its lease: its key, if it is the first that it shows, and the version, if
  /// it is higher than before. To be called before the lease leaves the server; says which of the device's keys it is.
  /// Errors: kNotFound without the device; kPermissionDenied when it is revoked; kConflict when it was recorded with
  /// another key, or has had a lease for a higher version (nothing is changed).
  [[nodiscard]] virtual Result<DeviceKeyRecord> LeaseModel(const ModelLeaseStep& step) = 0;
  /// Nothing for a device that never showed one since it was admitted.
  [[nodiscard]] virtual Result<std::optional<DeviceKeyRecord>> DeviceKey(const DeviceId& device) = 0;
  /// By task; those of other devices' are not looked at.
  [[nodiscard]] virtual Result<std::vector<ModelLeaseRecord>> ModelLeases(const DeviceId& device) = 0;
  [[nodiscard]] virtual Result<std::optional<ModelLeaseRecord>> ModelLease(const TaskId& task,
                                                                           const DeviceId& device) = 0;
  /// By version, from the highest on, `limit` at most.
  [[nodiscard]] virtual Result<std::vector<LeasedVersion>> LeasedVersions(const TaskId& task, WallTime now,
                                                                          std::size_t limit) = 0;

  // --- Reports of devices that use models ---

  /// Counts a report in one durable step, once: to be called before it is acknowledged. In a stream each sequence comes
  /// after the one before; a stream that is new for the device begins at 1.
  /// Errors: kNotFound without the device or the task; kPermissionDenied when the device is revoked; kConflict for a
  /// sequence that does not come next, or that was counted with another statement (nothing is changed).
  [[nodiscard]] virtual Result<ReportOutcome> RecordReport(const ReportStep& step) = 0;
  /// By task.
  [[nodiscard]] virtual Result<std::vector<EdgeReportRecord>> ReportsOf(const DeviceId& device) = 0;
  /// `lately`: since when a device counts as one that reports. Of versions and degradations `limit` each at most.
  /// Cost: reads a row of each device that ever reported.
  [[nodiscard]] virtual Result<EdgeFleet> EdgeOf(const TaskId& task, WallTime lately, std::size_t limit) = 0;

  // --- Enrolment tokens ---

  /// Says what the token will do: that holds until it is redeemed, because whatever admits a device under a name uses
  /// up every token that was made for this name before. Errors: kConflict when the hash is recorded, or the token is
  /// for the name of a revoked device; kInvalidArgument
  ///   without uses.
  [[nodiscard]] virtual Result<TokenPurpose> CreateToken(const TokenRecord& token) = 0;
  /// Consumes a use, and adds the device or, with a token for its name alone, replaces the key and certificate of the
  /// one that is enrolled; all of it in one step. What that one was counted in stays, as does when it was enrolled;
  /// the key that its models were encrypted to is forgotten.
  /// `device.token_hash_hex` is set from `hash`.
  /// Errors: kUnauthenticated for an unknown, expired or used-up token; kPermissionDenied when the token is for another
  /// name;
  ///   kConflict when the name is revoked, or taken and the token is not for it alone.
  [[nodiscard]] virtual Result<Redemption> RedeemToken(const Digest256& hash, WallTime now,
                                                       const DeviceRecord& device) = 0;

  /// Of all enrolment tokens those with an id behind `after`, by id, `limit` at most.
  [[nodiscard]] virtual Result<std::vector<TokenRecord>> Tokens(const std::optional<TokenRecord::Id>& after,
                                                                std::size_t limit) = 0;
  /// Takes the uses that it has left; the devices that it admitted stay. Errors: kNotFound.
  [[nodiscard]] virtual Result<TokenRecord> RevokeToken(const TokenRecord::Id& id) = 0;

  // --- Access tokens ---

  /// Errors: kConflict when its id or hash is recorded.
  [[nodiscard]] virtual Result<void> CreateAccessToken(const AccessTokenRecord& token) = 0;
  /// In the order of their making, expired and revoked ones included.
  [[nodiscard]] virtual Result<std::vector<AccessTokenRecord>> AccessTokens() = 0;
  /// For ever; a second time changes nothing. Errors: kNotFound.
  [[nodiscard]] virtual Result<AccessTokenRecord> RevokeAccessToken(const std::string& id, WallTime now) = 0;

  // --- Audit ---

  /// Appends to the hash chain; it can never be changed or removed.
  [[nodiscard]] virtual Result<AuditRecord> AppendAudit(const AuditEvent& event) = 0;
  /// Ascending, from the first record after sequence `after`.
  [[nodiscard]] virtual Result<std::vector<AuditRecord>> Audit(std::uint64_t after, std::size_t limit) = 0;
  /// Recomputes the whole chain. Errors: kDataLoss naming the first record that does not fit.
  [[nodiscard]] virtual Result<AuditHead> VerifyAudit() = 0;
};

}  // namespace tacit::store
