#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace tacit {

/// What the detectors and workers of devices that use a model have counted: of one device over a while, of one over its
/// life, or of a fleet. Shape: each at most kMostEdgeCount.
/// Privacy: counts only; no input, score or answer.
struct EdgeCounts {
  std::uint64_t rows = 0;                 ///< Judged.
  std::uint64_t adversarial = 0;          ///< Suspicious, as likely made to mislead.
  std::uint64_t out_of_distribution = 0;  ///< Suspicious, as unlike the clean rows.
  std::uint64_t rejected = 0;             ///< Not answered because of either.
  std::uint64_t extraction_alarms = 0;    ///< Askers whose questions began to look like a copy being made.
  std::uint64_t over_budget = 0;          ///< Rows that were refused to an asker whose budget was used up.
  std::uint64_t drift_windows = 0;        ///< Judged.
  std::uint64_t drift_alarms = 0;         ///< Of them, those that had drifted.
  std::uint64_t worker_endings = 0;       ///< Workers that ended unasked.
  std::uint64_t changed_weights = 0;      ///< Of them, because weights had changed.
  std::uint64_t refused_calls = 0;        ///< Of them, because of a system call that is not allowed.
  bool operator==(const EdgeCounts&) const = default;
};

/// The largest whole number that JSON has for everybody. Source: RFC 8259, section 6.
inline constexpr std::uint64_t kMostEdgeCount = (std::uint64_t{1} << 53U) - 1;

struct EdgeCounter {
  std::string_view name;  ///< In the protocol, the store and the REST API.
  std::uint64_t EdgeCounts::* member;
};

/// All there are, in the order in which they are stored.
inline constexpr std::array<EdgeCounter, 11> kEdgeCounters = {{
    {"rows", &EdgeCounts::rows},
    {"adversarial", &EdgeCounts::adversarial},
    {"out_of_distribution", &EdgeCounts::out_of_distribution},
    {"rejected", &EdgeCounts::rejected},
    {"extraction_alarms", &EdgeCounts::extraction_alarms},
    {"over_budget", &EdgeCounts::over_budget},
    {"drift_windows", &EdgeCounts::drift_windows},
    {"drift_alarms", &EdgeCounts::drift_alarms},
    {"worker_endings", &EdgeCounts::worker_endings},
    {"changed_weights", &EdgeCounts::changed_weights},
    {"refused_calls", &EdgeCounts::refused_calls},
}};
static_assert(sizeof(EdgeCounts) == kEdgeCounters.size() * sizeof(std::uint64_t), "every counter is in the list");

/// Both together; what would be more than can be said is the most that can.
constexpr EdgeCounts Plus(const EdgeCounts& one, const EdgeCounts& other) {
  EdgeCounts sum;
  for (const EdgeCounter& each : kEdgeCounters) {
    const std::uint64_t room = kMostEdgeCount - std::min(one.*each.member, kMostEdgeCount);
    sum.*each.member = kMostEdgeCount - room + std::min(other.*each.member, room);
  }
  return sum;
}

/// What was counted since `before`; 0 of what was begun anew since.
constexpr EdgeCounts Since(const EdgeCounts& before, const EdgeCounts& now) {
  EdgeCounts difference;
  for (const EdgeCounter& each : kEdgeCounters)
    difference.*each.member = now.*each.member - std::min(now.*each.member, before.*each.member);
  return difference;
}

}  // namespace tacit
