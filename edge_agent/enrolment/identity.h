#pragma once

#include <filesystem>
#include <string>

#include "common/base/clock.h"
#include "common/base/ids.h"
#include "common/base/result.h"
#include "common/net/https_client.h"

namespace tacit::enrolment {

/// Who this device is to which server: everything it needs to connect.
/// Privacy: `key_pem` never leaves the device.
struct EnrolledIdentity {
  DeviceId device;
  std::string trust_domain;
  net::Endpoint agents;         ///< The server's listener for agents.
  std::string ca_pem;           ///< The only root this device believes.
  std::string certificate_pem;  ///< Leaf first.
  std::string key_pem;
  WallTime not_before;  ///< Of the leaf, as is `not_after`.
  WallTime not_after;
};

/// The files of a state directory: device.key (0600), device.crt, ca.crt, and identity.json, which is written last:
/// where it is, the join is finished.
struct StateFiles {
  explicit StateFiles(const std::filesystem::path& directory)
      : key(directory / "device.key"),
        certificate(directory / "device.crt"),
        ca(directory / "ca.crt"),
        identity(directory / "identity.json") {}
  std::filesystem::path key;
  std::filesystem::path certificate;
  std::filesystem::path ca;
  std::filesystem::path identity;
};

/// The identity that a finished join left in `directory`.
/// Errors: kNotFound when there is none; kDataLoss when its files contradict each other; kPermissionDenied when others
/// may read the key. An expired certificate is loaded: whether to renew or to join anew is the caller's question.
Result<EnrolledIdentity> LoadIdentity(const std::filesystem::path& directory);

/// What to connect to the agents' listener with.
net::ClientOptions ClientOptionsFor(const EnrolledIdentity& identity);

}  // namespace tacit::enrolment
