#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/base/edge_counts.h"
#include "common/base/ids.h"
#include "common/crypto/agreement_key.h"
#include "server/task/task_spec.h"

/// What a store keeps, as plain values. Every enumeration has a fixed text form (`NameOf`), which is also what is on
/// disk.
namespace tacit::store {

enum class TaskState : std::uint8_t {
  kActive,           ///< Rounds may start.
  kFinished,         ///< All its rounds were published.
  kBudgetExhausted,  ///< One more round would exceed the privacy budget.
  kStopped,          ///< An operator stopped it.
};
std::string_view NameOf(TaskState state);

struct TaskRecord {
  task::TaskSpec spec;
  /// The file the spec was parsed from, byte for byte: what an auditor compares.
  std::string toml;
  WallTime created_at;
  TaskState state = TaskState::kActive;
  std::string state_reason;
  /// Of the next round: the task's own until a round that follows a quantile is published.
  dp::ClipNorm clip_norm = spec.privacy.clip_norm;
};

struct TaskStateChange {
  TaskState state = TaskState::kActive;
  std::string reason;
};

/// Where a round stands: `scheduled -> open -> closing -> charged -> published`, or `abandoned` from any of the first
/// four.
enum class RoundPhase : std::uint8_t {
  kScheduled,
  kOpen,       ///< Reserved in the ledger; devices upload.
  kClosing,    ///< The cohort is fixed; the last partial sums are being committed.
  kCharged,    ///< The charge is durable; noise may be drawn.
  kPublished,  ///< Its model is durable. Final.
  kAbandoned,  ///< Ended without a model; `reason` says why. Final.
};
std::string_view NameOf(RoundPhase phase);
constexpr bool HasEnded(RoundPhase phase) {
  return phase == RoundPhase::kPublished || phase == RoundPhase::kAbandoned;
}

struct RoundRecord {
  RoundKey key;
  RoundPhase phase = RoundPhase::kScheduled;
  std::string reason;
  WallTime opened_at;
  std::optional<WallTime> ended_at;
  std::uint64_t counted = 0;  ///< Devices whose update is in the sum.
  std::uint64_t total_weight = 0;
  ModelVersion base_version = 0;
  double epsilon_after = 0;  ///< Spent by the task once this round is published; 0 without a mechanism.
};

/// One device's place in one round's sum.
struct Contribution {
  DeviceId device;
  /// Tells a retry from a second, different update. Forgotten (all zero) when the partial sums are dropped.
  Digest128 payload_digest{};
  std::uint64_t weight = 1;
  /// In an asynchronous task, the round that gave the lease: none is counted twice. 0 in other tasks, and once the
  /// store has forgotten the lease.
  RoundNumber leased_in = 0;
  bool operator==(const Contribution&) const = default;
};

/// A lease of an asynchronous task whose update is in a sum.
struct CountedLease {
  DeviceId device;
  RoundNumber leased_in = 0;  ///< The round that gave it.
  Digest128 payload_digest{};
};

/// What one device has contributed to a task.
struct Participation {
  DeviceId device;
  std::uint64_t rounds = 0;    ///< In how many rounds it was ever counted, abandoned rounds included.
  RoundNumber last_round = 0;  ///< The newest of them.
};

struct ModelRecord {
  TaskId task;
  ModelVersion version = 0;
  Digest256 digest{};  ///< SHA-256 of the file: float32 parameters, little-endian.
  std::uint64_t bytes = 0;
  WallTime created_at;
};

/// The action and target of the audit record that commits to the mark of a model version.
inline constexpr std::string_view kCommitAction = "watermark_commit";
std::string CommitTarget(const TaskId& task, ModelVersion version);

/// Everything that becomes visible together when a round ends well.
struct PublishStep {
  RoundRecord round;  ///< With `phase` kPublished, and `ended_at` as the time of publication.
  std::span<const float> model;
  Bytes optimizer_state;                                      ///< Empty for an optimiser that keeps none.
  std::optional<dp::ClipNorm> next_clip_norm = std::nullopt;  ///< When it moves.
  std::optional<TaskStateChange> task_state;
  /// To the mark of the model, of its digest too: the detail of an audit record.
  std::optional<std::string> commitment = std::nullopt;
};

enum class DeviceState : std::uint8_t { kActive, kRevoked };
std::string_view NameOf(DeviceState state);

struct DeviceRecord {
  DeviceId id;
  DeviceState state = DeviceState::kActive;
  Digest256 public_key_sha256{};
  std::string certificate_serial;
  WallTime certificate_not_after;
  WallTime enrolled_at;
  std::optional<WallTime> last_seen;
  std::string token_hash_hex;  ///< Which enrolment token admitted it; empty when none did.
};

/// The key that a device's models are encrypted to.
struct DeviceKeyRecord {
  std::uint64_t epoch = 1;  ///< How many such keys the device has had, this one included.
  crypto::P256Point point{};
  std::string tier;  ///< Where the device says that it keeps it.
  WallTime recorded_at;
};

/// What a device was given of one task's models.
struct ModelLeaseRecord {
  TaskId task;
  DeviceId device;
  ModelVersion version = 0;  ///< The highest that it ever had a lease for.
  std::uint64_t leases = 0;  ///< How many it was given, of all versions.
  WallTime leased_at;        ///< The last one.
  WallTime expires_at;       ///< That one's end.
};

/// A lease that is about to be given.
struct ModelLeaseStep {
  TaskId task;
  DeviceId device;
  ModelVersion version = 1;
  crypto::P256Point key{};  ///< What the device asked with.
  std::string tier;
  WallTime at;
  WallTime expires_at;
};

/// Of the devices whose last lease was for this version.
struct LeasedVersion {
  ModelVersion version = 0;
  std::uint64_t devices = 0;
  std::uint64_t running = 0;  ///< Those whose lease has not ended.
  std::uint64_t leases = 0;   ///< That these devices were given, of all versions.
};

/// What numbers a device's reports, chosen by it.
using ReportStream = std::array<std::uint8_t, 16>;

/// A report of a device that uses a task's models, once its signature was found good.
struct ReportStep {
  TaskId task;
  DeviceId device;
  ReportStream stream{};
  std::uint64_t sequence = 1;
  ModelVersion version = 0;  ///< That served; 0: none.
  EdgeCounts counts = {};    ///< Since the report before.
  std::vector<std::string> degradations = {};
  Bytes statement;  ///< What was signed, as are the next two: kept, so that it can be checked again.
  Bytes public_key;
  Bytes signature;
  WallTime at;
};

enum class ReportOutcome : std::uint8_t {
  kCounted,
  kRepeated,  ///< It was counted before; nothing changed.
};

/// What a device reported of a task's models.
struct EdgeReportRecord {
  TaskId task;
  DeviceId device;
  ReportStream stream{};
  std::uint64_t sequence = 0;  ///< Of the last one, as is all but `totals`.
  Bytes statement = {};
  Bytes public_key = {};
  Bytes signature = {};
  WallTime received_at;
  ModelVersion version = 0;
  bool drifted = false;  ///< It counted a window that had drifted.
  EdgeCounts totals = {};
};

/// What all devices of a task reported, since the task was made.
struct EdgeTotals {
  std::uint64_t reports = 0;
  EdgeCounts counts = {};
  std::optional<WallTime> extraction_alarm_at = {};  ///< When a report had the last one, as below.
  std::optional<WallTime> changed_weights_at = {};
  std::optional<WallTime> refused_call_at = {};
};

struct EdgeVersion {
  ModelVersion version = 0;     ///< 0: none served.
  std::uint64_t devices = 0;    ///< Whose last report was of it.
  std::uint64_t reporting = 0;  ///< Of them, those that reported lately.
};

struct EdgeDegradation {
  std::string protection;
  std::uint64_t devices = 0;  ///< That lack it, by their last reports.
};

/// The devices that use a task's models.
struct EdgeFleet {
  EdgeTotals totals = {};
  std::uint64_t devices = 0;                       ///< That ever reported.
  std::uint64_t reporting = 0;                     ///< That did lately.
  std::uint64_t drifted = 0;                       ///< Of those that did lately.
  std::vector<EdgeVersion> versions = {};          ///< From the highest on.
  std::vector<EdgeDegradation> degradations = {};  ///< From the most frequent on.
};

struct DeviceCertificate {
  Digest256 public_key_sha256{};
  std::string serial;
  WallTime not_after;
};

struct DeviceSighting {
  DeviceId device;
  WallTime at;
};

struct DeviceCounts {
  std::uint64_t active = 0;
  std::uint64_t revoked = 0;
};

/// An enrolment token, known only by the SHA-256 of its secret.
struct TokenRecord {
  /// The first bytes of the hash: what a token is called by whoever must not know it.
  using Id = std::array<std::uint8_t, 8>;
  [[nodiscard]] Id id() const;

  Digest256 hash{};
  std::uint64_t uses_left = 1;
  WallTime expires_at;
  std::optional<DeviceId> fixed_name;  ///< The only name it may enrol, when set.
  WallTime created_at;
};

/// A token's id in hexadecimal. Errors: kInvalidArgument.
Result<TokenRecord::Id> ParseTokenId(std::string_view text);

/// What a token does once it is redeemed.
enum class TokenPurpose : std::uint8_t {
  kAdmits,    ///< Adds a device.
  kReadmits,  ///< Gives the device that has its fixed name another key and certificate.
};

enum class Redemption : std::uint8_t {
  kFirst,       ///< A use was consumed and the device added.
  kReadmitted,  ///< A use was consumed, and the key and certificate of an enrolled device were replaced.
  kRepeat,      ///< The same key, name and token again (the first answer was lost): its certificate was replaced, no
                ///< use consumed.
};

/// What a person may do; server/api/access.h has the table.
enum class Role : std::uint8_t { kViewer, kScientist, kOperator, kAuditor, kAdmin };
inline constexpr std::array<Role, 5> kRoles = {Role::kViewer, Role::kScientist, Role::kOperator, Role::kAuditor,
                                               Role::kAdmin};
std::string_view NameOf(Role role);

struct PersonNameTag {
  static constexpr std::string_view kWhat = "a person's name";
};
using PersonName = Name<PersonNameTag>;

/// What a person shows in place of a certificate, known only by the SHA-256 of its text.
struct AccessTokenRecord {
  std::string id;  ///< By which it is listed and revoked: no secret.
  Digest256 hash{};
  PersonName name;
  Role role = Role::kViewer;
  std::vector<TaskId> tasks;  ///< The only ones it opens; empty: all.
  std::string created_by;
  WallTime created_at;
  WallTime expires_at;
  std::optional<WallTime> revoked_at;
};

struct AuditEvent {
  WallTime at;
  std::string actor;
  std::string action;
  std::string target;
  std::string detail;
};

/// An audit event with its place in the hash chain.
struct AuditRecord {
  std::uint64_t sequence = 0;  ///< From 1, without gaps.
  AuditEvent event;
  Digest256 previous{};  ///< Hash of the record before; all zero for the first.
  Digest256 hash{};
};

/// The end of the audit chain: what an auditor writes down elsewhere to detect a cut tail.
struct AuditHead {
  std::uint64_t sequence = 0;
  Digest256 hash{};
};

/// Follows the chain of hashes from `head` (all zero: the beginning) through the records behind it, which must be all.
/// Errors: kDataLoss with the first that does not continue the one before.
Result<AuditHead> FollowAudit(AuditHead head, std::span<const AuditRecord> records);

/// SHA-256 over `record` without its `hash`: "tacit-audit/1", sequence, milliseconds since 1970, actor, action, target,
/// detail, previous; numbers as 8 bytes little-endian, texts with their length in front.
Digest256 AuditHash(const AuditRecord& record);

}  // namespace tacit::store
