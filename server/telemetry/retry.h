#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "common/base/clock.h"
#include "common/base/random.h"
#include "common/base/result.h"
#include "common/web/web_client.h"

namespace tacit::telemetry {

/// How long to wait between attempts.
struct RetryLimits {
  Millis first{1'000};
  Millis longest{60'000};
};

/// Waits that double, each cut by up to a half at random, so that many who failed together do not come back together.
class Backoff {
 public:
  Backoff(RetryLimits limits, std::uint64_t seed) : limits_(limits), random_(seed) {}
  /// The next wait; no less than what the other side asked for, up to five minutes of that.
  Millis Next(std::optional<std::chrono::seconds> asked_for);
  void Succeeded() { failures_ = 0; }

 private:
  RetryLimits limits_;
  SplitMix64 random_;
  unsigned failures_ = 0;
};

/// What to do about an attempt.
struct Attempt {
  enum class End : std::uint8_t {
    kTaken,
    kRefused,   ///< The same again would fail as well.
    kTryAgain,  ///< A later attempt may pass.
  };
  End end = End::kTaken;
  std::string reason;  ///< Why it is not taken, in words for an operator.
  std::optional<std::chrono::seconds> retry_after;
};

/// What an exchange came to, by its status alone: 2xx is taken; 429, 502, 503, 504 and what did not come to an answer
/// may pass later. Source: OTLP specification 1.5, "Retryable Response Codes".
Attempt Judge(const Result<web::WebResponse>& answer);

}  // namespace tacit::telemetry
