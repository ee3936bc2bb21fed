#include "proto/codec/reports.h"

#include <functional>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tacit/v1/agent.pb.h"
#include "tests/support/matchers.h"
#include "tests/unit/codec/edited.h"

namespace tacit::codec {
namespace {

using ::tacit::testing::IsError;
using ::tacit::testing::IsErrorSaying;

EdgeReport SomeReport() {
  EdgeReport report{.sequence = 3, .model_version = 7, .degradations = {"sealed_pages", "secret_pages"}};
  report.stream.fill(5);
  report.calibration.emplace().fill(6);
  std::uint64_t value = 1;
  for (const EdgeCounter& each : kEdgeCounters) report.counts.*each.member = value++;
  return report;
}

TEST(EdgeReport, ComesBackAsItWasSent) {
  EXPECT_EQ(ParseEdgeReport(Encode(SomeReport())), SomeReport());
  EdgeReport quiet{.sequence = 1};
  EXPECT_EQ(ParseEdgeReport(Encode(quiet)), quiet) << "nothing serves, and nothing happened";
  const ReportBatch batch{.statement = {1, 2}, .public_key = {3}, .signature = {4, 5, 6}};
  EXPECT_EQ(ParseReportBatch(Encode(batch)), batch);
  EXPECT_EQ(ParseReportAck(Encode(ReportAck{.sequence = 9})), ReportAck{.sequence = 9});
}

TEST(EdgeReport, RefusesWhatIsNone) {
  const auto refused = [](const char* field, const std::function<void(v1::EdgeReport&)>& edit) {
    EXPECT_THAT(ParseEdgeReport(Edited<v1::EdgeReport>(SomeReport(), edit)),
                IsErrorSaying(ErrorCode::kInvalidArgument, field));
  };
  refused("stream", [](auto& m) { m.set_stream("short"); });
  refused("sequence", [](auto& m) { m.set_sequence(0); });
  refused("sequence", [](auto& m) { m.set_sequence(1ULL << 53U); });
  refused("calibration", [](auto& m) { m.set_calibration(std::string(31, 'c')); });
  refused("model_version", [](auto& m) { m.set_model_version(~0ULL); });
  refused("refused_calls", [](auto& m) { m.mutable_counts()->set_refused_calls(kMostEdgeCount + 1); });
  refused("rows", [](auto& m) { m.mutable_counts()->set_rows(~0ULL); });
  refused("ascending", [](auto& m) { m.add_degradations("few_calls"); });
  refused("each once", [](auto& m) { m.add_degradations("secret_pages"); });
  refused("degradations", [](auto& m) { m.add_degradations(std::string(33, 'z')); });
  refused("degradations", [](auto& m) { m.add_degradations("t\n"); });
  refused("degradations", [](auto& m) { m.add_degradations(""); });
  refused("at most 32", [](auto& m) {
    for (int i = 0; i < 32; ++i) m.add_degradations("z" + std::to_string(10 + i));
  });
  EXPECT_THAT(ParseEdgeReport(Bytes(kMaxReportStatementBytes + 1)), IsError(ErrorCode::kTooLarge));
  EXPECT_THAT(ParseEdgeReport(Bytes(3, 0xff)), IsError(ErrorCode::kMalformed));
}

TEST(EdgeReport, RefusesABatchWithoutAllItsParts) {
  const ReportBatch good{.statement = {1}, .public_key = {2}, .signature = {3}};
  const auto refused = [&good](const char* field, const std::function<void(v1::ReportBatch&)>& edit) {
    EXPECT_THAT(ParseReportBatch(Edited<v1::ReportBatch>(good, edit)),
                IsErrorSaying(ErrorCode::kInvalidArgument, field));
  };
  refused("statement", [](auto& m) { m.clear_statement(); });
  refused("public_key", [](auto& m) { m.set_public_key(std::string(kMaxReportKeyBytes + 1, 'k')); });
  refused("signature", [](auto& m) { m.set_signature(std::string(kMaxReportSignatureBytes + 1, 's')); });
  EXPECT_THAT(ParseReportBatch(Bytes(kMaxReportBatchBytes + 1)), IsError(ErrorCode::kTooLarge));
  EXPECT_THAT(ParseReportAck({}), IsErrorSaying(ErrorCode::kInvalidArgument, "sequence"));
}

TEST(EdgeReport, IsSignedForOneDeviceAndOneTask) {
  const Bytes message = ReportMessage(*DeviceId::Parse("cam"), *TaskId::Parse("har"), AsBytes("said"));
  EXPECT_EQ(AsText(message), "tacit-edge-report/1\ncam\nhar\nsaid");
}

TEST(EdgeCounts, AreAddedUpToTheMostThatCanBeSaid) {
  const EdgeCounts one{.rows = kMostEdgeCount - 1, .refused_calls = 2};
  const EdgeCounts sum = Plus(one, {.rows = 5, .adversarial = 1, .refused_calls = 3});
  EXPECT_EQ(sum, (EdgeCounts{.rows = kMostEdgeCount, .adversarial = 1, .refused_calls = 5}));
  EXPECT_EQ(Since(one, {.rows = kMostEdgeCount, .refused_calls = 1}), (EdgeCounts{.rows = 1}))
      << "a counter that went back has counted nothing";
}

}  // namespace
}  // namespace tacit::codec
