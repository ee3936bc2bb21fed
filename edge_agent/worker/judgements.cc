#include <algorithm>
#include <utility>

#include "edge_agent/worker/fields.h"
#include "edge_agent/worker/messages.h"

namespace tacit::worker {
namespace {

using detect::Asker;
using detect::Judgement;
using detect::RowVerdict;

constexpr std::size_t kAskerBytes = sizeof(Digest128) + sizeof(std::uint64_t);
constexpr std::size_t kVerdictBytes = 4;
constexpr std::size_t kJudgementHead = 12;
constexpr unsigned kSuspicious = 1;
constexpr unsigned kNotFinite = 2;

Result<RowVerdict> ReadVerdict(Fields& fields) {
  const auto flags = fields.Number<std::uint8_t>();
  const auto concern = fields.Number<std::uint8_t>();
  const auto strongest = fields.Number<std::uint8_t>();
  const auto extraction = fields.Number<std::uint8_t>();
  if (flags > (kSuspicious | kNotFinite) || concern >= detect::kConcerns || strongest >= detect::kScores ||
      extraction > std::to_underlying(detect::ExtractionReason::kHardness)) {
    return Malformed("a verdict that there is not");
  }
  return RowVerdict{.suspicious = (flags & kSuspicious) != 0,
                    .is_finite = (flags & kNotFinite) == 0,
                    .concern = static_cast<detect::Concern>(concern),
                    .strongest = static_cast<detect::Score>(strongest),
                    .extraction = static_cast<detect::ExtractionReason>(extraction)};
}

}  // namespace

Bytes EncodeAskers(std::span<const Asker> askers) {
  ByteWriter writer;
  for (const Asker& asker : askers) writer.Raw(asker.identity).U64(asker.rows);
  return std::move(writer).Take();
}

Result<std::vector<Asker>> ParseAskers(ByteSpan bytes, std::size_t rows) {
  if (bytes.size() % kAskerBytes != 0) return Malformed("no askers");
  Fields fields(bytes);
  std::vector<Asker> askers;
  std::size_t left = rows;
  while (!fields.at_end()) {
    Asker asker;
    std::ranges::copy(fields.Raw(sizeof(Digest128)), asker.identity.begin());
    asker.rows = fields.Number<std::uint64_t>();
    if (asker.rows > left) return Malformed("askers of more rows than there are");
    left -= asker.rows;
    askers.push_back(asker);
  }
  if (left > 0) return Malformed("rows that nobody asks about");
  return askers;
}

Bytes EncodeJudgement(const Judgement& judgement) {
  ByteWriter writer;
  writer.U32(judgement.drift_windows).U32(judgement.drift_alarms).U32(judgement.drifted);
  for (const RowVerdict& row : judgement.rows) {
    const unsigned flags = (row.suspicious ? kSuspicious : 0U) | (row.is_finite ? 0U : kNotFinite);
    writer.U8(static_cast<std::uint8_t>(flags)).U8(std::to_underlying(row.concern));
    writer.U8(std::to_underlying(row.strongest)).U8(std::to_underlying(row.extraction));
  }
  return std::move(writer).Take();
}

Result<Judgement> ParseJudgement(ByteSpan bytes, std::size_t rows) {
  if (bytes.size() < kJudgementHead || (bytes.size() - kJudgementHead) % kVerdictBytes != 0 ||
      (bytes.size() - kJudgementHead) / kVerdictBytes != rows) {
    return Malformed("no verdicts on the rows that were asked about");
  }
  Fields fields(bytes);
  Judgement judgement;
  judgement.drift_windows = fields.Number<std::uint32_t>();
  judgement.drift_alarms = fields.Number<std::uint32_t>();
  judgement.drifted = fields.Number<std::uint32_t>();
  if (judgement.drift_windows > rows || judgement.drift_alarms > judgement.drift_windows ||
      (judgement.drifted >> detect::kDriftStatistics) != 0 ||
      (judgement.drifted != 0) != (judgement.drift_alarms != 0)) {
    return Malformed("windows of drift that there cannot be");
  }
  for (std::size_t i = 0; i < rows; ++i) {
    TACIT_TRY(const RowVerdict row, ReadVerdict(fields));
    judgement.rows.push_back(row);
  }
  return judgement;
}

}  // namespace tacit::worker
