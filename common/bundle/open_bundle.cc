#include "common/bundle/open_bundle.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "common/base/check.h"
#include "common/bundle/payload.h"
#include "common/crypto/digest.h"

namespace tacit::bundle {
namespace {

Result<void> CheckVersion(std::uint64_t version, const Opening& opening) {
  if (version < opening.minimum_version) {
    return Fail(ErrorCode::kGone, "version " + std::to_string(version) + " was withdrawn: a signed manifest asks for " +
                                      std::to_string(opening.minimum_version) + " at least");
  }
  TACIT_TRY(const std::uint64_t highest, opening.guard.Highest());
  if (version > highest || (version == highest && opening.purpose == Purpose::kLoad)) return {};
  return Fail(ErrorCode::kConflict, "version " + std::to_string(version) + " cannot follow version " +
                                        std::to_string(highest) + ", which was in use here");
}

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

// Reads the chunks, each into what `place` gives for its number, and hashes it while it is in the cache. Returns the
// digest of the plaintext.
template <typename Place>
Result<Digest256> ReadChunks(ByteSource& source, PayloadCipher& cipher, std::uint64_t chunks, Place place) {
  crypto::Sha256Stream digest;
  Bytes sealed;
  for (std::uint64_t index = 0; index < chunks; ++index) {
    const std::span<std::uint8_t> plaintext = place(index, cipher.PlaintextSize(index));
    sealed.resize(plaintext.size() + crypto::Aead::kTagSize);
    TACIT_TRY_VOID(ReadSealed(source, sealed));
    TACIT_TRY_VOID(cipher.Open(index, sealed, plaintext));
    digest.Update(plaintext);
  }
  TACIT_TRY_VOID(CheckEnd(source));
  return digest.Finish();
}

}  // namespace

OpenedBundle::OpenedBundle(ByteSource& source, BundleHead head, LeaseTerms terms, crypto::SecretKey payload_key)
    : source_(source), head_(std::move(head)), terms_(std::move(terms)), payload_key_(std::move(payload_key)) {}

// Whoever has the content key can seal other chunks: the digest is what ties them to who signed.
Result<void> OpenedBundle::CheckPlaintext(const Digest256& digest) const {
  if (digest == head_.manifest.fields().plaintext_digest) return {};
  return Fail(ErrorCode::kDataLoss, "the plaintext of the bundle is not the one that its manifest names");
}

Result<void> OpenedBundle::ReadInto(std::span<std::uint8_t> memory) && {
  TACIT_CHECK(memory.size() == head_.manifest.fields().plaintext_size, "callers make the room that the manifest names");
  PayloadCipher cipher(payload_key_, head_.manifest);
  const auto in_memory = [memory](std::uint64_t index, std::size_t size) {
    return memory.subspan(index * kChunk, size);
  };
  const auto digest = ReadChunks(source_, cipher, ChunksOf(memory.size()), in_memory);
  const Result<void> good = digest ? CheckPlaintext(*digest) : std::unexpected(digest.error());
  if (!good) crypto::Zeroise(memory);
  return good;
}

Result<void> OpenedBundle::Verify() && {
  PayloadCipher cipher(payload_key_, head_.manifest);
  const std::uint64_t size = head_.manifest.fields().plaintext_size;
  Bytes chunk(static_cast<std::size_t>(std::min<std::uint64_t>(size, kChunk)));
  const auto reused = [&chunk](std::uint64_t, std::size_t bytes) { return std::span(chunk).first(bytes); };
  const auto digest = ReadChunks(source_, cipher, ChunksOf(size), reused);
  crypto::Zeroise(chunk);
  TACIT_TRY(const Digest256 plaintext, digest);
  return CheckPlaintext(plaintext);
}

Result<void> CheckAdmissible(const Manifest& manifest, const Opening& opening) {
  const ManifestFields& fields = manifest.fields();
  if (fields.model != opening.model) {
    return Fail(ErrorCode::kInvalidArgument,
                "the bundle is of model '" + fields.model.str() + "', and not of '" + opening.model.str() + "'");
  }
  if (fields.device && *fields.device != opening.device) {
    return Fail(ErrorCode::kPermissionDenied, "the bundle was made for device '" + fields.device->str() +
                                                  "', and this is '" + opening.device.str() + "'");
  }
  return CheckVersion(fields.version, opening);
}

Result<OpenedBundle> OpenBundle(ByteSource& source, std::string_view lease, const Opening& opening) {
  TACIT_TRY(BundleHead head, ReadHead(source, opening.bundle_signers));
  TACIT_TRY_VOID(CheckAdmissible(head.manifest, opening));
  TACIT_TRY(const Lease parsed, Lease::Parse(lease, opening.lease_signers));
  TACIT_TRY_VOID(parsed.Check({.device = opening.device,
                               .manifest = head.manifest.digest(),
                               .key_epoch = opening.key_epoch,
                               .now = opening.clock.Now()}));
  TACIT_TRY(const crypto::SecretKey content_key, parsed.Unwrap(opening.key));
  if (ContentKeyId(content_key) != head.manifest.fields().content_key)
    return Fail(ErrorCode::kDataLoss, "the lease holds another key than the one that the bundle was sealed with");
  crypto::SecretKey payload_key = PayloadKey(content_key, head.digest);
  return OpenedBundle(source, std::move(head), parsed.terms(), std::move(payload_key));
}

}  // namespace tacit::bundle
