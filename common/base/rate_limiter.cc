#include "common/base/rate_limiter.h"

#include <algorithm>

namespace tacit {

void RateLimiter::Refill(Bucket& bucket, SteadyTime now) const {
  const double minutes = static_cast<double>((now - bucket.at).count()) / 60'000.0;
  bucket.tokens = std::min<double>(options_.per_minute, bucket.tokens + minutes * options_.per_minute);
  bucket.at = now;
}

bool RateLimiter::Allow(std::string_view source) {
  const SteadyTime now = clock_.SteadyNow();
  const std::scoped_lock lock(mutex_);
  auto found = buckets_.find(std::string(source));
  if (found == buckets_.end()) {
    if (buckets_.size() >= options_.max_sources) {
      std::erase_if(buckets_, [&](const auto& entry) {
        Bucket bucket = entry.second;
        Refill(bucket, now);
        return bucket.tokens >= options_.per_minute;
      });
      if (buckets_.size() >= options_.max_sources) return false;
    }
    found = buckets_.emplace(std::string(source), Bucket{static_cast<double>(options_.per_minute), now}).first;
  }
  Refill(found->second, now);
  if (found->second.tokens < 1) return false;
  found->second.tokens -= 1;
  return true;
}

void RateLimiter::GiveBack(std::string_view source) {
  const SteadyTime now = clock_.SteadyNow();
  const std::scoped_lock lock(mutex_);
  const auto found = buckets_.find(std::string(source));
  if (found == buckets_.end()) return;  // It was full, and forgotten.
  Bucket& bucket = found->second;
  bucket.tokens += 1;
  Refill(bucket, now);
  // Whoever only ever succeeds leaves nothing behind.
  if (bucket.tokens >= options_.per_minute) buckets_.erase(found);
}

std::size_t RateLimiter::size() const {
  const std::scoped_lock lock(mutex_);
  return buckets_.size();
}

}  // namespace tacit
