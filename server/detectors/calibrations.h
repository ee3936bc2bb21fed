#pragma once

#include <cstddef>
#include <filesystem>
#include <list>
#include <memory>
#include <utility>

#include "common/base/clock.h"
#include "common/base/ids.h"
#include "common/base/log.h"
#include "common/base/result.h"
#include "edge_agent/detect/calibration.h"
#include "server/detectors/calibrate_version.h"
#include "server/task/task_spec.h"

namespace tacit::detectors {

/// The calibrations of versions that devices asked for lately: each is made once, and so is the attempt that failed,
/// for a while. Threads: one at a time. Memory: kMost calibrations, of less than a MiB each. Privacy: of the clean
/// rows; see detect::Calibration.
class Calibrations {
 public:
  using Held = std::shared_ptr<const detect::Calibration>;
  static constexpr std::size_t kMost = 16;
  /// After a failure, the next attempt is not before that.
  static constexpr Millis kTryAgainAfter{300'000};

  /// `directory` has the files of clean rows. Clock and logger outlive it.
  Calibrations(std::filesystem::path directory, const Clock& clock, Logger& log)
      : directory_(std::move(directory)), clock_(clock), log_(log) {}

  /// For a task that has detectors. Errors: as CalibrateVersion; told in the log when they are new.
  Result<Held> FindOrMake(const task::TaskSpec& task, ModelVersion number, const Version& version);

 private:
  struct Entry {
    TaskId task;
    ModelVersion number = 0;
    Result<Held> outcome;
    SteadyTime at{};
  };
  Result<Held> Make(const task::TaskSpec& task, ModelVersion number, const Version& version);

  const std::filesystem::path directory_;
  const Clock& clock_;
  Logger& log_;
  std::list<Entry> entries_;  // the one that was made last is in front
};

}  // namespace tacit::detectors
