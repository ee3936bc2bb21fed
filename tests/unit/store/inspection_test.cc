#include "server/store/inspection.h"

#include <string>
#include <vector>

#include "server/store/schema.h"
#include "tests/support/fake_clock.h"
#include "tests/unit/store/fixtures.h"

namespace tacit::store {
namespace {

using tacit::testing::FakeClock;
using tacit::testing::IsError;
using tacit::testing::IsErrorSaying;
using tacit::testing::IsOk;
using testing::At;
using testing::FilesIn;
using testing::Model;
using testing::NewLedger;
using testing::NewTask;
using testing::RunSql;
using testing::StoreTest;

class Look : public StoreTest {
 protected:
  void SetUp() override {
    StoreTest::SetUp();
    ASSERT_THAT(store().CreateTask(task_, Model(0)), IsOk());
    auto ledger = NewLedger(task_.spec);
    for (RoundNumber round = 1; round <= 3; ++round) {
      const auto reserve = store().AppendLedger(*ledger.ProposeReserve(round, At(1)));
      ASSERT_THAT(reserve, IsOk());
      ASSERT_THAT(ledger.Apply(*reserve), IsOk());
      ASSERT_THAT(store().AppendAudit({At(5), "admin/a", "task.create", "har", ""}), IsOk());
    }
  }
  Inspection Open() {
    auto opened = Inspection::Open(data_dir());
    EXPECT_THAT(opened, IsOk());
    return *std::move(opened);
  }
  Result<void> Pages(Inspection& inspection) { return inspection.CheckPages(clock_, clock_.SteadyNow() + Millis(1)); }

  const TaskRecord task_ = NewTask("har");
  FakeClock clock_;
};

TEST_F(Look, SeesWhatIsThereWhileAServerHasItOpen) {
  Inspection inspection = Open();
  EXPECT_EQ(*inspection.Schema(), kSchemaVersion);
  EXPECT_THAT(Pages(inspection), IsOk());
  EXPECT_EQ(*inspection.CheckAudit(), 3U);
  EXPECT_EQ(*inspection.CheckLedgers(), 3U);
  EXPECT_EQ(*inspection.ChainLength(), 6U);
  EXPECT_EQ(*inspection.Newest(), At(5));
  EXPECT_THAT(store().AppendAudit({At(6), "admin/a", "task.stop", "har", ""}), IsOk());
}

TEST_F(Look, LeavesNothingBehindWhereNoServerIs) {
  Close();
  const std::vector<std::string> before = FilesIn(data_dir());
  {
    Inspection inspection = Open();
    EXPECT_EQ(*inspection.CheckLedgers(), 3U);
    EXPECT_EQ(FilesIn(data_dir()), before);
  }
  EXPECT_EQ(FilesIn(data_dir()), before);
}

TEST_F(Look, FindsNoDatabaseWhereThereIsNone) {
  EXPECT_THAT(Inspection::Open(data_dir() / "elsewhere"), IsError(ErrorCode::kNotFound));
}

TEST_F(Look, FindsALedgerAndALogThatWereChanged) {
  ASSERT_EQ(RunSql(database(), "DROP TRIGGER ledger_keeps; UPDATE ledger SET epsilon_after = 0.0 WHERE sequence = 2"),
            "");
  ASSERT_EQ(RunSql(database(), "DROP TRIGGER audit_keeps; UPDATE audit SET actor = 'x' WHERE sequence = 3"), "");
  Inspection inspection = Open();
  EXPECT_THAT(inspection.CheckLedgers(), IsErrorSaying(ErrorCode::kDataLoss, "entry 2 of the ledger of task 'har'"));
  EXPECT_THAT(inspection.CheckAudit(), IsErrorSaying(ErrorCode::kDataLoss, "audit record 3"));
}

TEST_F(Look, FindsAnIndexThatDoesNotFitItsTable) {
  Close();
  ASSERT_EQ(RunSql(database(),
                   "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM "
                   "sqlite_schema WHERE name = 'rounds_running') WHERE name = 'models_by_digest'"),
            "");
  Inspection inspection = Open();
  EXPECT_THAT(Pages(inspection), IsError(ErrorCode::kDataLoss));
}

TEST_F(Look, GivesUpWhenItsTimeIsOver) {
  ASSERT_EQ(RunSql(database(),
                   "INSERT INTO participations SELECT 'har', 'd' || value, 1, 1 FROM (WITH RECURSIVE n(value) "
                   "AS (SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < 20000) SELECT * FROM n)"),
            "");
  Inspection inspection = Open();
  EXPECT_THAT(inspection.CheckPages(clock_, clock_.SteadyNow()), IsError(ErrorCode::kDeadlineExceeded));
  EXPECT_THAT(Pages(inspection), IsOk());
}

TEST_F(Look, SaysWhichSchemaANewerReleaseLeft) {
  ASSERT_EQ(RunSql(database(), "UPDATE schema_version SET version = 99"), "");
  EXPECT_EQ(*Open().Schema(), 99U);
}

TEST_F(Look, RefusesTheDatabaseOfAnotherProgram) {
  Close();
  ASSERT_EQ(RunSql(database(), "PRAGMA application_id = 1"), "");
  EXPECT_THAT(Inspection::Open(data_dir()), IsErrorSaying(ErrorCode::kDataLoss, "another program"));
}

}  // namespace
}  // namespace tacit::store
