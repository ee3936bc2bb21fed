#pragma once

#include <string>
#include <string_view>

#include "common/base/clock.h"
#include "common/base/ids.h"
#include "common/crypto/certificate.h"
#include "common/crypto/keys.h"
#include "common/crypto/spiffe.h"

namespace tacit::enrolment {

/// A certificate that a server sent for our key.
struct IssuedCertificate {
  crypto::Certificate leaf;
  crypto::SpiffeId id;
};

/// Whether a certificate is one for `device` and for `key`; says nothing about who signed it.
/// Errors: kMalformed; kUnauthenticated, naming what does not fit.
Result<IssuedCertificate> ReadDeviceCertificate(std::string_view chain_pem, const DeviceId& device,
                                                const crypto::PrivateKey& key);

/// The same, and that `ca` signed it and it is valid `now`: a certificate that would be refused later is refused before
/// it replaces anything.
Result<IssuedCertificate> CheckIssued(std::string_view chain_pem, const DeviceId& device, const crypto::PrivateKey& key,
                                      const crypto::Certificate& ca, WallTime now);

}  // namespace tacit::enrolment
