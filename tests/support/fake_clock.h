#pragma once

#include <atomic>

#include "common/base/clock.h"

namespace tacit::testing {

/// A clock that moves only when told to.
class FakeClock final : public Clock {
 public:
  [[nodiscard]] WallTime Now() const override { return WallTime(Millis(kEpochMs + elapsed_ms_)); }
  [[nodiscard]] SteadyTime SteadyNow() const override { return SteadyTime(Millis(elapsed_ms_)); }
  void Advance(Millis by) { elapsed_ms_ += by.count(); }

 private:
  static constexpr std::int64_t kEpochMs = 1'790'000'000'000;
  std::atomic<std::int64_t> elapsed_ms_ = 0;
};

}  // namespace tacit::testing
