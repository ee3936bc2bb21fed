#include "server/store/records.h"

#include <algorithm>
#include <string>

#include "common/crypto/digest.h"

namespace tacit::store {

// These words are on disk: a word may be added, never changed.
std::string_view NameOf(TaskState state) {
  switch (state) {
    case TaskState::kActive:
      return "active";
    case TaskState::kFinished:
      return "finished";
    case TaskState::kBudgetExhausted:
      return "budget_exhausted";
    case TaskState::kStopped:
      return "stopped";
  }
  return "unknown";
}

std::string_view NameOf(RoundPhase phase) {
  switch (phase) {
    case RoundPhase::kScheduled:
      return "scheduled";
    case RoundPhase::kOpen:
      return "open";
    case RoundPhase::kClosing:
      return "closing";
    case RoundPhase::kCharged:
      return "charged";
    case RoundPhase::kPublished:
      return "published";
    case RoundPhase::kAbandoned:
      return "abandoned";
  }
  return "unknown";
}

std::string_view NameOf(Role role) {
  switch (role) {
    case Role::kViewer:
      return "viewer";
    case Role::kScientist:
      return "scientist";
    case Role::kOperator:
      return "operator";
    case Role::kAuditor:
      return "auditor";
    case Role::kAdmin:
      break;
  }
  return "admin";
}

std::string_view NameOf(DeviceState state) {
  return state == DeviceState::kActive ? "active" : "revoked";
}

TokenRecord::Id TokenRecord::id() const {
  Id id{};
  std::copy_n(hash.begin(), id.size(), id.begin());
  return id;
}

Result<TokenRecord::Id> ParseTokenId(std::string_view text) {
  TokenRecord::Id id{};
  const auto bytes = ParseHex(text);
  if (!bytes || bytes->size() != id.size()) {
    return Fail(ErrorCode::kInvalidArgument,
                "the id of an enrolment token has " + std::to_string(2 * id.size()) + " hexadecimal digits");
  }
  std::ranges::copy(*bytes, id.begin());
  return id;
}

std::string CommitTarget(const TaskId& task, ModelVersion version) {
  return "task/" + task.str() + "/models/" + std::to_string(version);
}

Digest256 AuditHash(const AuditRecord& record) {
  const AuditEvent& event = record.event;
  ByteWriter writer;
  writer.Text("tacit-audit/1")
      .U64(record.sequence)
      .U64(static_cast<std::uint64_t>(event.at.time_since_epoch().count()))
      .Text(event.actor)
      .Text(event.action)
      .Text(event.target)
      .Text(event.detail)
      .Raw(record.previous);
  return crypto::Sha256(writer.bytes());
}

Result<AuditHead> FollowAudit(AuditHead head, std::span<const AuditRecord> records) {
  for (const AuditRecord& record : records) {
    const bool fits =
        record.sequence == head.sequence + 1 && record.previous == head.hash && record.hash == AuditHash(record);
    if (!fits) {
      return Fail(ErrorCode::kDataLoss, "audit record " + std::to_string(record.sequence) +
                                            " does not continue record " + std::to_string(head.sequence) +
                                            ": the log was changed");
    }
    head = {record.sequence, record.hash};
  }
  return head;
}

}  // namespace tacit::store
