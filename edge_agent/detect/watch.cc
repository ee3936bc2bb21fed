#include "edge_agent/detect/watch.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string_view>
#include <utility>

namespace tacit::detect {
namespace {

// Budgets are counted where questions are let in: they outlive a worker.
constexpr std::uint64_t kNoBudget = std::numeric_limits<std::uint64_t>::max();
constexpr std::string_view kDevice = "device";

RowVerdict Short(const Verdict& verdict, bool is_finite) {
  return {.suspicious = verdict.suspicious,
          .is_finite = is_finite,
          .concern = verdict.concern,
          .strongest = verdict.strongest,
          .extraction = ExtractionReason::kNone};
}

}  // namespace

Watch::Watch(const Policy& policy, Detector detector, ExtractionGuard guard)
    : policy_(policy),
      detector_(std::move(detector)),
      guard_(std::move(guard)),
      drift_(detector_.calibration().drift, detector_.calibration().shape.inputs) {}

Result<Watch> Watch::Create(Detectors detectors, const ModelShape& shape) {
  const Policy policy = detectors.policy;
  TACIT_TRY(Detector detector, Detector::Create(std::move(detectors.calibration), Mode::kFlag, shape));
  ExtractionOptions options;
  options.window_seconds = policy.window_seconds;
  options.identity_budget = kNoBudget;
  options.group_budget = kNoBudget;
  TACIT_TRY(ExtractionGuard guard, ExtractionGuard::Create(options, Mode::kFlag, detector.calibration()));
  return Watch(policy, std::move(detector), std::move(guard));
}

void Watch::WatchStream(std::span<const float> row, std::span<const float> logits, Judgement& judgement) {
  const auto window = drift_.Observe(row, logits);
  if (!window) return;
  ++judgement.drift_windows;
  if (!window->report.drifted) return;
  ++judgement.drift_alarms;
  for (std::size_t i = 0; i < kDriftStatistics; ++i) {
    if (window->report.distances.at(i) > drift_.reference().bins.at(i).threshold) judgement.drifted |= 1U << i;
  }
}

Result<Judgement> Watch::Judge(Model& model, std::span<const float> input, const Answer& answer,
                               std::span<const Asker> askers, std::uint64_t now) {
  const ModelShape& shape = detector_.calibration().shape;
  TACIT_TRY(const std::vector<Verdict> verdicts, detector_.Judge(model, input, answer));
  Judgement judgement;
  std::size_t at = 0;
  for (const Asker& asker : askers) {
    for (std::uint64_t i = 0; i < asker.rows && at < verdicts.size(); ++i, ++at) {
      const auto row = input.subspan(at * shape.inputs, shape.inputs);
      const auto logits = std::span(answer.logits).subspan(at * shape.classes, shape.classes);
      const bool is_finite = std::ranges::all_of(row, [](float value) { return std::isfinite(value); });
      judgement.rows.push_back(Short(verdicts[at], is_finite));
      // What is no number is of no window, and at no distance.
      if (!is_finite) continue;
      const Query query{
          .identity = AsText(asker.identity), .group = kDevice, .now = now, .input = row, .logits = logits};
      judgement.rows.back().extraction = guard_.Observe(query).reason;
      WatchStream(row, logits, judgement);
    }
  }
  return judgement;
}

}  // namespace tacit::detect
