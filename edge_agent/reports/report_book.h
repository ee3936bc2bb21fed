#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/edge_counts.h"
#include "common/base/result.h"
#include "proto/codec/reports.h"

namespace tacit::reports {

/// How the model does at the moment of a report.
struct Health {
  std::optional<Digest256> calibration = {};
  std::uint64_t model_version = 0;
  std::vector<std::string> degradations = {};  ///< As in codec::EdgeReport.
};

/// What this device has counted and the server has not: at most one report that is on its way, whose bytes stay as they
/// are until it is known to be counted, and what came since. However long the server is away, it grows no larger.
class ReportBook {
 public:
  explicit ReportBook(const codec::ReportStream& stream) : stream_(stream) {}

  void Add(const EdgeCounts& counts) { open_ = Plus(open_, counts); }
  /// The report to send: the one that is on its way, or else one of all that was counted since.
  const Bytes& Begin(const Health& health);
  /// The report on its way is counted.
  void Acknowledge();
  /// It is not, and cannot be under its number: what it counted waits for the next one, in another stream.
  void BeginAnew(const codec::ReportStream& stream);

  [[nodiscard]] bool on_its_way() const { return on_its_way_.has_value(); }
  [[nodiscard]] const EdgeCounts& open() const { return open_; }
  [[nodiscard]] std::uint64_t sequence() const { return sequence_; }

  static constexpr std::size_t kLongest = codec::kMaxReportStatementBytes + 512;
  [[nodiscard]] Bytes Format() const;
  /// Errors: kDataLoss.
  static Result<ReportBook> Parse(ByteSpan file);

  bool operator==(const ReportBook&) const = default;

 private:
  codec::ReportStream stream_;
  std::uint64_t sequence_ = 1;  // of the report on its way, or of the next one
  EdgeCounts open_;
  std::optional<Bytes> on_its_way_;
};

/// Nothing where there is no file. Errors: kDataLoss; those of the disk.
Result<std::optional<ReportBook>> ReadReportBook(const std::filesystem::path& file);

}  // namespace tacit::reports
