#pragma once

#include <cstdint>
#include <span>

#include "common/base/bytes.h"
#include "common/bundle/manifest.h"
#include "common/crypto/aead.h"

// How plaintext becomes the chunks of a bundle: each is sealed for its place, in its bundle, and the last one as being
// the last (STREAM: Hoang, Reyhanitabar, Rogaway, Vizar 2015, "Online Authenticated-Encryption and its Nonce-Reuse
// Misuse-Resistance", section 7).
namespace tacit::bundle {

/// How long a whole chunk is when it is sealed.
inline constexpr std::size_t kSealedChunk = kChunk + crypto::Aead::kTagSize;

/// How many chunks a plaintext of `size` bytes has; `size` is at least 1.
constexpr std::uint64_t ChunksOf(std::uint64_t size) {
  return (size + kChunk - 1) / kChunk;
}
/// How many bytes its chunks take.
constexpr std::uint64_t SealedSizeOf(std::uint64_t size) {
  return size + ChunksOf(size) * crypto::Aead::kTagSize;
}

/// The key of the chunks of one file: of the content key, and of all that stands in front of the chunks. So one content
/// key can serve the payloads of many devices, whose nonces are all the same.
crypto::SecretKey PayloadKey(const crypto::SecretKey& content_key, const Digest256& head_digest);

/// Seals and opens single chunks. Threads: one at a time. Cost: about 0.3 ns a byte.
class PayloadCipher {
 public:
  /// Which payload it is.
  struct Payload {
    Digest256 manifest;
    std::uint64_t plaintext_size;
  };
  PayloadCipher(const crypto::SecretKey& payload_key, const Payload& payload);
  PayloadCipher(const crypto::SecretKey& payload_key, const Manifest& manifest);

  /// How many bytes of plaintext chunk `index` has.
  [[nodiscard]] std::size_t PlaintextSize(std::uint64_t index) const;

  /// `plaintext` is of PlaintextSize, and `sealed` longer by a tag.
  void Seal(std::uint64_t index, ByteSpan plaintext, std::span<std::uint8_t> sealed);
  /// Leaves zeros in `plaintext` on failure. Errors: kDataLoss where this is not that chunk of that file.
  Result<void> Open(std::uint64_t index, ByteSpan sealed, std::span<std::uint8_t> plaintext);

 private:
  struct Place {
    crypto::Aead::Nonce nonce;
    Bytes associated;
  };
  [[nodiscard]] Place PlaceOf(std::uint64_t index) const;

  crypto::Aead aead_;
  Digest256 manifest_digest_;
  std::uint64_t plaintext_size_;
};

}  // namespace tacit::bundle
