#pragma once

#include <cstdint>

#include "common/base/bytes.h"

namespace tacit::detect {

/// What a device's detectors have counted since its serving began. Privacy: counts only; no input, score or answer.
struct Tally {
  Digest256 calibration{};                ///< Of the version that serves; zeros without one.
  std::uint64_t model_version = 0;        ///< Of the version that serves; 0 while none does.
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
  bool operator==(const Tally&) const = default;
};

}  // namespace tacit::detect
