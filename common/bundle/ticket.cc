#include "common/bundle/ticket.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "common/base/check.h"
#include "common/bundle/payload.h"
#include "common/crypto/digest.h"

namespace tacit::bundle {
namespace {

Result<void> ReadSealed(ByteSource& source, std::span<std::uint8_t> into) {
  TACIT_TRY(const std::size_t got, source.Read(into));
  if (got < into.size()) return Fail(ErrorCode::kDataLoss, "the bundle was cut: it ends within its chunks");
  return {};
}

Result<void> CheckEnd(ByteSource& source) {
  std::array<std::uint8_t, 1> more{};
  TACIT_TRY(const std::size_t got, source.Read(more));
  if (got != 0) return Fail(ErrorCode::kDataLoss, "the bundle has bytes behind its last chunk");
  return {};
}

// Reads the chunks, each into what `place` gives for its number, and hashes it while it is in the cache. Whoever has
// the content key can seal other chunks: the digest is what ties them to who signed.
template <typename Place>
Result<void> ReadChunks(ByteSource& source, const PayloadTicket& ticket, Place place) {
  PayloadCipher cipher(ticket.key,
                       PayloadCipher::Payload{.manifest = ticket.manifest, .plaintext_size = ticket.plaintext_size});
  crypto::Sha256Stream digest;
  Bytes sealed;
  for (std::uint64_t index = 0; index < ChunksOf(ticket.plaintext_size); ++index) {
    const std::span<std::uint8_t> plaintext = place(index, cipher.PlaintextSize(index));
    sealed.resize(plaintext.size() + crypto::Aead::kTagSize);
    TACIT_TRY_VOID(ReadSealed(source, sealed));
    TACIT_TRY_VOID(cipher.Open(index, sealed, plaintext));
    digest.Update(plaintext);
  }
  TACIT_TRY_VOID(CheckEnd(source));
  if (digest.Finish() == ticket.plaintext_digest) return {};
  return Fail(ErrorCode::kDataLoss, "the plaintext of the bundle is not the one that its manifest names");
}

}  // namespace

Bytes PayloadTicket::Encode() const {
  ByteWriter writer;
  writer.Raw(key.bytes()).Raw(manifest).Raw(plaintext_digest).U64(plaintext_size).U64(offset);
  writer.U64(detectors_size).Raw(calibration);
  return std::move(writer).Take();
}

Result<PayloadTicket> PayloadTicket::Parse(ByteSpan bytes) {
  if (bytes.size() != kEncodedSize) return Fail(ErrorCode::kMalformed, "a payload's ticket has another size");
  TACIT_TRY(crypto::SecretKey key, crypto::SecretKey::FromBytes(bytes.first(crypto::SecretKey::kSize)));
  PayloadTicket ticket{.key = std::move(key),
                       .manifest = {},
                       .plaintext_digest = {},
                       .plaintext_size = 0,
                       .offset = 0,
                       .detectors_size = 0,
                       .calibration = {}};
  bytes = bytes.subspan(crypto::SecretKey::kSize);
  std::memcpy(ticket.manifest.data(), bytes.data(), sizeof(Digest256));
  std::memcpy(ticket.plaintext_digest.data(), bytes.data() + sizeof(Digest256), sizeof(Digest256));
  std::memcpy(&ticket.plaintext_size, bytes.data() + 2 * sizeof(Digest256), 8);
  std::memcpy(&ticket.offset, bytes.data() + 2 * sizeof(Digest256) + 8, 8);
  std::memcpy(&ticket.detectors_size, bytes.data() + 2 * sizeof(Digest256) + 16, 8);
  std::memcpy(ticket.calibration.data(), bytes.data() + 2 * sizeof(Digest256) + 24, sizeof(Digest256));
  if (ticket.plaintext_size == 0 || ticket.plaintext_size > kMostPlaintext) {
    return Fail(ErrorCode::kMalformed, "a payload's ticket names a size that no bundle has");
  }
  if (ticket.detectors_size > std::min(kMostDetectors, ticket.plaintext_size - 1)) {
    return Fail(ErrorCode::kMalformed, "a payload's ticket names detectors that no bundle has");
  }
  return ticket;
}

Result<void> ReadPayload(ByteSource& source, const PayloadTicket& ticket, std::span<std::uint8_t> memory) {
  TACIT_CHECK(memory.size() == ticket.plaintext_size, "callers make the room that the manifest names");
  const auto in_memory = [memory](std::uint64_t index, std::size_t size) {
    return memory.subspan(index * kChunk, size);
  };
  auto read = ReadChunks(source, ticket, in_memory);
  if (!read) crypto::Zeroise(memory);
  return read;
}

Result<void> VerifyPayload(ByteSource& source, const PayloadTicket& ticket) {
  Bytes chunk(static_cast<std::size_t>(std::min<std::uint64_t>(ticket.plaintext_size, kChunk)));
  const auto reused = [&chunk](std::uint64_t /*index*/, std::size_t size) { return std::span(chunk).first(size); };
  auto verified = ReadChunks(source, ticket, reused);
  crypto::Zeroise(chunk);
  return verified;
}

}  // namespace tacit::bundle
