#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/bytes.h"
#include "edge_agent/detect/scores.h"

namespace tacit::detect {

/// What is done about what looks wrong.
enum class Mode : std::uint8_t {
  kObserve = 0,  ///< It is counted, and answered as if nothing were.
  kFlag = 1,     ///< It is answered, and the answer says so.
  kReject = 2,   ///< It gets no answer.
};
[[nodiscard]] constexpr std::string_view NameOf(Mode mode) {
  return mode == Mode::kObserve ? "observe" : mode == Mode::kFlag ? "flag" : "reject";
}

enum class Decision : std::uint8_t { kAccepted = 0, kFlagged = 1, kRejected = 2 };

/// What `mode` does about something that looks wrong.
[[nodiscard]] constexpr Decision DecisionFor(Mode mode) {
  return static_cast<Decision>(mode);
}

/// One score of one input.
struct Measured {
  Score score = Score::kUnconfidence;
  double value = 0;
  double evidence = 0;  ///< -log of the share of clean inputs that score as much.
};

/// What is said of one input. Privacy: scores are computed from the input; they stay on the device, but for counts.
struct Verdict {
  Decision decision = Decision::kAccepted;
  bool suspicious = false;                  ///< Also where the mode only observes.
  Concern concern = Concern::kAdversarial;  ///< The stronger of the two.
  Score strongest = Score::kUnconfidence;   ///< The score that says most for it.
  double evidence = 0;                      ///< Above `threshold`: suspicious.
  double threshold = 0;
  std::vector<Measured> scores;
  Digest256 calibration{};  ///< The id of what it was judged by.
  std::string reason;       ///< Empty unless suspicious.
};

}  // namespace tacit::detect
