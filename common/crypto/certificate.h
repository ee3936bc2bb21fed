#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/bytes.h"
#include "common/base/clock.h"

struct x509_st;

namespace tacit::crypto {

/// An X.509 certificate, read but not believed: belief is what VerifyCertificate or a TLS handshake adds.
/// Threads: any; copies share the certificate.
class Certificate {
 public:
  /// The first certificate in `pem`. Errors: kMalformed, saying what was found instead.
  static Result<Certificate> FromPem(std::string_view pem);
  /// Errors: kMalformed, also for bytes after the certificate.
  static Result<Certificate> FromDer(ByteSpan der);
  /// Shares what a TLS library holds.
  static Certificate FromNative(x509_st* borrowed);

  [[nodiscard]] std::string ToPem() const;
  [[nodiscard]] Bytes ToDer() const;
  /// The URI of the subject alternative name, when there is exactly one URI and it starts with spiffe://.
  /// Two would let two readers see two identities, so two are none.
  [[nodiscard]] std::optional<std::string> SpiffeUri() const;
  /// Empty when there is none.
  [[nodiscard]] std::string CommonName() const;
  [[nodiscard]] WallTime NotBefore() const;
  [[nodiscard]] WallTime NotAfter() const;
  /// Lower case, without leading zeros beyond whole bytes.
  [[nodiscard]] std::string SerialHex() const;
  /// SHA-256 of the DER form: what people compare.
  [[nodiscard]] Digest256 Fingerprint() const;
  /// SHA-256 of the SubjectPublicKeyInfo in DER: equal to PrivateKey::PublicKeySha256 of its key.
  [[nodiscard]] Digest256 PublicKeySha256() const;
  /// Whether it says that it may issue certificates.
  [[nodiscard]] bool IsCa() const;
  [[nodiscard]] x509_st* native() const { return certificate_.get(); }

 private:
  explicit Certificate(x509_st* owned);
  std::shared_ptr<x509_st> certificate_;
};

enum class CertificatePurpose : std::uint8_t { kServer, kClient };

/// Whether `leaf` was issued by `root`, for `purpose`, and is valid at `now`.
/// Errors: kUnauthenticated, with the reason of the check that failed.
Result<void> VerifyCertificate(const Certificate& leaf, const Certificate& root, CertificatePurpose purpose,
                               WallTime now);

/// `sha256:` and 64 hexadecimal digits: the form in which a CA's fingerprint is printed and asked for.
std::string FormatFingerprint(const Digest256& fingerprint);
/// Accepts colons between bytes and either case, as other tools print them. Errors: kInvalidArgument.
Result<Digest256> ParseFingerprint(std::string_view text);

}  // namespace tacit::crypto
