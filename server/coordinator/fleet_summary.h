#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/clock.h"
#include "server/metrics/metrics.h"

namespace tacit::coordinator {

/// How many devices run which agent. A device chooses what it says, so that only texts of the form `name 1.2.3` are
/// kept, and no more than kMost different ones as long as the process lives: what else comes counts as "other".
/// Threads: one at a time.
class AgentVersions {
 public:
  using Slot = std::uint8_t;
  static constexpr Slot kUnknown = 0;  ///< Of a device that was not here yet; not counted.
  static constexpr Slot kOther = 1;
  static constexpr std::size_t kMost = 16;

  /// kOther where the text has no slot.
  [[nodiscard]] Slot Find(std::string_view version) const;
  /// A slot for a text that has none; kOther where there is none left, or the text has another form.
  Slot Add(std::string_view version);
  /// One device more in `to`, one less in `from`.
  void Move(Slot from, Slot to);
  [[nodiscard]] std::map<std::string, std::uint64_t> Counts() const;

 private:
  static constexpr Slot kFirst = 2;
  std::vector<std::string> names_;  // of the slots from kFirst on
  std::array<std::uint64_t, kFirst + kMost> counts_{};
};

/// When the certificates of a fleet end, to the hour: so that a look at it costs the hours there are, not the devices.
/// Threads: one at a time.
class CertificateEnds {
 public:
  void Add(WallTime end) { ++by_hour_[HourOf(end)]; }
  /// One that was added.
  void Remove(WallTime end);
  /// Rounded up, at most an hour too long: what counts as ended has.
  [[nodiscard]] metrics::CertificatesLeft Left(WallTime now) const;

 private:
  using Hour = std::chrono::sys_time<std::chrono::hours>;
  static Hour HourOf(WallTime end) { return std::chrono::ceil<std::chrono::hours>(end); }
  std::map<Hour, std::uint64_t> by_hour_;
};

}  // namespace tacit::coordinator
