#include "proto/codec/agent.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <span>
#include <string_view>
#include <utility>

#include "proto/codec/fields.h"
#include "proto/codec/wire.h"
#include "tacit/v1/agent.pb.h"

namespace tacit::codec {
namespace {

v1::Mechanism ToWire(Mechanism mechanism) {
  switch (mechanism) {
    case Mechanism::kNone:
      return v1::MECHANISM_NONE;
    case Mechanism::kGaussian:
      return v1::MECHANISM_GAUSSIAN;
    case Mechanism::kLaplace:
      return v1::MECHANISM_LAPLACE;
  }
  return v1::MECHANISM_UNSPECIFIED;
}

Result<Mechanism> ParseMechanism(v1::Mechanism mechanism) {
  switch (mechanism) {
    case v1::MECHANISM_NONE:
      return Mechanism::kNone;
    case v1::MECHANISM_GAUSSIAN:
      return Mechanism::kGaussian;
    case v1::MECHANISM_LAPLACE:
      return Mechanism::kLaplace;
    default:
      return Fail(ErrorCode::kInvalidArgument, "mechanism " + std::to_string(static_cast<int>(mechanism)) +
                                                   " is not known to this version; upgrade the agent");
  }
}

v1::Encoding ToWire(Encoding encoding) {
  switch (encoding) {
    case Encoding::kFloat32:
      return v1::ENCODING_FLOAT32;
    case Encoding::kGridInt32:
      return v1::ENCODING_GRID_INT32;
    case Encoding::kGridInt16:
      return v1::ENCODING_GRID_INT16;
    case Encoding::kGridInt8:
      return v1::ENCODING_GRID_INT8;
  }
  return v1::ENCODING_UNSPECIFIED;
}

Result<Encoding> ParseEncoding(v1::Encoding encoding) {
  switch (encoding) {
    case v1::ENCODING_FLOAT32:
      return Encoding::kFloat32;
    case v1::ENCODING_GRID_INT32:
      return Encoding::kGridInt32;
    case v1::ENCODING_GRID_INT16:
      return Encoding::kGridInt16;
    case v1::ENCODING_GRID_INT8:
      return Encoding::kGridInt8;
    default:
      return Fail(ErrorCode::kInvalidArgument,
                  "encoding " + std::to_string(static_cast<int>(encoding)) +
                      " is not known; use 1 (float32), or grid integers of 32 (2), 16 (3) or 8 bits (4)");
  }
}

/// Sizes that describe arrays of numbers, one for each parameter.
Result<void> CheckArrayBytes(std::string_view field, std::uint64_t bytes, std::uint64_t entry_bytes) {
  if (bytes % entry_bytes != 0)
    return FieldError(field, "a multiple of " + std::to_string(entry_bytes) + ", not " + std::to_string(bytes));
  return CheckRange<std::uint64_t>(field, bytes, entry_bytes, kMaxParameters * entry_bytes);
}

// Of a sparse payload only a reader who knows the model can tell whether it is as long as it must be.
Result<void> CheckPayloadBytes(const v1::UpdateHeader& message, Encoding encoding) {
  if (!message.sparse()) return CheckArrayBytes("payload_bytes", message.payload_bytes(), EntryBytes(encoding));
  if (encoding == Encoding::kFloat32) return FieldError("sparse", "false with float32; send grid integers");
  return CheckRange("payload_bytes", message.payload_bytes(), SparsePayloadBytes(encoding, 1, 1),
                    kMaxSparsePayloadBytes);
}

void Fill(const ModelShape& shape, v1::Model& message) {
  message.set_inputs(shape.inputs);
  message.set_classes(shape.classes);
  for (const std::uint32_t width : shape.hidden) message.add_hidden(width);
  message.set_layers(shape.layers);
}

Result<void> CheckLayers(const v1::Model& message) {
  TACIT_TRY_VOID(CheckText("model.layers", message.layers(), {.max_bytes = kMaxModelTextBytes}));
  if (message.layers().empty() || message.hidden_size() == 0) return {};
  return FieldError("model.hidden", "empty where model.layers says all");
}

Result<ModelShape> ParseModel(const v1::Model& message) {
  TACIT_TRY_VOID(CheckRange<std::uint32_t>("model.inputs", message.inputs(), 1, kMaxLayerWidth));
  TACIT_TRY_VOID(CheckRange<std::uint32_t>("model.classes", message.classes(), 1, kMaxLayerWidth));
  if (std::cmp_greater(message.hidden_size(), kMaxHiddenLayers)) {
    return Fail(ErrorCode::kInvalidArgument, "model.hidden must have at most " + std::to_string(kMaxHiddenLayers) +
                                                 " layers, not " + std::to_string(message.hidden_size()));
  }
  for (const std::uint32_t width : message.hidden()) {
    TACIT_TRY_VOID(CheckRange<std::uint32_t>("model.hidden", width, 1, kMaxLayerWidth));
  }
  TACIT_TRY_VOID(CheckLayers(message));
  return ModelShape{.inputs = message.inputs(),
                    .hidden = {message.hidden().begin(), message.hidden().end()},
                    .classes = message.classes(),
                    .layers = message.layers()};
}

void Fill(const Adversarial& hard, v1::Adversarial& message) {
  message.set_epsilon(hard.epsilon);
  message.set_steps(hard.steps);
  message.set_step_size(hard.step_size);
  message.set_share(hard.share);
  message.set_input_min(hard.input_min);
  message.set_input_max(hard.input_max);
}

void Fill(const TrainingPlan& plan, v1::Training& message) {
  message.set_epochs(plan.epochs);
  message.set_batch_size(plan.batch_size);
  message.set_learning_rate(plan.learning_rate);
  message.set_momentum(plan.momentum);
  message.set_proximal_mu(plan.proximal_mu);
  if (plan.adversarial) Fill(*plan.adversarial, *message.mutable_adversarial());
}

constexpr auto kLargestFloat = static_cast<double>(std::numeric_limits<float>::max());

Result<void> CheckAdversarial(const v1::Adversarial& message) {
  constexpr RealRule kChange{.low = kLeastChange, .high = kMostInput};
  constexpr RealRule kInput{.low = -kMostInput, .high = kMostInput};
  TACIT_TRY_VOID(CheckReal("adversarial.epsilon", message.epsilon(), kChange));
  TACIT_TRY_VOID(CheckRange<std::uint32_t>("adversarial.steps", message.steps(), 1, kMaxAdversarialSteps));
  TACIT_TRY_VOID(CheckReal("adversarial.step_size", message.step_size(), kChange));
  TACIT_TRY_VOID(CheckReal("adversarial.share", message.share(), {.low_included = false, .high = 1}));
  TACIT_TRY_VOID(CheckReal("adversarial.input_min", message.input_min(), kInput));
  TACIT_TRY_VOID(CheckReal("adversarial.input_max", message.input_max(), kInput));
  // As floats, which the numbers of inputs are.
  if (static_cast<float>(message.input_min()) < static_cast<float>(message.input_max())) return {};
  return FieldError("adversarial.input_max", "above adversarial.input_min");
}

Result<std::optional<Adversarial>> ParseAdversarial(const v1::Training& training) {
  if (!training.has_adversarial()) return std::nullopt;
  const v1::Adversarial& message = training.adversarial();
  TACIT_TRY_VOID(CheckAdversarial(message));
  return Adversarial{.epsilon = message.epsilon(),
                     .steps = message.steps(),
                     .step_size = message.step_size(),
                     .share = message.share(),
                     .input_min = message.input_min(),
                     .input_max = message.input_max()};
}

Result<TrainingPlan> ParseTraining(const v1::Training& message) {
  TACIT_TRY_VOID(CheckRange<std::uint32_t>("training.epochs", message.epochs(), 1, kMaxEpochs));
  TACIT_TRY_VOID(CheckRange<std::uint32_t>("training.batch_size", message.batch_size(), 1, kMaxBatchSize));
  TACIT_TRY_VOID(
      CheckReal("training.learning_rate", message.learning_rate(), {.low_included = false, .high = kLargestFloat}));
  TACIT_TRY_VOID(CheckReal("training.momentum", message.momentum(), {.high = 1, .high_included = false}));
  TACIT_TRY_VOID(CheckReal("training.proximal_mu", message.proximal_mu(), {.high = kLargestFloat}));
  TACIT_TRY(const auto adversarial, ParseAdversarial(message));
  return TrainingPlan{.epochs = message.epochs(),
                      .batch_size = message.batch_size(),
                      .learning_rate = message.learning_rate(),
                      .momentum = message.momentum(),
                      .proximal_mu = message.proximal_mu(),
                      .adversarial = adversarial};
}

void Fill(const LocalNoise& noise, v1::LocalNoise& message) {
  message.set_mechanism(ToWire(noise.mechanism));
  message.set_noise_multiplier(noise.noise_multiplier);
  message.set_delta(noise.delta);
  message.set_max_releases(noise.max_releases);
}

Result<void> CheckLocalNumbers(const v1::Lease& lease) {
  const v1::LocalNoise& message = lease.local();
  if (lease.mechanism() != v1::MECHANISM_NONE) return FieldError("local", "absent where the server adds noise");
  if (message.mechanism() == v1::MECHANISM_NONE) return FieldError("local.mechanism", "one that adds noise");
  TACIT_TRY_VOID(
      CheckReal("local.noise_multiplier", message.noise_multiplier(), {.low_included = false, .high = kLargestFloat}));
  TACIT_TRY_VOID(CheckReal("local.delta", message.delta(), {.low_included = false, .high = 1, .high_included = false}));
  return CheckRange<std::uint64_t>("local.max_releases", message.max_releases(), 1,
                                   std::numeric_limits<std::int64_t>::max());
}

Result<std::optional<LocalNoise>> ParseLocalNoise(const v1::Lease& lease) {
  if (!lease.has_local()) return std::nullopt;
  TACIT_TRY_VOID(CheckLocalNumbers(lease));
  TACIT_TRY(const auto mechanism, ParseMechanism(lease.local().mechanism()));
  return LocalNoise{.mechanism = mechanism,
                    .noise_multiplier = lease.local().noise_multiplier(),
                    .delta = lease.local().delta(),
                    .max_releases = lease.local().max_releases()};
}

void Fill(const Lease& lease, v1::Lease& message) {
  message.set_task(lease.task.str());
  message.set_round(lease.round);
  message.set_model_version(lease.model_version);
  message.set_model_digest(lease.model_digest.data(), lease.model_digest.size());
  message.set_model_bytes(lease.model_bytes);
  message.set_schema_digest(lease.schema_digest.data(), lease.schema_digest.size());
  Fill(lease.model, *message.mutable_model());
  Fill(lease.training, *message.mutable_training());
  message.set_mechanism(ToWire(lease.mechanism));
  message.set_clip_norm(lease.clip_norm);
  message.set_grid_radius(lease.grid_radius);
  message.set_deadline_ms(static_cast<std::uint64_t>(lease.deadline.count()));
  message.set_max_examples(lease.max_examples);
  message.set_tells_clipped(lease.tells_clipped);
  if (lease.local) Fill(*lease.local, *message.mutable_local());
  message.set_top_k(lease.top_k);
  message.set_takes_zstd(lease.takes_zstd);
}

Result<void> CheckLeaseNumbers(const v1::Lease& message) {
  TACIT_TRY_VOID(CheckRange<std::uint64_t>("round", message.round(), 1, std::numeric_limits<std::int64_t>::max()));
  if (message.model_version() >= message.round()) return FieldError("model_version", "less than round");
  TACIT_TRY_VOID(CheckArrayBytes("model_bytes", message.model_bytes(), sizeof(float)));
  TACIT_TRY_VOID(CheckReal("clip_norm", message.clip_norm(), {.low_included = false, .high = kLargestFloat}));
  if (!std::has_single_bit(message.grid_radius())) return FieldError("grid_radius", "a power of two");
  TACIT_TRY_VOID(CheckRange("grid_radius", message.grid_radius(), kMinGridRadius, kMaxGridRadius));
  TACIT_TRY_VOID(CheckRange<std::uint64_t>("top_k", message.top_k(), 0, message.model_bytes() / sizeof(float)));
  // Which entries a device chose would leave it without noise.
  if (message.has_local() && message.top_k() > 0) return FieldError("top_k", "0 where the device adds noise");
  return CheckRange<std::uint64_t>("deadline_ms", message.deadline_ms(), 0, kMaxLeaseDeadline.count());
}

Result<Lease> ParseLease(const v1::Lease& message) {
  TACIT_TRY(auto task, TaskId::Parse(message.task()));
  TACIT_TRY_VOID(CheckLeaseNumbers(message));
  TACIT_TRY(const auto model_digest, ParseDigest<Digest256>("model_digest", message.model_digest()));
  TACIT_TRY(const auto schema_digest, ParseDigest<Digest128>("schema_digest", message.schema_digest()));
  TACIT_TRY(auto model, ParseModel(message.model()));
  TACIT_TRY(auto training, ParseTraining(message.training()));
  TACIT_TRY(const auto mechanism, ParseMechanism(message.mechanism()));
  TACIT_TRY(const auto local, ParseLocalNoise(message));
  return Lease{.task = std::move(task),
               .round = message.round(),
               .model_version = message.model_version(),
               .model_digest = model_digest,
               .model_bytes = message.model_bytes(),
               .schema_digest = schema_digest,
               .model = std::move(model),
               .training = training,
               .mechanism = mechanism,
               .clip_norm = message.clip_norm(),
               .grid_radius = message.grid_radius(),
               .deadline = Millis(message.deadline_ms()),
               .max_examples = message.max_examples(),
               .tells_clipped = message.tells_clipped(),
               .local = local,
               .takes_zstd = message.takes_zstd(),
               .top_k = message.top_k()};
}

void Fill(const Wait& wait, v1::Wait& message) {
  message.set_retry_after_ms(static_cast<std::uint32_t>(wait.retry_after.count()));
  message.set_reason(PrintableText(wait.reason.substr(0, kMaxReasonBytes)));
}

Result<Wait> ParseWait(const v1::Wait& message) {
  TACIT_TRY_VOID(CheckRange<std::uint32_t>("wait.retry_after_ms", message.retry_after_ms(), 0,
                                           static_cast<std::uint32_t>(kMaxRetryAfter.count())));
  TACIT_TRY_VOID(CheckText("wait.reason", message.reason(), {.max_bytes = kMaxReasonBytes}));
  return Wait{.retry_after = Millis(message.retry_after_ms()), .reason = message.reason()};
}

Result<TaskSpend> ParseSpend(const v1::TaskSpend& message) {
  TACIT_TRY(auto task, TaskId::Parse(message.task()));
  TACIT_TRY(const auto mechanism, ParseMechanism(message.mechanism()));
  // Infinity is a value here: it says that nothing is promised.
  if (!(message.epsilon() >= 0)) return Fail(ErrorCode::kInvalidArgument, "epsilon must be a number of at least 0");
  TACIT_TRY_VOID(CheckReal("delta", message.delta(), {.high = 1}));
  return TaskSpend{.task = std::move(task),
                   .mechanism = mechanism,
                   .rounds = message.rounds(),
                   .max_participations = message.max_participations(),
                   .epsilon = message.epsilon(),
                   .delta = message.delta(),
                   .local = message.local()};
}

Result<std::vector<TaskId>> ParseDeclined(const v1::CheckInRequest& message) {
  if (std::cmp_greater(message.declined_size(), kMaxDeclined)) {
    return Fail(ErrorCode::kInvalidArgument, "declined must be at most " + std::to_string(kMaxDeclined) + " tasks");
  }
  std::vector<TaskId> declined;
  for (const std::string& name : message.declined()) {
    TACIT_TRY(auto task, TaskId::Parse(name));
    declined.push_back(std::move(task));
  }
  return declined;
}

Result<std::optional<TaskId>> ParseWantedTask(std::string_view text) {
  if (text.empty()) return std::nullopt;
  TACIT_TRY(auto task, TaskId::Parse(text));
  return task;
}

}  // namespace

Bytes Encode(const CheckInRequest& request) {
  v1::CheckInRequest message;
  message.set_protocol_version(kProtocolVersion);
  message.set_agent_version(request.agent_version);
  message.set_wait_ms(static_cast<std::uint32_t>(request.wait.count()));
  if (request.task) message.set_task(request.task->str());
  message.set_inputs(request.inputs);
  message.set_classes(request.classes);
  for (const TaskId& task : std::span(request.declined).first(std::min(request.declined.size(), kMaxDeclined))) {
    message.add_declined(task.str());
  }
  message.set_only_local_noise(request.only_local_noise);
  message.set_trains_layers(request.trains_layers);
  message.set_trains_hardened(request.trains_hardened);
  return SerializeMessage(message);
}

Bytes Encode(const CheckInReply& reply) {
  v1::CheckInResponse message;
  if (const auto* lease = std::get_if<Lease>(&reply)) {
    Fill(*lease, *message.mutable_lease());
  } else {
    Fill(std::get<Wait>(reply), *message.mutable_wait());
  }
  return SerializeMessage(message);
}

Bytes Encode(const UpdateHeader& header) {
  v1::UpdateHeader message;
  message.set_schema_digest(header.schema_digest.data(), header.schema_digest.size());
  message.set_encoding(ToWire(header.encoding));
  message.set_payload_bytes(header.payload_bytes);
  message.set_payload_digest(header.payload_digest.data(), header.payload_digest.size());
  message.set_example_count(header.example_count);
  message.set_clipped(header.clipped);
  message.set_shift(header.shift);
  message.set_sparse(header.sparse);
  message.set_zstd(header.zstd);
  return SerializeMessage(message);
}

Bytes Encode(const UpdateAck& ack) {
  v1::UpdateAck message;
  message.set_status(ack.status == AckStatus::kCounted ? v1::UpdateAck::STATUS_COUNTED
                                                       : v1::UpdateAck::STATUS_UNSPECIFIED);
  return SerializeMessage(message);
}

Bytes Encode(const PrivacyReply& reply) {
  v1::PrivacyResponse message;
  for (const TaskSpend& spend : std::span(reply.tasks).first(std::min(reply.tasks.size(), kMaxTaskSpends))) {
    v1::TaskSpend& task = *message.add_tasks();
    task.set_task(spend.task.str());
    task.set_mechanism(ToWire(spend.mechanism));
    task.set_rounds(spend.rounds);
    task.set_max_participations(spend.max_participations);
    task.set_epsilon(spend.epsilon);
    task.set_delta(spend.delta);
    task.set_local(spend.local);
  }
  return SerializeMessage(message);
}

Result<CheckInRequest> ParseCheckInRequest(ByteSpan bytes) {
  v1::CheckInRequest message;
  TACIT_TRY_VOID(ParseMessage(bytes, kMaxCheckInRequestBytes, "a check-in request", message));
  if (message.protocol_version() != kProtocolVersion) {
    return Fail(ErrorCode::kInvalidArgument, "protocol_version " + std::to_string(message.protocol_version()) +
                                                 " is not served; this server speaks version 1");
  }
  TACIT_TRY_VOID(CheckText("agent_version", message.agent_version(), {.max_bytes = kMaxAgentVersionBytes}));
  TACIT_TRY(auto task, ParseWantedTask(message.task()));
  TACIT_TRY_VOID(CheckRange<std::uint32_t>("inputs", message.inputs(), 0, kMaxLayerWidth));
  TACIT_TRY_VOID(CheckRange<std::uint32_t>("classes", message.classes(), 0, kMaxLayerWidth));
  TACIT_TRY(auto declined, ParseDeclined(message));
  return CheckInRequest{.agent_version = message.agent_version(),
                        .wait = Millis(message.wait_ms()),
                        .task = std::move(task),
                        .inputs = message.inputs(),
                        .classes = message.classes(),
                        .declined = std::move(declined),
                        .only_local_noise = message.only_local_noise(),
                        .trains_layers = message.trains_layers(),
                        .trains_hardened = message.trains_hardened()};
}

Result<CheckInReply> ParseCheckInReply(ByteSpan bytes) {
  v1::CheckInResponse message;
  TACIT_TRY_VOID(ParseMessage(bytes, kMaxCheckInReplyBytes, "a check-in reply", message));
  switch (message.outcome_case()) {
    case v1::CheckInResponse::kLease:
      return ParseLease(message.lease());
    case v1::CheckInResponse::kWait:
      return ParseWait(message.wait());
    case v1::CheckInResponse::OUTCOME_NOT_SET:
      break;
  }
  return Fail(ErrorCode::kMalformed, "a check-in reply holds neither a lease nor a wait that this version knows");
}

Result<UpdateHeader> ParseUpdateHeader(ByteSpan bytes) {
  v1::UpdateHeader message;
  TACIT_TRY_VOID(ParseMessage(bytes, kMaxUpdateHeaderBytes, "an update header", message));
  TACIT_TRY(const auto schema_digest, ParseDigest<Digest128>("schema_digest", message.schema_digest()));
  TACIT_TRY(const auto encoding, ParseEncoding(message.encoding()));
  TACIT_TRY_VOID(CheckPayloadBytes(message, encoding));
  TACIT_TRY_VOID(CheckRange<std::uint32_t>("shift", message.shift(), 0, LargestShift(encoding)));
  TACIT_TRY(const auto payload_digest, ParseDigest<Digest128>("payload_digest", message.payload_digest()));
  return UpdateHeader{.schema_digest = schema_digest,
                      .encoding = encoding,
                      .payload_bytes = message.payload_bytes(),
                      .payload_digest = payload_digest,
                      .example_count = message.example_count(),
                      .clipped = message.clipped(),
                      .shift = message.shift(),
                      .sparse = message.sparse(),
                      .zstd = message.zstd()};
}

Result<UpdateAck> ParseUpdateAck(ByteSpan bytes) {
  v1::UpdateAck message;
  TACIT_TRY_VOID(ParseMessage(bytes, kMaxUpdateAckBytes, "an update acknowledgement", message));
  if (message.status() != v1::UpdateAck::STATUS_COUNTED) {
    return Fail(ErrorCode::kInvalidArgument, "status " + std::to_string(static_cast<int>(message.status())) +
                                                 " is not known to this version; upgrade the agent");
  }
  return UpdateAck{.status = AckStatus::kCounted};
}

Result<PrivacyReply> ParsePrivacyReply(ByteSpan bytes) {
  v1::PrivacyResponse message;
  TACIT_TRY_VOID(ParseMessage(bytes, kMaxPrivacyReplyBytes, "a privacy reply", message));
  if (std::cmp_greater(message.tasks_size(), kMaxTaskSpends)) {
    return Fail(ErrorCode::kInvalidArgument, "tasks must be at most " + std::to_string(kMaxTaskSpends));
  }
  PrivacyReply reply;
  for (const v1::TaskSpend& task : message.tasks()) {
    TACIT_TRY(TaskSpend spend, ParseSpend(task));
    reply.tasks.push_back(std::move(spend));
  }
  return reply;
}

}  // namespace tacit::codec
