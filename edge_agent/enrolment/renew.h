#pragma once

#include <filesystem>

#include "common/base/clock.h"
#include "edge_agent/enrolment/identity.h"

namespace tacit::enrolment {

/// Half of the certificate's life: early enough that a device which is off for days still gets through.
WallTime RenewalDueAt(const EnrolledIdentity& identity);

struct RenewOptions {
  std::filesystem::path state_directory;
  Millis timeout{30'000};
};

/// Asks the agents' listener for a fresh certificate for the same key and puts it into the state directory. On any
/// failure the old certificate stays as it is, in the directory and in `identity`. The key stays: replacing key and
/// certificate in two files cannot be one step, and whoever has copied the key could renew as well as this device can;
/// revocation is the answer to that. Errors: kUnauthenticated when the certificate has expired or the device was
/// revoked; as HttpsClient::Send.
Result<EnrolledIdentity> Renew(const EnrolledIdentity& identity, const RenewOptions& options, const Clock& clock);

}  // namespace tacit::enrolment
