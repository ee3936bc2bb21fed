#include <cstdint>
#include <string>
#include <vector>

#include "tests/unit/store/fixtures.h"

namespace tacit::store {
namespace {

using tacit::testing::IsError;
using tacit::testing::IsErrorSaying;
using tacit::testing::IsOk;
using testing::At;
using testing::Device;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::IsEmpty;
using testing::Model;
using testing::NewDevice;
using testing::NewTask;
using ::testing::SizeIs;
using testing::StoreTest;
using testing::Task;
using testing::Text;

class Reports : public StoreTest {
 protected:
  void SetUp() override {
    StoreTest::SetUp();
    for (const char* task : {"har", "other"}) ASSERT_THAT(store().CreateTask(NewTask(task), Model(0)), IsOk());
    for (const char* device : {"phone", "tablet"}) ASSERT_THAT(store().AddDevice(NewDevice(device, 1)), IsOk());
  }
  /// What a device says of one row more for each sequence.
  static ReportStep Report(std::uint64_t sequence, std::uint8_t stream = 1, const char* device = "phone") {
    ReportStep step{.task = Task("har"),
                    .device = Device(device),
                    .sequence = sequence,
                    .version = 4,
                    .counts = {.rows = 10, .adversarial = 2},
                    .statement = Text("report " + std::to_string(sequence)),
                    .public_key = Text("key"),
                    .signature = Text("signature"),
                    .at = At(static_cast<int>(sequence))};
    step.stream.fill(stream);
    return step;
  }
  std::uint64_t Rows() { return store().EdgeOf(Task("har"), At(0), 10)->totals.counts.rows; }
};

TEST_F(Reports, AreCountedOnceHoweverOftenTheyAreSent) {
  EXPECT_EQ(store().RecordReport(Report(1)), ReportOutcome::kCounted);
  EXPECT_EQ(store().RecordReport(Report(1)), ReportOutcome::kRepeated);
  ReportStep again = Report(1);
  again.signature = Text("signed anew");
  EXPECT_EQ(store().RecordReport(again), ReportOutcome::kRepeated) << "by another key, or with other random bits";
  Open();
  EXPECT_EQ(store().RecordReport(Report(1)), ReportOutcome::kRepeated) << "also after a restart";
  EXPECT_EQ(store().RecordReport(Report(2)), ReportOutcome::kCounted);
  EXPECT_THAT(store().RecordReport(Report(1)), IsErrorSaying(ErrorCode::kConflict, "begin a new stream"))
      << "a device whose disk was set back counts anew under old numbers";
  EXPECT_EQ(Rows(), 20U);
  EXPECT_EQ(store().EdgeOf(Task("har"), At(0), 10)->totals.reports, 2U);
}

TEST_F(Reports, ThatDoNotComeNextAreRefusedAndChangeNothing) {
  EXPECT_THAT(store().RecordReport(Report(2)), IsErrorSaying(ErrorCode::kConflict, "0 of this stream are counted"));
  ASSERT_THAT(store().RecordReport(Report(1)), IsOk());
  EXPECT_THAT(store().RecordReport(Report(3)), IsErrorSaying(ErrorCode::kConflict, "begin a new stream"));
  ReportStep other = Report(1);
  other.statement = Text("another");
  other.counts.rows = 1000;
  EXPECT_THAT(store().RecordReport(other), IsErrorSaying(ErrorCode::kConflict, "another content"));
  EXPECT_EQ(Rows(), 10U);
}

TEST_F(Reports, OfANewStreamBeginAnewAndAddUp) {
  ASSERT_THAT(store().RecordReport(Report(1)), IsOk());
  EXPECT_THAT(store().RecordReport(Report(2, 9)), IsError(ErrorCode::kConflict));
  EXPECT_EQ(store().RecordReport(Report(1, 9)), ReportOutcome::kCounted);
  EXPECT_EQ(store().RecordReport(Report(2, 9)), ReportOutcome::kCounted);
  const auto kept = store().ReportsOf(Device("phone"));
  ASSERT_THAT(kept, IsOk());
  ASSERT_THAT(*kept, SizeIs(1)) << "the last of a device and task, and no more";
  EXPECT_EQ(kept->front().totals.rows, 30U);
  EXPECT_EQ(kept->front().sequence, 2U);
}

TEST_F(Reports, AreKeptAsTheyWereSigned) {
  ASSERT_THAT(store().RecordReport(Report(1)), IsOk());
  ReportStep drifted = Report(2);
  drifted.counts.drift_alarms = 1;
  ASSERT_THAT(store().RecordReport(drifted), IsOk());
  Open();
  const auto kept = store().ReportsOf(Device("phone"));
  ASSERT_THAT(kept, IsOk());
  const EdgeReportRecord& last = kept->front();
  EXPECT_EQ(last.statement, Text("report 2"));
  EXPECT_EQ(last.public_key, Text("key"));
  EXPECT_EQ(last.signature, Text("signature"));
  EXPECT_EQ(last.received_at, At(2));
  EXPECT_EQ(last.version, 4U);
  EXPECT_TRUE(last.drifted);
  EXPECT_EQ(last.totals, (EdgeCounts{.rows = 20, .adversarial = 4, .drift_alarms = 1}));
  EXPECT_THAT(*store().ReportsOf(Device("tablet")), IsEmpty());
}

TEST_F(Reports, AreSummedOverTheFleet) {
  ReportStep phone = Report(1);
  phone.degradations = {"sealed_pages", "secret_pages"};
  phone.counts.changed_weights = 1;
  phone.counts.drift_alarms = 2;
  ReportStep tablet = Report(1, 2, "tablet");
  tablet.degradations = {"sealed_pages"};
  tablet.version = 3;
  tablet.at = At(50);
  ASSERT_THAT(store().RecordReport(phone), IsOk());
  ASSERT_THAT(store().RecordReport(tablet), IsOk());
  const auto fleet = store().EdgeOf(Task("har"), At(50), 10);
  ASSERT_THAT(fleet, IsOk());
  EXPECT_EQ(fleet->totals.reports, 2U);
  EXPECT_EQ(fleet->totals.counts, (EdgeCounts{.rows = 20, .adversarial = 4, .drift_alarms = 2, .changed_weights = 1}));
  EXPECT_EQ(fleet->totals.changed_weights_at, At(1));
  EXPECT_EQ(fleet->totals.refused_call_at, std::nullopt);
  EXPECT_EQ(fleet->devices, 2U);
  EXPECT_EQ(fleet->reporting, 1U);
  EXPECT_EQ(fleet->drifted, 0U) << "the one that drifted has not reported lately";
  EXPECT_THAT(fleet->versions, ElementsAre(Field(&EdgeVersion::version, 4), Field(&EdgeVersion::version, 3)));
  EXPECT_EQ(fleet->versions[0].reporting, 0U);
  ASSERT_THAT(fleet->degradations, SizeIs(2));
  EXPECT_EQ(fleet->degradations[0].protection, "sealed_pages");
  EXPECT_EQ(fleet->degradations[0].devices, 2U);
  ASSERT_THAT(store().RecordReport(Report(2)), IsOk());
  EXPECT_EQ(store().EdgeOf(Task("har"), At(0), 10)->degradations.front().devices, 1U) << "what is no longer missing";
  EXPECT_EQ(store().EdgeOf(Task("har"), At(0), 1)->versions.size(), 1U);
  EXPECT_EQ(store().EdgeOf(Task("other"), At(0), 10)->totals.reports, 0U);
}

TEST_F(Reports, AreRefusedOfWhoIsRevokedOrUnknown) {
  EXPECT_THAT(store().RecordReport(Report(1, 1, "nobody")), IsError(ErrorCode::kNotFound));
  ReportStep elsewhere = Report(1);
  elsewhere.task = Task("none");
  EXPECT_THAT(store().RecordReport(elsewhere), IsError(ErrorCode::kNotFound));
  ASSERT_THAT(store().RevokeDevice(Device("phone")), IsOk());
  EXPECT_THAT(store().RecordReport(Report(1)), IsError(ErrorCode::kPermissionDenied));
  EXPECT_EQ(Rows(), 0U);
}

}  // namespace
}  // namespace tacit::store
