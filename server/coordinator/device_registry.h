#pragma once

#include <cstdint>
#include <map>
#include <shared_mutex>
#include <span>
#include <unordered_map>
#include <vector>

#include "common/base/clock.h"
#include "common/base/ids.h"
#include "common/base/result.h"
#include "server/store/records.h"

namespace tacit::coordinator {

/// Which devices may do anything at all, in memory, because every request asks. The store's table is the truth; this is
/// filled from it at start and changed together with it. About 100 bytes a device.
/// Threads: any.
class DeviceRegistry {
 public:
  void Load(std::span<const store::DeviceRecord> devices);
  /// Lets a new device in. A known one stays as it is: whoever was revoked meanwhile stays revoked, in whatever order
  /// the two arrive here.
  void Enrol(const DeviceId& device, WallTime at);
  /// For ever.
  void Revoke(const DeviceId& device);

  /// Errors: kPermissionDenied for a device that was never enrolled here or is revoked. A certificate alone is not
  /// enough: it may outlive what it stood for.
  [[nodiscard]] Result<void> CheckActive(const DeviceId& device) const;

  /// Notes that a device was seen; flushed to the store now and then.
  void Saw(const DeviceId& device, WallTime at);
  [[nodiscard]] std::vector<store::DeviceSighting> TakeSightings();

  [[nodiscard]] store::DeviceCounts Counts() const;
  /// Whether the device was enrolled by then, revoked or not.
  [[nodiscard]] bool WasEnrolledAt(const DeviceId& device, WallTime at) const;

 private:
  struct Entry {
    store::DeviceState state = store::DeviceState::kActive;
    WallTime enrolled_at;
  };

  mutable std::shared_mutex mutex_;
  std::unordered_map<DeviceId, Entry> devices_;
  std::map<DeviceId, WallTime> sightings_;
};

}  // namespace tacit::coordinator
