#include <algorithm>
#include <cmath>

#include "edge_agent/detect/calibration.h"
#include "edge_agent/detect/extraction.h"
#include "edge_agent/detect/policy.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace detect = tacit::detect;
  const tacit::ByteSpan bytes(data, size);
  if (const auto detectors = detect::ParseDetectors(bytes)) {
    TACIT_CHECK(std::ranges::equal(detect::Serialise(*detectors), bytes), "detectors have one form");
    TACIT_CHECK(detectors->policy.window_seconds > 0, "a window that can be divided by");
  }
  const auto calibration = detect::ParseCalibration(bytes);
  if (!calibration) return 0;
  TACIT_CHECK(std::ranges::equal(detect::Serialise(*calibration), bytes), "a calibration has one form");
  // What was accepted can be used: weights are numbers, and windows have a distance.
  const std::vector<double> scores(calibration->scoring.scores.size(), 1.0);
  const double evidence = detect::Weigh(calibration->scoring, calibration->combination, scores).evidence;
  TACIT_CHECK(evidence >= 0 && evidence <= detect::EvidenceCurve::kMost, "evidence is in its range");
  detect::DriftSketch sketch(calibration->drift);
  sketch.Add(detect::PlacesOf(calibration->drift, {}, 0));
  for (const double distance : detect::DriftDistances(calibration->drift, sketch)) {
    TACIT_CHECK(std::isfinite(distance), "a distance is a number");
  }
  const auto guard = detect::ExtractionGuard::Create({}, detect::Mode::kFlag, *calibration);
  if (guard) TACIT_CHECK(guard->MemoryBound() <= std::size_t{1} << 30U, "memory is bounded before it is taken");
  return 0;
}
