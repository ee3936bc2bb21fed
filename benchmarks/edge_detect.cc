// How well the detectors of an edge agent do on real data. Prints one JSON row a line: name, value, unit, baseline,
// ratio, goal, holds. Rows that miss their goal are printed like those that hold. Every number is the same on every run
// of one build: seeds are fixed, and nothing looks at a clock.
// Environment: TACIT_SHARED_DIR, the directory with fashion-mnist and har.

#include <cstdlib>
#include <string_view>

#include "benchmarks/detect/report.h"
#include "benchmarks/detect/scenes.h"

namespace tacit::benchmark {
namespace {

void MeasureOtherPeople(Scene& scene, const data::Dataset& others) {
  const double share = SuspiciousShare(scene, CalibrationOf(scene, 0.05, kShipped), others.x);
  Print({.name = scene.name + ": people that the calibration has not seen, suspicious at 5%",
         .value = share,
         .unit = "share",
         .goal = 0.05,
         .holds = share <= 0.06});
}

void MeasureAll(Scene scene) {
  MeasureFalsePositives(scene);
  MeasureAttacks(scene);
  MeasureStrangers(scene);
  MeasureExtraction(scene);
  MeasureDrift(scene);
}

}  // namespace
}  // namespace tacit::benchmark

int main() {
  namespace benchmark = tacit::benchmark;
  const char* shared = std::getenv("TACIT_SHARED_DIR");
  if (shared == nullptr) benchmark::Give("TACIT_SHARED_DIR must name the directory with fashion-mnist and har");
  benchmark::MeasureAll(benchmark::FashionScene(shared));
  benchmark::Scene people = benchmark::PeopleScene(shared);
  benchmark::MeasureOtherPeople(people, benchmark::OtherPeople(shared));
  benchmark::MeasureAll(std::move(people));
  return 0;
}
