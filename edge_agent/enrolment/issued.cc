#include "edge_agent/enrolment/issued.h"

#include <utility>

namespace tacit::enrolment {

Result<IssuedCertificate> ReadDeviceCertificate(std::string_view chain_pem, const DeviceId& device,
                                                const crypto::PrivateKey& key) {
  TACIT_TRY(crypto::Certificate leaf, crypto::Certificate::FromPem(chain_pem));
  const auto uri = leaf.SpiffeUri();
  if (!uri) return Fail(ErrorCode::kUnauthenticated, "the certificate names no device");
  TACIT_TRY(crypto::SpiffeId id, crypto::SpiffeId::Parse(*uri));
  if (id.kind != "device" || id.name != device.str()) {
    return Fail(ErrorCode::kUnauthenticated, "the certificate is for " + *uri + ", not for the device " + device.str());
  }
  if (leaf.PublicKeySha256() != key.PublicKeySha256()) {
    return Fail(ErrorCode::kUnauthenticated, "the certificate is for another key than this device's");
  }
  return IssuedCertificate{std::move(leaf), std::move(id)};
}

Result<IssuedCertificate> CheckIssued(std::string_view chain_pem, const DeviceId& device, const crypto::PrivateKey& key,
                                      const crypto::Certificate& ca, WallTime now) {
  TACIT_TRY(IssuedCertificate issued, ReadDeviceCertificate(chain_pem, device, key));
  if (auto good = crypto::VerifyCertificate(issued.leaf, ca, crypto::CertificatePurpose::kClient, now); !good) {
    return Fail(good.error().code, good.error().message + " (valid " + FormatRfc3339(issued.leaf.NotBefore()) + " to " +
                                       FormatRfc3339(issued.leaf.NotAfter()) + ", this device's clock says " +
                                       FormatRfc3339(now) + ")");
  }
  return issued;
}

}  // namespace tacit::enrolment
