#pragma once

#include <chrono>
#include <string>

namespace tacit {

using SteadyPoint = std::chrono::steady_clock::time_point;
using SteadySpan = std::chrono::steady_clock::duration;
/// UTC, for records and people. Shown as RFC 3339.
using WallTime = std::chrono::sys_time<std::chrono::milliseconds>;
/// Never goes back, for deadlines.
using SteadyTime = std::chrono::time_point<std::chrono::steady_clock, std::chrono::milliseconds>;
using Millis = std::chrono::milliseconds;

/// Where time comes from: passed in, so that a simulation can own it. Threads: any.
class Clock {
 public:
  virtual ~Clock() = default;
  [[nodiscard]] virtual WallTime Now() const = 0;
  [[nodiscard]] virtual SteadyTime SteadyNow() const = 0;
};

class SystemClock final : public Clock {
 public:
  [[nodiscard]] WallTime Now() const override;
  [[nodiscard]] SteadyTime SteadyNow() const override;
};

/// `2026-11-24T05:22:07.123Z`
std::string FormatRfc3339(WallTime time);

}  // namespace tacit
