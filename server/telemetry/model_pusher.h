#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/log.h"
#include "common/base/result.h"
#include "common/web/web_client.h"
#include "server/metrics/metrics.h"
#include "server/telemetry/mlflow.h"
#include "server/telemetry/retry.h"

namespace tacit::telemetry {

/// A task, and how far it has come.
struct PublishedTask {
  TaskId id;
  RoundNumber newest = 0;  ///< Published; 0: none.
};

/// A model as it is sent: the two parts of a safetensors file.
struct ModelFile {
  Bytes head;
  SharedBytes parameters;
};

/// Where published rounds come from. Threads: the pusher's, one call at a time; a call may wait.
class PublishedModels {
 public:
  virtual ~PublishedModels() = default;
  virtual Result<std::vector<PublishedTask>> Tasks() = 0;
  /// Published rounds, ascending, from the first after `after`; none when there is none.
  virtual Result<std::vector<PublishedRound>> After(const TaskId& task, RoundNumber after, std::size_t limit) = 0;
  virtual Result<ModelFile> File(const PublishedRound& round) = 0;
};

struct ModelPusherOptions {
  std::string tracking_uri;
  web::WebOptions web;
  std::vector<web::WebHeader> headers;
  std::string name_prefix;  ///< A registered model is named so, and by its task.
  enum class Artifacts : std::uint8_t {
    kProxied,  ///< The MLflow server takes the model's file (`mlflow server --serve-artifacts`, its default).
    kNone,     ///< It is told of versions alone.
  };
  Artifacts artifacts = Artifacts::kProxied;
  Millis upload_limit{1'800'000};  ///< For one model.
  RetryLimits retry{.first = Millis(1'000), .longest = Millis(300'000)};
};

/// Keeps a registered model of each task in an MLflow server, with one version for each published round, in their
/// order, from a thread of its own: no round ever waits for it. What was pushed is what MLflow says: there is no other
/// record of it, so that none can be wrong. A version that somebody deleted there is not made again, unless it was the
/// newest.
class ModelPusher {
 public:
  /// Errors: those of WebClient::Create; kInvalidArgument for the URI.
  static Result<std::unique_ptr<ModelPusher>> Create(ModelPusherOptions options, metrics::Metrics& metrics,
                                                     Logger& log);
  ~ModelPusher();
  ModelPusher(const ModelPusher&) = delete;
  ModelPusher& operator=(const ModelPusher&) = delete;

  /// Begins with whatever MLflow does not have yet. `models` outlives the pusher, or Stop.
  void Start(PublishedModels& models);
  /// Something was published. Threads: any.
  void Wake();
  /// Ends at once; what is missing is pushed after the next start. Can be repeated.
  void Stop();

 private:
  ModelPusher(ModelPusherOptions options, web::WebClient client, web::WebClient uploads, metrics::Metrics& metrics,
              Logger& log);
  void Run(const std::stop_token& stop);
  /// Whether MLflow has all there is.
  bool PushAll(const std::stop_token& stop);
  Result<void> PushTask(const PublishedTask& task, const std::stop_token& stop);
  Result<void> Push(const PublishedRound& round, const std::stop_token& stop);
  Result<RoundNumber> FindNewest(const TaskId& task, const std::stop_token& stop);
  Result<void> CheckIsOurs(const TaskId& task, const KnownVersion& known);
  Result<void> MakeModel(const TaskId& task, const std::stop_token& stop);
  Result<std::string> Upload(const PublishedRound& round, const std::stop_token& stop);
  Result<web::WebResponse> Ask(const web::WebClient& client, web::WebRequest request, const std::stop_token& stop);
  void ShowBehind(const std::vector<PublishedTask>& tasks);
  [[nodiscard]] std::string NameOf(const TaskId& task) const { return options_.name_prefix + task.str(); }
  [[nodiscard]] std::string Url(std::string_view call) const { return options_.tracking_uri + std::string(call); }

  const ModelPusherOptions options_;
  const web::WebClient client_;
  const web::WebClient uploads_;
  metrics::Metrics& metrics_;
  Logger& log_;

  // Of the thread.
  PublishedModels* models_ = nullptr;
  std::map<TaskId, RoundNumber> newest_;  // in MLflow; absent where it has to be asked
  std::set<TaskId> made_;                 // registered models that are there
  std::optional<std::chrono::seconds> asked_for_;

  std::mutex mutex_;
  std::condition_variable_any changed_;
  bool woken_ = false;   // guarded by mutex_
  std::jthread thread_;  // last: it uses all the rest
};

}  // namespace tacit::telemetry
