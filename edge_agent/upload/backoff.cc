#include "edge_agent/upload/backoff.h"

#include <algorithm>
#include <chrono>

#include "common/base/check.h"

namespace tacit::upload {
namespace {

constexpr Millis kLongestBelieved = std::chrono::hours(1);

Millis Scaled(Millis time, double factor) {
  return Millis(static_cast<Millis::rep>(static_cast<double>(time.count()) * factor));
}

}  // namespace

Backoff::Backoff(BackoffOptions options, std::uint64_t seed) : options_(options), random_(seed), step_(options.first) {
  TACIT_CHECK(options.first > Millis(0) && options.first <= options.longest, "delays are fixed in code");
}

Millis Backoff::Next(std::optional<Millis> retry_after) {
  const Millis own = Scaled(step_, 0.5 + 0.5 * random_.Uniform());
  step_ = std::min(step_ * 2, options_.longest);
  if (!retry_after) return own;
  const Millis asked = std::clamp(*retry_after, Millis(0), kLongestBelieved);
  return std::max(own, Scaled(asked, 1 + 0.25 * random_.Uniform()));
}

void Backoff::Reset() {
  step_ = options_.first;
}

}  // namespace tacit::upload
