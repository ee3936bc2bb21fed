#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "common/base/clock.h"

namespace tacit::api {

/// A token bucket a source: `per_minute` attempts, refilled steadily. Memory is bounded: at kMaxSources sources the
/// full buckets are forgotten, and if none is full, strangers are refused. Threads: any.
class RateLimiter {
 public:
  static constexpr std::size_t kMaxSources = 10'000;

  RateLimiter(std::uint32_t per_minute, const Clock& clock) : per_minute_(per_minute), clock_(clock) {}

  /// Whether `source` may try now; counts the attempt.
  bool Allow(std::string_view source);

 private:
  struct Bucket {
    double tokens = 0;
    SteadyTime at{};
  };
  void Refill(Bucket& bucket, SteadyTime now) const;

  const std::uint32_t per_minute_;
  const Clock& clock_;
  std::mutex mutex_;
  std::unordered_map<std::string, Bucket> buckets_;
};

}  // namespace tacit::api
