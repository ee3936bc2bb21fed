#pragma once

#include <cstdint>
#include <span>

#include "common/base/result.h"
#include "dp/ledger.h"

namespace tacit::dp {

/// What a ledger says once everything it says was computed again.
struct LedgerCheck {
  EpsilonReport spent;    ///< Of all reserved rounds.
  EpsilonReport charged;  ///< Of those that can have been released.
  std::uint64_t rounds_reserved = 0;
  std::uint64_t rounds_charged = 0;
  std::uint64_t rounds_void = 0;
  std::uint64_t adjustments = 0;
  Digest256 head{};  ///< Hash of the newest entry: to be compared with one that was written down elsewhere.
};

/// Recomputes a whole ledger from the policy it was written under: the chain of hashes, the order of its steps, and
/// the epsilon that each entry claims, by the accountants of this release.
///
/// Guarantee: passes only a ledger in which no entry claims less than was spent, and that stayed within its budget.
/// Errors: as BudgetLedger::Restore; kDataLoss for an entry that claims less than this release computes, and for a
/// spend
///   above the budget.
/// Cost: one call of `Account` for each reservation.
Result<LedgerCheck> CheckLedger(const BudgetPolicy& policy, std::span<const LedgerEntry> entries,
                                RoundNumber last_published);

}  // namespace tacit::dp
