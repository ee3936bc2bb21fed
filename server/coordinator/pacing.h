#pragma once

#include <cstdint>

#include "common/base/clock.h"
#include "common/base/ids.h"

namespace tacit::coordinator {

/// Check-ins of one second that the plan allows for, on connections that are kept: about half of what one core answers.
inline constexpr std::uint64_t kCheckInsPerSecond = 5'000;
/// The same where each has to connect anew and prove its certificate, which is what costs: one core does about 700.
inline constexpr std::uint64_t kReconnectionsPerSecond = 500;
/// As long as agents believe what they are asked for at most.
inline constexpr Millis kLongestSpread = std::chrono::minutes(60);

/// The time over which so many devices have to be spread for about `per_second` of them to come in each second, capped
/// at kLongestSpread. A few devices are not held up: it is a fifth of a millisecond for each at kCheckInsPerSecond.
Millis SpreadOf(std::uint64_t devices, std::uint64_t per_second);

/// This device's place within `spread`, uniform over devices and over the times at which one asks. Nothing secret is in
/// it, and nothing random, so that a simulation that is repeated is the same.
Millis PlaceInSpread(const DeviceId& device, SteadyTime now, Millis spread);

}  // namespace tacit::coordinator
