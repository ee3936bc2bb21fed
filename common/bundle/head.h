#pragma once

#include <cstdint>
#include <string_view>

#include "common/base/bytes.h"
#include "common/bundle/byte_source.h"
#include "common/bundle/envelope.h"
#include "common/bundle/manifest.h"

namespace tacit::bundle {

/// The type that the envelope of a bundle names. Source: in-toto attestation framework, spec/v1/envelope.md.
inline constexpr std::string_view kBundleType = "application/vnd.in-toto+json";

/// What stands in front of the chunks.
struct BundleHead {
  Manifest manifest;
  Digest256 digest;    ///< SHA-256 of all its bytes.
  std::uint64_t size;  ///< How many they are.

  /// Of the whole file.
  [[nodiscard]] std::uint64_t FileSize() const;
};

/// The envelope of a manifest, signed by each of `keys`.
std::string SignManifest(const Manifest& manifest, std::span<const crypto::SigningKey> keys);

/// The bytes in front of the chunks of a bundle whose manifest and signatures are in `envelope`.
/// Errors: as ParseEnvelope and ParseStatement; whose signatures they are is not looked at.
struct MadeHead {
  BundleHead head;
  Bytes bytes;
};
Result<MadeHead> MakeHead(std::string_view envelope);

/// Reads a head and believes it, where enough of `signers` have signed it; the chunks are next in `source` then. No
/// more than kLongestEnvelope and 20 bytes are read. Errors: kMalformed for bytes that are no head; as SignerSet::Open
/// and ParseStatement.
Result<BundleHead> ReadHead(ByteSource& source, const SignerSet& signers);

}  // namespace tacit::bundle
