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

// Hashes each chunk while it is in the cache. Returns the digest of the plaintext.
Result<Digest256> ReadChunks(ByteSource& source, PayloadCipher& cipher, std::span<std::uint8_t> memory) {
  crypto::Sha256Stream digest;
  Bytes sealed;
  for (std::uint64_t index = 0; index < ChunksOf(memory.size()); ++index) {
    const std::span<std::uint8_t> plaintext = memory.subspan(index * kChunk, cipher.PlaintextSize(index));
    sealed.resize(plaintext.size() + crypto::Aead::kTagSize);
    TACIT_TRY_VOID(ReadSealed(source, sealed));
    TACIT_TRY_VOID(cipher.Open(index, sealed, plaintext));
    digest.Update(plaintext);
  }
  TACIT_TRY_VOID(CheckEnd(source));
  return digest.Finish();
}

}  // namespace

Bytes PayloadTicket::Encode() const {
  ByteWriter writer;
  writer.Raw(key.bytes()).Raw(manifest).Raw(plaintext_digest).U64(plaintext_size).U64(offset);
  return std::move(writer).Take();
}

Result<PayloadTicket> PayloadTicket::Parse(ByteSpan bytes) {
  if (bytes.size() != kEncodedSize) return Fail(ErrorCode::kMalformed, "a payload's ticket has another size");
  TACIT_TRY(crypto::SecretKey key, crypto::SecretKey::FromBytes(bytes.first(crypto::SecretKey::kSize)));
  PayloadTicket ticket{.key = std::move(key), .manifest = {}, .plaintext_digest = {}, .plaintext_size = 0, .offset = 0};
  bytes = bytes.subspan(crypto::SecretKey::kSize);
  std::memcpy(ticket.manifest.data(), bytes.data(), sizeof(Digest256));
  std::memcpy(ticket.plaintext_digest.data(), bytes.data() + sizeof(Digest256), sizeof(Digest256));
  std::memcpy(&ticket.plaintext_size, bytes.data() + 2 * sizeof(Digest256), 8);
  std::memcpy(&ticket.offset, bytes.data() + 2 * sizeof(Digest256) + 8, 8);
  if (ticket.plaintext_size == 0 || ticket.plaintext_size > kMostPlaintext) {
    return Fail(ErrorCode::kMalformed, "a payload's ticket names a size that no bundle has");
  }
  return ticket;
}

Result<void> ReadPayload(ByteSource& source, const PayloadTicket& ticket, std::span<std::uint8_t> memory) {
  TACIT_CHECK(memory.size() == ticket.plaintext_size, "callers make the room that the manifest names");
  PayloadCipher cipher(ticket.key,
                       PayloadCipher::Payload{.manifest = ticket.manifest, .plaintext_size = ticket.plaintext_size});
  auto digest = ReadChunks(source, cipher, memory);
  // Whoever has the content key can seal other chunks: the digest is what ties them to who signed.
  if (digest && *digest != ticket.plaintext_digest)
    digest = Fail(ErrorCode::kDataLoss, "the plaintext of the bundle is not the one that its manifest names");
  if (digest) return {};
  crypto::Zeroise(memory);
  return std::unexpected(std::move(digest).error());
}

}  // namespace tacit::bundle
