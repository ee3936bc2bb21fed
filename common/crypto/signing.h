#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "common/base/bytes.h"
#include "common/crypto/keys.h"

namespace tacit::crypto {

/// Source: RFC 8032, section 5.1.5.
using Ed25519PublicKey = std::array<std::uint8_t, 32>;
/// Source: RFC 8032, section 5.1.6.
using Ed25519Signature = std::array<std::uint8_t, 64>;

/// How a signature names its key: SHA-256 of the public key's 32 bytes, in hexadecimal.
std::string KeyIdOf(const Ed25519PublicKey& key);

/// Whether the owner of `key` has signed `message`. Cost: about 0.1 ms.
bool Verify(const Ed25519PublicKey& key, ByteSpan message, ByteSpan signature);

/// A public key in PEM (SubjectPublicKeyInfo), as people hand it on. Errors: kMalformed; kInvalidArgument for a key of
/// another kind.
Result<Ed25519PublicKey> ReadEd25519PublicPem(std::string_view pem);
std::string ToPem(const Ed25519PublicKey& key);

/// The key of somebody who signs what others take for good. The same message always has the same signature.
/// Threads: const members from any.
class SigningKey {
 public:
  static Result<SigningKey> Generate();
  /// Errors: as PrivateKey::FromPem; kInvalidArgument for a key that is not of Ed25519.
  static Result<SigningKey> FromPem(std::string_view pem);

  /// As PrivateKey::ToPem.
  [[nodiscard]] Result<std::string> ToPem() const { return key_.ToPem(); }
  [[nodiscard]] const Ed25519PublicKey& public_key() const { return public_key_; }
  [[nodiscard]] const std::string& key_id() const { return key_id_; }
  /// Cost: about 0.05 ms.
  [[nodiscard]] Ed25519Signature Sign(ByteSpan message) const;

 private:
  SigningKey(PrivateKey key, const Ed25519PublicKey& public_key)
      : key_(std::move(key)), public_key_(public_key), key_id_(KeyIdOf(public_key)) {}

  PrivateKey key_;
  Ed25519PublicKey public_key_;
  std::string key_id_;
};

}  // namespace tacit::crypto
