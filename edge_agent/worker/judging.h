#pragma once

#include <cstdint>
#include <span>
#include <utility>

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "edge_agent/detect/engine_model.h"
#include "edge_agent/detect/watch.h"
#include "edge_agent/inference/engine.h"
#include "edge_agent/worker/messages.h"
#include "edge_agent/worker/serve.h"

namespace tacit::worker {

/// The detectors of a loaded model, in its worker. Threads: as its engine.
class Judging {
 public:
  /// The detectors of `opened`, whose model `engine`, which outlives it, has loaded. Errors: as detect::ParseDetectors;
  /// kDataLoss for those of another model, or others than were signed; kInvalidArgument for a model that detectors
  /// cannot judge. Cost: beside their own, one SHA-256 of the model.
  static Result<Judging> Create(const OpenedModel& opened, inference::Engine& engine);

  /// What is said of rows, given what the engine answered. Shape: `input` of the model's only input, `outputs` of its
  /// signature. Units: `now` in seconds.
  Result<detect::Judgement> Judge(ByteSpan input, std::span<const Bytes> outputs, std::span<const detect::Asker> askers,
                                  std::uint64_t now);
  [[nodiscard]] LoadedDetectors Describe() const;

 private:
  Judging(detect::EngineModel model, detect::Watch watch) : model_(std::move(model)), watch_(std::move(watch)) {}

  detect::EngineModel model_;
  detect::Watch watch_;
};

}  // namespace tacit::worker
