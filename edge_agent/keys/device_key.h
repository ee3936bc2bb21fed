#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "common/base/rollback_guard.h"
#include "common/crypto/agreement_key.h"
#include "edge_agent/keys/counter.h"
#include "edge_agent/keys/key_place.h"
#include "edge_agent/keys/key_report.h"
#include "edge_agent/keys/version_store.h"

namespace tacit::keys {

/// What to do where the state directory holds no key. A new key is of no use before a server knows it.
enum class IfMissing : std::uint8_t { kFail, kMake };

struct DeviceKeyOptions {
  std::filesystem::path state;  ///< A directory of this process alone, mode 0700: `device_key`, `device_versions`.
  KeyPlace place;
  /// $CREDENTIALS_DIRECTORY of systemd, or empty. Its credential `tacit-device-key` seals a key whose place is a file
  /// and names no secret.
  std::filesystem::path credentials;
  IfMissing if_missing = IfMissing::kFail;
};

/// The key that a device's models are encrypted to, and what keeps it from taking older ones. Threads: one at a time.
class DeviceKey {
 public:
  struct Parts {
    std::unique_ptr<crypto::AgreementKey> key;
    std::unique_ptr<MonotonicCounter> counter;  ///< Null where there is none.
    std::unique_ptr<VersionStore> versions;
    KeyReport report;
  };
  explicit DeviceKey(Parts parts) : parts_(std::move(parts)) {}

  [[nodiscard]] crypto::AgreementKey& agreement() { return *parts_.key; }
  /// What remembers the versions of one model. This outlives it.
  [[nodiscard]] std::unique_ptr<RollbackGuard> GuardFor(std::string model) {
    return parts_.versions->GuardFor(std::move(model));
  }
  [[nodiscard]] const KeyReport& report() const { return parts_.report; }

 private:
  Parts parts_;
};

/// Opens the device's key, wherever it is kept, uses it once, and looks whether what it remembers can be believed.
/// Errors: kNotFound where there is none, or a library is not installed; kConflict where the key is kept in another
///   place than the configured one; kPermissionDenied for a file that others can read, and for a PIN, a secret or an
///   authorisation that is wrong; kUnavailable where TPM or token do not answer; kDataLoss where the key is of another
///   TPM or token, or what is kept was changed, cut or put back.
/// Cost: two to seven uses of a TPM, and the time that a secret is stretched (crypto::KeyFromPassPhrase).
Result<DeviceKey> OpenDeviceKey(const DeviceKeyOptions& options);

}  // namespace tacit::keys
