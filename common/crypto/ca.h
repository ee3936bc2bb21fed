#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/clock.h"
#include "common/crypto/certificate.h"
#include "common/crypto/keys.h"

namespace tacit::crypto {

struct SelfSignedOptions {
  std::string common_name;
  WallTime now;
  std::chrono::seconds lifetime{};
};

struct ServerCertificateRequest {
  std::string csr_pem;
  std::vector<std::string> dns_names;     ///< Lower-case host names without wildcards.
  std::vector<std::string> ip_addresses;  ///< IPv4 or IPv6 in their usual text forms.
  std::string spiffe_uri;                 ///< Empty for none.
  std::string common_name;
  WallTime now;
  std::chrono::seconds lifetime{};
};

struct ClientCertificateRequest {
  std::string csr_pem;
  std::string spiffe_uri;
  std::string common_name;
  WallTime now;
  std::chrono::seconds lifetime{};
};

/// The certificate authority of one trust domain: a P-256 root that issues end-entity certificates only (pathlen 0).
/// Every certificate starts five minutes before `now`, for clocks that lag, has a random 128-bit serial number, and
/// never outlives the root. Threads: const members from any.
class CertificateAuthority {
 public:
  static Result<CertificateAuthority> CreateSelfSigned(const SelfSignedOptions& options);
  /// Errors: kMalformed; kInvalidArgument when the certificate is no CA or the key is not its key.
  static Result<CertificateAuthority> Load(std::string_view certificate_pem, std::string_view key_pem);

  /// Errors: kMalformed for a request that does not parse; kInvalidArgument when its own signature is wrong, its key is
  /// not P-256, P-384, Ed25519 or RSA of 2048 to 8192 bits, or a name does not fit; kUnavailable when the root is not
  /// valid at `now`.
  [[nodiscard]] Result<Certificate> IssueServer(const ServerCertificateRequest& request) const;
  /// A certificate for the names given here: whatever names or extensions the CSR asks for are ignored, since its
  /// sender wrote them. Errors: as IssueServer; `spiffe_uri` must parse as SpiffeId.
  [[nodiscard]] Result<Certificate> IssueClient(const ClientCertificateRequest& request) const;

  [[nodiscard]] std::string CertPem() const { return certificate_.ToPem(); }
  [[nodiscard]] Result<std::string> KeyPem() const { return key_.ToPem(); }
  [[nodiscard]] const Certificate& certificate() const { return certificate_; }

 private:
  CertificateAuthority(Certificate certificate, PrivateKey key)
      : certificate_(std::move(certificate)), key_(std::move(key)) {}
  Certificate certificate_;
  PrivateKey key_;
};

}  // namespace tacit::crypto
