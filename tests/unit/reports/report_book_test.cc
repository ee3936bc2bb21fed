#include "edge_agent/reports/report_book.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/files.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_directory.h"

namespace tacit::reports {
namespace {

using ::tacit::testing::IsError;
using ::tacit::testing::IsOk;
using ::tacit::testing::TempDirectory;

codec::ReportStream Stream(std::uint8_t byte) {
  codec::ReportStream stream;
  stream.fill(byte);
  return stream;
}

const Health kHealth{.model_version = 4, .degradations = {"secret_pages"}};

TEST(ReportBook, SaysTheSameUntilItIsAcknowledgedAndThenWhatCameSince) {
  ReportBook book(Stream(1));
  book.Add({.rows = 10});
  const Bytes first = book.Begin(kHealth);
  book.Add({.rows = 5, .drift_alarms = 1});
  EXPECT_EQ(book.Begin({.model_version = 9}), first) << "what was sent once stays as it is";
  const auto report = codec::ParseEdgeReport(first);
  ASSERT_THAT(report, IsOk());
  EXPECT_EQ(report->sequence, 1U);
  EXPECT_EQ(report->counts, (EdgeCounts{.rows = 10}));
  EXPECT_EQ(report->model_version, 4U);
  EXPECT_EQ(report->degradations, kHealth.degradations);
  book.Acknowledge();
  const auto next = codec::ParseEdgeReport(book.Begin(kHealth));
  ASSERT_THAT(next, IsOk());
  EXPECT_EQ(next->sequence, 2U);
  EXPECT_EQ(next->stream, Stream(1));
  EXPECT_EQ(next->counts, (EdgeCounts{.rows = 5, .drift_alarms = 1}));
}

TEST(ReportBook, LosesNothingWhenItBeginsAnew) {
  ReportBook book(Stream(1));
  book.Add({.rows = 10});
  book.Begin(kHealth);
  book.Acknowledge();
  book.Add({.rows = 3});
  book.Begin(kHealth);
  book.Add({.rows = 4});
  book.BeginAnew(Stream(2));
  EXPECT_FALSE(book.on_its_way());
  const auto report = codec::ParseEdgeReport(book.Begin(kHealth));
  ASSERT_THAT(report, IsOk());
  EXPECT_EQ(report->stream, Stream(2));
  EXPECT_EQ(report->sequence, 1U);
  EXPECT_EQ(report->counts.rows, 7U);
}

TEST(ReportBook, ComesBackFromTheDiskAsItWas) {
  const TempDirectory directory;
  const auto file = directory.path() / "har.reports";
  EXPECT_EQ(ReadReportBook(file), std::nullopt);
  ReportBook book(Stream(1));
  book.Add({.rows = 10, .refused_calls = 1});
  for (int step = 0; step < 3; ++step) {
    ASSERT_THAT(WriteFileAtomic(file, book.Format(), kOwnerOnly), IsOk());
    EXPECT_EQ(ReadReportBook(file), book);
    EXPECT_LE(book.Format().size(), ReportBook::kLongest);
    if (step == 0) book.Begin(kHealth);
    if (step == 1) book.Acknowledge();
  }
}

TEST(ReportBook, IsNotReadWhereItIsDamaged) {
  ReportBook book(Stream(1));
  book.Begin(kHealth);
  const Bytes good = book.Format();
  for (std::size_t at = 0; at < good.size(); ++at) {
    Bytes changed = good;
    changed[at] ^= 1U;
    ASSERT_THAT(ReportBook::Parse(changed), IsError(ErrorCode::kDataLoss)) << at;
    ASSERT_THAT(ReportBook::Parse(ByteSpan(good).first(at)), IsError(ErrorCode::kDataLoss)) << at;
  }
  const TempDirectory directory;
  ASSERT_THAT(WriteFileAtomic(directory.path() / "x", Bytes(10), kOwnerOnly), IsOk());
  EXPECT_THAT(ReadReportBook(directory.path() / "x"), IsError(ErrorCode::kDataLoss));
}

}  // namespace
}  // namespace tacit::reports
