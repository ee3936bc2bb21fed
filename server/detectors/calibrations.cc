#include "server/detectors/calibrations.h"

#include <algorithm>
#include <iterator>

#include "common/base/check.h"

namespace tacit::detectors {

Result<Calibrations::Held> Calibrations::FindOrMake(const task::TaskSpec& task, ModelVersion number,
                                                    const Version& version) {
  const auto found = std::ranges::find_if(
      entries_, [&](const Entry& entry) { return entry.number == number && entry.task == task.id; });
  if (found != entries_.end()) {
    if (found->outcome || clock_.SteadyNow() - found->at < kTryAgainAfter) return found->outcome;
    entries_.erase(found);
  }
  auto outcome = Make(task, number, version);
  entries_.push_front({.task = task.id, .number = number, .outcome = outcome, .at = clock_.SteadyNow()});
  if (entries_.size() > kMost) entries_.pop_back();
  return outcome;
}

Result<Calibrations::Held> Calibrations::Make(const task::TaskSpec& task, ModelVersion number, const Version& version) {
  const task::Detectors& rules = Present(task.detectors, "only tasks with detectors are calibrated");
  const SteadyTime begin = clock_.SteadyNow();
  auto calibration = CalibrateVersion(rules, version, directory_ / rules.clean_rows, clock_);
  if (!calibration) {
    log_.Warn("model_calibration_failed", {{"task", task.id.str()},
                                           {"version", number},
                                           {"code", TraitsOf(calibration.error().code).name},
                                           {"reason", calibration.error().message}});
    return std::unexpected(std::move(calibration).error());
  }
  log_.Info("model_calibrated", {{"task", task.id.str()},
                                 {"version", number},
                                 {"rows", calibration->rows},
                                 {"elapsed_ms", (clock_.SteadyNow() - begin).count()}});
  return std::make_shared<const detect::Calibration>(*std::move(calibration));
}

}  // namespace tacit::detectors
