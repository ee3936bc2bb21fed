#pragma once

#include <cstdint>

#include "server/store/database.h"
#include "server/store/records.h"

// The hash-chained tables, for whoever only looks at them.
namespace tacit::store {

/// Recomputes the audit log's chain. Errors: kDataLoss naming the first record that does not fit.
Result<AuditHead> VerifyAudit(Database& database);

/// Recomputes the hashes of every task's ledger, and how many entries there are. Not what they claim to have spent:
/// that is `dp::CheckLedger`. Errors: kDataLoss naming the first entry that does not fit.
Result<std::uint64_t> VerifyLedgers(Database& database);

}  // namespace tacit::store
