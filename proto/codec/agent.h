#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/base/ids.h"
#include "common/base/result.h"
#include "proto/codec/limits.h"

/// The messages of the agents' listener as plain values. Parsing happens once, at the edge: a value that came out of a
/// Parse function satisfies every limit of limits.h. Fields that this version does not know are skipped.
namespace tacit::codec {

enum class Mechanism : std::uint8_t { kNone, kGaussian, kLaplace };
enum class Encoding : std::uint8_t { kFloat32, kGridInt32, kGridInt16, kGridInt8 };
/// What one entry takes on the wire. Units: bytes.
constexpr std::uint64_t EntryBytes(Encoding encoding) {
  return encoding == Encoding::kGridInt8 ? 1 : encoding == Encoding::kGridInt16 ? 2 : 4;
}
/// Entries are in units of 2^shift grid steps, and stay within 2^30 of them.
constexpr std::uint32_t LargestShift(Encoding encoding) {
  return encoding == Encoding::kGridInt8 ? 23 : encoding == Encoding::kGridInt16 ? 15 : 0;
}

/// What a sparse payload of `values` entries out of `parameters` takes: the values, and a bit for each parameter.
constexpr std::uint64_t SparsePayloadBytes(Encoding encoding, std::uint64_t parameters, std::uint64_t values) {
  return values * EntryBytes(encoding) + (parameters + 7) / 8;
}

/// A device that has time asks for work.
struct CheckInRequest {
  std::string agent_version;      ///< Printable ASCII, at most kMaxAgentVersionBytes.
  Millis wait{0};                 ///< How long the server may hold the answer back; the server caps it.
  std::optional<TaskId> task;     ///< Only this task; none: any.
  std::uint32_t inputs = 0;       ///< Features of one example on the device; 0: not said.
  std::uint32_t classes = 0;      ///< Classes the device's labels fit in; 0: not said.
  std::vector<TaskId> declined;   ///< Tasks that the device will not take part in; Encode leaves out what is beyond
                                  ///< kMaxDeclined.
  bool only_local_noise = false;  ///< Whether the device sends nothing without noise of its own.
  bool trains_layers = false;     ///< Whether its agent knows ModelShape::layers,
  bool trains_hardened = false;   ///< and TrainingPlan::adversarial.
  bool operator==(const CheckInRequest&) const = default;
};

struct ModelShape {
  std::uint32_t inputs = 0;
  std::vector<std::uint32_t> hidden;
  std::uint32_t classes = 0;
  std::string layers = {};  ///< Canonical text of a model over signals or images; `hidden` is empty then.
  bool operator==(const ModelShape&) const = default;
};

/// Training on rows that are changed so that the loss grows: each number by `epsilon` at most.
struct Adversarial {
  double epsilon = 0;       ///< kLeastChange to kMostInput.
  std::uint32_t steps = 0;  ///< 1 to kMaxAdversarialSteps.
  double step_size = 0;     ///< As epsilon.
  double share = 0;         ///< Of an epoch's rows, rounded down; above 0, at most 1.
  double input_min = 0;     ///< What every number is kept within; below input_max.
  double input_max = 0;
  bool operator==(const Adversarial&) const = default;
};

struct TrainingPlan {
  std::uint32_t epochs = 0;
  std::uint32_t batch_size = 0;
  double learning_rate = 0;
  double momentum = 0;     ///< In [0, 1).
  double proximal_mu = 0;  ///< Weight of the FedProx term; 0: none.
  std::optional<Adversarial> adversarial = std::nullopt;
  bool operator==(const TrainingPlan&) const = default;
};

/// What a device adds to its clipped grid integers before they leave it.
struct LocalNoise {
  Mechanism mechanism = Mechanism::kGaussian;  ///< Not kNone.
  double noise_multiplier = 0;                 ///< Above 0.
  double delta = 0;                            ///< Between 0 and 1.
  std::uint64_t max_releases = 0;              ///< At least 1.
  bool operator==(const LocalNoise&) const = default;
};

/// Permission to take part in one round, and all that is needed to do it.
struct Lease {
  TaskId task;
  RoundNumber round = 0;
  ModelVersion model_version = 0;  ///< Less than `round`.
  Digest256 model_digest{};        ///< SHA-256 of the model's float32 little-endian bytes.
  std::uint64_t model_bytes = 0;   ///< A multiple of 4.
  Digest128 schema_digest{};       ///< Of the model specification; an update repeats it.
  ModelShape model;
  TrainingPlan training;
  Mechanism mechanism = Mechanism::kNone;
  double clip_norm = 0;
  std::uint32_t grid_radius = 0;    ///< A power of two.
  Millis deadline{0};               ///< From now until the round no longer takes the update.
  std::uint64_t max_examples = 0;   ///< Cap of a reported example count; 0 where counts are ignored.
  bool tells_clipped = false;       ///< Whether a header says if its update was clipped.
  std::optional<LocalNoise> local;  ///< Only with mechanism kNone.
  bool takes_zstd = false;          ///< Whether compressed payloads are taken.
  std::uint32_t top_k = 0;          ///< Entries of a sparse update; 0: none are taken. Not beside `local`.
  bool operator==(const Lease&) const = default;
};

/// Nothing to do now, and why.
struct Wait {
  Millis retry_after{0};
  std::string reason;  ///< For people. Encode cuts it at kMaxReasonBytes and replaces what is not printable ASCII.
  bool operator==(const Wait&) const = default;
};

using CheckInReply = std::variant<Lease, Wait>;

/// Announces a payload: all that is needed to refuse it before memory is taken.
struct UpdateHeader {
  Digest128 schema_digest{};
  Encoding encoding = Encoding::kFloat32;
  std::uint64_t payload_bytes = 0;  ///< A multiple of EntryBytes, at most kMaxPayloadBytes; SparsePayloadBytes.
  Digest128 payload_digest{};       ///< XXH3-128.
  std::uint64_t example_count = 0;  ///< A claim of the device: any value; ignored in every differentially private mode.
  bool clipped = false;             ///< Of grid integers, where the lease asks for it.
  std::uint32_t shift = 0;          ///< At most LargestShift.
  bool sparse = false;              ///< Only some entries are sent; not with kFloat32.
  bool zstd = false;                ///< It travels compressed; the rest of the header is about what it unpacks to.
  bool operator==(const UpdateHeader&) const = default;
};

enum class AckStatus : std::uint8_t { kCounted };

/// The update is durable and will be counted exactly once; a repeated upload gets this same answer.
struct UpdateAck {
  AckStatus status = AckStatus::kCounted;
  bool operator==(const UpdateAck&) const = default;
};

/// What the asking device has spent on one task.
struct TaskSpend {
  TaskId task;
  Mechanism mechanism = Mechanism::kNone;
  std::uint64_t rounds = 0;  ///< It was counted in.
  std::uint64_t max_participations = 0;
  double epsilon = 0;  ///< Infinite where no noise is added.
  double delta = 0;    ///< 0 where no noise is added.
  bool local = false;  ///< Whether the noise is the device's own.
  bool operator==(const TaskSpend&) const = default;
};

struct PrivacyReply {
  std::vector<TaskSpend> tasks;  ///< Encode leaves out what is beyond kMaxTaskSpends.
  bool operator==(const PrivacyReply&) const = default;
};

Bytes Encode(const CheckInRequest& request);
Bytes Encode(const CheckInReply& reply);
Bytes Encode(const UpdateHeader& header);
Bytes Encode(const UpdateAck& ack);
Bytes Encode(const PrivacyReply& reply);

/// Errors, for all below: kTooLarge over the message's limit; kMalformed for bytes that are no such message;
/// kInvalidArgument, naming the field, for a value outside its range.
Result<CheckInRequest> ParseCheckInRequest(ByteSpan bytes);
Result<CheckInReply> ParseCheckInReply(ByteSpan bytes);
Result<UpdateHeader> ParseUpdateHeader(ByteSpan bytes);
Result<UpdateAck> ParseUpdateAck(ByteSpan bytes);
Result<PrivacyReply> ParsePrivacyReply(ByteSpan bytes);

}  // namespace tacit::codec
