#include "dp/ledger.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "common/base/check.h"
#include "common/base/text.h"

namespace tacit::dp {
namespace {

std::string RoundName(RoundNumber round) {
  return "round " + std::to_string(round);
}

std::unexpected<Error> BadEntry(const LedgerEntry& entry, std::string_view why) {
  return Fail(ErrorCode::kDataLoss, "privacy ledger of task " + entry.task.str() + ", entry " +
                                        std::to_string(entry.sequence) + ": " + std::string(why) +
                                        "; the task must not run until a person has looked");
}

std::uint64_t Total(std::span<const NoisedRounds> rounds) {
  std::uint64_t total = 0;
  for (const NoisedRounds& each : rounds) total += each.rounds;
  return total;
}

void Count(std::vector<NoisedRounds>& rounds, NoiseMultiplier noise_multiplier, std::uint64_t more) {
  const auto found = std::ranges::find(rounds, noise_multiplier, &NoisedRounds::noise_multiplier);
  if (found != rounds.end()) {
    found->rounds += more;
  } else {
    rounds.push_back({noise_multiplier, more});
  }
}

Result<void> CheckPolicy(const BudgetPolicy& policy) {
  if (policy.mechanism != Mechanism::kGaussian && policy.mechanism != Mechanism::kLaplace) {
    return Fail(ErrorCode::kInvalidArgument, "a task without privacy has no privacy ledger");
  }
  if (policy.cohort == 0) return Fail(ErrorCode::kInvalidArgument, "the declared cohort is 0");
  if (policy.max_participations == 0) return Fail(ErrorCode::kInvalidArgument, "a device may take part in 0 rounds");
  if (policy.min_separation == 0) {
    return Fail(ErrorCode::kInvalidArgument, "a device's rounds must be at least 1 apart");
  }
  if (policy.hash == nullptr) return Fail(ErrorCode::kInvalidArgument, "the privacy ledger has no hash function");
  if (policy.tracking) {
    if (policy.mechanism != Mechanism::kGaussian)
      return Fail(ErrorCode::kInvalidArgument, "a clip norm that follows a quantile is for Gaussian noise");
    TACIT_TRY_VOID(CheckTracking(*policy.tracking, policy.grid_radius));
  }
  TACIT_TRY_VOID(NoiseStepsWithBits(policy.noise_multiplier, policy.grid_radius,
                                    policy.tracking ? policy.tracking->bit_steps : 0));
  return {};
}

}  // namespace

std::string_view NameOf(LedgerKind kind) {
  switch (kind) {
    case LedgerKind::kReserve:
      return "reserve";
    case LedgerKind::kCharge:
      return "charge";
    case LedgerKind::kVoid:
      return "void";
    case LedgerKind::kAdjust:
      return "adjust";
  }
  return "unknown";
}

Result<LedgerKind> ParseLedgerKind(std::string_view name) {
  for (const LedgerKind kind : {LedgerKind::kReserve, LedgerKind::kCharge, LedgerKind::kVoid, LedgerKind::kAdjust}) {
    if (name == NameOf(kind)) return kind;
  }
  return Fail(ErrorCode::kInvalidArgument,
              "an entry of a privacy ledger is a \"reserve\", a \"charge\", a \"void\" or an \"adjust\"");
}

Bytes CanonicalBytes(const LedgerEntry& entry) {
  ByteWriter writer;
  writer.Text("tacit-ledger/1").Text(entry.task.str()).U64(entry.sequence).U8(static_cast<std::uint8_t>(entry.kind));
  writer.U64(entry.round)
      .U8(static_cast<std::uint8_t>(entry.mechanism))
      .F64(entry.noise_multiplier)
      .F64(entry.clip_norm);
  writer.U32(entry.grid_radius).U64(entry.cohort).U64(static_cast<std::uint64_t>(entry.at.time_since_epoch().count()));
  writer.F64(entry.epsilon_after).Raw(entry.previous);
  return std::move(writer).Take();
}

Digest256 PolicyDigest(const BudgetPolicy& policy) {
  ByteWriter writer;
  writer.Text("tacit-policy/1").Text(policy.task.str()).U8(static_cast<std::uint8_t>(policy.mechanism));
  writer.F64(policy.noise_multiplier.value()).F64(policy.clip_norm.value()).U32(policy.grid_radius.value());
  writer.U64(policy.cohort).F64(policy.delta.value()).F64(policy.budget.value()).U64(policy.max_participations);
  writer.U64(policy.min_separation).U8(policy.coin ? 1 : 0);
  if (policy.coin) {
    writer.F64(policy.coin->probability.value()).U64(policy.coin->population).U64(policy.coin->max_cohort);
  }
  writer.U8(policy.tracking ? 1 : 0);
  if (policy.tracking) {
    writer.U32(policy.tracking->bit_steps).F64(policy.tracking->quantile).F64(policy.tracking->learning_rate);
  }
  return policy.hash(writer.bytes());
}

EpsilonReport CostOf(const BudgetPolicy& policy, std::uint64_t rounds) {
  return Account({.mechanism = policy.mechanism,
                  .noise_multiplier = policy.noise_multiplier,
                  .compositions = std::min(rounds, policy.max_participations),
                  .delta = policy.delta,
                  .coin = policy.coin});
}

Result<RenyiFilter> FilterOf(const BudgetPolicy& policy) {
  return RenyiFilter::Create(
      {.epsilon = policy.budget,
       .delta = policy.delta,
       .max_releases = policy.max_participations,
       .typical = {.mechanism = policy.mechanism, .noise_multiplier = policy.noise_multiplier, .coin = policy.coin}});
}

EpsilonReport FilteredCostOf(const BudgetPolicy& policy, const RenyiFilter& filter,
                             std::span<const NoisedRounds> rounds) {
  std::vector<NoisedRounds> dearest(rounds.begin(), rounds.end());
  std::ranges::sort(dearest, {}, &NoisedRounds::noise_multiplier);
  EpsilonReport report{.delta = policy.delta.value(), .accountant = "renyi-filter"};
  double spent = 0;
  for (const NoisedRounds& each : dearest) {
    const std::uint64_t taken = std::min(each.rounds, policy.max_participations - report.compositions);
    if (taken == 0) continue;  // noise so small that one round costs infinity must not make nothing of none
    spent +=
        static_cast<double>(taken) *
        filter.CostOf({.mechanism = policy.mechanism, .noise_multiplier = each.noise_multiplier, .coin = policy.coin});
    report.rho_zcdp += ConcentratedRho(policy.mechanism, each.noise_multiplier, taken);
    report.compositions += taken;
  }
  report.epsilon = filter.EpsilonOf(spent);
  report.epsilon_rdp = report.epsilon;
  return report;
}

std::uint64_t AffordableRounds(const BudgetPolicy& policy) {
  return RoundsWithinBudget({.mechanism = policy.mechanism,
                             .noise_multiplier = policy.noise_multiplier,
                             .delta = policy.delta,
                             .budget = policy.budget,
                             .max_participations = policy.max_participations,
                             .coin = policy.coin});
}

BudgetLedger::BudgetLedger(BudgetPolicy policy)
    : policy_(std::move(policy)),
      rounds_affordable_(AffordableRounds(policy_)),
      next_noise_(policy_.noise_multiplier),
      latest_noise_(policy_.noise_multiplier),
      clip_norm_(policy_.clip_norm),
      next_clip_norm_(policy_.clip_norm),
      head_(PolicyDigest(policy_)) {
  Reckon();
}

Result<BudgetLedger> BudgetLedger::Restore(BudgetPolicy policy, std::span<const LedgerEntry> entries,
                                           RoundNumber last_published) {
  TACIT_TRY_VOID(CheckPolicy(policy));
  BudgetLedger ledger(std::move(policy));
  for (const LedgerEntry& entry : entries) {
    TACIT_TRY_VOID(ledger.CheckNext(entry));
    ledger.TakeIn(entry);
  }
  if (last_published != 0 && !ledger.IsCharged(last_published)) {
    return Fail(
        ErrorCode::kDataLoss,
        "privacy ledger of task " + ledger.policy_.task.str() + ": the model of " + RoundName(last_published) +
            " is published but its charge is missing; the ledger was cut or replaced, and the task must not run "
            "until a person has looked");
  }
  ledger.last_published_ = last_published;
  ledger.Reckon();
  return ledger;
}

Result<LedgerEntry> BudgetLedger::ProposeReserve(RoundNumber round, WallTime at) const {
  if (round <= latest_reserved_) {
    return Fail(ErrorCode::kConflict,
                RoundName(round) + " cannot be reserved: " + RoundName(latest_reserved_) + " already is");
  }
  if (RoundsLeft() == 0) {
    return Fail(ErrorCode::kBudgetExhausted,
                RoundName(round) + " would bring epsilon to " + RoundedUp(Projected(1).epsilon) +
                    ", above the budget of " + RoundedUp(policy_.budget.value()) + ": the budget pays for " +
                    Counted(rounds_affordable_, "round") + "; spent or reserved: " + std::to_string(rounds_reserved_) +
                    ", left: 0");
  }
  return NextEntry(LedgerKind::kReserve, round, at, policy_.cohort);
}

Result<Adjustment> BudgetLedger::ProposeAdjust(NoiseMultiplier noise_multiplier, WallTime at) const {
  if (noise_multiplier == next_noise_) {
    return Fail(ErrorCode::kInvalidArgument,
                "the noise multiplier is " + RoundedUp(noise_multiplier.value()) + " already; nothing was changed");
  }
  TACIT_TRY_VOID(CheckNoise(noise_multiplier.value()));
  LedgerEntry entry = NextEntry(LedgerKind::kAdjust, latest_reserved_, at, policy_.cohort);
  entry.noise_multiplier = noise_multiplier.value();
  BudgetLedger adjusted = *this;
  adjusted.TakeIn(entry);
  adjusted.Reckon();
  if (adjusted.RoundsLeft() == 0) {
    return Fail(ErrorCode::kBudgetExhausted,
                "with that noise the budget of " + RoundedUp(policy_.budget.value()) +
                    " pays for no further round: by the Renyi filter, which a changed schedule is under, epsilon is " +
                    RoundedUp(adjusted.Spent().epsilon) + " already, and would be " +
                    RoundedUp(adjusted.Projected(1).epsilon) + "; choose more noise, or leave it as it is");
  }
  entry.epsilon_after = adjusted.Spent().epsilon;
  entry.hash = policy_.hash(CanonicalBytes(entry));
  return Adjustment{.entry = entry, .spent = adjusted.Spent(), .rounds_left = adjusted.RoundsLeft()};
}

Result<void> BudgetLedger::CheckNoise(double noise_multiplier) const {
  TACIT_TRY(const auto checked, NoiseMultiplier::Create(noise_multiplier));
  TACIT_TRY_VOID(NoiseStepsWithBits(checked, policy_.grid_radius, policy_.tracking ? policy_.tracking->bit_steps : 0));
  // It depends on the policy alone: once made, it can be made.
  if (!filter_) TACIT_TRY_VOID(FilterOf(policy_));
  return {};
}

Result<void> BudgetLedger::UseClipNorm(ClipNorm clip_norm) {
  if (!policy_.tracking) return Fail(ErrorCode::kConflict, "the clip norm of this task does not move");
  if (clip_norm == next_clip_norm_) return {};
  if (OpenRound())
    return Fail(ErrorCode::kConflict, RoundName(latest_reserved_) + " is reserved with another clip norm");
  next_clip_norm_ = clip_norm;
  return {};
}

Result<LedgerEntry> BudgetLedger::ProposeCharge(RoundNumber round, std::uint64_t contributions, WallTime at) const {
  TACIT_TRY_VOID(CheckUncharged(round));
  return NextEntry(LedgerKind::kCharge, round, at, policy_.coin ? policy_.cohort : contributions);
}

Result<LedgerEntry> BudgetLedger::ProposeVoid(RoundNumber round, WallTime at) const {
  TACIT_TRY_VOID(CheckUncharged(round));
  return NextEntry(LedgerKind::kVoid, round, at, policy_.cohort);
}

Result<void> BudgetLedger::CheckUncharged(RoundNumber round) const {
  if (round < latest_reserved_)
    return Fail(ErrorCode::kGone, RoundName(round) + " is over: " + RoundName(latest_reserved_) + " is reserved");
  if (round == 0 || round > latest_reserved_) return Fail(ErrorCode::kConflict, RoundName(round) + " is not reserved");
  if (open_charge_) return Fail(ErrorCode::kConflict, RoundName(round) + " is already charged");
  if (void_) return Fail(ErrorCode::kGone, RoundName(round) + " is void");
  return {};
}

Result<void> BudgetLedger::Apply(const Durable<LedgerEntry>& entry) {
  TACIT_TRY_VOID(CheckNext(entry.value()));
  TakeIn(entry.value());
  Reckon();
  return {};
}

Result<ReleaseToken> BudgetLedger::Redeem(const Durable<LedgerEntry>& charge) {
  const LedgerEntry& entry = charge.value();
  if (!open_charge_ || entry != *open_charge_) {
    const bool over = entry.task == policy_.task && entry.round < latest_reserved_ && IsCharged(entry.round);
    if (over)
      return Fail(ErrorCode::kGone,
                  RoundName(entry.round) + " is over: " + RoundName(latest_reserved_) + " is reserved");
    return Fail(ErrorCode::kConflict, "the entry is not the charge of the open round of this ledger");
  }
  if (redeemed_) return Fail(ErrorCode::kGone, RoundName(entry.round) + " was released before");
  if (entry.round <= last_published_) return Fail(ErrorCode::kGone, RoundName(entry.round) + " is published");
  redeemed_ = true;
  return ReleaseToken(ReleaseTerms{.round = {.task = policy_.task, .round = entry.round},
                                   .mechanism = policy_.mechanism,
                                   .noise_multiplier = latest_noise_,
                                   .clip_norm = clip_norm_,
                                   .grid_radius = policy_.grid_radius,
                                   .divisor = static_cast<double>(policy_.cohort),
                                   .bit_steps = policy_.tracking ? policy_.tracking->bit_steps : 0});
}

EpsilonReport BudgetLedger::Projected(std::uint64_t rounds) const {
  std::vector<NoisedRounds> projected = reserved_;
  Count(projected, next_noise_, std::min(rounds, kUnlimitedRounds - rounds_reserved_));
  return CostOfRounds(projected);
}

std::uint64_t BudgetLedger::RoundsLeft() const {
  if (rounds_affordable_ == kUnlimitedRounds) return kUnlimitedRounds;
  return rounds_affordable_ - std::min(rounds_affordable_, rounds_reserved_);
}

std::optional<RoundNumber> BudgetLedger::OpenRound() const {
  if (latest_reserved_ == 0 || latest_reserved_ <= last_published_ || redeemed_ || void_) return std::nullopt;
  return latest_reserved_;
}

bool BudgetLedger::IsCharged(RoundNumber round) const {
  return charged_rounds_.contains(round);
}

EpsilonReport BudgetLedger::CostOfRounds(std::span<const NoisedRounds> rounds) const {
  if (filter_) return FilteredCostOf(policy_, *filter_, rounds);
  // Before an adjustment all rounds are alike.
  const std::uint64_t compositions = std::min(Total(rounds), policy_.max_participations);
  // Beyond the limit every report is the one before, and need not be computed again.
  for (const EpsilonReport* known : {&spent_, &charged_})
    if (compositions > 0 && compositions == known->compositions) return *known;
  return CostOf(policy_, compositions);
}

EpsilonReport BudgetLedger::CostOfDevice(std::uint64_t rounds) const {
  if (!filter_) return CostOf(policy_, rounds);
  BudgetPolicy of_device = policy_;
  of_device.max_participations = std::min(rounds, policy_.max_participations);
  return FilteredCostOf(of_device, *filter_, reserved_);
}

void BudgetLedger::Reckon() {
  spent_ = CostOfRounds(reserved_);
  charged_ = CostOfRounds(charged_by_noise_);
}

LedgerEntry BudgetLedger::NextEntry(LedgerKind kind, RoundNumber round, WallTime at, std::uint64_t cohort) const {
  LedgerEntry entry{.task = policy_.task,
                    .sequence = sequence_ + 1,
                    .kind = kind,
                    .round = round,
                    .mechanism = policy_.mechanism,
                    .noise_multiplier = (kind == LedgerKind::kReserve ? next_noise_ : latest_noise_).value(),
                    .clip_norm = (kind == LedgerKind::kReserve ? next_clip_norm_ : clip_norm_).value(),
                    .grid_radius = policy_.grid_radius.value(),
                    .cohort = cohort,
                    .at = at,
                    .epsilon_after = kind == LedgerKind::kReserve ? Projected(1).epsilon : spent_.epsilon,
                    .previous = head_};
  entry.hash = policy_.hash(CanonicalBytes(entry));
  return entry;
}

Result<void> BudgetLedger::CheckNext(const LedgerEntry& entry) const {
  if (entry.task != policy_.task) return BadEntry(entry, "it belongs to another task than " + policy_.task.str());
  if (entry.sequence != sequence_ + 1)
    return BadEntry(entry, "entry " + std::to_string(sequence_ + 1) + " was expected");
  if (entry.previous != head_) {
    return BadEntry(entry, sequence_ == 0 ? "it was written under another privacy policy"
                                          : "it does not follow the entry before it");
  }
  if (entry.hash != policy_.hash(CanonicalBytes(entry))) return BadEntry(entry, "its hash does not match its contents");
  // A clip norm that follows a quantile moves from one reservation to the next, and not in between.
  const bool may_move = policy_.tracking && entry.kind == LedgerKind::kReserve && ClipNorm::Create(entry.clip_norm);
  const bool same_mechanism = entry.mechanism == policy_.mechanism && HasItsNoise(entry) &&
                              (may_move || entry.clip_norm == clip_norm_.value()) &&
                              entry.grid_radius == policy_.grid_radius.value();
  if (!same_mechanism) return BadEntry(entry, "its mechanism is not the task's");
  return CheckRules(entry);
}

bool BudgetLedger::HasItsNoise(const LedgerEntry& entry) const {
  switch (entry.kind) {
    case LedgerKind::kReserve:
      return entry.noise_multiplier == next_noise_.value();
    case LedgerKind::kAdjust:
      return entry.noise_multiplier != next_noise_.value() && CheckNoise(entry.noise_multiplier).has_value();
    case LedgerKind::kCharge:
    case LedgerKind::kVoid:
      break;
  }
  return entry.noise_multiplier == latest_noise_.value();
}

// A reservation above the budget passes here: it is on disk, and what is on disk counts. It is refused where it is
// proposed.
Result<void> BudgetLedger::CheckRules(const LedgerEntry& entry) const {
  switch (entry.kind) {
    case LedgerKind::kReserve:
      if (entry.round <= latest_reserved_)
        return BadEntry(entry, RoundName(entry.round) + " is reserved twice or out of order");
      if (entry.cohort != policy_.cohort) return BadEntry(entry, "its cohort is not the declared one");
      return {};
    case LedgerKind::kCharge:
    case LedgerKind::kVoid:
      if (const auto open = CheckUncharged(entry.round); !open)
        return BadEntry(entry, "it is a " + std::string(NameOf(entry.kind)) + ", but " + open.error().message);
      return {};
    case LedgerKind::kAdjust:
      if (entry.round != latest_reserved_) return BadEntry(entry, "it does not name the latest reserved round");
      if (entry.cohort != policy_.cohort) return BadEntry(entry, "its cohort is not the declared one");
      return {};
  }
  return BadEntry(entry, "it is no reservation, no charge, no void and no adjustment");
}

void BudgetLedger::TakeIn(const LedgerEntry& entry) {
  sequence_ = entry.sequence;
  head_ = entry.hash;
  if (entry.kind == LedgerKind::kReserve) {
    if (const auto clip_norm = ClipNorm::Create(entry.clip_norm)) clip_norm_ = next_clip_norm_ = *clip_norm;
    latest_reserved_ = entry.round;
    latest_noise_ = next_noise_;
    Count(reserved_, latest_noise_, 1);
    ++rounds_reserved_;
    open_charge_.reset();
    void_ = false;
    redeemed_ = false;
  } else if (entry.kind == LedgerKind::kVoid) {
    void_ = true;
  } else if (entry.kind == LedgerKind::kAdjust) {
    TakeInAdjust(entry);
  } else {
    open_charge_ = entry;
    charged_rounds_.insert(entry.round);
    Count(charged_by_noise_, latest_noise_, 1);
    ++rounds_charged_;
  }
}

// The entry was checked: the noise and the filter can be made.
void BudgetLedger::TakeInAdjust(const LedgerEntry& entry) {
  const auto noise = NoiseMultiplier::Create(entry.noise_multiplier);
  TACIT_CHECK(noise.has_value(), "an adjustment is checked before it is taken in");
  next_noise_ = *noise;
  if (!filter_) {
    const auto filter = FilterOf(policy_);
    TACIT_CHECK(filter.has_value(), "an adjustment is checked before it is taken in");
    filter_ = *filter;
  }
  const auto fits = [&](std::uint64_t rounds) { return Projected(rounds).epsilon <= policy_.budget.value(); };
  if (fits(policy_.max_participations)) {
    rounds_affordable_ = kUnlimitedRounds;
    return;
  }
  std::uint64_t within = 0;
  std::uint64_t beyond = policy_.max_participations;
  while (beyond - within > 1) {
    const std::uint64_t middle = within + (beyond - within) / 2;
    (fits(middle) ? within : beyond) = middle;
  }
  rounds_affordable_ = rounds_reserved_ + within;
}

}  // namespace tacit::dp
