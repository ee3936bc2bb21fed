#include "edge_agent/worker/judging.h"

#include <cstring>
#include <vector>

#include "common/bundle/manifest.h"
#include "common/crypto/digest.h"

namespace tacit::worker {
namespace {

static_assert(bundle::kMostDetectors == detect::kMaxDetectorsBytes, "a bundle carries what can be read");

std::vector<float> FloatsOf(ByteSpan bytes) {
  std::vector<float> values(bytes.size() / sizeof(float));
  if (!values.empty()) std::memcpy(values.data(), bytes.data(), values.size() * sizeof(float));
  return values;
}

}  // namespace

Result<Judging> Judging::Create(const OpenedModel& opened, inference::Engine& engine) {
  TACIT_TRY(detect::Detectors detectors, detect::ParseDetectors(opened.detectors));
  if (detectors.calibration.model != crypto::Sha256(opened.model))
    return Fail(ErrorCode::kDataLoss, "the detectors beside the model were calibrated for another one");
  TACIT_TRY(detect::EngineModel judged, detect::EngineModel::Create(engine));
  TACIT_TRY(detect::Watch watch, detect::Watch::Create(std::move(detectors), judged.shape()));
  if (watch.detector().id() != opened.calibration)
    return Fail(ErrorCode::kDataLoss, "the detectors beside the model are not those that its manifest names");
  return Judging(std::move(judged), std::move(watch));
}

Result<detect::Judgement> Judging::Judge(ByteSpan input, std::span<const Bytes> outputs,
                                         std::span<const detect::Asker> askers, std::uint64_t now) {
  detect::Answer answer{.logits = FloatsOf(outputs[0]), .features = {}};
  if (outputs.size() > 1) answer.features = FloatsOf(outputs[1]);
  // Tensors begin at multiples of kTensorAlignment.
  const std::span<const float> rows(reinterpret_cast<const float*>(input.data()), input.size() / sizeof(float));
  return watch_.Judge(model_, rows, answer, askers, now);
}

LoadedDetectors Judging::Describe() const {
  return {.calibration = watch_.detector().id(), .policy = watch_.policy()};
}

}  // namespace tacit::worker
