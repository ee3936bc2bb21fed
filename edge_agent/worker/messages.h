#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "edge_agent/detect/policy.h"
#include "edge_agent/detect/watch.h"
#include "edge_agent/inference/engine.h"
#include "edge_agent/protect/protections.h"

// What an agent and its worker say to each other: little-endian, every size bounded. Each side reads the other's bytes
// as those of a stranger; a worker may have been taken over by what it was given to read.
namespace tacit::worker {

enum class Kind : std::uint8_t {
  kLoad = 1,      ///< A model: its file beside the frame, and the bytes that open it. Once.
  kInfer = 2,     ///< Tensors.
  kGradient = 3,  ///< Tensors: the only input, and the classes, uint32.
  kHealth = 4,    ///< Nothing.
  kQuit = 5,      ///< Nothing, and no answer but the end: overwrites all and ends.
  kJudge = 6,     ///< Tensors: as kInfer, and at the end the askers; of a model that has detectors.
  kReady = 64,    ///< State; the first frame of a worker, unasked.
  kLoaded = 65,   ///< Loaded.
  kTensors = 66,  ///< Tensors: outputs, or the gradient.
  kState = 67,    ///< State.
  kFailed = 68,   ///< Failure.
  kJudged = 69,   ///< Tensors: outputs, and at the end what is said of their rows.
};

struct Header {
  std::size_t size = 0;  ///< Of the body, at most 4 GiB - 1.
  Kind kind = Kind::kQuit;
  std::uint64_t id = 0;
};
using FrameHeader = std::array<std::uint8_t, 16>;
FrameHeader EncodeHeader(const Header& header);
/// Errors: kMalformed for a kind that there is not, or a byte that must be 0.
Result<Header> ParseHeader(ByteSpan bytes);

inline constexpr std::size_t kMostTensors = 64;
inline constexpr std::size_t kTensorAlignment = 64;

/// The parts of a body of tensors, without a copy of them: what is given must outlive it.
class TensorParts {
 public:
  /// Shape: at most kMostTensors.
  TensorParts(std::size_t rows, std::span<const ByteSpan> tensors);
  [[nodiscard]] std::span<const ByteSpan> parts() const { return parts_; }

 private:
  Bytes head_;
  std::vector<ByteSpan> parts_;
};

/// Tensors in a body that they stay a part of, each at a multiple of kTensorAlignment from its begin.
struct Tensors {
  std::size_t rows = 0;
  std::vector<ByteSpan> values;
};
/// Errors: kMalformed.
Result<Tensors> ParseTensors(ByteSpan body);

/// Bytes of one row of what goes in or out.
std::size_t RowBytes(const inference::Port& port);

/// What an agent learns of the detectors of a model: nothing that it was calibrated by.
struct LoadedDetectors {
  Digest256 calibration{};
  detect::Policy policy;
  bool operator==(const LoadedDetectors&) const = default;
};

/// What an agent learns of a model.
struct Loaded {
  inference::Signature signature;
  Digest256 digest{};  ///< SHA-256 of the model in the worker's memory.
  protect::Protections protections;
  std::optional<LoadedDetectors> detectors = {};  ///< Of a model of one input.
};
Bytes EncodeLoaded(const Loaded& loaded);
/// Errors: kMalformed; also for a signature of more than kMostTensors ports a side, or a row of more than 2^31 bytes.
Result<Loaded> ParseLoaded(ByteSpan body);

Bytes EncodeAskers(std::span<const detect::Asker> askers);
/// Errors: kMalformed; also where they have not `rows` rows together.
Result<std::vector<detect::Asker>> ParseAskers(ByteSpan bytes, std::size_t rows);

Bytes EncodeJudgement(const detect::Judgement& judgement);
/// Errors: kMalformed; also where it is not of `rows` rows.
Result<detect::Judgement> ParseJudgement(ByteSpan bytes, std::size_t rows);

struct State {
  protect::Protections protections;
  std::uint64_t watch_passes = 0;  ///< How often all weights were found as they had been loaded.
};
Bytes EncodeState(const State& state);
/// Errors: kMalformed.
Result<State> ParseState(ByteSpan body);

Bytes EncodeFailure(const Error& error);
/// The error that a body of kFailed stands for, its text made printable; kMalformed for one that is none.
Error ParseFailure(ByteSpan body);

}  // namespace tacit::worker
