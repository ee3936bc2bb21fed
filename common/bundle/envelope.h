#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/bytes.h"
#include "common/crypto/signing.h"

// Signed bytes in the form of DSSE (Dead Simple Signing Envelope, version 1), of which only the canonical text is
// taken.
namespace tacit::bundle {

/// The most keys that sign one thing.
inline constexpr std::size_t kMostSigners = 16;

/// The longest text of an envelope: over what the longest payload and kMostSigners signatures take.
inline constexpr std::size_t kLongestEnvelope = std::size_t{16} * 1024;

struct EnvelopeSignature {
  std::string key_id;
  crypto::Ed25519Signature signature;
};

/// Signatures, and what they are said to be over: nobody has checked them.
struct Envelope {
  std::string payload_type;
  std::string payload;
  std::vector<EnvelopeSignature> signatures;  ///< In ascending order of their key ids.
};

/// What is signed. Source: DSSE, protocol.md, PAE.
Bytes PreAuthEncoding(std::string_view payload_type, std::string_view payload);

/// The text of an envelope with one signature by each key. `keys` are 1 to kMostSigners, and all different.
std::string SignEnvelope(std::string_view payload_type, std::string_view payload,
                         std::span<const crypto::SigningKey> keys);
/// The same envelope with one signature more: for keys that are not in one place. A signature by `key` that is there
/// already is replaced. Errors: as ParseEnvelope; kInvalidArgument where it holds kMostSigners signatures already.
Result<std::string> Cosign(std::string_view envelope, const crypto::SigningKey& key);

/// Errors: kTooLarge; kMalformed where the text is not the canonical one of an envelope.
Result<Envelope> ParseEnvelope(std::string_view text);

/// Who must have signed, for somebody to believe it: `threshold` of these keys.
class SignerSet {
 public:
  /// Errors: kInvalidArgument unless there are 1 to kMostSigners different keys, and no fewer than `threshold`, which
  /// is at least 1.
  static Result<SignerSet> Create(std::vector<crypto::Ed25519PublicKey> keys, std::size_t threshold);

  /// What the envelope holds, once enough keys of the set have signed it as being of that type. Signatures of unknown
  /// keys count for nothing; a bad one that names a key of the set is an error.
  /// Errors: as ParseEnvelope; kMalformed for another type of payload; kUnauthenticated, saying how many are missing.
  [[nodiscard]] Result<std::string> Open(std::string_view envelope, std::string_view payload_type) const;

 private:
  struct Signer {
    std::string key_id;
    crypto::Ed25519PublicKey key;
  };
  SignerSet(std::vector<Signer> signers, std::size_t threshold) : signers_(std::move(signers)), threshold_(threshold) {}
  [[nodiscard]] Result<void> CheckSignatures(const Envelope& envelope) const;

  std::vector<Signer> signers_;
  std::size_t threshold_;
};

}  // namespace tacit::bundle
