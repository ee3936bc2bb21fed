#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "common/base/bytes.h"
#include "common/bundle/byte_source.h"
#include "common/crypto/secret.h"

namespace tacit::bundle {

/// All that opens the chunks of one bundle, and nothing else: for a process that computes with the plaintext and has no
/// business with who signed it, or with the device's key.
struct PayloadTicket {
  crypto::SecretKey key;  ///< Of the payload.
  Digest256 manifest;
  Digest256 plaintext_digest;
  std::uint64_t plaintext_size;
  std::uint64_t offset;          ///< Where the chunks begin in the file.
  std::uint64_t detectors_size;  ///< How many of the plaintext's last bytes are of the model's detectors; 0 for none.
  Digest256 calibration;         ///< Of these detectors; zeros for none.

  static constexpr std::size_t kEncodedSize = crypto::SecretKey::kSize + 3 * sizeof(Digest256) + 24;
  /// Holds the key: whoever asked overwrites it.
  [[nodiscard]] Bytes Encode() const;
  /// Errors: kMalformed for another size, or a plaintext or detectors that no bundle carries.
  static Result<PayloadTicket> Parse(ByteSpan bytes);
};

/// Writes the plaintext into `memory`, of exactly the size that the ticket names, from a source that stands at the
/// first chunk. Each chunk is verified before the next is read; until all of them are, and the plaintext's digest with
/// them, nothing in `memory` may be used, and on failure it holds zeros. One chunk of ciphertext is all that it takes
/// beside. Errors: kDataLoss where a chunk was changed, is of another place or bundle, where bytes are missing or too
/// many, or where the plaintext is not the one that was signed; what the source says.
Result<void> ReadPayload(ByteSource& source, const PayloadTicket& ticket, std::span<std::uint8_t> memory);

/// Asks all that ReadPayload asks and keeps nothing: one chunk of plaintext at a time is in memory, overwritten after.
/// Errors: as ReadPayload.
Result<void> VerifyPayload(ByteSource& source, const PayloadTicket& ticket);

}  // namespace tacit::bundle
