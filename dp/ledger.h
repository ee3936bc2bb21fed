#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <span>
#include <string_view>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/base/durable.h"
#include "common/base/ids.h"
#include "common/base/result.h"
#include "dp/accounting.h"
#include "dp/adaptive_clip.h"
#include "dp/filter.h"
#include "dp/planning.h"
#include "dp/token.h"
#include "dp/types.h"

namespace tacit::dp {

/// SHA-256, passed in because this library knows no cryptography.
using HashFunction = Digest256 (*)(ByteSpan);

enum class LedgerKind : std::uint8_t {
  kReserve = 1,  ///< Before a round opens. Spent from then on, whether or not anything is ever published.
  kCharge = 2,   ///< Before noise is drawn for a round that was reserved.
  kVoid = 3,    ///< The reserved round ended without a charge: nothing was drawn for it, nothing ever will be. It stays
                ///< spent (docs/adr/0005).
  kAdjust = 4,  ///< From the next reservation on the noise is another one. The first of them moves the task to a Renyi
                ///< filter, for good (docs/adr/0012).
};
/// `reserve`, `charge`, `void` or `adjust`: the word used in answers and records.
std::string_view NameOf(LedgerKind kind);
/// Errors: kInvalidArgument, listing the words.
Result<LedgerKind> ParseLedgerKind(std::string_view name);

/// One line of a task's ledger, chained to the one before.
struct LedgerEntry {
  TaskId task;
  std::uint64_t sequence = 0;  ///< From 1, without gaps.
  LedgerKind kind = LedgerKind::kReserve;
  RoundNumber round = 0;
  Mechanism mechanism = Mechanism::kNone;
  double noise_multiplier = 0;  ///< Of the round; of an adjustment, that of the rounds that follow.
  double clip_norm = 0;
  std::uint32_t grid_radius = 0;
  /// Reserve, void and adjust: the declared cohort. Charge: the devices whose updates are in the sum; the declared
  /// cohort again where a coin hides how many came.
  std::uint64_t cohort = 0;
  WallTime at;
  double epsilon_after = 0;  ///< Upper bound of what is spent or reserved once this entry stands.
  Digest256 previous{};      ///< `hash` of the entry before; `PolicyDigest` for the first.
  Digest256 hash{};          ///< Hash of `CanonicalBytes` of this entry.

  bool operator==(const LedgerEntry&) const = default;
};

/// What an entry's hash is computed over: every field but `hash`, fixed width or length-prefixed, in the order of the
/// struct, after the label `tacit-ledger/1`. Public so that an auditor can recompute a chain.
Bytes CanonicalBytes(const LedgerEntry& entry);

/// A task's privacy policy, fixed when the task is created; adjustments of its noise are entries of its ledger.
struct BudgetPolicy {
  TaskId task;
  Mechanism mechanism;  ///< Not kNone: a task without privacy has no ledger.
  NoiseMultiplier noise_multiplier;
  ClipNorm clip_norm;  ///< With `tracking`, of the first round.
  GridRadius grid_radius;
  std::uint64_t cohort;  ///< The declared cohort: the divisor of the average.
  Delta delta;
  Epsilon budget;
  std::uint64_t
      max_participations;           ///< Rounds that one device may contribute to; somebody else enforces it per device.
  std::uint64_t min_separation;     ///< From one of them to the next, at least; enforced likewise. 1: no gap.
  std::optional<CheckinCoin> coin;  ///< How the server draws cohorts; none: devices come when they like.
  std::optional<ClipTracking> tracking;  ///< How the clip norm moves; none: it does not. No number of it costs more.
  HashFunction hash;
};

/// What the first entry follows: the hash of every number of the policy after the label `tacit-policy/1`. A ledger can
/// therefore not be read under another delta, budget or participation limit than the one it was written under.
Digest256 PolicyDigest(const BudgetPolicy& policy);

/// What `rounds` reserved rounds cost under a policy: a device is in at most max_participations of them, and its vector
/// is zero on both sides in all others.
EpsilonReport CostOf(const BudgetPolicy& policy, std::uint64_t rounds);

/// Rounds that have the same noise.
struct NoisedRounds {
  NoiseMultiplier noise_multiplier;
  std::uint64_t rounds;
};

/// The filter that a policy's rounds are under once their noise was adjusted: for its budget and delta, at an order
/// that the policy decides, which was there before the first round. Errors: as RenyiFilter::Create.
Result<RenyiFilter> FilterOf(const BudgetPolicy& policy);

/// What rounds with different noise cost under a policy's filter: the device that was in the dearest of them, as often
/// as it may.
EpsilonReport FilteredCostOf(const BudgetPolicy& policy, const RenyiFilter& filter,
                             std::span<const NoisedRounds> rounds);

/// RoundsWithinBudget, of a policy.
std::uint64_t AffordableRounds(const BudgetPolicy& policy);

/// An adjustment that could be made, and what it would come to.
struct Adjustment {
  LedgerEntry entry;
  EpsilonReport spent;  ///< By the filter.
  std::uint64_t rounds_left = 0;
};

/// The privacy budget of one task: what was spent, and whether one more round may open.
///
/// Guarantee: never under-reports. A round counts from its reservation on, for ever; the bound is that of `Account` for
///   min(rounds reserved, max_participations) rounds, or that of FilteredCostOf from the first adjustment on, and a
///   reservation that would take it above the budget is refused.
///   A token is minted only for a durable charge of a reserved round, at most once, and never for a round that a later
///   reservation or publication has passed.
/// Threads: one at a time. It does no I/O: entries are proposed here, made durable by a store, and applied here.
class BudgetLedger {
 public:
  /// Rebuilds the ledger from its entries, oldest first. `last_published` is the newest round of this task whose model
  /// is published (0 for none). A published round without its charge proves that the ledger's end was cut, and a
  /// published round is never released again.
  /// Errors: kInvalidArgument for a policy that cannot work; kDataLoss when the chain, the sequence, the rules or the
  ///   parameters do not hold, naming the entry.
  static Result<BudgetLedger> Restore(BudgetPolicy policy, std::span<const LedgerEntry> entries,
                                      RoundNumber last_published);

  /// The entry that would reserve `round`. Nothing is spent until it is durable and applied.
  /// Errors: kBudgetExhausted, naming the budget, what the round would bring it to, and how many rounds fit; kConflict
  ///   for a round that is not above all reserved ones.
  [[nodiscard]] Result<LedgerEntry> ProposeReserve(RoundNumber round, WallTime at) const;

  /// The entry that would give every round after those reserved another noise. Whoever chose it may have seen what was
  /// released, so that loss distributions of a schedule that was declared up front prove nothing any more.
  /// Errors: kInvalidArgument for noise that cannot be drawn, or is that of the rounds already; kBudgetExhausted when
  ///   the budget would then pay for no further round; those of FilterOf.
  [[nodiscard]] Result<Adjustment> ProposeAdjust(NoiseMultiplier noise_multiplier, WallTime at) const;
  /// Of the rounds that are reserved from here on.
  [[nodiscard]] NoiseMultiplier noise_multiplier() const { return next_noise_; }
  /// Set from the first adjustment on.
  [[nodiscard]] const std::optional<RenyiFilter>& filter() const { return filter_; }
  /// Reserved rounds by their noise, in the order in which it was first used.
  [[nodiscard]] std::span<const NoisedRounds> reserved() const { return reserved_; }

  /// The clip norm of the rounds that are reserved from here on; for a policy with tracking.
  /// Errors: kConflict without tracking, and while a reserved round can still be charged or released.
  Result<void> UseClipNorm(ClipNorm clip_norm);
  [[nodiscard]] ClipNorm clip_norm() const { return next_clip_norm_; }

  /// The entry that would charge `round`, whose sum holds `contributions` devices.
  /// Errors: kConflict when the round is not reserved or already charged; kGone when a later round is reserved or
  ///   published.
  [[nodiscard]] Result<LedgerEntry> ProposeCharge(RoundNumber round, std::uint64_t contributions, WallTime at) const;

  /// The entry that says that `round`, reserved and not charged, has ended: nothing can be charged for it any more.
  /// Errors: as ProposeCharge.
  [[nodiscard]] Result<LedgerEntry> ProposeVoid(RoundNumber round, WallTime at) const;

  /// Takes in an entry that is on disk.
  /// Errors: kDataLoss when it is not the next entry of this chain, or breaks a rule. The task must then stop.
  Result<void> Apply(const Durable<LedgerEntry>& entry);

  /// The token for a round whose charge is durable and applied.
  /// Errors: kConflict when `charge` is not the charge of this chain for its round; kGone when it was redeemed before,
  ///   or when a later round is reserved or this one published.
  Result<ReleaseToken> Redeem(const Durable<LedgerEntry>& charge);

  /// Everything reserved or charged so far: the number to show. An abandoned reservation is in it.
  [[nodiscard]] const EpsilonReport& Spent() const { return spent_; }
  /// Only the rounds that were charged: what can have been released at most.
  [[nodiscard]] const EpsilonReport& Charged() const { return charged_; }
  /// An upper bound of what a device that was counted in `rounds` rounds has spent, whichever they were.
  [[nodiscard]] EpsilonReport CostOfDevice(std::uint64_t rounds) const;
  /// Spent(), after `rounds` more.
  [[nodiscard]] EpsilonReport Projected(std::uint64_t rounds) const;
  /// How many more rounds may be reserved; kUnlimitedRounds when the participation limit alone keeps every device
  /// within the budget.
  [[nodiscard]] std::uint64_t RoundsLeft() const;

  [[nodiscard]] const BudgetPolicy& policy() const { return policy_; }
  [[nodiscard]] std::uint64_t rounds_reserved() const { return rounds_reserved_; }
  [[nodiscard]] std::uint64_t rounds_charged() const { return rounds_charged_; }
  /// The reserved round that can still be charged, or charged round that can still be released: what a restarted server
  /// picks up.
  [[nodiscard]] std::optional<RoundNumber> OpenRound() const;
  [[nodiscard]] bool IsCharged(RoundNumber round) const;
  /// Sequence number and hash of the newest entry (0 and `PolicyDigest` when empty), to be anchored outside the ledger.
  [[nodiscard]] std::uint64_t sequence() const { return sequence_; }
  [[nodiscard]] const Digest256& head() const { return head_; }

 private:
  explicit BudgetLedger(BudgetPolicy policy);
  [[nodiscard]] EpsilonReport CostOfRounds(std::span<const NoisedRounds> rounds) const;
  void Reckon();
  void TakeInAdjust(const LedgerEntry& entry);
  [[nodiscard]] LedgerEntry NextEntry(LedgerKind kind, RoundNumber round, WallTime at, std::uint64_t cohort) const;
  [[nodiscard]] Result<void> CheckNoise(double noise_multiplier) const;
  [[nodiscard]] bool HasItsNoise(const LedgerEntry& entry) const;
  [[nodiscard]] Result<void> CheckUncharged(RoundNumber round) const;
  [[nodiscard]] Result<void> CheckNext(const LedgerEntry& entry) const;
  [[nodiscard]] Result<void> CheckRules(const LedgerEntry& entry) const;
  void TakeIn(const LedgerEntry& entry);

  BudgetPolicy policy_;
  std::uint64_t rounds_affordable_;  ///< By the budget, in all.
  std::optional<RenyiFilter> filter_;
  NoiseMultiplier next_noise_;    ///< Of the rounds to be reserved.
  NoiseMultiplier latest_noise_;  ///< Of the latest reserved round.
  std::vector<NoisedRounds> reserved_;
  std::vector<NoisedRounds> charged_by_noise_;
  ClipNorm clip_norm_;       ///< Of the latest reserved round.
  ClipNorm next_clip_norm_;  ///< Of the rounds to be reserved.
  EpsilonReport spent_;
  EpsilonReport charged_;  ///< Kept as well: whoever looks at a task asks for both, and an accountant is slow.
  std::uint64_t sequence_ = 0;
  Digest256 head_;
  std::uint64_t rounds_reserved_ = 0;
  std::uint64_t rounds_charged_ = 0;
  RoundNumber latest_reserved_ = 0;
  RoundNumber last_published_ = 0;
  std::optional<LedgerEntry> open_charge_;  ///< The charge of the latest reserved round.
  bool void_ = false;                       ///< Whether the latest reserved round was declared void.
  std::set<RoundNumber> charged_rounds_;
  bool redeemed_ = false;  ///< Whether `open_charge_` was turned into a token.
};

}  // namespace tacit::dp
