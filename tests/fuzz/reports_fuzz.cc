#include <algorithm>
#include <utility>

#include "common/crypto/key_signature.h"
#include "edge_agent/reports/report_book.h"
#include "edge_agent/upload/kept_files.h"
#include "proto/codec/reports.h"
#include "tests/fuzz/fuzz.h"

namespace tacit {
namespace {

void CheckReport(const codec::EdgeReport& report) {
  TACIT_CHECK(codec::ParseEdgeReport(codec::Encode(report)) == report, "a report comes back as it was");
  for (const EdgeCounter& each : kEdgeCounters)
    TACIT_CHECK(report.counts.*each.member <= kMostEdgeCount, "sums of counts can be said");
  TACIT_CHECK(report.degradations.size() <= codec::kMaxDegradations, "what a device makes a server keep is bounded");
  TACIT_CHECK(std::ranges::is_sorted(report.degradations), "the same set has one list");
}

/// As a server reads it, but for the connection that must have the same key.
void ReadBatch(ByteSpan bytes) {
  const auto batch = codec::ParseReportBatch(bytes);
  if (!batch) return;
  TACIT_CHECK(codec::ParseReportBatch(codec::Encode(*batch)) == *batch, "a batch comes back as it was");
  if (const auto key = crypto::KeyVerifier::FromDer(batch->public_key))
    static_cast<void>(key->Verify(batch->statement, batch->signature));
  if (const auto report = codec::ParseEdgeReport(batch->statement)) CheckReport(*report);
}

/// What an agent finds on its disk, with the digest that ends it, so that the search gets past that.
void ReadBook(ByteSpan content) {
  const Bytes file = upload::WithDigest(std::move(ByteWriter().Raw(content)));
  auto book = reports::ReportBook::Parse(file);
  if (!book) return;
  TACIT_CHECK(book->Format() == file, "a record has one form");
  TACIT_CHECK(file.size() <= reports::ReportBook::kLongest, "whatever was counted, a record can be read again");
  const auto report = codec::ParseEdgeReport(book->Begin({}));
  TACIT_CHECK(report.has_value() && report->sequence == book->sequence(), "what is sent can be read");
  book->BeginAnew({});
  TACIT_CHECK(!book->on_its_way() && book->sequence() == 1, "a new stream begins with 1");
}

}  // namespace
}  // namespace tacit

/// Reports of devices, on the wire and on a disk. The first byte says which.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const tacit::ByteSpan rest(data + 1, size - 1);
  switch (data[0] % 4) {
    case 0:
      tacit::ReadBatch(rest);
      break;
    case 1:
      if (const auto report = tacit::codec::ParseEdgeReport(rest)) tacit::CheckReport(*report);
      break;
    case 2:
      tacit::ReadBook(rest);
      break;
    default:
      if (const auto ack = tacit::codec::ParseReportAck(rest))
        TACIT_CHECK(tacit::codec::ParseReportAck(tacit::codec::Encode(*ack)) == *ack, "as it was");
      break;
  }
  return 0;
}
