#pragma once

#include <chrono>

#include "common/base/clock.h"

namespace tacit::simulation {

/// While one lives, this program's clocks show what it says and nothing else moves them: std::chrono, SQLite, Asio's
/// timers, all of them. One at a time; before the first io_context.
class SimulatedTime {
 public:
  SimulatedTime();
  ~SimulatedTime();
  SimulatedTime(const SimulatedTime&) = delete;
  SimulatedTime& operator=(const SimulatedTime&) = delete;

  void Advance(Millis by);
  [[nodiscard]] Millis SinceStart() const;
};

}  // namespace tacit::simulation
