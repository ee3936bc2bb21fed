#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "proto/codec/agent.h"

/// The body of an upload: u32 little-endian header length | UpdateHeader | payload_bytes of payload.
/// The payload is not part of any message, so it can be received straight into the memory that is summed from.
namespace tacit::codec {

inline constexpr std::size_t kUpdateLengthBytes = 4;

/// Everything of an upload that stands before the payload.
Bytes EncodeUpdatePrefix(const UpdateHeader& header);

/// The length of the header that follows, 1 to kMaxUpdateHeaderBytes.
/// Errors: kMalformed for 0; kTooLarge above the limit.
Result<std::uint32_t> ParseUpdatePrefix(std::span<const std::uint8_t, kUpdateLengthBytes> bytes);

/// Whether a Content-Length is exactly that of the frame it announces, whose payload is sent from `offset` on.
/// A compressed payload has no offset, and is shorter than what it unpacks to.
/// Errors: kMalformed, with both numbers unless it is compressed. A body that is longer or shorter than announced is
/// refused before its payload is read.
Result<void> CheckUpdateFrameSize(std::uint64_t content_length, std::uint32_t header_bytes, const UpdateHeader& header,
                                  std::uint64_t offset);

}  // namespace tacit::codec
