#include "server/coordinator/device_registry.h"

#include <mutex>
#include <utility>

#include "common/base/check.h"

namespace tacit::coordinator {

void DeviceRegistry::Load(std::span<const store::DeviceRecord> devices) {
  const std::unique_lock lock(mutex_);
  for (const store::DeviceRecord& device : devices) {
    const bool is_new = devices_
                            .try_emplace(device.id, Entry{.state = device.state,
                                                          .key = device.public_key_sha256,
                                                          .enrolled_at = device.enrolled_at,
                                                          .certificate_end = device.certificate_not_after})
                            .second;
    TACIT_CHECK(is_new, "the store's table has each device once, and is loaded once");
    ++Of(device.state);
    if (device.state == store::DeviceState::kActive) certificate_ends_.Add(device.certificate_not_after);
  }
}

void DeviceRegistry::Admit(const DeviceId& device, const Digest256& key, WallTime at) {
  const std::unique_lock lock(mutex_);
  const auto [place, is_new] =
      devices_.try_emplace(device, Entry{.state = store::DeviceState::kActive, .key = key, .enrolled_at = at});
  place->second.key = key;
  if (!is_new) return;
  ++Of(store::DeviceState::kActive);
  certificate_ends_.Add(place->second.certificate_end);
}

void DeviceRegistry::Certified(const DeviceId& device, WallTime end) {
  const std::unique_lock lock(mutex_);
  const auto found = devices_.find(device);
  if (found == devices_.end() || found->second.state != store::DeviceState::kActive) return;
  certificate_ends_.Remove(std::exchange(found->second.certificate_end, end));
  certificate_ends_.Add(end);
}

void DeviceRegistry::Revoke(const DeviceId& device) {
  const std::unique_lock lock(mutex_);
  const auto [place, is_new] = devices_.try_emplace(device);
  Entry& entry = place->second;
  if (!is_new) --Of(entry.state);
  if (!is_new && entry.state == store::DeviceState::kActive) {
    certificate_ends_.Remove(entry.certificate_end);
    agents_.Move(std::exchange(entry.agent, AgentVersions::kUnknown), AgentVersions::kUnknown);
  }
  entry.state = store::DeviceState::kRevoked;
  ++Of(store::DeviceState::kRevoked);
}

void DeviceRegistry::Runs(const DeviceId& device, std::string_view agent_version) {
  const std::unique_lock lock(mutex_);
  const auto found = devices_.find(device);
  if (found == devices_.end() || found->second.state != store::DeviceState::kActive) return;
  Entry& entry = found->second;
  AgentVersions::Slot slot = agents_.Find(agent_version);
  if (slot == AgentVersions::kOther && !entry.named_a_version) {
    slot = agents_.Add(agent_version);
    entry.named_a_version = slot != AgentVersions::kOther;
  }
  if (slot != entry.agent) agents_.Move(std::exchange(entry.agent, slot), slot);
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

metrics::CertificatesLeft DeviceRegistry::CertificatesLeft(WallTime now) const {
  const std::shared_lock lock(mutex_);
  return certificate_ends_.Left(now);
}

std::map<std::string, std::uint64_t> DeviceRegistry::Agents() const {
  const std::shared_lock lock(mutex_);
  return agents_.Counts();
}

bool DeviceRegistry::WasEnrolledAt(const DeviceId& device, WallTime at) const {
  const std::shared_lock lock(mutex_);
  const auto found = devices_.find(device);
  return found != devices_.end() && found->second.enrolled_at <= at;
}

}  // namespace tacit::coordinator
