#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "edge_agent/detect/detector.h"
#include "edge_agent/detect/drift.h"
#include "edge_agent/detect/extraction.h"
#include "edge_agent/detect/model.h"
#include "edge_agent/detect/policy.h"
#include "edge_agent/detect/scores.h"

namespace tacit::detect {

/// Whose the next `rows` rows are.
struct Asker {
  Digest128 identity{};
  std::uint64_t rows = 0;
  bool operator==(const Asker&) const = default;
};

/// What is said of one row. Privacy: of the input itself it tells what it looks like, and no number.
struct RowVerdict {
  bool suspicious = false;
  bool is_finite = true;  ///< Whether all numbers of the input were numbers.
  Concern concern = Concern::kAdversarial;
  Score strongest = Score::kUnconfidence;
  ExtractionReason extraction = ExtractionReason::kNone;  ///< Why the asker's rows so far look like a copy being made.
  bool operator==(const RowVerdict&) const = default;
};

/// What is said of some rows that were answered at once.
struct Judgement {
  std::uint32_t drift_windows = 0;  ///< That these rows completed.
  std::uint32_t drift_alarms = 0;   ///< Of them, those that had drifted.
  std::uint32_t drifted = 0;        ///< In which statistics: bit i is DriftStatistic i, of all these windows.
  std::vector<RowVerdict> rows;
  bool operator==(const Judgement&) const = default;
};

/// Everything that is watched of one model while it answers: each row, each asker, and all rows together. Decides
/// nothing: that is the policy's, where the answers are given. Threads: one at a time, as its model.
class Watch {
 public:
  /// Errors: kInvalidArgument for detectors of a model of another shape, or that could take too much memory.
  static Result<Watch> Create(Detectors detectors, const ModelShape& shape);

  /// Shape: `input` rows x inputs, and the model's answer to it; the rows of `askers` are as many, in their order.
  /// Units: `now` in seconds of a clock that does not go back. Errors: those of the model.
  Result<Judgement> Judge(Model& model, std::span<const float> input, const Answer& answer,
                          std::span<const Asker> askers, std::uint64_t now);

  [[nodiscard]] const Policy& policy() const { return policy_; }
  [[nodiscard]] const Detector& detector() const { return detector_; }

 private:
  Watch(const Policy& policy, Detector detector, ExtractionGuard guard);
  void WatchStream(std::span<const float> row, std::span<const float> logits, Judgement& judgement);

  Policy policy_;
  Detector detector_;
  ExtractionGuard guard_;
  DriftMonitor drift_;
};

}  // namespace tacit::detect
