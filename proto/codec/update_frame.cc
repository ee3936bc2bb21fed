#include "proto/codec/update_frame.h"

#include <string>

#include "proto/codec/fields.h"

namespace tacit::codec {

Bytes EncodeUpdatePrefix(const UpdateHeader& header) {
  const Bytes message = Encode(header);
  return ByteWriter().U32(static_cast<std::uint32_t>(message.size())).Raw(message).bytes();
}

Result<std::uint32_t> ParseUpdatePrefix(std::span<const std::uint8_t, kUpdateLengthBytes> bytes) {
  std::uint32_t length = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) length |= static_cast<std::uint32_t>(bytes[i]) << (8 * i);
  if (length == 0)
    return Fail(ErrorCode::kMalformed, "the update header length is 0; an update starts with its header");
  if (length > kMaxUpdateHeaderBytes) {
    return Fail(ErrorCode::kTooLarge, "the update header length " + std::to_string(length) + " is over the limit of " +
                                          std::to_string(kMaxUpdateHeaderBytes));
  }
  return length;
}

namespace {

// Without the numbers: how far a payload can be compressed is a function of it.
Result<void> CheckCompressedSize(std::uint64_t content_length, std::uint64_t prefix, const UpdateHeader& header,
                                 std::uint64_t offset) {
  if (offset > 0) return Fail(ErrorCode::kMalformed, "a compressed update has no Upload-Offset: send the whole");
  if (content_length > prefix && content_length - prefix < header.payload_bytes) return {};
  return Fail(ErrorCode::kMalformed, "the compressed payload is empty, or no shorter than what the header announces");
}

}  // namespace

Result<void> CheckUpdateFrameSize(std::uint64_t content_length, std::uint32_t header_bytes, const UpdateHeader& header,
                                  std::uint64_t offset) {
  if (header.zstd) return CheckCompressedSize(content_length, kUpdateLengthBytes + header_bytes, header, offset);
  if (offset > header.payload_bytes) {
    return Fail(ErrorCode::kMalformed, "Upload-Offset is " + std::to_string(offset) + ", beyond the payload of " +
                                           std::to_string(header.payload_bytes) + " bytes");
  }
  const std::uint64_t expected = kUpdateLengthBytes + header_bytes + header.payload_bytes - offset;
  if (content_length == expected) return {};
  return Fail(ErrorCode::kMalformed, "Content-Length is " + std::to_string(content_length) +
                                         " but the update header announces " + std::to_string(expected) +
                                         " bytes in all");
}

}  // namespace tacit::codec
