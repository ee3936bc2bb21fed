#include "common/bundle/payload.h"

#include <algorithm>
#include <string>

#include "common/base/check.h"

namespace tacit::bundle {

crypto::SecretKey PayloadKey(const crypto::SecretKey& content_key, const Digest256& head_digest) {
  ByteWriter label;
  label.Text("tacit.dev/model-bundle/v1 payload").Raw(head_digest);
  return content_key.Derive(label.bytes());
}

PayloadCipher::PayloadCipher(const crypto::SecretKey& payload_key, const Payload& payload)
    : aead_(crypto::AeadKind::kAes256Gcm, payload_key),
      manifest_digest_(payload.manifest),
      plaintext_size_(payload.plaintext_size) {}

PayloadCipher::PayloadCipher(const crypto::SecretKey& payload_key, const Manifest& manifest)
    : PayloadCipher(payload_key,
                    Payload{.manifest = manifest.digest(), .plaintext_size = manifest.fields().plaintext_size}) {}

std::size_t PayloadCipher::PlaintextSize(std::uint64_t index) const {
  TACIT_CHECK(index < ChunksOf(plaintext_size_), "callers know how many chunks there are");
  return static_cast<std::size_t>(std::min<std::uint64_t>(kChunk, plaintext_size_ - index * kChunk));
}

PayloadCipher::Place PayloadCipher::PlaceOf(std::uint64_t index) const {
  Place place{};
  ByteWriter nonce;
  nonce.Raw(ByteSpan(manifest_digest_).first(4)).U64(index);
  std::ranges::copy(nonce.bytes(), place.nonce.begin());
  const bool last = index + 1 == ChunksOf(plaintext_size_);
  place.associated = ByteWriter().Raw(manifest_digest_).U64(index).U8(last ? 1 : 0).bytes();
  return place;
}

void PayloadCipher::Seal(std::uint64_t index, ByteSpan plaintext, std::span<std::uint8_t> sealed) {
  TACIT_CHECK(plaintext.size() == PlaintextSize(index), "each chunk has one size");
  const Place place = PlaceOf(index);
  aead_.Seal({.nonce = place.nonce, .associated = place.associated}, plaintext, sealed);
}

Result<void> PayloadCipher::Open(std::uint64_t index, ByteSpan sealed, std::span<std::uint8_t> plaintext) {
  TACIT_CHECK(plaintext.size() == PlaintextSize(index), "each chunk has one size");
  const Place place = PlaceOf(index);
  if (aead_.Open({.nonce = place.nonce, .associated = place.associated}, sealed, plaintext)) return {};
  return Fail(ErrorCode::kDataLoss, "chunk " + std::to_string(index + 1) + " of " +
                                        std::to_string(ChunksOf(plaintext_size_)) +
                                        " does not open: changed, of another place, or of another bundle");
}

}  // namespace tacit::bundle
