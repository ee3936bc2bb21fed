#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "common/base/bytes.h"

struct evp_pkey_st;

namespace tacit::crypto {

/// A private signing key. Threads: const members from any.
class PrivateKey {
 public:
  static Result<PrivateKey> GenerateP256();
  static Result<PrivateKey> GenerateEd25519();
  /// Reads an unencrypted PEM key; never asks a terminal for a pass phrase.
  /// Errors: kMalformed; kInvalidArgument for a kind or size of key that IsAcceptableKey refuses.
  static Result<PrivateKey> FromPem(std::string_view pem);

  /// PKCS #8, not encrypted: the caller keeps it at mode 0600 and overwrites the string (Zeroise) after use.
  [[nodiscard]] Result<std::string> ToPem() const;
  /// SHA-256 of the SubjectPublicKeyInfo in DER.
  [[nodiscard]] Digest256 PublicKeySha256() const;
  [[nodiscard]] evp_pkey_st* native() const { return key_.get(); }

 private:
  struct KeyDeleter {
    void operator()(evp_pkey_st* key) const;
  };
  explicit PrivateKey(evp_pkey_st* owned) : key_(owned) {}
  std::unique_ptr<evp_pkey_st, KeyDeleter> key_;
};

/// A PKCS #10 request for `key`, signed with it. What name it carries decides nothing: the CA ignores it.
/// Errors: kInvalidArgument when `common_name` is empty or over 64 bytes.
Result<std::string> MakeCsrPem(const PrivateKey& key, std::string_view common_name);

}  // namespace tacit::crypto
