#include "edge_agent/protect/weight_watch.h"

#include <algorithm>

#include "common/base/check.h"

namespace tacit::protect {

WeightWatch::WeightWatch(ByteSpan weights, WeightWatchOptions options, const Clock& clock)
    : weights_(weights),
      options_(options),
      clock_(clock),
      expected_(crypto::Sha256(weights)),
      next_pass_(clock.SteadyNow() + options.interval) {
  // SHA-256 keeps what is no whole block of 64 bytes for the next call, and that would be weights outside of their
  // pages from one Tick to the next.
  TACIT_CHECK(options.slice > 0 && options.slice % 64 == 0, "a slice is whole blocks of SHA-256");
}

bool WeightWatch::Due() const {
  return state_ == State::kIntact && (pass_ || clock_.SteadyNow() >= next_pass_);
}

Millis WeightWatch::UntilDue() const {
  return pass_ ? Millis(0) : std::max(Millis(0), Millis(next_pass_ - clock_.SteadyNow()));
}

WeightWatch::State WeightWatch::Tick() {
  if (!Due()) return state_;
  if (!pass_) {
    pass_.emplace();
    hashed_ = 0;
  }
  const std::size_t size = std::min(options_.slice, weights_.size() - hashed_);
  pass_->Update(weights_.subspan(hashed_, size));
  hashed_ += size;
  if (hashed_ < weights_.size()) return state_;
  if (pass_->Finish() == expected_) {
    ++passes_;
  } else {
    state_ = State::kTampered;
  }
  pass_.reset();
  next_pass_ = clock_.SteadyNow() + options_.interval;
  return state_;
}

}  // namespace tacit::protect
