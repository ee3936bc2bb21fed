#pragma once

#include <memory>

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "common/crypto/keys.h"

struct evp_pkey_st;

namespace tacit::crypto {

/// SubjectPublicKeyInfo in DER: what PrivateKey::PublicKeySha256 is the digest of.
Bytes PublicKeyDer(const PrivateKey& key);

/// A signature by the key of a certificate over a message of its own, apart from any handshake: ECDSA in DER with
/// SHA-256 or, on P-384, SHA-384; Ed25519; RSASSA-PSS with SHA-256 and a salt of 32 bytes. The caller's message says
/// what it is for, so that it is taken for nothing else. Source: RFC 5758, section 3.2; RFC 8410; RFC 8017,
/// section 8.1. Errors: kInternal where OpenSSL cannot.
Result<Bytes> SignWith(const PrivateKey& key, ByteSpan message);

/// The public half of a key that SignWith signs with. Threads: any; copies share the key.
class KeyVerifier {
 public:
  /// Errors: kInvalidArgument for what is no SubjectPublicKeyInfo, has bytes behind it, or is of a kind or size of key
  /// that no certificate may be issued for.
  static Result<KeyVerifier> FromDer(ByteSpan subject_public_key_info);

  /// As PrivateKey::PublicKeySha256 of its other half.
  [[nodiscard]] Digest256 PublicKeySha256() const;
  /// Whether the owner of the key has signed `message`. Cost: 0.1 to 0.5 ms.
  [[nodiscard]] bool Verify(ByteSpan message, ByteSpan signature) const;

 private:
  explicit KeyVerifier(evp_pkey_st* owned);
  std::shared_ptr<evp_pkey_st> key_;
};

}  // namespace tacit::crypto
