#include "edge_agent/reports/report_book.h"

#include <string_view>
#include <utility>

#include "common/base/check.h"
#include "common/base/files.h"
#include "edge_agent/keys/byte_reader.h"
#include "edge_agent/upload/kept_files.h"

namespace tacit::reports {
namespace {

constexpr std::string_view kMagic = "TACITRB1";

}  // namespace

const Bytes& ReportBook::Begin(const Health& health) {
  if (!on_its_way_) {
    on_its_way_ = codec::Encode(codec::EdgeReport{.stream = stream_,
                                                  .sequence = sequence_,
                                                  .calibration = health.calibration,
                                                  .model_version = health.model_version,
                                                  .counts = std::exchange(open_, {}),
                                                  .degradations = health.degradations});
  }
  return Present(on_its_way_, "it was there, or was just made");
}

void ReportBook::Acknowledge() {
  TACIT_CHECK(on_its_way_.has_value(), "only what was sent is acknowledged");
  on_its_way_.reset();
  sequence_ += 1;
}

void ReportBook::BeginAnew(const codec::ReportStream& stream) {
  if (const auto sent = std::exchange(on_its_way_, std::nullopt)) {
    const auto report = codec::ParseEdgeReport(*sent);
    TACIT_CHECK(report.has_value(), "it was made here, or looked at when it was read");
    Add(report->counts);
  }
  stream_ = stream;
  sequence_ = 1;
}

Bytes ReportBook::Format() const {
  ByteWriter writer;
  writer.Raw(AsBytes(kMagic)).Raw(stream_).U64(sequence_);
  for (const EdgeCounter& each : kEdgeCounters) writer.U64(open_.*each.member);
  writer.Text(AsText(on_its_way_.value_or(Bytes())));
  return upload::WithDigest(std::move(writer));
}

Result<ReportBook> ReportBook::Parse(ByteSpan file) {
  const std::unexpected<Error> damaged = Fail(ErrorCode::kDataLoss, "the record of what was counted here is damaged");
  const std::optional<ByteSpan> content = upload::ContentOf(kMagic, file);
  if (!content) return damaged;
  keys::ByteReader reader(*content);
  ReportBook book(reader.Array<sizeof(codec::ReportStream)>());
  book.sequence_ = reader.Little<std::uint64_t>();
  for (const EdgeCounter& each : kEdgeCounters) book.open_.*each.member = reader.Little<std::uint64_t>();
  const ByteSpan sent = reader.Text(codec::kMaxReportStatementBytes);
  if (!reader.AtEnd() || book.sequence_ == 0 || book.sequence_ > codec::kMaxReportSequence) return damaged;
  for (const EdgeCounter& each : kEdgeCounters)
    if (book.open_.*each.member > kMostEdgeCount) return damaged;
  if (sent.empty()) return book;
  const auto report = codec::ParseEdgeReport(sent);
  if (!report || report->stream != book.stream_ || report->sequence != book.sequence_) return damaged;
  book.on_its_way_ = Bytes(sent.begin(), sent.end());
  return book;
}

Result<std::optional<ReportBook>> ReadReportBook(const std::filesystem::path& file) {
  const auto bytes = ReadFile(file, ReportBook::kLongest);
  if (!bytes && bytes.error().code == ErrorCode::kNotFound) return std::nullopt;
  if (!bytes) return std::unexpected(bytes.error());
  auto book = ReportBook::Parse(*bytes);
  if (!book) return Annotate(book.error(), file.string());
  return *std::move(book);
}

}  // namespace tacit::reports
