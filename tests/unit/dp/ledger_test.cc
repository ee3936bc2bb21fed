#include "dp/ledger.h"

#include <array>
#include <type_traits>

#include <gmock/gmock.h>

#include "common/crypto/digest.h"
#include "dp/composition.h"
#include "dp/discrete.h"
#include "dp/ledger_check.h"
#include "dp/release.h"
#include "tests/support/matchers.h"
#include "tests/unit/dp/dp_support.h"

namespace tacit::dp {
namespace {

using tacit::testing::IsError;
using tacit::testing::IsErrorSaying;
using tacit::testing::IsOk;
using testing::TestMinter;

constexpr WallTime kNow{Millis(1'790'000'000'000)};

// A token needs an entry that a store called durable.
template <typename Entry>
concept CanBeRedeemed = requires(BudgetLedger& ledger, const Entry& entry) { ledger.Redeem(entry); };
template <typename Entry>
concept CanBeApplied = requires(BudgetLedger& ledger, const Entry& entry) { ledger.Apply(entry); };
static_assert(CanBeRedeemed<Durable<LedgerEntry>> && !CanBeRedeemed<LedgerEntry>);
static_assert(CanBeApplied<Durable<LedgerEntry>> && !CanBeApplied<LedgerEntry>);
static_assert(!std::is_constructible_v<Durable<LedgerEntry>, LedgerEntry>);
static_assert(!std::is_constructible_v<ReleaseToken, ReleaseTerms> && !std::is_copy_constructible_v<ReleaseToken>);

// Gaussian with multiplier 10 at delta 1e-6: 20 rounds cost an epsilon of at most 2, 21 do not.
BudgetPolicy PolicyOf(std::uint64_t max_participations = 1000) {
  return {.task = testing::TaskOf("har"),
          .mechanism = Mechanism::kGaussian,
          .noise_multiplier = testing::MultiplierOf(10),
          .clip_norm = testing::ClipOf(0.5),
          .grid_radius = testing::RadiusOf(1U << 20U),
          .cohort = 100,
          .delta = testing::DeltaOf(1e-6),
          .budget = testing::EpsilonOf(2),
          .max_participations = max_participations,
          .min_separation = 1,
          .coin = {},
          .tracking = {},
          .hash = &crypto::Sha256};
}

CheckinCoin CoinOf(double probability) {
  return {.probability = *SamplingProbability::Create(probability), .population = 1000, .max_cohort = 1000};
}

/// A ledger with the entries a store would have kept.
struct Kept {
  BudgetLedger ledger;
  std::vector<LedgerEntry> entries = {};

  static Kept Empty(const BudgetPolicy& policy) { return {.ledger = *BudgetLedger::Restore(policy, {}, 0)}; }

  Durable<LedgerEntry> Keep(const LedgerEntry& entry) {
    auto durable = TestMinter::Say(entry);
    EXPECT_THAT(ledger.Apply(durable), IsOk());
    entries.push_back(entry);
    return durable;
  }
  Durable<LedgerEntry> Reserve(RoundNumber round) { return Keep(*ledger.ProposeReserve(round, kNow)); }
  Durable<LedgerEntry> Void(RoundNumber round) { return Keep(*ledger.ProposeVoid(round, kNow)); }
  Durable<LedgerEntry> Adjust(double noise_multiplier) {
    return Keep(ledger.ProposeAdjust(testing::MultiplierOf(noise_multiplier), kNow)->entry);
  }
  Durable<LedgerEntry> Charge(RoundNumber round) { return Keep(*ledger.ProposeCharge(round, 98, kNow)); }
};

TEST(BudgetLedger, RefusesARoundBeyondTheBudgetAndSaysHowManyFit) {
  Kept kept = Kept::Empty(PolicyOf());
  EXPECT_EQ(kept.ledger.RoundsLeft(), 20U);
  for (RoundNumber round = 1; round <= 20; ++round) kept.Reserve(round);
  EXPECT_EQ(kept.ledger.RoundsLeft(), 0U);
  EXPECT_LE(kept.ledger.Spent().epsilon, 2);
  EXPECT_GT(kept.ledger.Projected(1).epsilon, 2);
  EXPECT_THAT(kept.ledger.ProposeReserve(21, kNow),
              IsErrorSaying(ErrorCode::kBudgetExhausted, "pays for 20 rounds; spent or reserved: 20, left: 0"));
}

TEST(BudgetLedger, CountsAnAbandonedReservationForEver) {
  Kept kept = Kept::Empty(PolicyOf());
  kept.Reserve(1);
  kept.Reserve(2);  // round 1 was never charged
  kept.Charge(2);
  EXPECT_EQ(kept.ledger.Spent().compositions, 2U);
  EXPECT_EQ(kept.ledger.Charged().compositions, 1U);
  const auto restored = BudgetLedger::Restore(PolicyOf(), kept.entries, 2);
  EXPECT_EQ(restored->Spent().compositions, 2U);
  EXPECT_EQ(restored->RoundsLeft(), 18U);
}

TEST(BudgetLedger, AVoidReservationStaysSpentAndCanNeverBeCharged) {
  Kept kept = Kept::Empty(PolicyOf());
  const auto reserved = kept.Reserve(1);
  const auto declared = kept.Void(1);
  EXPECT_EQ(declared.value().epsilon_after, reserved.value().epsilon_after);
  EXPECT_EQ(kept.ledger.Spent().compositions, 1U);
  EXPECT_EQ(kept.ledger.OpenRound(), std::nullopt);
  EXPECT_THAT(kept.ledger.ProposeCharge(1, 98, kNow), IsErrorSaying(ErrorCode::kGone, "round 1 is void"));
  EXPECT_THAT(kept.ledger.ProposeVoid(1, kNow), IsError(ErrorCode::kGone));
  EXPECT_THAT(kept.ledger.Redeem(reserved), IsError(ErrorCode::kConflict));
  const auto restored = BudgetLedger::Restore(PolicyOf(), kept.entries, 0);
  ASSERT_THAT(restored, IsOk());
  EXPECT_THAT(restored->ProposeCharge(1, 98, kNow), IsError(ErrorCode::kGone));
  EXPECT_EQ(restored->RoundsLeft(), 19U);
  kept.Reserve(2);
  kept.Charge(2);
  EXPECT_THAT(kept.ledger.ProposeVoid(2, kNow), IsErrorSaying(ErrorCode::kConflict, "already charged"));
}

TEST(BudgetLedger, ACoinMakesRoundsCheaperAndHidesHowManyCame) {
  BudgetPolicy policy = PolicyOf();
  policy.coin = CoinOf(0.1);
  Kept kept = Kept::Empty(policy);
  EXPECT_GT(kept.ledger.RoundsLeft(), 200U);
  kept.Reserve(1);
  EXPECT_LT(kept.ledger.Spent().epsilon, 0.2 * Kept::Empty(PolicyOf()).ledger.Projected(1).epsilon);
  EXPECT_EQ(kept.Charge(1).value().cohort, 100U) << "98 came";
}

TEST(BudgetLedger, ComposesNoMoreRoundsThanADeviceMayTake) {
  Kept kept = Kept::Empty(PolicyOf(3));
  EXPECT_EQ(kept.ledger.RoundsLeft(), kUnlimitedRounds);
  for (RoundNumber round = 1; round <= 5; ++round) kept.Reserve(round);
  EXPECT_EQ(kept.ledger.Spent().compositions, 3U);
  EXPECT_EQ(kept.ledger.rounds_reserved(), 5U);
  EXPECT_EQ(kept.ledger.Projected(~std::uint64_t{0}).compositions, 3U);
}

TEST(BudgetLedger, RestoresTheSameNumbersAfterARestart) {
  Kept kept = Kept::Empty(PolicyOf());
  kept.Reserve(1);
  kept.Charge(1);
  kept.Reserve(4);
  const auto restored = BudgetLedger::Restore(PolicyOf(), kept.entries, 1);
  ASSERT_THAT(restored, IsOk());
  EXPECT_EQ(restored->Spent().epsilon, kept.ledger.Spent().epsilon);
  EXPECT_EQ(restored->Spent().rho_zcdp, kept.ledger.Spent().rho_zcdp);
  EXPECT_EQ(restored->RoundsLeft(), kept.ledger.RoundsLeft());
  EXPECT_EQ(restored->head(), kept.ledger.head());
  EXPECT_EQ(restored->sequence(), 3U);
  EXPECT_EQ(restored->OpenRound(), RoundNumber{4});
  EXPECT_EQ(restored->ProposeCharge(4, 98, kNow)->hash, kept.ledger.ProposeCharge(4, 98, kNow)->hash);
}

TEST(BudgetLedger, RecordsWhatAnEntryBringsTheSpendTo) {
  Kept kept = Kept::Empty(PolicyOf());
  const double after_reserve = kept.Reserve(1).value().epsilon_after;
  EXPECT_EQ(after_reserve, kept.ledger.Spent().epsilon);
  EXPECT_EQ(kept.Charge(1).value().epsilon_after, after_reserve);
  EXPECT_GT(kept.Reserve(2).value().epsilon_after, after_reserve);
  EXPECT_EQ(kept.entries[0].cohort, 100U);
  EXPECT_EQ(kept.entries[1].cohort, 98U);
}

TEST(BudgetLedger, ProposingSpendsNothing) {
  const Kept kept = Kept::Empty(PolicyOf());
  ASSERT_THAT(kept.ledger.ProposeReserve(1, kNow), IsOk());
  EXPECT_EQ(kept.ledger.Spent().epsilon, 0);
  EXPECT_EQ(kept.ledger.RoundsLeft(), 20U);
}

TEST(BudgetLedger, RefusesARoundThatIsNotTheNext) {
  Kept kept = Kept::Empty(PolicyOf());
  EXPECT_THAT(kept.ledger.ProposeReserve(0, kNow), IsError(ErrorCode::kConflict));
  kept.Reserve(5);
  EXPECT_THAT(kept.ledger.ProposeReserve(5, kNow), IsErrorSaying(ErrorCode::kConflict, "already is"));
  EXPECT_THAT(kept.ledger.ProposeReserve(4, kNow), IsError(ErrorCode::kConflict));
}

TEST(BudgetLedger, ChargesAReservedRoundOnceAndNoOther) {
  Kept kept = Kept::Empty(PolicyOf());
  EXPECT_THAT(kept.ledger.ProposeCharge(1, 98, kNow), IsErrorSaying(ErrorCode::kConflict, "not reserved"));
  EXPECT_THAT(kept.ledger.ProposeCharge(0, 98, kNow), IsErrorSaying(ErrorCode::kConflict, "not reserved"));
  kept.Reserve(1);
  EXPECT_THAT(kept.ledger.ProposeCharge(2, 98, kNow), IsErrorSaying(ErrorCode::kConflict, "not reserved"));
  kept.Charge(1);
  EXPECT_THAT(kept.ledger.ProposeCharge(1, 98, kNow), IsErrorSaying(ErrorCode::kConflict, "already charged"));
  kept.Reserve(2);
  kept.Reserve(3);
  EXPECT_THAT(kept.ledger.ProposeCharge(2, 98, kNow), IsErrorSaying(ErrorCode::kGone, "round 3 is reserved"));
}

TEST(BudgetLedger, MintsOneTokenForAChargeWithTheTermsThatWereCharged) {
  Kept kept = Kept::Empty(PolicyOf());
  kept.Reserve(1);
  const auto charge = kept.Charge(1);
  auto token = kept.ledger.Redeem(charge);
  ASSERT_THAT(token, IsOk());
  EXPECT_THAT(kept.ledger.Redeem(charge), IsErrorSaying(ErrorCode::kGone, "released before"));
  const auto terms = std::move(*token).Spend();
  ASSERT_TRUE(terms.has_value());
  EXPECT_EQ(terms->round, (RoundKey{.task = testing::TaskOf("har"), .round = 1}));
  EXPECT_EQ(terms->mechanism, Mechanism::kGaussian);
  EXPECT_EQ(terms->noise_multiplier, testing::MultiplierOf(10));
  EXPECT_EQ(terms->divisor, 100);
  EXPECT_FALSE(
      std::move(*token).Spend().has_value());  // NOLINT(bugprone-use-after-move): that it is empty is the point
}

TEST(BudgetLedger, MintsNoTokenForAReservationOrAnUnappliedOrForeignCharge) {
  Kept kept = Kept::Empty(PolicyOf());
  const auto reserve = kept.Reserve(1);
  EXPECT_THAT(kept.ledger.Redeem(reserve), IsError(ErrorCode::kConflict));
  const LedgerEntry charge = *kept.ledger.ProposeCharge(1, 98, kNow);
  EXPECT_THAT(kept.ledger.Redeem(TestMinter::Say(charge)), IsError(ErrorCode::kConflict));  // durable, not applied
  kept.Keep(charge);
  LedgerEntry foreign = charge;
  foreign.task = testing::TaskOf("other");
  EXPECT_THAT(kept.ledger.Redeem(TestMinter::Say(foreign)), IsError(ErrorCode::kConflict));
  LedgerEntry changed = charge;
  changed.cohort = 1;
  EXPECT_THAT(kept.ledger.Redeem(TestMinter::Say(changed)), IsError(ErrorCode::kConflict));
  EXPECT_THAT(kept.ledger.Redeem(TestMinter::Say(charge)), IsOk());
}

TEST(BudgetLedger, MintsNoTokenForARoundThatALaterReservationHasPassed) {
  Kept kept = Kept::Empty(PolicyOf());
  kept.Reserve(1);
  const auto charge = kept.Charge(1);
  kept.Reserve(2);
  EXPECT_THAT(kept.ledger.Redeem(charge), IsErrorSaying(ErrorCode::kGone, "round 2 is reserved"));
}

TEST(BudgetLedger, MintsATokenAgainAfterARestartOnlyIfNothingWasPublished) {
  Kept kept = Kept::Empty(PolicyOf());
  kept.Reserve(1);
  const auto charge = kept.Charge(1);
  ASSERT_THAT(kept.ledger.Redeem(charge), IsOk());
  auto before_publication = *BudgetLedger::Restore(PolicyOf(), kept.entries, 0);
  EXPECT_EQ(before_publication.OpenRound(), RoundNumber{1});
  EXPECT_THAT(before_publication.Redeem(charge), IsOk());
  auto after_publication = *BudgetLedger::Restore(PolicyOf(), kept.entries, 1);
  EXPECT_EQ(after_publication.OpenRound(), std::nullopt);
  EXPECT_THAT(after_publication.Redeem(charge), IsErrorSaying(ErrorCode::kGone, "published"));
}

TEST(BudgetLedger, TakesInADurableReservationEvenAboveTheBudget) {
  // Somebody else may have reserved before us; what is on disk counts, and only makes the budget look more spent.
  Kept kept = Kept::Empty(PolicyOf());
  for (RoundNumber round = 1; round <= 20; ++round) kept.Reserve(round);
  LedgerEntry beyond = kept.entries.back();
  beyond.sequence = 21;
  beyond.round = 21;
  beyond.previous = kept.ledger.head();
  beyond.hash = crypto::Sha256(CanonicalBytes(beyond));
  EXPECT_THAT(kept.ledger.Apply(TestMinter::Say(beyond)), IsOk());
  EXPECT_EQ(kept.ledger.Spent().compositions, 21U);
  EXPECT_EQ(kept.ledger.RoundsLeft(), 0U);
}

TEST(BudgetLedger, RefusesToApplyWhatIsNotTheNextEntry) {
  Kept kept = Kept::Empty(PolicyOf());
  const LedgerEntry first = *kept.ledger.ProposeReserve(1, kNow);
  const LedgerEntry rival = *kept.ledger.ProposeReserve(2, kNow);
  kept.Keep(first);
  EXPECT_THAT(kept.ledger.Apply(TestMinter::Say(rival)), IsError(ErrorCode::kDataLoss));
  EXPECT_THAT(kept.ledger.Apply(TestMinter::Say(first)), IsError(ErrorCode::kDataLoss));
  EXPECT_EQ(kept.ledger.Spent().compositions, 1U);
}

TEST(BudgetLedger, RefusesPoliciesThatCannotWork) {
  const auto restore = [](auto change) {
    BudgetPolicy policy = PolicyOf();
    change(policy);
    return BudgetLedger::Restore(policy, {}, 0);
  };
  EXPECT_THAT(restore([](BudgetPolicy& p) { p.mechanism = Mechanism::kNone; }),
              IsErrorSaying(ErrorCode::kInvalidArgument, "without privacy"));
  EXPECT_THAT(restore([](BudgetPolicy& p) { p.cohort = 0; }), IsError(ErrorCode::kInvalidArgument));
  EXPECT_THAT(restore([](BudgetPolicy& p) { p.max_participations = 0; }), IsError(ErrorCode::kInvalidArgument));
  EXPECT_THAT(restore([](BudgetPolicy& p) { p.hash = nullptr; }), IsError(ErrorCode::kInvalidArgument));
  EXPECT_THAT(restore([](BudgetPolicy& p) { p.noise_multiplier = testing::MultiplierOf(1000); }),
              IsErrorSaying(ErrorCode::kInvalidArgument, "grid radius"));
}

/// Five entries: two rounds charged, a third reserved.
std::vector<LedgerEntry> SomeEntries() {
  Kept kept = Kept::Empty(PolicyOf());
  for (const RoundNumber round : {1U, 2U}) {
    kept.Reserve(round);
    kept.Charge(round);
  }
  kept.Reserve(3);
  return kept.entries;
}

TEST(LedgerChain, FindsAChangeOfAnyField) {
  const std::vector<LedgerEntry> entries = SomeEntries();
  const std::vector<std::function<void(LedgerEntry&)>> changes = {
      [](LedgerEntry& e) { e.task = testing::TaskOf("other"); },
      [](LedgerEntry& e) { e.sequence += 1; },
      [](LedgerEntry& e) { e.kind = e.kind == LedgerKind::kReserve ? LedgerKind::kCharge : LedgerKind::kReserve; },
      [](LedgerEntry& e) { e.kind = static_cast<LedgerKind>(9); },
      [](LedgerEntry& e) { e.round += 1; },
      [](LedgerEntry& e) { e.mechanism = Mechanism::kLaplace; },
      [](LedgerEntry& e) { e.noise_multiplier *= 2; },
      [](LedgerEntry& e) { e.clip_norm *= 2; },
      [](LedgerEntry& e) { e.grid_radius *= 2; },
      [](LedgerEntry& e) { e.cohort += 1; },
      [](LedgerEntry& e) { e.at += Millis(1); },
      [](LedgerEntry& e) { e.epsilon_after /= 2; },
      [](LedgerEntry& e) { e.previous[31] ^= 1U; },
      [](LedgerEntry& e) { e.hash[0] ^= 1U; },
  };
  ASSERT_THAT(BudgetLedger::Restore(PolicyOf(), entries, 2), IsOk());
  for (std::size_t at = 0; at < entries.size(); ++at) {
    for (std::size_t change = 0; change < changes.size(); ++change) {
      std::vector<LedgerEntry> tampered = entries;
      changes[change](tampered[at]);
      EXPECT_THAT(BudgetLedger::Restore(PolicyOf(), tampered, 0), IsError(ErrorCode::kDataLoss)) << at << " " << change;
    }
  }
}

TEST(LedgerChain, FindsMissingAndReorderedAndRepeatedEntries) {
  const std::vector<LedgerEntry> entries = SomeEntries();
  for (std::size_t at = 0; at + 1 < entries.size(); ++at) {
    std::vector<LedgerEntry> missing = entries;
    missing.erase(missing.begin() + static_cast<std::ptrdiff_t>(at));
    EXPECT_THAT(BudgetLedger::Restore(PolicyOf(), missing, 0), IsErrorSaying(ErrorCode::kDataLoss, "entry")) << at;
    std::vector<LedgerEntry> swapped = entries;
    std::swap(swapped[at], swapped[at + 1]);
    EXPECT_THAT(BudgetLedger::Restore(PolicyOf(), swapped, 0), IsError(ErrorCode::kDataLoss)) << at;
    std::vector<LedgerEntry> repeated = entries;
    repeated.insert(repeated.begin() + static_cast<std::ptrdiff_t>(at), repeated[at]);
    EXPECT_THAT(BudgetLedger::Restore(PolicyOf(), repeated, 0), IsError(ErrorCode::kDataLoss)) << at;
  }
}

TEST(LedgerChain, FindsACutEndByThePublishedModel) {
  const std::vector<LedgerEntry> entries = SomeEntries();
  const auto first_three = std::span(entries).first(3);  // the charge of round 2 is gone
  EXPECT_THAT(BudgetLedger::Restore(PolicyOf(), first_three, 2),
              IsErrorSaying(ErrorCode::kDataLoss, "round 2 is published"));
  EXPECT_THAT(BudgetLedger::Restore(PolicyOf(), {}, 2), IsErrorSaying(ErrorCode::kDataLoss, "cut or replaced"));
  EXPECT_THAT(BudgetLedger::Restore(PolicyOf(), first_three, 1), IsOk());
}

TEST(LedgerChain, FindsRulesBrokenUnderRightHashes) {
  const std::vector<LedgerEntry> entries = SomeEntries();
  const auto append = [&](auto change) {
    std::vector<LedgerEntry> longer = entries;
    LedgerEntry entry = entries.back();
    entry.sequence += 1;
    entry.previous = entries.back().hash;
    change(entry);
    entry.hash = crypto::Sha256(CanonicalBytes(entry));
    longer.push_back(entry);
    return BudgetLedger::Restore(PolicyOf(), longer, 0);
  };
  EXPECT_THAT(append([](LedgerEntry& e) { e.round = 3; }), IsErrorSaying(ErrorCode::kDataLoss, "reserved twice"));
  EXPECT_THAT(append([](LedgerEntry& e) { e.kind = LedgerKind::kCharge, e.round = 2; }),
              IsErrorSaying(ErrorCode::kDataLoss, "round 2 is over"));
  EXPECT_THAT(append([](LedgerEntry& e) { e.kind = LedgerKind::kVoid, e.round = 4; }),
              IsErrorSaying(ErrorCode::kDataLoss, "not reserved"));
  EXPECT_THAT(append([](LedgerEntry& e) { e.kind = static_cast<LedgerKind>(0), e.round = 4; }),
              IsErrorSaying(ErrorCode::kDataLoss, "no void"));
  EXPECT_THAT(append([](LedgerEntry& e) { e.round = 4, e.cohort = 99; }),
              IsErrorSaying(ErrorCode::kDataLoss, "declared"));
  EXPECT_THAT(append([](LedgerEntry& e) { e.round = 4, e.noise_multiplier = 11; }),
              IsErrorSaying(ErrorCode::kDataLoss, "mechanism"));
  EXPECT_THAT(append([](LedgerEntry& e) { e.round = 4; }), IsOk());
}

TEST(LedgerChain, CannotBeReadUnderAnotherPolicy) {
  const std::vector<LedgerEntry> entries = SomeEntries();
  const std::vector<std::function<void(BudgetPolicy&)>> changes = {
      [](BudgetPolicy& p) { p.max_participations = 1; },
      [](BudgetPolicy& p) { p.delta = testing::DeltaOf(1e-3); },
      [](BudgetPolicy& p) { p.budget = testing::EpsilonOf(100); },
      [](BudgetPolicy& p) { p.cohort = 10; },
      [](BudgetPolicy& p) { p.min_separation = 2; },
      [](BudgetPolicy& p) { p.coin = CoinOf(0.1); },
      [](BudgetPolicy& p) { p.noise_multiplier = testing::MultiplierOf(20); },
  };
  for (std::size_t i = 0; i < changes.size(); ++i) {
    BudgetPolicy policy = PolicyOf();
    changes[i](policy);
    EXPECT_THAT(BudgetLedger::Restore(policy, entries, 0),
                IsErrorSaying(ErrorCode::kDataLoss, "another privacy policy"))
        << i;
  }
}

TEST(BudgetLedger, AClipNormThatFollowsAQuantileMovesBetweenRoundsOnly) {
  EXPECT_THAT(Kept::Empty(PolicyOf()).ledger.UseClipNorm(testing::ClipOf(1)), IsError(ErrorCode::kConflict));
  BudgetPolicy policy = PolicyOf();
  policy.tracking = ClipTracking{.bit_steps = 10, .quantile = 0.5, .learning_rate = 0.2};
  Kept kept = Kept::Empty(policy);
  kept.Reserve(1);
  EXPECT_THAT(kept.ledger.UseClipNorm(testing::ClipOf(1)), IsErrorSaying(ErrorCode::kConflict, "round 1 is reserved"));
  const auto charge = kept.Charge(1);
  EXPECT_EQ(charge.value().clip_norm, 0.5);
  EXPECT_THAT(kept.ledger.Redeem(charge), IsOk());
  ASSERT_THAT(kept.ledger.UseClipNorm(testing::ClipOf(1)), IsOk());
  EXPECT_EQ(kept.Reserve(2).value().clip_norm, 1);
  const auto restored = BudgetLedger::Restore(policy, kept.entries, 1);
  ASSERT_THAT(restored, IsOk());
  EXPECT_EQ(restored->clip_norm().value(), 1);
  EXPECT_EQ(restored->Spent().epsilon, Kept::Empty(PolicyOf()).ledger.Projected(2).epsilon) << "bits are in the noise";
  policy.tracking->bit_steps = 11;
  EXPECT_THAT(BudgetLedger::Restore(policy, kept.entries, 1), IsError(ErrorCode::kDataLoss));
  // A charge under another clip norm than its reservation is no charge of this task.
  std::vector<LedgerEntry> moved = kept.entries;
  moved[1].clip_norm = 2;
  moved[1].hash = crypto::Sha256(CanonicalBytes(moved[1]));
  policy.tracking->bit_steps = 10;
  EXPECT_THAT(BudgetLedger::Restore(policy, std::span(moved).first(2), 0),
              IsErrorSaying(ErrorCode::kDataLoss, "mechanism"));
}

TEST(AdjustedLedger, IsUnderAFilterFromThenOnAndNeverShowsLessThanTheTightestBound) {
  Kept kept = Kept::Empty(PolicyOf());
  for (RoundNumber round = 1; round <= 5; ++round) kept.Reserve(round);
  const double declared = kept.ledger.Spent().epsilon;
  EXPECT_EQ(kept.ledger.filter(), std::nullopt);
  const auto adjusted = kept.Adjust(20);
  EXPECT_EQ(kept.ledger.Spent().accountant, "renyi-filter");
  EXPECT_GE(adjusted.value().epsilon_after, declared);
  EXPECT_EQ(adjusted.value().epsilon_after, kept.ledger.Spent().epsilon);
  EXPECT_EQ(adjusted.value().round, 5U);
  std::uint64_t with_20 = 0;
  while (kept.ledger.RoundsLeft() > 0) {
    kept.Reserve(6 + with_20);
    ++with_20;
    EXPECT_LE(kept.ledger.Spent().epsilon, 2);
  }
  // 15 more rounds of the first noise would cost as much as 60 of twice as much; a filter pays a little less.
  EXPECT_GT(with_20, 40U);
  EXPECT_LE(with_20, 60U);
  EXPECT_THAT(kept.ledger.ProposeReserve(100, kNow), IsError(ErrorCode::kBudgetExhausted));
  const std::array<RepeatedStep, 2> steps{
      {{GaussianStep{ContinuousGaussianMultiplier(testing::MultiplierOf(10))}, 5},
       {GaussianStep{ContinuousGaussianMultiplier(testing::MultiplierOf(20))}, with_20}}};
  EXPECT_GE(kept.ledger.Spent().epsilon, ComposedEpsilon({.steps = steps, .delta = 1e-6})->epsilon);
}

TEST(AdjustedLedger, GivesEachRoundTheNoiseItWasReservedWith) {
  Kept kept = Kept::Empty(PolicyOf());
  kept.Reserve(1);
  const auto charge = kept.Charge(1);
  kept.Adjust(15);
  EXPECT_EQ(std::move(*kept.ledger.Redeem(charge)).Spend()->noise_multiplier, testing::MultiplierOf(10));
  kept.Reserve(2);
  kept.Adjust(30);
  kept.Adjust(12);
  const auto second = kept.Charge(2);
  kept.Adjust(13);
  auto crashed = BudgetLedger::Restore(PolicyOf(), kept.entries, 1);
  ASSERT_THAT(crashed, IsOk());
  EXPECT_EQ(std::move(*crashed->Redeem(second)).Spend()->noise_multiplier, testing::MultiplierOf(15))
      << "a charge that is not the last entry";
  EXPECT_EQ(second.value().noise_multiplier, 15);
  EXPECT_EQ(std::move(*kept.ledger.Redeem(second)).Spend()->noise_multiplier, testing::MultiplierOf(15));
  EXPECT_EQ(kept.ledger.Charged().epsilon, kept.ledger.Spent().epsilon) << "each is charged as it was reserved";
  EXPECT_EQ(kept.Reserve(3).value().noise_multiplier, 13);
  const auto restored = BudgetLedger::Restore(PolicyOf(), kept.entries, 2);
  ASSERT_THAT(restored, IsOk());
  EXPECT_EQ(restored->Spent().epsilon, kept.ledger.Spent().epsilon);
  EXPECT_EQ(restored->Charged().epsilon, kept.ledger.Charged().epsilon);
  EXPECT_EQ(restored->RoundsLeft(), kept.ledger.RoundsLeft());
  EXPECT_EQ(restored->noise_multiplier(), testing::MultiplierOf(13));
  EXPECT_EQ(restored->head(), kept.ledger.head());
}

TEST(AdjustedLedger, CountsTheDearestRoundsThatADeviceMayHaveBeenIn) {
  Kept kept = Kept::Empty(PolicyOf(3));
  for (RoundNumber round = 1; round <= 2; ++round) kept.Reserve(round);
  kept.Adjust(40);
  for (RoundNumber round = 3; round <= 10; ++round) kept.Reserve(round);
  kept.Adjust(8);
  kept.Reserve(11);
  const RenyiFilter& filter = *kept.ledger.filter();
  const auto cost = [&](double z) {
    return filter.CostOf({.mechanism = Mechanism::kGaussian, .noise_multiplier = testing::MultiplierOf(z)});
  };
  EXPECT_DOUBLE_EQ(kept.ledger.Spent().epsilon, filter.EpsilonOf(cost(8) + 2 * cost(10)));
  EXPECT_DOUBLE_EQ(kept.ledger.CostOfDevice(2).epsilon, filter.EpsilonOf(cost(8) + cost(10)));
  EXPECT_EQ(kept.ledger.CostOfDevice(0).epsilon, 0);
  EXPECT_EQ(kept.ledger.Spent().compositions, 3U);
}

TEST(AdjustedLedger, RefusesNoiseThatPaysForNothingMoreOrCannotBeDrawn) {
  Kept kept = Kept::Empty(PolicyOf());
  for (RoundNumber round = 1; round <= 5; ++round) kept.Reserve(round);
  const auto propose = [&](double z) { return kept.ledger.ProposeAdjust(testing::MultiplierOf(z), kNow); };
  EXPECT_THAT(propose(2), IsErrorSaying(ErrorCode::kBudgetExhausted, "pays for no further round"));
  EXPECT_THAT(propose(10), IsErrorSaying(ErrorCode::kInvalidArgument, "already"));
  EXPECT_THAT(propose(1000), IsErrorSaying(ErrorCode::kInvalidArgument, "grid"));
  EXPECT_EQ(kept.ledger.filter(), std::nullopt) << "nothing was changed";
  EXPECT_EQ(kept.ledger.RoundsLeft(), 15U);
  const auto planned = propose(30);
  EXPECT_GT(planned->rounds_left, 60U);
  kept.Adjust(30);
  EXPECT_EQ(kept.ledger.RoundsLeft(), planned->rounds_left);
}

TEST(AdjustedLedger, WorksBehindACoin) {
  BudgetPolicy policy = PolicyOf(2000);
  policy.coin = CoinOf(0.05);
  Kept kept = Kept::Empty(policy);
  for (RoundNumber round = 1; round <= 20; ++round) kept.Reserve(round);
  const double declared = kept.ledger.Spent().epsilon;
  kept.Adjust(8);
  EXPECT_GE(kept.ledger.Spent().epsilon, declared);
  EXPECT_GT(kept.ledger.RoundsLeft(), 100U);
  EXPECT_THAT(CheckLedger(policy, kept.entries, 0), IsOk());
}

TEST(AdjustedLedger, NoiseThatNothingIsProvedOfCostsInfinityBehindACoinToo) {
  BudgetPolicy policy = PolicyOf(2000);
  policy.coin = CoinOf(0.05);
  Kept kept = Kept::Empty(policy);
  kept.Reserve(1);
  EXPECT_THAT(kept.ledger.ProposeAdjust(testing::MultiplierOf(0.0015), kNow),
              IsErrorSaying(ErrorCode::kBudgetExhausted, "pays for no further round"));
}

TEST(AdjustedLedger, KeepsTheClipNormOfItsRoundsWhateverTheNextOneIs) {
  BudgetPolicy policy = PolicyOf();
  policy.tracking = ClipTracking{.bit_steps = 1000, .quantile = 0.5, .learning_rate = 0.2};
  Kept kept = Kept::Empty(policy);
  kept.Reserve(1);
  kept.Void(1);
  ASSERT_THAT(kept.ledger.UseClipNorm(testing::ClipOf(0.7)), IsOk());
  EXPECT_EQ(kept.Adjust(15).value().clip_norm, 0.5);
  EXPECT_EQ(kept.Reserve(2).value().clip_norm, 0.7);
  EXPECT_THAT(BudgetLedger::Restore(policy, kept.entries, 0), IsOk());
}

TEST(AdjustedLedger, IsCheckedByAnybodyAndAForgedOneIsFound) {
  Kept kept = Kept::Empty(PolicyOf());
  kept.Reserve(1);
  kept.Adjust(5);
  kept.Reserve(2);
  kept.Charge(2);
  const auto check = CheckLedger(PolicyOf(), kept.entries, 2);
  ASSERT_THAT(check, IsOk());
  EXPECT_EQ(check->adjustments, 1U);
  EXPECT_EQ(check->spent.epsilon, kept.ledger.Spent().epsilon);
  const auto forged = [&](std::size_t place, auto change) {
    std::vector<LedgerEntry> entries = kept.entries;
    change(entries[place]);
    for (std::size_t i = 0; i < entries.size(); ++i) {
      entries[i].previous = i == 0 ? PolicyDigest(PolicyOf()) : entries[i - 1].hash;
      entries[i].hash = crypto::Sha256(CanonicalBytes(entries[i]));
    }
    return CheckLedger(PolicyOf(), entries, 2);
  };
  EXPECT_THAT(forged(1, [](LedgerEntry& entry) { entry.epsilon_after = 0.1; }),
              IsErrorSaying(ErrorCode::kDataLoss, "more was spent"));
  EXPECT_THAT(forged(1, [](LedgerEntry& entry) { entry.noise_multiplier = 10; }), IsError(ErrorCode::kDataLoss));
  EXPECT_THAT(forged(1, [](LedgerEntry& entry) { entry.noise_multiplier = 1e-9; }), IsError(ErrorCode::kDataLoss));
  EXPECT_THAT(forged(1, [](LedgerEntry& entry) { entry.round = 2; }),
              IsErrorSaying(ErrorCode::kDataLoss, "latest reserved round"));
  EXPECT_THAT(forged(2, [](LedgerEntry& entry) { entry.noise_multiplier = 10; }),
              IsErrorSaying(ErrorCode::kDataLoss, "its mechanism is not the task's"));
  EXPECT_THAT(forged(3, [](LedgerEntry& entry) { entry.noise_multiplier = 10; }), IsError(ErrorCode::kDataLoss));
}

TEST(CheckLedger, ComputesAgainWhatWasSpentReservedAndReleased) {
  Kept kept = Kept::Empty(PolicyOf(2));
  kept.Reserve(1);
  kept.Charge(1);
  kept.Reserve(2);
  kept.Void(2);
  kept.Reserve(3);
  const auto check = CheckLedger(PolicyOf(2), kept.entries, 1);
  ASSERT_THAT(check, IsOk());
  EXPECT_EQ(check->rounds_reserved, 3U);
  EXPECT_EQ(check->rounds_charged, 1U);
  EXPECT_EQ(check->rounds_void, 1U);
  EXPECT_EQ(check->spent.epsilon, kept.ledger.Spent().epsilon);
  EXPECT_EQ(check->spent.compositions, 2U) << "a device takes part in two rounds at most";
  EXPECT_EQ(check->charged.epsilon, kept.ledger.Charged().epsilon);
  EXPECT_EQ(check->head, kept.ledger.head());
}

TEST(CheckLedger, RefusesALedgerThatSpentMoreThanItsBudget) {
  Kept kept = Kept::Empty(PolicyOf());
  for (RoundNumber round = 1; round <= 20; ++round) kept.Reserve(round);
  EXPECT_THAT(CheckLedger(PolicyOf(), kept.entries, 0), IsOk());
  // As a broken server would write it: a right chain, and one round too many.
  LedgerEntry beyond = kept.entries.back();
  beyond.sequence = 21;
  beyond.round = 21;
  beyond.epsilon_after = kept.ledger.Projected(1).epsilon;
  beyond.previous = kept.entries.back().hash;
  beyond.hash = crypto::Sha256(CanonicalBytes(beyond));
  kept.entries.push_back(beyond);
  EXPECT_THAT(CheckLedger(PolicyOf(), kept.entries, 0), IsErrorSaying(ErrorCode::kDataLoss, "above the budget"));
}

TEST(CheckLedger, FindsAnEntryThatClaimsLessThanWasSpentUnderRightHashes) {
  std::vector<LedgerEntry> entries = SomeEntries();
  for (std::size_t at = 0; at < entries.size(); ++at) {
    std::vector<LedgerEntry> lying = entries;
    lying[at].epsilon_after *= 1 - 1e-6;
    for (std::size_t i = at; i < lying.size(); ++i) {
      if (i > 0) lying[i].previous = lying[i - 1].hash;
      lying[i].hash = crypto::Sha256(CanonicalBytes(lying[i]));
    }
    EXPECT_THAT(BudgetLedger::Restore(PolicyOf(), lying, 2), IsOk()) << "the chain alone does not tell";
    EXPECT_THAT(CheckLedger(PolicyOf(), lying, 2),
                IsErrorSaying(ErrorCode::kDataLoss, "entry " + std::to_string(at + 1) + ": it claims epsilon"));
  }
  EXPECT_THAT(CheckLedger(PolicyOf(), entries, 2), IsOk());
  entries.back().epsilon_after = std::numeric_limits<double>::quiet_NaN();
  entries.back().hash = crypto::Sha256(CanonicalBytes(entries.back()));
  EXPECT_THAT(CheckLedger(PolicyOf(), entries, 2), IsError(ErrorCode::kDataLoss));
}

}  // namespace
}  // namespace tacit::dp
