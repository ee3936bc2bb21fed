#include "edge_agent/serving/model_server.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>
#include <vector>

#include "common/base/check.h"
#include "common/base/text.h"

namespace tacit::serving {
namespace {

// Parsing a longer text takes more than an I/O thread should be kept for.
constexpr std::size_t kParsedAtOnce = std::size_t{64} * 1024;
constexpr Millis kBusyRetry{1000};
constexpr Millis kWrongTokenRetry{60'000};
// Source: RFC 9110, section 15.5.21 (Unprocessable Content): the request is well formed, and refused for what it says.
constexpr int kRejected = 422;

std::vector<std::string_view> PartsOf(std::string_view path) {
  std::vector<std::string_view> parts;
  while (!path.empty()) {
    path.remove_prefix(1);  // the slash
    const std::size_t end = std::min(path.find('/'), path.size());
    parts.push_back(path.substr(0, end));
    path.remove_prefix(end);
  }
  return parts;
}

net::HttpResponse Later(net::HttpResponse response, Millis after) {
  const auto seconds = std::max<std::int64_t>(std::chrono::ceil<std::chrono::seconds>(after).count(), 1);
  response.headers.emplace_back("Retry-After", std::to_string(seconds));
  return response;
}

net::HttpResponse Refusal(const QuotaRefusal& refusal) {
  return Later(ErrorAnswer({ErrorCode::kRateLimited, refusal.reason}), refusal.retry_after);
}

net::HttpResponse FailureAnswer(const Error& error) {
  net::HttpResponse response = ErrorAnswer(error);
  return error.code == ErrorCode::kUnavailable ? Later(std::move(response), kBusyRetry) : response;
}

// Who shows no token, or a wrong one, is told what is asked for. Source: RFC 9110, section 15.5.2.
net::HttpResponse NobodyAnswer(const Error& error) {
  net::HttpResponse response = ErrorAnswer(error);
  if (error.code == ErrorCode::kUnauthenticated)
    response.headers.emplace_back("WWW-Authenticate", "Bearer realm=\"tacit-agent\"");
  if (error.code == ErrorCode::kRateLimited) return Later(std::move(response), kWrongTokenRetry);
  if (error.code == ErrorCode::kUnavailable) return Later(std::move(response), kBusyRetry);
  return response;
}

// Bytes of bodies, as long as they are in memory.
class Reservation {
 public:
  Reservation(std::atomic<std::size_t>& total, std::size_t bytes, std::size_t limit) : total_(total), bytes_(bytes) {
    good_ = total_.fetch_add(bytes_) + bytes_ <= limit;
  }
  ~Reservation() { total_.fetch_sub(bytes_); }
  Reservation(const Reservation&) = delete;
  Reservation& operator=(const Reservation&) = delete;
  [[nodiscard]] bool good() const { return good_; }

 private:
  std::atomic<std::size_t>& total_;
  std::size_t bytes_;
  bool good_;
};

}  // namespace

struct ModelServer::Route {
  enum class What : std::uint8_t { kServer, kLive, kReady, kModel, kModelReady, kInfer };
  What what = What::kServer;
  std::string_view label;    // of metrics and logs
  std::string_view version;  // empty: any
};

// The model as it is when a request begins.
struct ModelServer::Snapshot {
  ModelLabel label;
  worker::Loaded model;
  std::string degradations;
};

ModelServer::ModelServer(ModelServerOptions options, ServedModel& model, const Clock& clock, TokenGate* tokens)
    : options_(std::move(options)),
      model_(model),
      tokens_(tokens),
      quotas_(options_.quotas, clock),
      detection_(clock, options_.on_detection),
      batcher_(options_.batch, model),
      pool_(1, options_.max_waiting) {}

Result<std::string> ModelServer::IdentityOf(const net::HttpRequest& request) const {
  const std::optional<std::uint32_t>& user = request.peer().unix_user;
  if (user) return "user " + std::to_string(*user);
  if (tokens_ == nullptr)
    return Fail(ErrorCode::kPermissionDenied, "only users of this device may ask, over the agent's socket");
  TACIT_TRY(const std::string name, tokens_->NameOf(request.Header("authorization")));
  return "token " + name;
}

Result<ModelServer::Route> ModelServer::RouteOf(std::string_view path) const {
  using What = Route::What;
  if (path == "/v2") return Route{.what = What::kServer, .label = "/v2", .version = {}};
  if (path == "/v2/health/live") return Route{.what = What::kLive, .label = "/v2/health/live", .version = {}};
  if (path == "/v2/health/ready") return Route{.what = What::kReady, .label = "/v2/health/ready", .version = {}};
  std::vector<std::string_view> parts = PartsOf(path);
  if (parts.size() < 3 || parts[0] != "v2" || parts[1] != "models")
    return Fail(ErrorCode::kNotFound, "there is nothing at " + Excerpt(path) + "; begin at /v2");
  if (parts[2] != options_.model_name) {
    return Fail(ErrorCode::kNotFound,
                "no model is named " + Excerpt(parts[2]) + "; this agent serves '" + options_.model_name + "'");
  }
  Route route{.what = What::kModel, .label = "/v2/models/{model}", .version = {}};
  parts.erase(parts.begin(), parts.begin() + 3);
  if (parts.size() >= 2 && parts[0] == "versions") {
    route.version = parts[1];
    parts.erase(parts.begin(), parts.begin() + 2);
  }
  if (parts.empty()) return route;
  if (parts.size() == 1 && parts[0] == "ready") {
    route.what = What::kModelReady;
    route.label = "/v2/models/{model}/ready";
    return route;
  }
  if (parts.size() == 1 && parts[0] == "infer") {
    route.what = What::kInfer;
    route.label = "/v2/models/{model}/infer";
    return route;
  }
  return Fail(ErrorCode::kNotFound, "there is nothing at " + Excerpt(path) + "; a model has 'ready' and 'infer'");
}

Result<ModelServer::Snapshot> ModelServer::Look(const Route& route) const {
  worker::SupervisorStatus status = model_.status();
  if (!status.serving || !status.model)
    return Fail(ErrorCode::kUnavailable, "no version of the model is served at the moment; the agent's log says why");
  if (!route.version.empty() && route.version != status.version) {
    return Fail(ErrorCode::kNotFound,
                "version " + Excerpt(route.version) + " is not served; version " + status.version + " is");
  }
  std::string degradations = status.model->protections.Degradations();
  return Snapshot{.label = {.name = options_.model_name, .version = std::move(status.version)},
                  .model = *std::move(status.model),
                  .degradations = std::move(degradations)};
}

detect::Tally ModelServer::Counted() const {
  detect::Tally tally = detection_.Counted();
  const worker::SupervisorStatus status = model_.status();
  tally.worker_endings = status.endings;
  tally.changed_weights = status.changed_weights;
  tally.refused_calls = status.refused_calls;
  if (!status.serving || !status.model) return tally;
  tally.model_version = ParseWhole(status.version).value_or(0);
  if (const auto& detectors = status.model->detectors) tally.calibration = detectors->calibration;
  return tally;
}

net::HttpResponse ModelServer::ShowReady() const {
  const auto snapshot = Look({});
  if (!snapshot) return ErrorAnswer(snapshot.error());
  return JsonAnswer(R"({"ready":true})");
}

net::HttpResponse ModelServer::Show(const Route& route) const {
  using What = Route::What;
  if (route.what == What::kServer) return ServerMetadata();
  if (route.what == What::kLive) return JsonAnswer(R"({"live":true})");
  if (route.what == What::kReady) return ShowReady();
  const auto snapshot = Look(route);
  if (!snapshot) return ErrorAnswer(snapshot.error());
  if (route.what == What::kModelReady) return JsonAnswer(R"({"name":")" + options_.model_name + R"(","ready":true})");
  return ModelMetadata(snapshot->label, snapshot->model, snapshot->degradations);
}

net::Task<net::HttpResponse> ModelServer::Handle(net::HttpRequest& request) {
  const auto identity = IdentityOf(request);
  if (!identity) co_return NobodyAnswer(identity.error());
  const auto route = RouteOf(request.path());
  if (!route) co_return ErrorAnswer(route.error());
  request.SetRoute(route->label);
  const bool infers = route->what == Route::What::kInfer;
  if (infers ? request.method() != "POST" : request.method() != "GET" && request.method() != "HEAD") {
    const std::string allowed = infers ? "POST" : "GET, HEAD";
    net::HttpResponse refusal = ErrorAnswer(405, "this path takes " + allowed);
    refusal.headers.emplace_back("Allow", allowed);
    co_return refusal;
  }
  if (!infers) co_return Show(*route);
  co_return co_await Infer(request, *route, *identity);
}

net::Task<net::HttpResponse> ModelServer::Infer(net::HttpRequest& request, const Route& route,
                                                const std::string& identity) {
  const std::uint64_t size = request.body_left();
  if (size > options_.max_body_bytes) {
    co_return ErrorAnswer({ErrorCode::kTooLarge, "the body has more than " + std::to_string(options_.max_body_bytes) +
                                                     " bytes; send less rows"});
  }
  auto place = quotas_.Admit(identity, size);
  if (!place) co_return Refusal(place.error());
  const Reservation memory(waiting_bytes_, static_cast<std::size_t>(size), options_.max_waiting_bytes);
  if (!memory.good()) co_return FailureAnswer({ErrorCode::kUnavailable, "too much is being asked at the moment"});
  const auto snapshot = Look(route);
  if (!snapshot) co_return FailureAnswer(snapshot.error());
  auto parsed = co_await ReadRequest(request, *snapshot);
  if (!parsed) co_return FailureAnswer(parsed.error());
  if (const auto rows = place->TakeRows(parsed->rows); !rows) co_return Refusal(rows.error());
  if (const auto& detectors = snapshot->model.detectors) {
    const auto admitted = detection_.Admit(detectors->policy, identity, parsed->rows);
    if (!admitted) co_return Refusal(admitted.error());
  }
  auto answer = co_await Ask(*snapshot, *std::move(parsed), identity);
  co_return answer ? *std::move(answer) : FailureAnswer(answer.error());
}

net::Task<Result<InferRequest>> ModelServer::ReadRequest(net::HttpRequest& request, const Snapshot& snapshot) {
  TACIT_CO_TRY(const Bytes bytes, co_await request.ReadBody(options_.max_body_bytes));
  const auto header_length = request.Header("inference-header-content-length");
  TACIT_CO_TRY(const InferBody body, SplitBody(bytes, header_length));
  const auto parse = [&] { return ParseInferRequest(body, snapshot.model.signature, options_.limits); };
  if (body.json.size() <= kParsedAtOnce) co_return parse();
  co_return co_await pool_.Run(parse);
}

net::Task<Result<net::HttpResponse>> ModelServer::Ask(const Snapshot& snapshot, InferRequest request,
                                                      std::string identity) {
  const auto job = std::make_shared<Batcher::Job>();
  job->version = snapshot.label.version;
  job->rows = request.rows;
  job->asker = Xxh3(AsBytes(identity));
  job->inputs = std::move(request.inputs);
  job->deadline = std::chrono::steady_clock::now() + options_.infer_deadline;
  batcher_.Add(job);
  auto answer = co_await pool_.Run([this, job] { return batcher_.Finish(job); });
  if (answer) {
    const auto decided = detection_.Decide(identity, *answer);
    if (!decided) co_return ErrorAnswer(kRejected, decided.error());
    co_return Answer(snapshot, request, *answer, *decided);
  }
  batcher_.Withdraw(job);
  if (model_.status().version != job->version)
    co_return Fail(ErrorCode::kUnavailable, "the model was replaced while this request waited; ask again");
  co_return std::unexpected(answer.error());
}

// The version that answered may be a later one than that which the request was read for.
Result<net::HttpResponse> ModelServer::Answer(const Snapshot& snapshot, const InferRequest& request,
                                              const BatchedAnswer& answer, std::string_view parameters) const {
  const auto& ports = snapshot.model.signature.outputs;
  bool fits = answer.outputs.size() == ports.size();
  for (std::size_t i = 0; fits && i < ports.size(); ++i)
    fits = answer.outputs[i].size() == request.rows * worker::RowBytes(ports[i]);
  if (!fits) return Fail(ErrorCode::kUnavailable, "the model was replaced by another kind; look at it and ask again");
  return InferAnswer({.name = snapshot.label.name, .version = answer.whole->version}, request,
                     {.signature = snapshot.model.signature, .values = answer.outputs, .parameters = parameters});
}

}  // namespace tacit::serving
