#include "cli/claim_evidence.h"

#include <algorithm>
#include <string>
#include <utility>

#include "cli/fields.h"

namespace tacit::cli {
namespace {

constexpr const char* kEvidenceFormat = "tacit-claim/1";
// As for a task: what all triggers together may take in memory.
constexpr std::uint64_t kMostInputs = std::uint64_t{1} << 24U;
constexpr std::uint64_t kMostTriggers = 1000;

std::unexpected<Error> BadField(std::string_view key, std::string_view what) {
  return Fail(ErrorCode::kMalformed, "'" + std::string(key) + "' " + std::string(what));
}

Result<std::string> TextOf(const Json& object, std::string_view key) {
  const Json& value = MemberAt(object, key);
  if (!value.is_string()) return BadField(key, "must be a text");
  return value.get<std::string>();
}

Result<std::uint64_t> CountOf(const Json& object, std::string_view key) {
  const Json& value = MemberAt(object, key);
  if (!value.is_number_unsigned()) return BadField(key, "must be a whole number, 0 or more");
  return value.get<std::uint64_t>();
}

Result<Digest256> DigestOf(const Json& object, std::string_view key) {
  TACIT_TRY(const std::string text, TextOf(object, key));
  const auto bytes = ParseHex(text);
  Digest256 digest{};
  if (!bytes || bytes->size() != digest.size()) return BadField(key, "must be 64 hexadecimal digits");
  std::ranges::copy(*bytes, digest.begin());
  return digest;
}

Result<double> RealOf(const Json& object, std::string_view key) {
  const Json& value = MemberAt(object, key);
  if (!value.is_number()) return BadField(key, "must be a number");
  return value.get<double>();
}

Result<task::Watermark> RulesOf(const Json& opening, const model::ModelSpec& model) {
  TACIT_TRY(const std::uint64_t triggers, CountOf(opening, "triggers"));
  if (triggers == 0 || triggers > kMostTriggers || triggers * model.inputs() > kMostInputs)
    return BadField("triggers", "is not a number that a task can have");
  task::Watermark rules{.triggers = static_cast<std::uint32_t>(triggers)};
  TACIT_TRY(rules.input_min, RealOf(opening, "input_min"));
  TACIT_TRY(rules.input_max, RealOf(opening, "input_max"));
  return rules;
}

}  // namespace

Result<store::AuditRecord> ParseAuditRecord(const Json& json) {
  store::AuditRecord record;
  TACIT_TRY(record.sequence, CountOf(json, "sequence"));
  TACIT_TRY(const std::uint64_t at, CountOf(json, "at_ms"));
  record.event.at = WallTime(Millis(static_cast<std::int64_t>(std::min<std::uint64_t>(at, INT64_MAX))));
  TACIT_TRY(record.event.actor, TextOf(json, "actor"));
  TACIT_TRY(record.event.action, TextOf(json, "action"));
  TACIT_TRY(record.event.target, TextOf(json, "target"));
  TACIT_TRY(record.event.detail, TextOf(json, "detail"));
  TACIT_TRY(record.previous, DigestOf(json, "previous"));
  TACIT_TRY(record.hash, DigestOf(json, "hash"));
  return record;
}

Result<store::AuditHead> FollowFrom(const store::AuditRecord& commitment, const Json& records) {
  std::vector<store::AuditRecord> parsed;
  for (const Json& each : records) {
    TACIT_TRY(store::AuditRecord record, ParseAuditRecord(each));
    parsed.push_back(std::move(record));
  }
  if (parsed.empty() || parsed.front().hash != commitment.hash || parsed.front().sequence != commitment.sequence)
    return Fail(ErrorCode::kDataLoss, "the log does not begin with the commitment");
  return store::FollowAudit({.sequence = commitment.sequence - 1, .hash = parsed.front().previous}, parsed);
}

Json EvidenceJson(const Json& claim, const Json& records) {
  return {{"format", kEvidenceFormat}, {"claim", claim}, {"audit", records}};
}

Result<ClaimEvidence> ParseEvidence(std::string_view text) {
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (TextAt(json, "format") != kEvidenceFormat || !MemberAt(json, "audit").is_array())
    return Fail(ErrorCode::kMalformed, std::string("this is no evidence of the format ") + kEvidenceFormat);
  const Json claim = MemberAt(json, "claim");
  const Json opening = MemberAt(claim, "opening");
  if (!opening.is_object()) return BadField("opening", "is missing: the claim was made without disclosing it");
  TACIT_TRY(const std::string spec, TextOf(opening, "model"));
  TACIT_TRY(model::ModelSpec model, model::ModelSpec::Parse(spec));
  TACIT_TRY(const task::Watermark rules, RulesOf(opening, model));
  TACIT_TRY(const Digest256 key, DigestOf(opening, "mark_key"));
  TACIT_TRY(crypto::SecretKey mark_key, crypto::SecretKey::FromBytes(key));
  TACIT_TRY(const std::string task, TextOf(claim, "task"));
  TACIT_TRY(TaskId id, TaskId::Parse(task));
  ownership::Opening promise{.task = std::move(id)};
  TACIT_TRY(promise.version, CountOf(claim, "version"));
  TACIT_TRY(promise.model, DigestOf(claim, "model_sha256"));
  TACIT_TRY(promise.nonce, DigestOf(opening, "nonce"));
  promise.triggers = ownership::DigestOf(ownership::MakeTriggers(mark_key, model, rules));
  TACIT_TRY(store::AuditRecord commitment, ParseAuditRecord(MemberAt(claim, "commitment")));
  TACIT_TRY(const store::AuditHead head, FollowFrom(commitment, MemberAt(json, "audit")));
  return ClaimEvidence{.mark_key = std::move(mark_key),
                       .model = std::move(model),
                       .rules = rules,
                       .opening = std::move(promise),
                       .commitment = std::move(commitment),
                       .head = head};
}

}  // namespace tacit::cli
