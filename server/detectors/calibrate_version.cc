#include "server/detectors/calibrate_version.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "common/base/check.h"
#include "common/graph/file.h"
#include "common/graph/from_spec.h"
#include "edge_agent/detect/engine_model.h"
#include "edge_agent/inference/builtin_engine.h"
#include "edge_agent/inference/heap_memory.h"
#include "server/detectors/clean_rows.h"

namespace tacit::detectors {
namespace {

// What the streams of a device's guard may take, all together: see detect::ExtractionGuard::MemoryBound.
constexpr std::size_t kGuardMemory = std::size_t{64} << 20U;
constexpr std::uint32_t kGuardStreams = 26;
constexpr std::uint32_t kGuardDimension = 256;
constexpr std::uint32_t kGuardAnchors = 32;

// A model that answers until a moment.
class TimedModel final : public detect::Model {
 public:
  TimedModel(detect::Model& model, const Clock& clock)
      : model_(model), clock_(clock), until_(clock.SteadyNow() + kLongestCalibration) {}

  [[nodiscard]] const detect::ModelShape& shape() const override { return model_.shape(); }
  Result<void> Run(std::span<const float> input, detect::Answer& answer) override {
    TACIT_TRY_VOID(CheckTime());
    return model_.Run(input, answer);
  }
  Result<void> InputGradient(std::span<const float> input, std::span<const std::uint32_t> classes,
                             std::span<float> gradient) override {
    TACIT_TRY_VOID(CheckTime());
    return model_.InputGradient(input, classes, gradient);
  }

 private:
  [[nodiscard]] Result<void> CheckTime() const {
    if (clock_.SteadyNow() < until_) return {};
    return Fail(ErrorCode::kDeadlineExceeded, "calibrating took longer than " +
                                                  std::to_string(kLongestCalibration.count() / 1000) +
                                                  " s; leave rows or scores out");
  }

  detect::Model& model_;
  const Clock& clock_;
  SteadyTime until_;
};

detect::Score ScoreNamed(const std::string& name) {
  for (std::size_t i = 0; i < detect::kScores; ++i) {
    if (NameOf(static_cast<detect::Score>(i)) == name) return static_cast<detect::Score>(i);
  }
  TACIT_CHECK(false, "a task file that was taken names scores that there are");
}

detect::CalibrationOptions OptionsOf(const task::Detectors& rules, const model::ModelSpec& model) {
  detect::CalibrationOptions options;
  options.tolerance.target = rules.target;
  options.tolerance.within = rules.within;
  options.scores.clear();
  for (const std::string& name : rules.scores) options.scores.push_back(ScoreNamed(name));
  options.drift_window = rules.drift_window;
  // A vector that grows can be twice as large as what is in it.
  const auto numbers = static_cast<std::uint32_t>(kGuardMemory / kGuardStreams / (2 * sizeof(float)) / model.classes());
  options.distance_dimension = std::min({kGuardDimension, model.inputs(), numbers});
  options.anchors_per_class = std::clamp(numbers / options.distance_dimension, 1U, kGuardAnchors);
  return options;
}

}  // namespace

Result<detect::Calibration> CalibrateVersion(const task::Detectors& rules, const Version& version,
                                             const std::filesystem::path& file, const Clock& clock) {
  TACIT_TRY(const LoadedRows rows, LoadCleanRows(file, version.model));
  const std::span<const float> parameters(reinterpret_cast<const float*>(version.parameters.data()),
                                          version.parameters.size() / sizeof(float));
  const graph::OwnedGraph graph = graph::FromSpec(version.model, parameters);
  const AlignedBuffer bytes = graph::Serialise({.graph = graph.graph, .weights = graph.bytes()});
  inference::HeapMemory memory;
  const std::unique_ptr<inference::Engine> engine = inference::MakeBuiltinEngine(memory);
  TACIT_TRY_VOID(engine->Load(bytes.bytes()));
  TACIT_TRY(detect::EngineModel model, detect::EngineModel::Create(*engine));
  TimedModel timed(model, clock);
  return detect::Calibrate(timed, {.x = rows.x, .labels = rows.labels}, OptionsOf(rules, version.model));
}

detect::Policy PolicyOf(const task::Detectors& rules) {
  return {.mode = static_cast<detect::Mode>(rules.mode),
          .identity_budget = rules.budget,
          .device_budget = rules.device_budget,
          .window_seconds =
              static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(rules.window).count())};
}

}  // namespace tacit::detectors
