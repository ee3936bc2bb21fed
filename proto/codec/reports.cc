#include "proto/codec/reports.h"

#include <algorithm>
#include <functional>
#include <string_view>
#include <utility>

#include "proto/codec/fields.h"
#include "proto/codec/wire.h"
#include "tacit/v1/agent.pb.h"

namespace tacit::codec {
namespace {

constexpr std::string_view kReportDomain = "tacit-edge-report/1\n";

void Write(const EdgeCounts& counts, v1::EdgeCounts& message) {
  message.set_rows(counts.rows);
  message.set_adversarial(counts.adversarial);
  message.set_out_of_distribution(counts.out_of_distribution);
  message.set_rejected(counts.rejected);
  message.set_extraction_alarms(counts.extraction_alarms);
  message.set_over_budget(counts.over_budget);
  message.set_drift_windows(counts.drift_windows);
  message.set_drift_alarms(counts.drift_alarms);
  message.set_worker_endings(counts.worker_endings);
  message.set_changed_weights(counts.changed_weights);
  message.set_refused_calls(counts.refused_calls);
}

Result<EdgeCounts> ReadCounts(const v1::EdgeCounts& message) {
  const EdgeCounts counts{.rows = message.rows(),
                          .adversarial = message.adversarial(),
                          .out_of_distribution = message.out_of_distribution(),
                          .rejected = message.rejected(),
                          .extraction_alarms = message.extraction_alarms(),
                          .over_budget = message.over_budget(),
                          .drift_windows = message.drift_windows(),
                          .drift_alarms = message.drift_alarms(),
                          .worker_endings = message.worker_endings(),
                          .changed_weights = message.changed_weights(),
                          .refused_calls = message.refused_calls()};
  for (const EdgeCounter& each : kEdgeCounters)
    TACIT_TRY_VOID(CheckRange<std::uint64_t>(each.name, counts.*each.member, 0, kMostEdgeCount));
  return counts;
}

bool IsNameCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

Result<std::vector<std::string>> ReadDegradations(const v1::EdgeReport& message) {
  const auto refusal = [](const std::string& rule) {
    return Fail(ErrorCode::kInvalidArgument, "degradations must be " + rule);
  };
  if (static_cast<std::size_t>(message.degradations_size()) > kMaxDegradations)
    return refusal("at most " + std::to_string(kMaxDegradations));
  std::vector<std::string> names(message.degradations().begin(), message.degradations().end());
  for (const std::string& name : names) {
    if (name.empty() || name.size() > kMaxDegradationBytes || !std::ranges::all_of(name, IsNameCharacter))
      return refusal("names of 1 to " + std::to_string(kMaxDegradationBytes) + " of a-z, 0-9 and '_'");
  }
  if (std::ranges::adjacent_find(names, std::greater_equal<>()) != names.end())
    return refusal("in ascending order, each once");
  return names;
}

Result<Bytes> ReadBytes(std::string_view field, std::string_view value, std::size_t most) {
  if (value.empty() || value.size() > most) {
    return Fail(ErrorCode::kInvalidArgument, std::string(field) + " must be 1 to " + std::to_string(most) +
                                                 " bytes, not " + std::to_string(value.size()));
  }
  const ByteSpan bytes = AsBytes(value);
  return Bytes(bytes.begin(), bytes.end());
}

}  // namespace

Bytes Encode(const EdgeReport& report) {
  v1::EdgeReport message;
  message.set_stream(report.stream.data(), report.stream.size());
  message.set_sequence(report.sequence);
  if (const auto& calibration = report.calibration) message.set_calibration(calibration->data(), calibration->size());
  message.set_model_version(report.model_version);
  Write(report.counts, *message.mutable_counts());
  for (const std::string& name : report.degradations) message.add_degradations(name);
  return SerializeMessage(message);
}

Bytes Encode(const ReportBatch& batch) {
  v1::ReportBatch message;
  message.set_statement(batch.statement.data(), batch.statement.size());
  message.set_public_key(batch.public_key.data(), batch.public_key.size());
  message.set_signature(batch.signature.data(), batch.signature.size());
  return SerializeMessage(message);
}

Bytes Encode(const ReportAck& ack) {
  v1::ReportAck message;
  message.set_sequence(ack.sequence);
  return SerializeMessage(message);
}

Result<EdgeReport> ParseEdgeReport(ByteSpan bytes) {
  v1::EdgeReport message;
  TACIT_TRY_VOID(ParseMessage(bytes, kMaxReportStatementBytes, "a device's report", message));
  EdgeReport report{.sequence = message.sequence(), .model_version = message.model_version()};
  TACIT_TRY(report.stream, ParseDigest<ReportStream>("stream", message.stream()));
  TACIT_TRY_VOID(CheckRange<std::uint64_t>("sequence", report.sequence, 1, kMaxReportSequence));
  if (!message.calibration().empty()) {
    TACIT_TRY(report.calibration, ParseDigest<Digest256>("calibration", message.calibration()));
  }
  TACIT_TRY_VOID(CheckRange<std::uint64_t>("model_version", report.model_version, 0, kMaxBundleVersion));
  TACIT_TRY(report.counts, ReadCounts(message.counts()));
  TACIT_TRY(report.degradations, ReadDegradations(message));
  return report;
}

Result<ReportBatch> ParseReportBatch(ByteSpan bytes) {
  v1::ReportBatch message;
  TACIT_TRY_VOID(ParseMessage(bytes, kMaxReportBatchBytes, "a signed report", message));
  ReportBatch batch;
  TACIT_TRY(batch.statement, ReadBytes("statement", message.statement(), kMaxReportStatementBytes));
  TACIT_TRY(batch.public_key, ReadBytes("public_key", message.public_key(), kMaxReportKeyBytes));
  TACIT_TRY(batch.signature, ReadBytes("signature", message.signature(), kMaxReportSignatureBytes));
  return batch;
}

Result<ReportAck> ParseReportAck(ByteSpan bytes) {
  v1::ReportAck message;
  TACIT_TRY_VOID(ParseMessage(bytes, kMaxReportAckBytes, "the answer to a report", message));
  TACIT_TRY_VOID(CheckRange<std::uint64_t>("sequence", message.sequence(), 1, kMaxReportSequence));
  return ReportAck{.sequence = message.sequence()};
}

Bytes ReportMessage(const DeviceId& device, const TaskId& task, ByteSpan statement) {
  const std::string head = std::string(kReportDomain) + device.str() + "\n" + task.str() + "\n";
  Bytes message(head.begin(), head.end());
  message.insert(message.end(), statement.begin(), statement.end());
  return message;
}

}  // namespace tacit::codec
