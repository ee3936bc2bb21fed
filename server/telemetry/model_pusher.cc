#include "server/telemetry/model_pusher.h"

#include <algorithm>
#include <utility>

#include "common/base/text.h"
#include "common/crypto/random.h"

namespace tacit::telemetry {
namespace {

constexpr std::string_view kApi = "/api/2.0/mlflow/";
constexpr std::string_view kArtifacts = "/api/2.0/mlflow-artifacts/artifacts/";
constexpr std::string_view kAlreadyThere = "RESOURCE_ALREADY_EXISTS";
constexpr std::size_t kRoundsAtOnce = 50;
// Of versions that somebody else made under the same name, before one of ours.
constexpr int kMostPages = 500;

web::WebRequest JsonRequest(std::string url, const std::string& body) {
  return {.method = web::WebMethod::kPost,
          .url = std::move(url),
          .headers = {{.name = "Content-Type", .value = "application/json"}},
          .body = {AsBytes(body)}};
}

std::unexpected<Error> Refused(const web::WebResponse& answer, std::string_view what) {
  return Fail(answer.status >= 500 || answer.status == 429 ? ErrorCode::kUnavailable : ErrorCode::kInvalidArgument,
              std::string(what) + ": MLflow answers with status " + std::to_string(answer.status) + " and " +
                  Excerpt(answer.body));
}

bool IsGood(const web::WebResponse& answer) {
  return answer.status >= 200 && answer.status < 300;
}

}  // namespace

Result<std::unique_ptr<ModelPusher>> ModelPusher::Create(ModelPusherOptions options, metrics::Metrics& metrics,
                                                         Logger& log) {
  TACIT_TRY_VOID(web::OriginOf(options.tracking_uri, options.web.plain_http));
  TACIT_TRY(web::WebClient client, web::WebClient::Create(options.web));
  web::WebOptions patient = options.web;
  patient.limits.whole = options.upload_limit;
  TACIT_TRY(web::WebClient uploads, web::WebClient::Create(patient));
  return std::unique_ptr<ModelPusher>(
      new ModelPusher(std::move(options), std::move(client), std::move(uploads), metrics, log));
}

ModelPusher::ModelPusher(ModelPusherOptions options, web::WebClient client, web::WebClient uploads,
                         metrics::Metrics& metrics, Logger& log)
    : options_(std::move(options)),
      client_(std::move(client)),
      uploads_(std::move(uploads)),
      metrics_(metrics),
      log_(log) {}

ModelPusher::~ModelPusher() {
  Stop();
}

void ModelPusher::Start(PublishedModels& models) {
  models_ = &models;
  thread_ = std::jthread([this](const std::stop_token& stop) { Run(stop); });
}

void ModelPusher::Wake() {
  {
    const std::scoped_lock lock(mutex_);
    woken_ = true;
  }
  changed_.notify_all();
}

void ModelPusher::Stop() {
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
}

void ModelPusher::Run(const std::stop_token& stop) {
  Backoff backoff(options_.retry, crypto::OsRandom().NextU64());
  while (!stop.stop_requested()) {
    {
      const std::scoped_lock lock(mutex_);
      woken_ = false;
    }
    asked_for_.reset();
    if (PushAll(stop)) {
      backoff.Succeeded();
      std::unique_lock lock(mutex_);
      changed_.wait(lock, stop, [this] { return woken_; });
      continue;
    }
    // Another round is no reason to ask a server again that has just failed.
    const Millis pause = backoff.Next(asked_for_);
    std::unique_lock lock(mutex_);
    if (stop.stop_requested()) break;
    log_.Info("mlflow_waiting", {{"delay_ms", pause.count()}});
    changed_.wait_for(lock, stop, pause, [] { return false; });
  }
}

// A task that cannot be pushed is in the way of no other.
bool ModelPusher::PushAll(const std::stop_token& stop) {
  const auto tasks = models_->Tasks();
  if (!tasks) {
    log_.Error("model_not_pushed", {{"code", TraitsOf(tasks.error().code).name}, {"reason", tasks.error().message}});
    return false;
  }
  ShowBehind(*tasks);
  bool all = true;
  for (const PublishedTask& task : *tasks) {
    if (stop.stop_requested()) return false;
    const auto pushed = PushTask(task, stop);
    ShowBehind(*tasks);
    if (pushed) continue;
    all = false;
    // Whether MLflow took what it was sent last is not known: it is asked before anything is sent again.
    newest_.erase(task.id);
    made_.erase(task.id);
    if (stop.stop_requested()) return false;
    metrics_.MlflowAttemptFailed();
    log_.Warn(
        "model_not_pushed",
        {{"task", task.id.str()}, {"code", TraitsOf(pushed.error().code).name}, {"reason", pushed.error().message}});
  }
  return all;
}

// In numbers of rounds, abandoned ones included: nobody has to count them.
void ModelPusher::ShowBehind(const std::vector<PublishedTask>& tasks) {
  std::uint64_t behind = 0;
  for (const PublishedTask& task : tasks) {
    const auto known = newest_.find(task.id);
    const RoundNumber have = known == newest_.end() ? 0 : known->second;
    behind += task.newest - std::min(task.newest, have);
  }
  metrics_.SetMlflowBehind(behind);
}

Result<void> ModelPusher::PushTask(const PublishedTask& task, const std::stop_token& stop) {
  if (task.newest == 0) return {};
  auto place = newest_.find(task.id);
  if (place == newest_.end()) {
    TACIT_TRY(const RoundNumber newest, FindNewest(task.id, stop));
    place = newest_.emplace(task.id, newest).first;
  }
  while (place->second < task.newest) {
    TACIT_TRY(const auto rounds, models_->After(task.id, place->second, kRoundsAtOnce));
    if (rounds.empty()) return {};
    for (const PublishedRound& round : rounds) {
      TACIT_TRY_VOID(Push(round, stop));
      place->second = round.key.round;
    }
  }
  return {};
}

Result<RoundNumber> ModelPusher::FindNewest(const TaskId& task, const std::stop_token& stop) {
  std::string page;
  for (int pages = 0; pages < kMostPages; ++pages) {
    web::WebRequest request{.method = web::WebMethod::kGet,
                            .url = Url(kApi) + "model-versions/search?" + SearchQuery(NameOf(task), page),
                            .headers = {},
                            .body = {}};
    TACIT_TRY(const auto answer, Ask(client_, std::move(request), stop));
    if (!IsGood(answer)) return Refused(answer, "versions of " + NameOf(task));
    TACIT_TRY(const VersionPage versions, ParseVersions(answer.body));
    if (const auto& newest = versions.newest) {
      TACIT_TRY_VOID(CheckIsOurs(task, *newest));
      return newest->round;
    }
    page = versions.next;
    if (page.empty()) return RoundNumber{0};
  }
  return Fail(ErrorCode::kConflict, "the registered model " + NameOf(task) +
                                        " has thousands of versions that are not of Tacit; set another "
                                        "mlflow.name_prefix");
}

// Another server, or this one before its data were made anew, may have had a task of this name: its rounds are others.
Result<void> ModelPusher::CheckIsOurs(const TaskId& task, const KnownVersion& known) {
  if (known.round > 0) {
    TACIT_TRY(const auto ours, models_->After(task, known.round - 1, 1));
    const bool same = !ours.empty() && ours.front().key.round == known.round &&
                      ToHex(ours.front().model_digest) == known.model_digest;
    if (same) return {};
  }
  return Fail(ErrorCode::kConflict, "the registered model " + NameOf(task) +
                                        " has versions of another task of this name; set another mlflow.name_prefix, "
                                        "or rename that model in MLflow");
}

Result<void> ModelPusher::Push(const PublishedRound& round, const std::stop_token& stop) {
  TACIT_TRY_VOID(MakeModel(round.key.task, stop));
  TACIT_TRY(const std::string source, Upload(round, stop));
  const std::string name = NameOf(round.key.task);
  const std::string body = RenderVersion(name, source, round);
  TACIT_TRY(const auto answer, Ask(client_, JsonRequest(Url(kApi) + "model-versions/create", body), stop));
  if (!IsGood(answer)) return Refused(answer, "a version of " + name);
  metrics_.MlflowVersionMade();
  log_.Info("model_pushed", {{"task", round.key.task.str()}, {"round", round.key.round}, {"model", name}});
  return {};
}

Result<void> ModelPusher::MakeModel(const TaskId& task, const std::stop_token& stop) {
  if (made_.contains(task)) return {};
  const std::string body = RenderModel(NameOf(task), task);
  TACIT_TRY(const auto answer, Ask(client_, JsonRequest(Url(kApi) + "registered-models/create", body), stop));
  const bool there = IsGood(answer) || ErrorCodeOf(answer.body) == kAlreadyThere;
  if (!there) return Refused(answer, "the registered model " + NameOf(task));
  made_.insert(task);
  return {};
}

/// The URI at which MLflow finds the model; the same again when it is sent again.
Result<std::string> ModelPusher::Upload(const PublishedRound& round, const std::stop_token& stop) {
  const std::string folder = NameOf(round.key.task) + "/" + std::to_string(round.key.round);
  if (options_.artifacts == ModelPusherOptions::Artifacts::kNone) return "tacit:/" + folder;
  TACIT_TRY(const ModelFile file, models_->File(round));
  web::WebRequest request{.method = web::WebMethod::kPut,
                          .url = Url(kArtifacts) + "tacit/" + folder + "/model.safetensors",
                          .headers = {{.name = "Content-Type", .value = "application/octet-stream"}},
                          .body = {file.head, file.parameters.bytes}};
  TACIT_TRY(const auto answer, Ask(uploads_, std::move(request), stop));
  if (!IsGood(answer)) {
    return Annotate(Refused(answer, "the file of " + folder).error(),
                    "MLflow does not take artifacts (mlflow server --serve-artifacts, or set mlflow.artifacts = "
                    "\"none\")");
  }
  return "mlflow-artifacts:/tacit/" + folder;
}

Result<web::WebResponse> ModelPusher::Ask(const web::WebClient& client, web::WebRequest request,
                                          const std::stop_token& stop) {
  request.headers.insert(request.headers.end(), options_.headers.begin(), options_.headers.end());
  auto answer = client.Ask(request, stop);
  if (answer && answer->retry_after) asked_for_ = answer->retry_after;
  return answer;
}

}  // namespace tacit::telemetry
