#include "server/coordinator/device_registry.h"

#include <mutex>
#include <utility>

#include "common/base/check.h"

namespace tacit::coordinator {

void DeviceRegistry::Load(std::span<const store::DeviceRecord> devices) {
  const std::unique_lock lock(mutex_);
  for (const store::DeviceRecord& device : devices) {
    const bool is_new =
        devices_.try_emplace(device.id, Entry{device.state, device.public_key_sha256, device.enrolled_at}).second;
    TACIT_CHECK(is_new, "the store's table has each device once, and is loaded once");
    ++Of(device.state);
  }
}

void DeviceRegistry::Admit(const DeviceId& device, const Digest256& key, WallTime at) {
  const std::unique_lock lock(mutex_);
  const auto [place, is_new] = devices_.try_emplace(device, Entry{store::DeviceState::kActive, key, at});
  place->second.key = key;
  if (is_new) ++Of(store::DeviceState::kActive);
}

void DeviceRegistry::Revoke(const DeviceId& device) {
  const std::unique_lock lock(mutex_);
  const auto [place, is_new] = devices_.try_emplace(device);
  if (!is_new) --Of(place->second.state);
  place->second.state = store::DeviceState::kRevoked;
  ++Of(store::DeviceState::kRevoked);
}

Result<void> DeviceRegistry::CheckActive(const DeviceId& device, const Digest256& key) const {
  const std::shared_lock lock(mutex_);
  const auto found = devices_.find(device);
  if (found == devices_.end()) {
    return Fail(ErrorCode::kPermissionDenied,
                "device " + device.str() + " is not enrolled here; run 'tacit-agent join' with a new token");
  }
  if (found->second.state == store::DeviceState::kRevoked) {
    return Fail(ErrorCode::kPermissionDenied, "device " + device.str() + " is revoked");
  }
  if (found->second.key != key) {
    return Fail(ErrorCode::kPermissionDenied, "device " + device.str() +
                                                  " was admitted again with another key: a certificate for the one "
                                                  "before is good for nothing");
  }
  return {};
}

void DeviceRegistry::Saw(const DeviceId& device, WallTime at) {
  const std::unique_lock lock(mutex_);
  sightings_.insert_or_assign(device, at);
}

std::vector<store::DeviceSighting> DeviceRegistry::TakeSightings() {
  std::map<DeviceId, WallTime> taken;
  {
    const std::unique_lock lock(mutex_);
    taken.swap(sightings_);
  }
  std::vector<store::DeviceSighting> sightings;
  sightings.reserve(taken.size());
  for (const auto& [device, at] : taken) sightings.push_back({device, at});
  return sightings;
}

store::DeviceCounts DeviceRegistry::Counts() const {
  const std::shared_lock lock(mutex_);
  return counts_;
}

bool DeviceRegistry::WasEnrolledAt(const DeviceId& device, WallTime at) const {
  const std::shared_lock lock(mutex_);
  const auto found = devices_.find(device);
  return found != devices_.end() && found->second.enrolled_at <= at;
}

}  // namespace tacit::coordinator
