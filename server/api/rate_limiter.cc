#include "server/api/rate_limiter.h"

#include <algorithm>

namespace tacit::api {

void RateLimiter::Refill(Bucket& bucket, SteadyTime now) const {
  const double minutes = static_cast<double>((now - bucket.at).count()) / 60'000.0;
  bucket.tokens = std::min<double>(per_minute_, bucket.tokens + minutes * per_minute_);
  bucket.at = now;
}

bool RateLimiter::Allow(std::string_view source) {
  const SteadyTime now = clock_.SteadyNow();
  const std::scoped_lock lock(mutex_);
  auto found = buckets_.find(std::string(source));
  if (found == buckets_.end()) {
    if (buckets_.size() >= kMaxSources) {
      std::erase_if(buckets_, [&](const auto& entry) {
        Bucket bucket = entry.second;
        Refill(bucket, now);
        return bucket.tokens >= per_minute_;
      });
      if (buckets_.size() >= kMaxSources) return false;
    }
    found = buckets_.emplace(std::string(source), Bucket{static_cast<double>(per_minute_), now}).first;
  }
  Refill(found->second, now);
  if (found->second.tokens < 1) return false;
  found->second.tokens -= 1;
  return true;
}

}  // namespace tacit::api
