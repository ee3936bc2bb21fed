#include <string>

#include "tests/unit/store/fixtures.h"

namespace tacit::store {
namespace {

using tacit::testing::IsError;
using tacit::testing::IsErrorSaying;
using tacit::testing::IsOk;
using testing::At;
using ::testing::IsEmpty;
using testing::Model;
using testing::NewLedger;
using testing::NewTask;
using testing::RunSql;
using ::testing::SizeIs;
using testing::StoreTest;
using testing::Task;

using AuditLog = StoreTest;

class Ledger : public StoreTest {
 protected:
  void SetUp() override {
    StoreTest::SetUp();
    ASSERT_THAT(store().CreateTask(task_, Model(0)), IsOk());
  }
  /// Reserves and charges the rounds 1 to `rounds`, as a server does.
  void Spend(RoundNumber rounds) {
    for (RoundNumber round = 1; round <= rounds; ++round) {
      const auto reserve = store().AppendLedger(*ledger_.ProposeReserve(round, At(1)));
      ASSERT_THAT(reserve, IsOk());
      ASSERT_THAT(ledger_.Apply(*reserve), IsOk());
      const auto charge = store().AppendLedger(*ledger_.ProposeCharge(round, 4, At(2)));
      ASSERT_THAT(charge, IsOk());
      ASSERT_THAT(ledger_.Apply(*charge), IsOk());
    }
  }

  const TaskRecord task_ = NewTask("har");
  dp::BudgetLedger ledger_ = NewLedger(task_.spec);
};

TEST_F(Ledger, ComesBackEntryByEntryAfterARestart) {
  const auto reserve = ledger_.ProposeReserve(1, At(5));
  ASSERT_THAT(store().AppendLedger(*reserve), IsOk());
  Open();
  const auto entries = store().Ledger(Task("har"));
  ASSERT_THAT(entries, IsOk());
  ASSERT_THAT(*entries, SizeIs(1));
  EXPECT_EQ(entries->front().value(), *reserve);
  EXPECT_THAT(*store().Ledger(Task("nobody")), IsEmpty());
}

TEST_F(Ledger, RestoresABudgetThatHasSpentTheSame) {
  Spend(2);
  Open();
  std::vector<dp::LedgerEntry> entries;
  const auto recorded = store().Ledger(Task("har"));
  for (const auto& entry : *recorded) entries.push_back(entry.value());
  const auto restored = dp::BudgetLedger::Restore(ledger_.policy(), entries, 1);
  ASSERT_THAT(restored, IsOk());
  EXPECT_EQ(restored->Spent().epsilon, ledger_.Spent().epsilon);
  EXPECT_EQ(restored->head(), ledger_.head());
}

TEST_F(Ledger, RefusesAnEntryThatDoesNotContinueTheChain) {
  const dp::LedgerEntry first = *ledger_.ProposeReserve(1, At(1));
  dp::LedgerEntry ahead = first;
  ahead.sequence = 2;
  EXPECT_THAT(store().AppendLedger(ahead), IsErrorSaying(ErrorCode::kConflict, "does not continue entry 0"));
  ASSERT_THAT(store().AppendLedger(first), IsOk());
  EXPECT_THAT(store().AppendLedger(first), IsErrorSaying(ErrorCode::kConflict, "does not continue entry 1"));
  dp::LedgerEntry other_past = first;
  other_past.sequence = 2;
  other_past.round = 2;
  other_past.previous.fill(7);
  EXPECT_THAT(store().AppendLedger(other_past), IsError(ErrorCode::kConflict));
  EXPECT_THAT(*store().Ledger(Task("har")), SizeIs(1));
}

TEST_F(Ledger, RefusesASecondReserveOrChargeOfARound) {
  const dp::LedgerEntry first = *ledger_.ProposeReserve(1, At(1));
  ASSERT_THAT(store().AppendLedger(first), IsOk());
  dp::LedgerEntry again = first;
  again.sequence = 2;
  again.previous = first.hash;
  EXPECT_THAT(store().AppendLedger(again), IsErrorSaying(ErrorCode::kConflict, "append-only"));
}

TEST_F(Ledger, NeedsItsTask) {
  dp::LedgerEntry entry = *ledger_.ProposeReserve(1, At(1));
  entry.task = Task("nobody");
  EXPECT_THAT(store().AppendLedger(entry), IsError(ErrorCode::kNotFound));
}

TEST_F(Ledger, CannotBeChangedOrShortenedByAnyTool) {
  Spend(1);
  const std::string refusal = "the ledger is append-only";
  EXPECT_EQ(RunSql(database(), "UPDATE ledger SET epsilon_after = 0"), refusal);
  EXPECT_EQ(RunSql(database(), "DELETE FROM ledger"), refusal);
  EXPECT_EQ(RunSql(database(),
                   "INSERT OR REPLACE INTO ledger SELECT task, 1, kind, round, mechanism, 99.0, clip_norm,"
                   " grid_radius, cohort, at, 0.0, previous, hash FROM ledger WHERE sequence = 1"),
            refusal);
  EXPECT_EQ(RunSql(database(),
                   "INSERT INTO ledger SELECT task, 9, kind, 9, mechanism, noise_multiplier, clip_norm,"
                   " grid_radius, cohort, at, 0.0, previous, hash FROM ledger WHERE sequence = 1"),
            refusal);
  EXPECT_THAT(*store().Ledger(Task("har")), SizeIs(2));
}

TEST_F(AuditLog, ChainsItsRecordsFromTheFirst) {
  const AuditEvent event{
      .at = At(3), .actor = "operator/ada", .action = "task.create", .target = "har", .detail = "{}"};
  const auto first = store().AppendAudit(event);
  ASSERT_THAT(first, IsOk());
  Open();
  const auto second = store().AppendAudit({.at = At(4), .actor = "", .action = "x", .target = "", .detail = ""});
  ASSERT_THAT(second, IsOk());
  EXPECT_EQ(first->sequence, 1U);
  EXPECT_EQ(first->previous, Digest256{});
  EXPECT_EQ(first->hash, AuditHash(*first));
  EXPECT_EQ(second->sequence, 2U);
  EXPECT_EQ(second->previous, first->hash);
  const auto records = store().Audit(0, 10);
  ASSERT_THAT(*records, SizeIs(2));
  EXPECT_EQ((*records)[0].event.actor, "operator/ada");
  EXPECT_EQ((*records)[0].event.action, "task.create");
  EXPECT_EQ((*records)[0].event.target, "har");
  EXPECT_EQ((*records)[0].event.detail, "{}");
  EXPECT_EQ((*records)[0].event.at, At(3));
  EXPECT_THAT(*store().Audit(1, 10), SizeIs(1));
  EXPECT_THAT(*store().Audit(0, 1), SizeIs(1));
  const auto head = store().VerifyAudit();
  ASSERT_THAT(head, IsOk());
  EXPECT_EQ(head->sequence, 2U);
  EXPECT_EQ(head->hash, second->hash);
}

TEST_F(AuditLog, OfNothingVerifies) {
  const auto head = store().VerifyAudit();
  ASSERT_THAT(head, IsOk());
  EXPECT_EQ(head->sequence, 0U);
}

TEST_F(AuditLog, HashCoversEveryField) {
  AuditRecord record{.sequence = 3, .event = {.at = At(1), .actor = "a", .action = "b", .target = "c", .detail = "d"}};
  const Digest256 hash = AuditHash(record);
  const auto differs = [&](auto change) {
    AuditRecord changed = record;
    change(changed);
    return AuditHash(changed) != hash;
  };
  EXPECT_TRUE(differs([](AuditRecord& r) { r.sequence = 4; }));
  EXPECT_TRUE(differs([](AuditRecord& r) { r.event.at = At(2); }));
  EXPECT_TRUE(differs([](AuditRecord& r) { r.event.actor = "x"; }));
  EXPECT_TRUE(differs([](AuditRecord& r) { r.event.action = "x"; }));
  EXPECT_TRUE(differs([](AuditRecord& r) { r.event.target = "x"; }));
  EXPECT_TRUE(differs([](AuditRecord& r) { r.event.detail = "x"; }));
  EXPECT_TRUE(differs([](AuditRecord& r) { r.previous.fill(1); }));
  EXPECT_TRUE(differs([](AuditRecord& r) { std::swap(r.event.actor, r.event.action); }));
}

TEST_F(AuditLog, KeepsHostileTextWhole) {
  using namespace std::string_literals;
  const std::string hostile = "a\0b\n\xff'; DROP TABLE audit; --"s;
  ASSERT_THAT(store().AppendAudit({.at = At(1), .actor = hostile, .action = "x", .target = hostile, .detail = ""}),
              IsOk());
  EXPECT_EQ(store().Audit(0, 1)->front().event.actor, hostile);
  EXPECT_THAT(store().VerifyAudit(), IsOk());
}

TEST_F(AuditLog, CannotBeChangedOrShortenedByAnyTool) {
  ASSERT_THAT(store().AppendAudit({.at = At(1), .actor = "a", .action = "b", .target = "c", .detail = "d"}), IsOk());
  const std::string refusal = "the audit log is append-only";
  EXPECT_EQ(RunSql(database(), "UPDATE audit SET actor = 'nobody'"), refusal);
  EXPECT_EQ(RunSql(database(), "DELETE FROM audit"), refusal);
  EXPECT_EQ(RunSql(database(),
                   "INSERT OR REPLACE INTO audit SELECT 1, at, 'nobody', action, target, detail, previous, hash"
                   " FROM audit"),
            refusal);
}

TEST_F(AuditLog, RevealsAChangeMadeAroundTheTriggers) {
  for (const char* actor : {"a", "b", "c"}) {
    ASSERT_THAT(store().AppendAudit({.at = At(1), .actor = actor, .action = "x", .target = "", .detail = ""}), IsOk());
  }
  Close();
  ASSERT_EQ(RunSql(database(), "DROP TRIGGER audit_keeps; UPDATE audit SET actor = 'z' WHERE sequence = 2"), "");
  Open();
  EXPECT_THAT(store().VerifyAudit(), IsErrorSaying(ErrorCode::kDataLoss, "audit record 2"));
  Close();
  ASSERT_EQ(RunSql(database(),
                   "UPDATE audit SET actor = 'b' WHERE sequence = 2;"
                   " DROP TRIGGER audit_stays; DELETE FROM audit WHERE sequence = 1"),
            "");
  Open();
  EXPECT_THAT(store().VerifyAudit(), IsErrorSaying(ErrorCode::kDataLoss, "does not continue record 0"));
}

}  // namespace
}  // namespace tacit::store
