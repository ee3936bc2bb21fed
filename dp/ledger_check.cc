#include "dp/ledger_check.h"

#include <string>

#include "common/base/text.h"

namespace tacit::dp {
namespace {

/// Another compiler's logarithm may differ in its last digits; a spend does not.
constexpr double kSameNumber = 1 + 1e-9;

std::unexpected<Error> UnderReported(const LedgerEntry& entry, double computed) {
  return Fail(ErrorCode::kDataLoss, "privacy ledger of task " + entry.task.str() + ", entry " +
                                        std::to_string(entry.sequence) + ": it claims epsilon " +
                                        RoundedUp(entry.epsilon_after) + ", this release computes " +
                                        RoundedUp(computed) + ": more was spent than the ledger says");
}

}  // namespace

Result<LedgerCheck> CheckLedger(const BudgetPolicy& policy, std::span<const LedgerEntry> entries,
                                RoundNumber last_published) {
  TACIT_TRY(const BudgetLedger ledger, BudgetLedger::Restore(policy, entries, last_published));
  LedgerCheck check{.spent = {}, .charged = ledger.Charged(), .head = ledger.head()};
  EpsilonReport spent = CostOf(policy, 0);
  for (const LedgerEntry& entry : entries) {
    if (entry.kind == LedgerKind::kReserve) {
      // More rounds than a device may take part in cost it nothing more.
      const bool costs = ++check.rounds_reserved <= policy.max_participations;
      if (costs) spent = CostOf(policy, check.rounds_reserved);
    }
    check.rounds_charged += entry.kind == LedgerKind::kCharge ? 1 : 0;
    check.rounds_void += entry.kind == LedgerKind::kVoid ? 1 : 0;
    if (!(entry.epsilon_after * kSameNumber >= spent.epsilon)) return UnderReported(entry, spent.epsilon);
  }
  if (spent.epsilon > policy.budget.value() * kSameNumber) {
    return Fail(ErrorCode::kDataLoss, "privacy ledger of task " + policy.task.str() + ": epsilon " +
                                          RoundedUp(spent.epsilon) + " is spent, above the budget of " +
                                          RoundedUp(policy.budget.value()));
  }
  check.spent = spent;
  return check;
}

}  // namespace tacit::dp
