#include "common/bundle/head.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <utility>

#include "common/bundle/payload.h"
#include "common/crypto/digest.h"

namespace tacit::bundle {
namespace {

// The last character is the version of the format.
constexpr std::string_view kMagic = "TACITMB1";
constexpr std::size_t kFixed = kMagic.size() + sizeof(std::uint32_t) + sizeof(std::uint64_t);

struct FixedFields {
  std::uint32_t envelope_size;
  std::uint64_t payload_size;
};

Result<FixedFields> ReadFixed(ByteSpan bytes) {
  if (AsText(bytes.first(kMagic.size())) != kMagic)
    return Fail(ErrorCode::kMalformed, "not a model bundle: it does not begin with " + std::string(kMagic));
  FixedFields fields{};
  std::memcpy(&fields.envelope_size, bytes.data() + kMagic.size(), sizeof fields.envelope_size);
  std::memcpy(&fields.payload_size, bytes.data() + kMagic.size() + sizeof fields.envelope_size,
              sizeof fields.payload_size);
  if (fields.envelope_size > kLongestEnvelope) {
    return Fail(ErrorCode::kMalformed, "the bundle's envelope of " + std::to_string(fields.envelope_size) +
                                           " bytes is over the limit of " + std::to_string(kLongestEnvelope));
  }
  return fields;
}

Result<void> FillHead(ByteSource& source, std::span<std::uint8_t> into) {
  TACIT_TRY(const std::size_t got, source.Read(into));
  if (got < into.size()) return Fail(ErrorCode::kMalformed, "the bundle was cut: it ends within its head");
  return {};
}

}  // namespace

std::uint64_t BundleHead::FileSize() const {
  return size + SealedSizeOf(manifest.fields().plaintext_size);
}

std::string SignManifest(const Manifest& manifest, std::span<const crypto::SigningKey> keys) {
  return SignEnvelope(kBundleType, ToStatement(manifest), keys);
}

Result<MadeHead> MakeHead(std::string_view envelope) {
  TACIT_TRY(const Envelope parsed, ParseEnvelope(envelope));
  TACIT_TRY(Manifest manifest, ParseStatement(parsed.payload));
  Bytes bytes = ByteWriter()
                    .Raw(AsBytes(kMagic))
                    .U32(static_cast<std::uint32_t>(envelope.size()))
                    .U64(SealedSizeOf(manifest.fields().plaintext_size))
                    .Raw(AsBytes(envelope))
                    .bytes();
  BundleHead head{.manifest = std::move(manifest), .digest = crypto::Sha256(bytes), .size = bytes.size()};
  return MadeHead{.head = std::move(head), .bytes = std::move(bytes)};
}

Result<BundleHead> ReadHead(ByteSource& source, const SignerSet& signers) {
  Bytes bytes(kFixed);
  TACIT_TRY_VOID(FillHead(source, bytes));
  TACIT_TRY(const FixedFields fixed, ReadFixed(bytes));
  bytes.resize(kFixed + fixed.envelope_size);
  TACIT_TRY_VOID(FillHead(source, std::span(bytes).subspan(kFixed)));
  TACIT_TRY(const std::string statement, signers.Open(AsText(ByteSpan(bytes).subspan(kFixed)), kBundleType));
  TACIT_TRY(Manifest manifest, ParseStatement(statement));
  if (const std::uint64_t expected = SealedSizeOf(manifest.fields().plaintext_size); fixed.payload_size != expected) {
    return Fail(ErrorCode::kMalformed, "the bundle announces a payload of " + std::to_string(fixed.payload_size) +
                                           " bytes, and its manifest one of " + std::to_string(expected));
  }
  return BundleHead{.manifest = std::move(manifest), .digest = crypto::Sha256(bytes), .size = bytes.size()};
}

}  // namespace tacit::bundle
