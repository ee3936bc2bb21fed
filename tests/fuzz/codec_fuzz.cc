#include "proto/codec/agent.h"
#include "proto/codec/delivery.h"
#include "proto/codec/enrolment.h"
#include "proto/codec/update_frame.h"
#include "tests/fuzz/fuzz.h"

namespace tacit::codec {
namespace {

/// What was accepted means the same after it was written and read again.
template <typename T>
void RoundTrip(Result<T> (*parse)(ByteSpan), ByteSpan bytes) {
  const Result<T> first = parse(bytes);
  if (!first) return;
  const Result<T> second = parse(Encode(*first));
  TACIT_CHECK(second.has_value() && *second == *first, "an accepted message must come back as it was");
}

/// An upload as a server reads it: length, header, then a payload that is only counted.
void ReadUpdate(ByteSpan bytes) {
  if (bytes.size() < kUpdateLengthBytes) return;
  const auto length = ParseUpdatePrefix(bytes.first<kUpdateLengthBytes>());
  if (!length || *length > bytes.size() - kUpdateLengthBytes) return;
  TACIT_CHECK(*length <= kMaxUpdateHeaderBytes, "the length is what memory is taken for");
  const auto header = ParseUpdateHeader(bytes.subspan(kUpdateLengthBytes, *length));
  if (!header) return;
  const std::uint64_t most = header->sparse ? kMaxSparsePayloadBytes : kMaxPayloadBytes;
  const bool whole_entries = header->sparse || header->payload_bytes % EntryBytes(header->encoding) == 0;
  TACIT_CHECK(header->payload_bytes <= most && whole_entries, "limits.h");
  TACIT_CHECK(!header->sparse || header->encoding != Encoding::kFloat32, "floats have all entries");
  const std::uint64_t sent = bytes.size() - kUpdateLengthBytes - *length;
  const bool fits = header->zstd ? sent > 0 && sent < header->payload_bytes : sent == header->payload_bytes;
  TACIT_CHECK(CheckUpdateFrameSize(bytes.size(), *length, *header, 0).has_value() == fits,
              "exactly what is announced, or compressed less");
}

}  // namespace
}  // namespace tacit::codec

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace codec = tacit::codec;
  if (size == 0) return 0;
  const tacit::ByteSpan rest(data + 1, size - 1);
  switch (data[0] % 12) {
    case 0:
      codec::RoundTrip(codec::ParseCheckInRequest, rest);
      break;
    case 1:
      codec::RoundTrip(codec::ParseCheckInReply, rest);
      break;
    case 2:
      codec::RoundTrip(codec::ParseUpdateHeader, rest);
      break;
    case 3:
      codec::RoundTrip(codec::ParseUpdateAck, rest);
      break;
    case 4:
      codec::RoundTrip(codec::ParseEnrolRequest, rest);
      break;
    case 5:
      codec::RoundTrip(codec::ParseEnrolReply, rest);
      break;
    case 6:
      codec::RoundTrip(codec::ParseRenewRequest, rest);
      break;
    case 7:
      codec::RoundTrip(codec::ParseRenewReply, rest);
      break;
    case 9:
      codec::RoundTrip(codec::ParsePrivacyReply, rest);
      break;
    case 10:
      codec::RoundTrip(codec::ParseModelLeaseRequest, rest);
      break;
    case 11:
      codec::RoundTrip(codec::ParseModelLeaseReply, rest);
      break;
    default:
      codec::ReadUpdate(rest);
      break;
  }
  return 0;
}
