#pragma once

#include <memory>

#include "common/base/bytes.h"
#include "common/crypto/agreement_key.h"

struct evp_pkey_st;

namespace tacit::crypto {

/// An agreement key in the memory of this process, which is overwritten when it ends: for devices that have nothing
/// better, and for the short life of an ephemeral key. Threads: one at a time.
class SoftAgreementKey final : public AgreementKey {
 public:
  static Result<SoftAgreementKey> Generate();
  /// Reads PKCS #8 in DER, not encrypted, as ToPkcs8 writes it or openssl does.
  /// Errors: kMalformed for what is none, or has something behind its end; kInvalidArgument for a key that is not of
  /// P-256, or whose halves do not belong together.
  static Result<SoftAgreementKey> FromPkcs8(ByteSpan der);

  /// The key as PKCS #8 in DER, not encrypted: the caller overwrites it (Zeroise) after use.
  [[nodiscard]] Bytes ToPkcs8() const;

  [[nodiscard]] const P256Point& public_key() const override { return public_key_; }
  Result<SecretKey> Agree(const P256Point& peer) override;

 private:
  struct KeyDeleter {
    void operator()(evp_pkey_st* key) const;
  };
  SoftAgreementKey(evp_pkey_st* owned, const P256Point& public_key) : key_(owned), public_key_(public_key) {}

  std::unique_ptr<evp_pkey_st, KeyDeleter> key_;
  P256Point public_key_;
};

}  // namespace tacit::crypto
