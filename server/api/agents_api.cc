#include "server/api/agents_api.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <utility>
#include <variant>

#include "common/base/text.h"
#include "dp/update.h"
#include "proto/codec/agent.h"
#include "proto/codec/enrolment.h"
#include "proto/codec/limits.h"
#include "proto/codec/update_frame.h"
#include "server/api/compressed_payload.h"
#include "server/api/update_form.h"

namespace tacit::api {
namespace {

using coordinator::CheckInQuery;
using coordinator::LeaseView;
using coordinator::Submission;
using coordinator::UploadPlan;
using coordinator::WaitView;
using net::HttpRequest;
using net::HttpResponse;
using net::Task;

constexpr Millis kUploadBreaksWithin{2'000};  // as a rule, until the server has seen that it did

Result<RoundKey> ParseRound(const std::string& task, const std::string& round) {
  TACIT_TRY(TaskId id, TaskId::Parse(task));
  const std::optional<RoundNumber> number = ParseWhole(round);
  if (!number || *number == 0) return Fail(ErrorCode::kInvalidArgument, "'" + round + "' is not a round number");
  return RoundKey{std::move(id), *number};
}

// ---- Check-in ----

codec::Mechanism ToWire(dp::Mechanism mechanism) {
  switch (mechanism) {
    case dp::Mechanism::kGaussian:
      return codec::Mechanism::kGaussian;
    case dp::Mechanism::kLaplace:
      return codec::Mechanism::kLaplace;
    case dp::Mechanism::kNone:
      break;
  }
  return codec::Mechanism::kNone;
}

std::optional<codec::LocalNoise> LocalToWire(const task::TaskSpec& spec) {
  if (!spec.privacy.local) return std::nullopt;
  const dp::LocalNoise& noise = *spec.privacy.local;
  return codec::LocalNoise{.mechanism = ToWire(noise.mechanism),
                           .noise_multiplier = noise.noise_multiplier.value(),
                           .delta = noise.delta.value(),
                           .max_releases = spec.Compositions()};
}

std::optional<codec::Adversarial> AdversarialToWire(const task::Training& training) {
  if (!training.adversarial) return std::nullopt;
  const task::Adversarial& hard = *training.adversarial;
  return codec::Adversarial{.epsilon = hard.epsilon,
                            .steps = hard.steps,
                            .step_size = hard.step_size,
                            .share = hard.share,
                            .input_min = hard.input_min,
                            .input_max = hard.input_max};
}

codec::Lease ToWire(const LeaseView& view) {
  const task::TaskSpec& spec = *view.spec;
  const model::ModelShape& shape = spec.model.shape();
  return {.task = view.round.task,
          .round = view.round.round,
          .model_version = view.model_version,
          .model_digest = view.model_digest,
          .model_bytes = view.model_bytes,
          .schema_digest = spec.model.SchemaDigest(),
          .model = {.inputs = shape.inputs,
                    .hidden = shape.hidden,
                    .classes = shape.classes,
                    .layers = spec.model.HasSpace() ? spec.model.CanonicalText() : std::string()},
          .training = {.epochs = spec.training.epochs,
                       .batch_size = spec.training.batch_size,
                       .learning_rate = spec.training.learning_rate,
                       .momentum = spec.training.momentum,
                       .proximal_mu = spec.training.proximal_mu,
                       .adversarial = AdversarialToWire(spec.training)},
          .mechanism = ToWire(spec.privacy.mechanism),
          .clip_norm = view.clip_norm.value(),
          .grid_radius = spec.privacy.grid_radius.value(),
          .deadline = std::max(view.time_left, Millis(0)),
          .max_examples = spec.aggregation.weighting == task::Weighting::kExamples ? spec.aggregation.max_examples : 0,
          .tells_clipped = spec.privacy.tracking.has_value(),
          .local = LocalToWire(spec),
          .takes_zstd = spec.updates.takes_zstd,
          .top_k = spec.TopK()};
}

// A device that is held back beyond the end of its certificate would be given a lease that it cannot upload for, and a
// place in a round with it.
Millis LongestWait(const Context& context, const HttpRequest& request, Millis wanted) {
  const auto life_left = std::chrono::floor<Millis>(request.peer().not_after - context.clock.Now());
  return std::clamp(life_left, Millis(0), std::max(wanted, Millis(0)));
}

Task<Result<std::unique_ptr<CheckInQuery>>> ReadQuery(Context& context, HttpRequest& request) {
  TACIT_CO_TRY(DeviceId device, IdentifyDevice(context, request));
  TACIT_CO_TRY(const Bytes body, co_await request.ReadBody(codec::kMaxCheckInRequestBytes));
  TACIT_CO_TRY(codec::CheckInRequest wish, codec::ParseCheckInRequest(body));
  context.coordinator.devices().Runs(device, wish.agent_version);
  co_return std::make_unique<CheckInQuery>(CheckInQuery{.device = std::move(device),
                                                        .key = request.peer().public_key_sha256,
                                                        .task = std::move(wish.task),
                                                        .inputs = wish.inputs,
                                                        .classes = wish.classes,
                                                        .declined = std::move(wish.declined),
                                                        .only_local_noise = wish.only_local_noise,
                                                        .trains_layers = wish.trains_layers,
                                                        .trains_hardened = wish.trains_hardened,
                                                        .wait = LongestWait(context, request, wish.wait),
                                                        .presence = std::make_shared<coordinator::Presence>()});
}

// A coroutine that it were inlined into would keep room for all of this for as long as it lasts.
[[gnu::noinline]] HttpResponse AnswerOf(const coordinator::CheckInReply& reply) {
  if (const auto* lease = std::get_if<LeaseView>(&reply))
    return ProtobufResponse(codec::Encode(codec::CheckInReply(ToWire(*lease))));
  const auto& wait = std::get<WaitView>(reply);
  return ProtobufResponse(codec::Encode(codec::CheckInReply(codec::Wait{wait.retry_after, wait.reason})));
}

// Most devices that are connected wait in here: its frame is a good part of what they take.
Task<Result<HttpResponse>> CheckIn(Context& context, HttpRequest& request) {
  TACIT_CO_TRY(std::unique_ptr<CheckInQuery> query, co_await ReadQuery(context, request));
  const auto watch = request.WatchPeer([presence = query->presence] { presence->Leave(); });
  const auto reply = co_await context.coordinator.CheckIn(std::move(query));
  if (!reply) co_return std::unexpected(reply.error());
  co_return AnswerOf(*reply);
}

// ---- What a device has spent ----

Task<Result<HttpResponse>> GetPrivacy(Context& context, HttpRequest& request) {
  TACIT_CO_TRY(const DeviceId device, IdentifyDevice(context, request));
  codec::PrivacyReply reply;
  for (const coordinator::DeviceSpendView& spend : co_await context.coordinator.SpendOf(device)) {
    reply.tasks.push_back({.task = spend.task,
                           .mechanism = ToWire(spend.mechanism),
                           .rounds = spend.rounds.value_or(0),
                           .max_participations = spend.max_participations,
                           .epsilon = spend.epsilon.value_or(std::numeric_limits<double>::infinity()),
                           .delta = spend.delta.value_or(0),
                           .local = spend.local});
  }
  co_return ProtobufResponse(codec::Encode(reply));
}

template <typename Digest>
Result<Digest> ParseDigest(std::string_view hex, const char* expected) {
  TACIT_TRY(const Bytes raw, ParseHex(hex));
  Digest digest{};
  if (raw.size() != digest.size()) return Fail(ErrorCode::kInvalidArgument, expected);
  std::ranges::copy(raw, digest.begin());
  return digest;
}

// ---- Models ----

Task<Result<HttpResponse>> GetModel(Context& context, HttpRequest& request, const PathArguments& arguments) {
  TACIT_CO_TRY_VOID(IdentifyDevice(context, request));
  TACIT_CO_TRY(const auto digest, ParseDigest<Digest256>(arguments[0], "a model is named by 64 hexadecimal digits"));
  TACIT_CO_TRY(auto model, co_await context.coordinator.CurrentModel(digest));
  HttpResponse response = net::ServeBytes(request, std::move(model), "application/octet-stream", arguments[0]);
  response.headers.emplace_back("Cache-Control", "private, max-age=31536000, immutable");
  co_return response;
}

// ---- Uploads ----

struct Announced {
  RoundKey round;
  UploadPlan plan;
  codec::UpdateHeader header;
  std::uint64_t offset = 0;  // of the payload: what is before it came with an earlier request
  UploadMemory::Wanted memory;
};

Result<std::uint64_t> OffsetOf(const HttpRequest& request) {
  const auto text = request.Header("upload-offset");
  if (!text) return 0;
  constexpr std::size_t kMostDigits = 18;
  const std::optional<std::uint64_t> offset = ParseWhole(*text);
  if (offset && text->size() <= kMostDigits) return *offset;
  return Fail(ErrorCode::kMalformed, "Upload-Offset must be a whole number of at most 18 digits");
}

std::optional<dp::Sparse> SparseOf(const UploadPlan& plan, const codec::UpdateHeader& header) {
  if (!header.sparse) return std::nullopt;
  return dp::Sparse{.parameters = plan.parameters, .values = plan.top_k};
}

Result<void> CheckPayloadBytes(const RoundKey& round, const UploadPlan& plan, const codec::UpdateHeader& header) {
  const std::string task = "task " + round.task.str();
  if (header.zstd && !plan.takes_zstd)
    return Fail(ErrorCode::kInvalidArgument, task + " takes no compressed updates; send the payload as it is");
  if (header.sparse && plan.top_k == 0)
    return Fail(ErrorCode::kInvalidArgument, task + " takes no sparse updates; send a number for each parameter");
  const std::uint64_t each = codec::EntryBytes(header.encoding);
  const std::uint64_t expected =
      header.sparse ? codec::SparsePayloadBytes(header.encoding, plan.parameters, plan.top_k) : plan.parameters * each;
  if (header.payload_bytes == expected) return {};
  return Fail(ErrorCode::kInvalidArgument,
              "the update has " + std::to_string(header.payload_bytes) + " payload bytes; the model of " + task +
                  " has " + std::to_string(plan.parameters) + " parameters" +
                  (header.sparse ? ", of which a sparse update has " + std::to_string(plan.top_k) +
                                       ", and a bit each: " + std::to_string(expected) + " bytes"
                                 : " of " + Counted(each, "byte")));
}

// Everything that can be known, and refused, before memory is taken for the payload. Where updates may travel
// compressed nothing of it may depend on whether this one does, nor on how long it is then.
Task<Result<Announced>> ReadAnnouncement(Context& context, HttpRequest& request, const DeviceId& device,
                                         RoundKey round) {
  TACIT_CO_TRY(const std::uint64_t offset, OffsetOf(request));
  TACIT_CO_TRY(UploadPlan plan, co_await context.coordinator.PlanUpload(round, device));
  const std::uint64_t sent = request.content_length().value_or(0);
  const std::uint64_t length = sent + offset;  // of 18 digits each
  if (!plan.takes_zstd &&
      length > context.max_update_bytes + codec::kUpdateLengthBytes + codec::kMaxUpdateHeaderBytes) {
    co_return Fail(ErrorCode::kTooLarge,
                   "the update is over this server's limit of " + std::to_string(context.max_update_bytes) + " bytes");
  }
  std::array<std::uint8_t, codec::kUpdateLengthBytes> prefix{};
  TACIT_CO_TRY_VOID(co_await request.Read(prefix));
  TACIT_CO_TRY(const std::uint32_t header_bytes, codec::ParseUpdatePrefix(prefix));
  Bytes raw_header(header_bytes);
  TACIT_CO_TRY_VOID(co_await request.Read(raw_header));
  TACIT_CO_TRY(const codec::UpdateHeader header, codec::ParseUpdateHeader(raw_header));
  TACIT_CO_TRY_VOID(codec::CheckUpdateFrameSize(sent, header_bytes, header, offset));
  if (header.schema_digest != plan.schema_digest) {
    co_return Fail(ErrorCode::kInvalidArgument, "the update is for another model: its schema digest is " +
                                                    ToHex(header.schema_digest) + ", task " + round.task.str() +
                                                    " has " + ToHex(plan.schema_digest));
  }
  TACIT_CO_TRY_VOID(CheckPayloadBytes(round, plan, header));
  if (plan.takes_zstd) request.CountBodyAs(prefix.size() + header_bytes + header.payload_bytes);
  if (plan.entry_bound > 0 && header.encoding != codec::Encoding::kGridInt32) {
    co_return Fail(ErrorCode::kInvalidArgument, "task " + round.task.str() +
                                                    " takes grid integers that the device noised, and nothing else: "
                                                    "an update without noise must not leave its device");
  }
  TACIT_CO_TRY(const auto memory, MemoryFor(context, {.parameters = plan.parameters,
                                                      .values = header.sparse ? plan.top_k : 0,
                                                      .may_travel_compressed = plan.takes_zstd}));
  co_return Announced{std::move(round), plan, header, offset, memory};
}

dp::UpdateIntake::Entries EntriesOf(codec::Encoding encoding) {
  using Entries = dp::UpdateIntake::Entries;
  return encoding == codec::Encoding::kFloat32     ? Entries::kFloats
         : encoding == codec::Encoding::kGridInt16 ? Entries::kGrid16
         : encoding == codec::Encoding::kGridInt8  ? Entries::kGrid8
                                                   : Entries::kGrid;
}

dp::UpdateIntake IntakeOf(const Announced& announced, AlignedBuffer memory) {
  const UploadPlan& plan = announced.plan;
  return {std::move(memory),
          EntriesOf(announced.header.encoding),
          {.mechanism = plan.mechanism, .grid_radius = plan.grid_radius, .entry_bound = plan.entry_bound},
          announced.header.shift,
          SparseOf(plan, announced.header)};
}

// The payload, straight to where it stays; each piece is digested and measured while it is in the cache.
Task<Result<void>> Receive(HttpRequest& request, BegunUpload& upload) {
  constexpr std::size_t kPiece = CompressedPayload::kPiece;
  dp::UpdateIntake& intake = upload.intake;
  while (!intake.Rest().empty()) {
    const std::span<std::uint8_t> piece = intake.Rest().first(std::min(kPiece, intake.Rest().size()));
    TACIT_CO_TRY_VOID(co_await request.Read(piece));
    upload.digest.Update(piece);
    intake.Received(piece.size());
  }
  co_return Result<void>();
}

// On the compute pool, with whatever else waits for it in between: a little that comes can be much once it is unpacked.
Task<Result<void>> ReceiveCompressed(Context& context, HttpRequest& request, BegunUpload& upload) {
  TACIT_CO_TRY(CompressedPayload payload, CompressedPayload::Create());
  Bytes room(CompressedPayload::kArrivesAtOnce);
  while (request.body_left() > 0) {
    const auto piece = std::span(room).first(std::min<std::uint64_t>(room.size(), request.body_left()));
    TACIT_CO_TRY_VOID(co_await request.Read(piece));
    ByteSpan arrived = piece;
    for (auto wants = CompressedPayload::Wants::kTurn; wants == CompressedPayload::Wants::kTurn;) {
      TACIT_CO_TRY(
          wants, co_await context.compute.Run([&] { return payload.Arrived(arrived, upload.intake, upload.digest); }));
    }
  }
  co_return payload.CheckEnd(upload.intake);
}

// Whether it was clipped is measured here, or told by a device that clipped by itself.
Result<dp::VerifiedUpdate> Finish(const Announced& announced, dp::UpdateIntake intake) {
  if (announced.header.encoding == codec::Encoding::kFloat32) return std::move(intake).Clip(announced.plan.clip_norm);
  return std::move(intake).Verify(announced.header.clipped ? dp::Fit::kClipped : dp::Fit::kWithinClip);
}

// Putting the values of a sparse update where they belong takes as long as the model is large.
Task<Result<dp::VerifiedUpdate>> FinishWhereItMayTakeTime(Context& context, const Announced& announced,
                                                          dp::UpdateIntake& intake) {
  if (!announced.header.sparse) co_return Finish(announced, std::move(intake));
  co_return co_await context.compute.Run([&] { return Finish(announced, std::move(intake)); });
}

struct Held {
  UploadMemory::Seat seat;
  std::optional<UploadMemory::Share> beside;  // until the payload is here
  BegunUpload upload;
};

// What a 409 tells of where to go on.
struct WrongOffset {
  std::uint64_t kept = 0;
};

Task<Result<std::variant<Held, WrongOffset>>> Begin(Context& context, HttpRequest& request, const DeviceId& device,
                                                    const Announced& announced) {
  UploadName name{.round = announced.round, .key = request.peer().public_key_sha256, .header = announced.header};
  if (announced.offset > 0) {
    auto resumed = context.upload_memory.Resume(device, name, announced.offset);
    if (!resumed) co_return WrongOffset{resumed.error()};
    context.metrics.UploadResumed(announced.offset);
    co_return Held{std::move(resumed->seat), std::nullopt, std::move(resumed->upload)};
  }
  auto taken = co_await context.upload_memory.Take(device, announced.memory);
  if (!taken) {
    request.SetRetryAfter(taken.error());
    co_return Fail(ErrorCode::kUnavailable, "all memory for uploads is in use; keep the update and send it again");
  }
  co_return Held{std::move(taken->seat), std::move(taken->beside),
                 BegunUpload{.name = std::move(name),
                             .begun = context.clock.SteadyNow(),
                             .intake = IntakeOf(announced, std::move(taken->memory)),
                             .digest = {}}};
}

std::unexpected<Error> AnotherIsIn() {
  return Fail(ErrorCode::kConflict, "another update of this device is in this round");
}

Task<Result<std::optional<WrongOffset>>> TakeUpdate(Context& context, HttpRequest& request, const DeviceId& device,
                                                    const RoundKey& round) {
  TACIT_CO_TRY(const Announced announced, co_await ReadAnnouncement(context, request, device, round));
  // Of the rest of what is counted nothing is needed, and the whole is looked at as ever.
  if (const auto& counted = announced.plan.counted; counted && announced.offset > 0) {
    if (*counted == announced.header.payload_digest) co_return std::nullopt;
    co_return AnotherIsIn();
  }
  TACIT_CO_TRY(auto begun, co_await Begin(context, request, device, announced));
  if (const auto* wrong = std::get_if<WrongOffset>(&begun)) co_return *wrong;
  Held& held = std::get<Held>(begun);
  BegunUpload& upload = held.upload;
  if (announced.header.zstd) {
    TACIT_CO_TRY_VOID(co_await ReceiveCompressed(context, request, upload));
  } else if (const auto received = co_await Receive(request, upload); !received) {
    // To go on with what was kept would show that it was not compressed.
    if (!announced.plan.takes_zstd) context.upload_memory.Keep(device, std::move(upload));
    co_return std::unexpected(received.error());
  }
  held.beside.reset();
  if (upload.digest.Finish() != announced.header.payload_digest) {
    co_return Fail(ErrorCode::kMalformed, "the payload does not have the digest its header announces; send it again");
  }
  TACIT_CO_TRY(dp::VerifiedUpdate update, co_await FinishWhereItMayTakeTime(context, announced, upload.intake));
  const std::uint64_t weight =
      std::clamp<std::uint64_t>(announced.header.example_count, 1, announced.plan.max_examples);
  TACIT_CO_TRY_VOID(co_await context.coordinator.Submit(Submission{.round = announced.round,
                                                                   .device = device,
                                                                   .key = request.peer().public_key_sha256,
                                                                   .digest = announced.header.payload_digest,
                                                                   .update = std::move(update),
                                                                   .weight = weight}));
  co_return std::nullopt;
}

HttpResponse OffsetProblem(const HttpRequest& request, std::uint64_t kept) {
  HttpResponse response =
      net::Problem({ErrorCode::kConflict, "of this update " + std::to_string(kept) + " bytes are here; go on there"},
                   request.path());
  response.headers.emplace_back("Upload-Offset", std::to_string(kept));
  return response;
}

Task<Result<HttpResponse>> PutUpdate(Context& context, HttpRequest& request, const PathArguments& arguments) {
  TACIT_CO_TRY(const DeviceId device, IdentifyDevice(context, request));
  TACIT_CO_TRY(const RoundKey round, ParseRound(arguments[0], arguments[1]));
  const Result<std::optional<WrongOffset>> outcome = co_await TakeUpdate(context, request, device, round);
  if (outcome) {
    if (const std::optional<WrongOffset>& wrong = *outcome) co_return OffsetProblem(request, wrong->kept);
    co_return ProtobufResponse(codec::Encode(codec::UpdateAck{codec::AckStatus::kCounted}));
  }
  const Error& error = outcome.error();
  // What stands behind the colon can be a function of the update, such as where its first NaN is: that is for the
  // device alone (docs/PRIVACY.md).
  if (co_await context.coordinator.ReportRefused(round, device, error.code)) {
    context.log.Info("update_refused", {{"task", round.task.str()},
                                        {"round", round.round},
                                        {"device", device.str()},
                                        {"code", TraitsOf(error.code).name},
                                        {"reason", error.message.substr(0, error.message.find(": "))}});
  }
  co_return std::unexpected(error);
}

// How much of a broken upload is here. Nothing changes by asking.
Task<Result<HttpResponse>> GetUpdate(Context& context, HttpRequest& request, const PathArguments& arguments) {
  TACIT_CO_TRY(const DeviceId device, IdentifyDevice(context, request));
  TACIT_CO_TRY(const RoundKey round, ParseRound(arguments[0], arguments[1]));
  TACIT_CO_TRY(const auto digest, ParseDigest<Digest128>(request.Query("digest").value_or(""),
                                                         "'digest' names an update by 32 hexadecimal digits"));
  TACIT_CO_TRY(const UploadPlan plan, co_await context.coordinator.PlanUpload(round, device));
  if (plan.counted && plan.counted != digest) co_return AnotherIsIn();
  if (plan.counted) co_return ProtobufResponse(codec::Encode(codec::UpdateAck{codec::AckStatus::kCounted}));
  const auto kept = context.upload_memory.KeptBytes(device, round, request.peer().public_key_sha256, digest);
  if (!kept) {
    // Not the place in the fleet that a 503 has otherwise: the device waits for nobody but itself.
    request.SetRetryAfter(kUploadBreaksWithin);
    co_return Fail(ErrorCode::kUnavailable, "an upload of this device is still under way; ask again");
  }
  HttpResponse response;
  response.status = 204;
  response.headers.emplace_back("Upload-Offset", std::to_string(*kept));
  response.headers.emplace_back("Cache-Control", "no-store");
  co_return response;
}

// ---- Certificates ----

Task<Result<HttpResponse>> RenewCertificate(Context& context, HttpRequest& request) {
  TACIT_CO_TRY(const DeviceId device, IdentifyDevice(context, request));
  TACIT_CO_TRY(const Bytes body, co_await request.ReadBody(codec::kMaxRenewRequestBytes));
  TACIT_CO_TRY(const codec::RenewRequest wish, codec::ParseRenewRequest(body));
  TACIT_CO_TRY(const crypto::Certificate certificate,
               context.ca.IssueClient({.csr_pem = wish.csr_pem,
                                       .spiffe_uri = request.peer().spiffe_uri,
                                       .common_name = device.str(),
                                       .now = context.clock.Now(),
                                       .lifetime = context.certificate_lifetime}));
  const store::DeviceCertificate row{.public_key_sha256 = certificate.PublicKeySha256(),
                                     .serial = certificate.SerialHex(),
                                     .not_after = certificate.NotAfter()};
  TACIT_CO_TRY_VOID(co_await context.coordinator.store().Call("renew_device", [&](store::Store& store) {
    auto renewed = store.UpdateDeviceCertificate(device, row);
    if (renewed) context.coordinator.devices().Certified(device, row.not_after);
    return renewed;
  }));
  TACIT_CO_TRY_VOID(co_await Audit(context, "device/" + device.str(), "certificate_renew", "device/" + device.str(),
                                   "serial " + row.serial));
  context.log.Info("certificate_renewed", {{"device", device.str()}, {"not_after", FormatRfc3339(row.not_after)}});
  co_return ProtobufResponse(codec::Encode(codec::RenewReply{certificate.ToPem()}));
}

}  // namespace

std::vector<Route> AgentRoutes(Context& context) {
  return {
      {"POST", "/v1/checkin",
       [&context](HttpRequest& request, const PathArguments&) { return CheckIn(context, request); }},
      {"GET", "/v1/privacy",
       [&context](HttpRequest& request, const PathArguments&) { return GetPrivacy(context, request); }},
      {"GET", "/v1/models/{digest}",
       [&context](HttpRequest& request, const PathArguments& path) { return GetModel(context, request, path); }},
      {"GET", "/v1/tasks/{task}/rounds/{round}/update",
       [&context](HttpRequest& request, const PathArguments& path) { return GetUpdate(context, request, path); }},
      {"PUT", "/v1/tasks/{task}/rounds/{round}/update",
       [&context](HttpRequest& request, const PathArguments& path) { return PutUpdate(context, request, path); }},
      {"POST", "/v1/certificate",
       [&context](HttpRequest& request, const PathArguments&) { return RenewCertificate(context, request); }},
  };
}

}  // namespace tacit::api
