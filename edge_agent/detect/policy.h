#pragma once

#include <cstddef>
#include <cstdint>

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "edge_agent/detect/calibration.h"
#include "edge_agent/detect/verdict.h"

namespace tacit::detect {

/// What a device does about what its detectors find: its model's owner decides, and signs it with the model.
struct Policy {
  static constexpr std::uint64_t kMostRows = std::uint64_t{1} << 40U;
  static constexpr std::uint64_t kLongestWindow = std::uint64_t{366} * 86'400;

  Mode mode = Mode::kObserve;
  std::uint64_t identity_budget = 0;  ///< Rows that one asker may have answered within a window; 0: no limit.
  std::uint64_t device_budget = 0;    ///< That all askers of the device may have answered together; 0: no limit.
  std::uint64_t window_seconds = 86'400;
  bool operator==(const Policy&) const = default;
};

/// All that a bundle carries for the detectors of its model.
struct Detectors {
  Policy policy;
  Calibration calibration;
  bool operator==(const Detectors&) const = default;
};

/// The policy in front of the bytes of the calibration, which are all the rest.
inline constexpr std::size_t kPolicyBytes = 32;
inline constexpr std::size_t kMaxDetectorsBytes = kPolicyBytes + kMaxCalibrationBytes;

/// The one form of both. Source: docs/MODEL_FILES.md.
Bytes Serialise(const Detectors& detectors);

/// Reads what Serialise wrote, and nothing else. Errors: as ParseCalibration; kMalformed for a policy out of its range.
Result<Detectors> ParseDetectors(ByteSpan bytes);

}  // namespace tacit::detect
