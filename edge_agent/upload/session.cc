#include "edge_agent/upload/session.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <string_view>
#include <utility>

#include "common/base/text.h"
#include "common/compression/zstd.h"
#include "common/net/problem_reader.h"
#include "proto/codec/limits.h"
#include "proto/codec/update_frame.h"

namespace tacit::upload {
namespace {

constexpr std::uint64_t kRangeBytes = 1024 * 1024;
constexpr Millis kAnswerTime{60'000};
// Room for every message, and for the problem document that may come in its place.
constexpr std::size_t kLongestAnswer = 64 * 1024;
// The slowest link an upload is given time for; the server cuts slower ones off as well.
constexpr std::uint64_t kSlowestBytesPerSecond = 16 * 1024;
constexpr const char* kProtobuf = "application/x-protobuf";

std::optional<Millis> ParseRetryAfter(const net::ClientResponse& response) {
  const std::optional<std::string_view> text = response.Header("retry-after");
  const std::optional<std::uint64_t> seconds = text ? ParseWhole(*text) : std::nullopt;
  if (!seconds || *seconds > std::numeric_limits<std::uint32_t>::max()) return std::nullopt;
  return std::chrono::seconds(*seconds);
}

net::ClientRequest Request(std::string method, std::string target) {
  net::ClientRequest request;
  request.method = std::move(method);
  request.target = std::move(target);
  request.timeout = kAnswerTime;
  request.max_response_bytes = kLongestAnswer;
  return request;
}

std::string PathOf(const PendingUpdate& update) {
  return "/v1/tasks/" + update.round.task.str() + "/rounds/" + std::to_string(update.round.round) + "/update";
}

std::unexpected<Error> WrongRange() {
  return Fail(ErrorCode::kMalformed, "the server answered a range of the model with another one");
}

// Whether sending the same bytes again can never help.
bool IsFinal(ErrorCode refusal) {
  switch (refusal) {
    case ErrorCode::kInvalidArgument:
    case ErrorCode::kMalformed:
    case ErrorCode::kTooLarge:
    case ErrorCode::kNotFound:
    case ErrorCode::kConflict:
    case ErrorCode::kGone:
    case ErrorCode::kBudgetExhausted:
      return true;
    default:
      return false;
  }
}

static_assert(codec::kMaxModelTextBytes >= model::ModelSpec::kMaxTextBytes, "every model can be leased");

Result<model::ModelSpec> SpecOf(const codec::ModelShape& shape) {
  if (shape.layers.empty()) {
    return model::ModelSpec::Create({.inputs = shape.inputs, .hidden = shape.hidden, .classes = shape.classes});
  }
  TACIT_TRY(model::ModelSpec spec, model::ModelSpec::Parse(shape.layers));
  if (spec.HasSpace() && spec.inputs() == shape.inputs && spec.classes() == shape.classes) return spec;
  return Fail(ErrorCode::kMalformed, "the lease's layers are of another model than its inputs and classes");
}

}  // namespace

Result<model::ModelSpec> SpecOf(const codec::Lease& lease) {
  TACIT_TRY(model::ModelSpec spec, SpecOf(lease.model));
  if (spec.SchemaDigest() != lease.schema_digest || spec.ParameterCount() * sizeof(float) != lease.model_bytes) {
    return Fail(ErrorCode::kMalformed,
                "the lease's model " + spec.CanonicalText() +
                    " does not fit its schema digest and size; server and agent differ in version");
  }
  return spec;
}

AgentSession::AgentSession(SessionOptions options, net::HttpsClient client)
    : options_(std::move(options)), client_(std::move(client)), cache_(options_.state_directory / "models") {}

Result<AgentSession> AgentSession::Create(SessionOptions options) {
  TACIT_TRY(net::HttpsClient client, net::HttpsClient::Create(options.server));
  return AgentSession(std::move(options), std::move(client));
}

Result<net::ClientResponse> AgentSession::Send(const net::ClientRequest& request) {
  retry_after_.reset();
  TACIT_TRY(net::ClientResponse response, client_.Send(request));
  retry_after_ = ParseRetryAfter(response);
  return response;
}

Result<codec::CheckInReply> AgentSession::CheckIn(const Wish& wish) {
  const Bytes body = codec::Encode(codec::CheckInRequest{.agent_version = options_.agent_version,
                                                         .wait = wish.wait,
                                                         .task = wish.task,
                                                         .inputs = wish.inputs,
                                                         .classes = wish.classes,
                                                         .declined = wish.declined,
                                                         .only_local_noise = wish.only_local_noise,
                                                         .trains_layers = true,
                                                         .trains_hardened = true});
  net::ClientRequest request = Request("POST", "/v1/checkin");
  request.headers = {{"Content-Type", kProtobuf}};
  request.body = {body};
  request.timeout = wish.wait + kAnswerTime;
  TACIT_TRY(const Bytes answer, net::BodyOrProblem(Send(request)));
  return codec::ParseCheckInReply(answer);
}

Result<codec::PrivacyReply> AgentSession::Privacy() {
  TACIT_TRY(const Bytes answer, net::BodyOrProblem(Send(Request("GET", "/v1/privacy"))));
  return codec::ParsePrivacyReply(answer);
}

Result<std::vector<float>> AgentSession::DownloadModel(const codec::Lease& lease) {
  const ModelName model{.digest = lease.model_digest, .bytes = lease.model_bytes};
  if (std::optional<std::vector<float>> found = cache_.Find(model)) return *std::move(found);
  for (std::uint64_t begun = cache_.BytesBegun(model); begun < model.bytes; begun = cache_.BytesBegun(model)) {
    TACIT_TRY_VOID(DownloadNextRange(model, begun));
  }
  return cache_.Finish(model);
}

Result<void> AgentSession::DownloadNextRange(const ModelName& model, std::uint64_t begun) {
  const std::uint64_t count = std::min(kRangeBytes, model.bytes - begun);
  const std::string range = std::to_string(begun) + "-" + std::to_string(begun + count - 1);
  net::ClientRequest request = Request("GET", "/v1/models/" + ToHex(model.digest));
  request.headers = {{"Range", "bytes=" + range}};
  request.max_response_bytes = kRangeBytes;
  TACIT_TRY(net::ClientResponse response, Send(request));
  const bool whole = response.status == 200 && begun == 0 && count == model.bytes;
  const bool partial = response.status == 206 &&
                       response.Header("content-range") == "bytes " + range + "/" + std::to_string(model.bytes);
  if (response.status == 206 && !partial) return WrongRange();
  TACIT_TRY(const Bytes body, net::BodyOrProblem(std::move(response)));
  if ((!whole && !partial) || body.size() != count) return WrongRange();
  return cache_.Append(model, body);
}

// Where the task takes it compressed, that is worth it, and nothing is there to go on with.
Result<net::ClientResponse> AgentSession::Put(const PendingUpdate& update, std::uint64_t offset) {
  std::optional<Bytes> frame;
  if (update.header.zstd && offset == 0) frame = CompressIfWorthIt(update.payload);
  codec::UpdateHeader header = update.header;
  header.zstd = frame.has_value();
  const Bytes prefix = codec::EncodeUpdatePrefix(header);
  const ByteSpan rest = frame ? ByteSpan(*frame) : ByteSpan(update.payload).subspan(offset);
  net::ClientRequest request = Request("PUT", PathOf(update));
  request.headers = {{"Content-Type", "application/octet-stream"}};
  if (offset > 0) request.headers.emplace_back("Upload-Offset", std::to_string(offset));
  request.body = {prefix, rest};
  request.timeout = kAnswerTime + std::chrono::seconds(rest.size() / kSlowestBytesPerSecond);
  if (update.payload.size() >= codec::kLeastKeptBytes) request.resend = net::ClientRequest::Resend::kNever;
  broken_ = {update.round, update.header.payload_digest};
  TACIT_TRY(net::ClientResponse response, Send(request));
  broken_.reset();
  return response;
}

Result<std::variant<AgentSession::Counted, std::uint64_t>> AgentSession::AskOffset(const PendingUpdate& update) {
  const std::pair asked(update.round, update.header.payload_digest);
  if (update.payload.size() < codec::kLeastKeptBytes || broken_ != asked) return 0U;
  TACIT_TRY(const net::ClientResponse response,
            Send(Request("GET", PathOf(update) + "?digest=" + ToHex(update.header.payload_digest))));
  // The earlier upload may be cut off yet, and then there is something to go on with.
  if (response.status == 503) return std::unexpected(net::ReadProblem(response));
  if (response.status == 200) {
    TACIT_TRY_VOID(codec::ParseUpdateAck(response.body));
    return Counted{};
  }
  // Whatever else is wrong, the answer to the whole says it.
  const auto text = response.Header("upload-offset");
  if (response.status != 204 || !text) return 0U;
  const std::uint64_t offset = ParseWhole(*text).value_or(0);
  return offset <= update.payload.size() ? offset : 0;
}

Result<std::optional<Error>> AgentSession::Upload(const PendingUpdate& update) {
  TACIT_TRY(const auto known, AskOffset(update));
  if (std::holds_alternative<Counted>(known)) return std::nullopt;
  const std::uint64_t offset = std::get<std::uint64_t>(known);
  TACIT_TRY(net::ClientResponse response, Put(update, offset));
  // What was there is gone meanwhile: somebody needed the memory.
  const bool gone = offset > 0 && response.status == 409 && response.Header("upload-offset");
  if (gone) {
    TACIT_TRY(response, Put(update, 0));
  }
  if (response.status >= 400) {
    Error refusal = net::ReadProblem(response);
    if (IsFinal(refusal.code)) return std::optional(std::move(refusal));
    return std::unexpected(std::move(refusal));
  }
  TACIT_TRY_VOID(codec::ParseUpdateAck(response.body));
  return std::nullopt;
}

}  // namespace tacit::upload
