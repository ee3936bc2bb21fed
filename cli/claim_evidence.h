#pragma once

#include <string_view>
#include <vector>

#include "cli/output.h"
#include "common/crypto/secret.h"
#include "common/model/spec.h"
#include "server/ownership/watermark.h"
#include "server/store/records.h"

namespace tacit::cli {

/// What the server says of a record of its audit log. Errors: kMalformed, naming the field.
Result<store::AuditRecord> ParseAuditRecord(const Json& json);

/// Records of the log from one that commits to a mark on, to its head. Errors: kMalformed; kDataLoss for a chain that
/// does not hold.
Result<store::AuditHead> FollowFrom(const store::AuditRecord& commitment, const Json& records);

/// All that a stranger needs to check a claim.
struct ClaimEvidence {
  crypto::SecretKey mark_key;
  model::ModelSpec model;
  task::Watermark rules;
  ownership::Opening opening;
  store::AuditRecord commitment;
  store::AuditHead head;  ///< That the log was followed to.
};

/// The text of an evidence file: the server's answer to a claim, and its log from the commitment on.
Json EvidenceJson(const Json& claim, const Json& records);

/// Reads one, and follows its log. Errors: kMalformed, naming the field; kDataLoss for a chain that does not hold.
Result<ClaimEvidence> ParseEvidence(std::string_view text);

}  // namespace tacit::cli
