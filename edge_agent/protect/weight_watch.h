#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/crypto/digest.h"

namespace tacit::protect {

/// Units: `interval` from the end of one pass over the weights to the begin of the next.
struct WeightWatchOptions {
  Millis interval{60'000};
  /// Bytes of one Tick, a multiple of 64: 64 KiB take 40 us with the SHA instructions of a CPU, 160 us without.
  std::size_t slice = std::size_t{64} * 1024;
};

/// Finds out whether weights are still what they were when they were loaded: hashes them again and again, a slice at a
/// time, so that an inference never waits for a whole model. Threads: one at a time.
class WeightWatch {
 public:
  /// Hashes `weights` once, all of it; they and `clock` must outlive the watch.
  WeightWatch(ByteSpan weights, WeightWatchOptions options, const Clock& clock);

  enum class State : std::uint8_t { kIntact, kTampered };
  /// Hashes the next slice, where a pass is due. Once tampered with, weights stay so.
  State Tick();
  [[nodiscard]] State state() const { return state_; }
  /// Whether a Tick would hash anything now.
  [[nodiscard]] bool Due() const;
  /// Until a Tick is due; 0 in the middle of a pass.
  [[nodiscard]] Millis UntilDue() const;

  /// Of the weights when they were loaded.
  [[nodiscard]] const Digest256& digest() const { return expected_; }
  /// Passes that found every byte in its place.
  [[nodiscard]] std::uint64_t passes() const { return passes_; }

 private:
  ByteSpan weights_;
  WeightWatchOptions options_;
  const Clock& clock_;
  Digest256 expected_;
  SteadyTime next_pass_;
  std::optional<crypto::Sha256Stream> pass_;  // none between passes
  std::size_t hashed_ = 0;
  std::uint64_t passes_ = 0;
  State state_ = State::kIntact;
};

}  // namespace tacit::protect
