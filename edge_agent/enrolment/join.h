#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/base/ids.h"
#include "edge_agent/enrolment/identity.h"

namespace tacit::enrolment {

struct JoinOptions {
  net::Endpoint enrolment;  ///< The server's listener for enrolment.
  Digest256
      ca_fingerprint{};  ///< SHA-256 of the CA certificate, brought to the device by another way than this network.
  std::string token;     ///< One-time; sent only once the server has proved itself.
  std::optional<DeviceId> label =
      std::nullopt;                       ///< A wish for the device name; a name made from the key when left out.
  std::filesystem::path state_directory;  ///< Made, for the owner only, when it is not there.
  Millis timeout{30'000};                 ///< For each of the two requests.
};

/// Makes this device a member: its key is born here, the server's CA is believed by its fingerprint only, and the token
/// buys a certificate for the key.
/// May be run again after a crash or a failure at any point: an unfinished join keeps its key and goes on. In a
/// directory whose certificate has expired it brings the same device back, with its key and everything else that is
/// there. Errors: kConflict when the directory holds an identity that has not expired; kInvalidArgument when it has
/// expired and the token is not for its name alone, or the directory cannot be made; kUnauthenticated when the server's
/// CA has another fingerprint, or the certificate it answers with is not ours; kPermissionDenied for a token that the
/// server does not take; what else the server refuses with; as HttpsClient::Send.
Result<EnrolledIdentity> Join(const JoinOptions& options, const Clock& clock);

}  // namespace tacit::enrolment
