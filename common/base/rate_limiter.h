#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "common/base/clock.h"

namespace tacit {

/// A token bucket a source: `per_minute` attempts, refilled steadily. Memory is bounded: at `max_sources` sources the
/// full buckets are forgotten, and if none is full, strangers are refused. Threads: any.
class RateLimiter {
 public:
  struct Options {
    std::uint32_t per_minute = 0;
    std::size_t max_sources = 10'000;
  };

  RateLimiter(Options options, const Clock& clock) : options_(options), clock_(clock) {}

  /// Whether `source` may try now; counts the attempt.
  bool Allow(std::string_view source);
  /// The attempt turned out to be one that is not to be counted.
  void GiveBack(std::string_view source);

  /// How many sources are remembered.
  [[nodiscard]] std::size_t size() const;

 private:
  struct Bucket {
    double tokens = 0;
    SteadyTime at{};
  };
  void Refill(Bucket& bucket, SteadyTime now) const;

  const Options options_;
  const Clock& clock_;
  mutable std::mutex mutex_;
  std::unordered_map<std::string, Bucket> buckets_;
};

}  // namespace tacit
