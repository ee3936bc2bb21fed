#include "common/bundle/sealed_bundle.h"

#include <algorithm>
#include <utility>

#include "common/base/check.h"
#include "common/bundle/payload.h"
#include "common/crypto/digest.h"

namespace tacit::bundle {

SealedBundle::SealedBundle(MadeHead head, crypto::SecretKey payload_key, SharedBytes plaintext)
    : head_(std::move(head.head)),
      head_bytes_(std::move(head.bytes)),
      payload_key_(std::move(payload_key)),
      plaintext_(std::move(plaintext)) {}

Result<SealedBundle> SealedBundle::Create(std::string_view envelope, const crypto::SecretKey& content_key,
                                          SharedBytes plaintext) {
  TACIT_TRY(MadeHead head, MakeHead(envelope));
  const ManifestFields& fields = head.head.manifest.fields();
  if (fields.content_key != ContentKeyId(content_key))
    return Fail(ErrorCode::kInvalidArgument, "the manifest names another content key");
  if (fields.plaintext_size != plaintext.bytes.size() || fields.plaintext_digest != crypto::Sha256(plaintext.bytes))
    return Fail(ErrorCode::kInvalidArgument, "the manifest names another plaintext");
  crypto::SecretKey payload_key = PayloadKey(content_key, head.head.digest);
  return SealedBundle(std::move(head), std::move(payload_key), std::move(plaintext));
}

void SealedBundle::Read(std::uint64_t offset, std::span<std::uint8_t> into) const {
  TACIT_CHECK(offset <= size() && into.size() <= size() - offset, "callers ask for bytes that there are");
  if (offset < head_bytes_.size()) {
    const ByteSpan rest = ByteSpan(head_bytes_).subspan(static_cast<std::size_t>(offset));
    const std::size_t taken = std::min(rest.size(), into.size());
    std::ranges::copy(rest.first(taken), into.begin());
    offset += taken;
    into = into.subspan(taken);
  }
  PayloadCipher cipher(payload_key_, head_.manifest);
  Bytes sealed;
  while (!into.empty()) {
    const std::uint64_t in_payload = offset - head_bytes_.size();
    const std::uint64_t index = in_payload / kSealedChunk;
    const auto skipped = static_cast<std::size_t>(in_payload % kSealedChunk);
    const ByteSpan chunk = plaintext_.bytes.subspan(index * kChunk, cipher.PlaintextSize(index));
    sealed.resize(chunk.size() + crypto::Aead::kTagSize);
    cipher.Seal(index, chunk, sealed);
    const std::size_t taken = std::min(sealed.size() - skipped, into.size());
    std::ranges::copy(ByteSpan(sealed).subspan(skipped, taken), into.begin());
    offset += taken;
    into = into.subspan(taken);
  }
}

}  // namespace tacit::bundle
