#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/model/spec.h"

namespace tacit::task {

class TomlTable;

/// What is done on a device about what its detectors find. The order is that of a calibration's policy.
enum class DetectorMode : std::uint8_t { kObserve = 0, kFlag = 1, kReject = 2 };

/// How the models of a task are watched where they are used (docs/EDGE.md, section Detectors).
struct Detectors {
  std::string clean_rows;  ///< A file in `clean_rows` of the data directory.
  DetectorMode mode = DetectorMode::kObserve;
  double target = 0;                ///< The rate at which clean rows are suspicious, of all scores together.
  double within = 0;                ///< How far it may be from that.
  std::vector<std::string> scores;  ///< Each once; in the order of a calibration.
  std::uint64_t budget = 0;         ///< Rows of one asker within a window; 0: no limit.
  std::uint64_t device_budget = 0;  ///< Of all askers of a device together.
  Millis window{};
  std::uint32_t drift_window = 0;  ///< Rows.
};

/// The most classes that a model with detectors may have.
inline constexpr std::uint32_t kMostWatchedClasses = 1024;
/// Numbers of all clean rows together, which are in memory at once: 16 MiB.
inline constexpr std::uint64_t kMostCleanNumbers = std::uint64_t{1} << 22U;

/// The table [detectors] of a task file, where it has one; problems are noted in it. `is_deployed`: whether devices use
/// the models of the task at all.
struct DetectorsPlace {
  const std::optional<model::ModelSpec>& model;
  bool is_deployed = false;
};
std::optional<Detectors> ReadDetectors(TomlTable& root, const DetectorsPlace& place);

}  // namespace tacit::task
