#include "dp/ledger_check.h"

#include <optional>
#include <string>
#include <vector>

#include "common/base/text.h"

namespace tacit::dp {
namespace {

/// Another compiler's logarithm may differ in its last digits; a spend does not.
constexpr double kSameNumber = 1 + 1e-9;

/// What was reserved so far, reckoned apart from the ledger that claims it.
class Spend {
 public:
  explicit Spend(const BudgetPolicy& policy) : policy_(policy) {}

  Result<void> TakeIn(const LedgerEntry& entry) {
    if (entry.kind == LedgerKind::kAdjust) {
      TACIT_TRY(filter_, FilterOf(policy_));
      return {};
    }
    TACIT_TRY(const auto noise_multiplier, NoiseMultiplier::Create(entry.noise_multiplier));
    if (rounds_.empty() || rounds_.back().noise_multiplier != noise_multiplier)
      rounds_.push_back({noise_multiplier, 0});
    ++rounds_.back().rounds;
    return {};
  }
  [[nodiscard]] bool filtered() const { return filter_.has_value(); }
  [[nodiscard]] EpsilonReport Cost() const {
    if (filter_) return FilteredCostOf(policy_, *filter_, rounds_);
    return CostOf(policy_, rounds_.empty() ? 0 : rounds_.back().rounds);
  }

 private:
  const BudgetPolicy& policy_;
  std::optional<RenyiFilter> filter_;
  std::vector<NoisedRounds> rounds_;
};

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
  Spend spend(policy);
  EpsilonReport spent = spend.Cost();
  for (const LedgerEntry& entry : entries) {
    if (entry.kind == LedgerKind::kReserve || entry.kind == LedgerKind::kAdjust) {
      TACIT_TRY_VOID(spend.TakeIn(entry));
      // More rounds than a device may take part in cost it nothing more, while all are alike.
      const bool costs = spend.filtered() || check.rounds_reserved < policy.max_participations;
      if (costs) spent = spend.Cost();
    }
    check.rounds_reserved += entry.kind == LedgerKind::kReserve ? 1 : 0;
    check.adjustments += entry.kind == LedgerKind::kAdjust ? 1 : 0;
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
