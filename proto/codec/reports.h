#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/edge_counts.h"
#include "common/base/ids.h"
#include "common/base/result.h"
#include "proto/codec/limits.h"

/// What devices that use a model tell of it: the messages of POST /v1/tasks/{task}/reports.
namespace tacit::codec {

using ReportStream = std::array<std::uint8_t, 16>;

/// What a device has counted since its report before.
struct EdgeReport {
  ReportStream stream{};
  std::uint64_t sequence = 1;
  std::optional<Digest256> calibration = {};
  std::uint64_t model_version = 0;  ///< That serves; 0 while none does.
  EdgeCounts counts = {};
  /// Names of protections: snake_case, at most kMaxDegradationBytes; at most kMaxDegradations, ascending, each once.
  std::vector<std::string> degradations = {};
  bool operator==(const EdgeReport&) const = default;
};

/// A report with the proof of whose it is.
struct ReportBatch {
  Bytes statement;   ///< An EdgeReport, byte for byte as it was signed.
  Bytes public_key;  ///< SubjectPublicKeyInfo, DER. Whether it is a key, and whose, is not looked at here.
  Bytes signature;   ///< Of ReportMessage.
  bool operator==(const ReportBatch&) const = default;
};

struct ReportAck {
  std::uint64_t sequence = 1;
  bool operator==(const ReportAck&) const = default;
};

/// Shape: the parser takes what it makes of values within their ranges.
Bytes Encode(const EdgeReport& report);
Bytes Encode(const ReportBatch& batch);
Bytes Encode(const ReportAck& ack);

/// Errors, for all: kTooLarge over the message's limit; kMalformed for bytes that are no such message;
/// kInvalidArgument, naming the field, for a value outside its range.
Result<EdgeReport> ParseEdgeReport(ByteSpan bytes);
Result<ReportBatch> ParseReportBatch(ByteSpan bytes);
Result<ReportAck> ParseReportAck(ByteSpan bytes);

/// The bytes that a device signs: which device says it of which task is in them, so that a signature is good for one
/// place only. Names have no line ends.
Bytes ReportMessage(const DeviceId& device, const TaskId& task, ByteSpan statement);

}  // namespace tacit::codec
