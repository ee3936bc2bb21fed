#pragma once

#include <filesystem>

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/model/spec.h"
#include "edge_agent/detect/calibration.h"
#include "edge_agent/detect/policy.h"
#include "server/task/detectors.h"

namespace tacit::detectors {

/// For how long a model is asked while it is calibrated.
inline constexpr Millis kLongestCalibration{30'000};

/// A published version.
struct Version {
  const model::ModelSpec& model;
  ByteSpan parameters;  ///< float32, little-endian: `model`'s number of them.
};

/// Calibrates detectors on clean rows for what a version computes: from inputs, answers and derivatives, and from
/// nothing inside it, so that it holds for every copy of the version that computes the same. The digest of a model is
/// left at zeros: each copy has another.
/// Errors: as LoadCleanRows; kInvalidArgument for too few rows, saying how many it takes; kDeadlineExceeded beyond
/// kLongestCalibration. Memory: at most 64 MiB beside the model. Cost: see detect::Calibrate; seconds.
Result<detect::Calibration> CalibrateVersion(const task::Detectors& rules, const Version& version,
                                             const std::filesystem::path& file, const Clock& clock);

/// What devices do by these rules.
detect::Policy PolicyOf(const task::Detectors& rules);

}  // namespace tacit::detectors
