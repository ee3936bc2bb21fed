#pragma once

#include <string_view>
#include <vector>

#include "cli/output.h"
#include "common/base/result.h"
#include "dp/ledger.h"

namespace tacit::cli {

/// A privacy ledger as `tacit privacy ledger --output` writes it: all that is needed to compute it again.
struct LedgerFile {
  dp::BudgetPolicy policy;
  RoundNumber latest_version = 0;  ///< The newest model that is published.
  std::vector<dp::LedgerEntry> entries;
};

/// {"format":"tacit-ledger/1","policy":{...},"latest_version":n,"items":[...]}
Json LedgerDocument(const Json& policy, const Json& latest_version, const Json& items);

/// Reads such a document from anybody's hands.
/// Errors: kMalformed for what is no JSON or no such document; kInvalidArgument, naming the field, for a value that
///   cannot be.
Result<LedgerFile> ParseLedgerFile(std::string_view text);

}  // namespace tacit::cli
