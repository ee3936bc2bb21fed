#pragma once

#include <cstdint>
#include <optional>

#include "common/base/clock.h"
#include "common/base/random.h"

namespace tacit::upload {

/// Units: milliseconds. 0 < first <= longest.
struct BackoffOptions {
  Millis first{500};
  Millis longest{60'000};
};

/// How long to wait between attempts: twice as long each time, of which a random half is taken off, so that a fleet
/// that lost its server does not come back in step. Source: Brooker 2015, "Exponential backoff and jitter" (equal
/// jitter).
class Backoff {
 public:
  /// `seed` must differ between devices.
  Backoff(BackoffOptions options, std::uint64_t seed);

  /// The wait before the next attempt. What the server asked for is never undercut, and at most an hour of it is
  /// believed.
  Millis Next(std::optional<Millis> retry_after = std::nullopt);
  /// After a success: the next failure is the first again.
  void Reset();

 private:
  BackoffOptions options_;
  SplitMix64 random_;
  Millis step_;
};

}  // namespace tacit::upload
