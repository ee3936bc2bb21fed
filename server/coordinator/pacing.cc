#include "server/coordinator/pacing.h"

#include <algorithm>
#include <cstring>

#include "common/base/bytes.h"

namespace tacit::coordinator {

Millis SpreadOf(std::uint64_t devices, std::uint64_t per_second) {
  // More devices than this are over the cap at any rate that is used, and far from any overflow.
  const std::uint64_t counted = std::min<std::uint64_t>(devices, 1'000'000'000'000);
  return std::min(Millis(static_cast<std::int64_t>(counted * 1000 / per_second)), kLongestSpread);
}

Millis PlaceInSpread(const DeviceId& device, SteadyTime now, Millis spread) {
  const auto asked_at = static_cast<std::uint64_t>(now.time_since_epoch().count());
  const Digest128 digest = Xxh3(ByteWriter().Text(device.str()).U64(asked_at).bytes());
  std::uint64_t value = 0;
  std::memcpy(&value, digest.data(), sizeof value);
  const double part = static_cast<double>(value) * 0x1p-64;
  return Millis(static_cast<std::int64_t>(part * static_cast<double>(spread.count())));
}

}  // namespace tacit::coordinator
