#pragma once

#include <cstdint>
#include <map>
#include <shared_mutex>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "common/base/clock.h"
#include "common/base/ids.h"
#include "common/base/result.h"
#include "server/coordinator/fleet_summary.h"
#include "server/store/records.h"

namespace tacit::coordinator {

/// Which devices may do anything at all, and with which key, in memory, because every request asks. The store's table
/// is the truth; this is filled from it at start and changed together with it. About 160 bytes a device. Threads: any.
class DeviceRegistry {
 public:
  void Load(std::span<const store::DeviceRecord> devices);
  /// Lets a device in with this key, and with no other from now on; a known one stays enrolled as long as it was.
  /// Whoever was revoked meanwhile stays revoked, in whatever order the two arrive here; two admissions of one device
  /// must arrive in the store's order, so they are told on its thread.
  void Admit(const DeviceId& device, const Digest256& key, WallTime at);
  /// The device's certificate is one that ends at `end` from now on; told in the store's order, as admissions are.
  void Certified(const DeviceId& device, WallTime end);
  /// For ever.
  void Revoke(const DeviceId& device);

  /// Whether a device may act that proved to hold `key`: SHA-256 of the SubjectPublicKeyInfo, as in the store's table.
  /// Errors: kPermissionDenied for a device that was never enrolled here, is revoked, or was admitted with another key.
  /// A certificate alone is not enough: it may outlive what it stood for.
  [[nodiscard]] Result<void> CheckActive(const DeviceId& device, const Digest256& key) const;

  /// Notes that a device was seen; flushed to the store now and then.
  void Saw(const DeviceId& device, WallTime at);
  [[nodiscard]] std::vector<store::DeviceSighting> TakeSightings();

  /// What its agent calls itself, in words that a device chooses.
  void Runs(const DeviceId& device, std::string_view agent_version);

  [[nodiscard]] store::DeviceCounts Counts() const;
  /// Of devices that are not revoked, see CertificateEnds.
  [[nodiscard]] metrics::CertificatesLeft CertificatesLeft(WallTime now) const;
  /// Of devices that are not revoked and came since the start, see AgentVersions.
  [[nodiscard]] std::map<std::string, std::uint64_t> Agents() const;
  /// Whether the device was enrolled by then, revoked or not.
  [[nodiscard]] bool WasEnrolledAt(const DeviceId& device, WallTime at) const;

 private:
  struct Entry {
    store::DeviceState state = store::DeviceState::kActive;
    Digest256 key{};
    WallTime enrolled_at;
    WallTime certificate_end{};
    AgentVersions::Slot agent = AgentVersions::kUnknown;
    bool named_a_version = false;  // that was new: it may name no further one
  };

  /// What counts the devices of a state; with the lock held.
  std::uint64_t& Of(store::DeviceState state) {
    return state == store::DeviceState::kActive ? counts_.active : counts_.revoked;
  }

  mutable std::shared_mutex mutex_;
  std::unordered_map<DeviceId, Entry> devices_;
  std::map<DeviceId, WallTime> sightings_;
  // Of devices_:
  store::DeviceCounts counts_;
  CertificateEnds certificate_ends_;
  AgentVersions agents_;
};

}  // namespace tacit::coordinator
