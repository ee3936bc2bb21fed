#include "edge_agent/app/serve_loop.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <string_view>
#include <system_error>
#include <tuple>
#include <utility>

#include "common/base/check.h"
#include "common/base/files.h"
#include "common/base/text.h"
#include "common/net/executor.h"
#include "common/net/http_server.h"
#include "edge_agent/app/inference_worker.h"
#include "edge_agent/app/state_lock.h"
#include "edge_agent/worker/bundle_model.h"

namespace tacit::agent {
namespace {

constexpr Millis kBetweenLooksAtDisk{1'000};
// A model that was refused is tried again although nothing was put there: what was missing may not have been a file.
constexpr Millis kTryAgainAfter{60'000};
constexpr Millis kLockPatience{2'000};
constexpr std::size_t kServingThreads = 1;
constexpr std::size_t kMostServingConnections = 512;
constexpr const char* kReadByRun = "Run reads it first";

std::filesystem::path CredentialsDirectory() {
  const char* const directory = std::getenv("CREDENTIALS_DIRECTORY");
  return directory == nullptr ? "" : directory;
}

std::string GapsOf(const keys::KeyReport& report) {
  std::string text;
  for (const keys::KeyGap gap : report.gaps) text += (text.empty() ? "" : ",") + std::string(NameOf(gap));
  return text;
}

std::string_view EventName(worker::EventKind kind) {
  constexpr std::array<std::string_view, 5> kNames = {"model_serving", "model_refused", "model_ended", "model_expired",
                                                      "model_start_failed"};
  return kNames[static_cast<std::size_t>(kind)];
}

// What goes wrong on connections; requests are counted by nobody here.
class ConnectionLog final : public net::ServerObserver {
 public:
  explicit ConnectionLog(Logger& log) : log_(log) {}
  void OnConnectionOpened(std::string_view /*listener*/) override {}
  void OnConnectionClosed(std::string_view /*listener*/) override {}
  void OnConnectionRefused(std::string_view listener, std::string_view reason, std::string_view /*address*/) override {
    log_.Warn("serving_connection_refused", {{"listener", listener}, {"reason", reason}});
  }
  void OnHandshake(std::string_view /*listener*/, std::string_view /*kind*/) override {}
  void OnHandshakeFailed(std::string_view listener, std::string_view reason, std::string_view /*address*/,
                         std::string_view detail) override {
    log_.Warn("serving_handshake_failed", {{"listener", listener}, {"reason", reason}, {"detail", detail}});
  }
  void OnRequest(const net::RequestRecord& record) override {
    log_.Debug("serving_request", {{"route", record.route},
                                   {"status", record.status},
                                   {"seconds", record.seconds},
                                   {"bytes_in", record.bytes_in},
                                   {"bytes_out", record.bytes_out}});
  }
  void OnHandlerException(std::string_view listener, std::string_view route, std::string_view what) override {
    log_.Error("serving_fault", {{"listener", listener}, {"route", route}, {"reason", what}});
  }

 private:
  Logger& log_;
};

net::ListenerOptions SocketOptions(const ServeOptions& options) {
  net::ListenerOptions listener;
  listener.name = "serving";
  listener.unix_path = options.socket.empty() ? options.state_directory / "serving.sock" : options.socket;
  listener.unix_mode = options.socket_mode;
  listener.max_connections = kMostServingConnections;
  listener.max_connections_per_source = kMostServingConnections;
  return listener;
}

}  // namespace

ServeLoop::ServeLoop(ServeOptions options, Logger& log, const Clock& clock)
    : options_(std::move(options)), files_(options_.state_directory, options_.task), log_(log), clock_(clock) {}

Result<void> ServeLoop::Run(const std::stop_token& stop) {
  TACIT_TRY(const StateLock lock, StateLock::Take(options_.state_directory, kLockPatience, "serving.lock"));
  TACIT_TRY(deployment_, ReadDeployment(files_.terms));
  TACIT_TRY(key_, keys::OpenDeviceKey({.state = options_.state_directory,
                                       .place = options_.key,
                                       .credentials = CredentialsDirectory(),
                                       .if_missing = keys::IfMissing::kFail}));
  guard_ = key_->GuardFor(deployment_->model.str());
  log_.Info("serving_key", {{"tier", NameOf(key_->report().tier)}, {"gaps", GapsOf(key_->report())}});
  model_ = std::make_unique<serving::SupervisedModel>(SupervisorOptionsNow());
  const Result<void> served = ServeUntil(stop);
  model_.reset();
  log_.Info("serving_stopped");
  return served;
}

worker::SupervisorOptions ServeLoop::SupervisorOptionsNow() {
  worker::SupervisorOptions supervisor;
  supervisor.process.command = {std::string(kInferenceWorker)};
  supervisor.on_event = [this](const worker::Event& event) { OnEvent(event); };
  return supervisor;
}

// On the supervisor's thread, which is the one that uses the device's key.
void ServeLoop::OnEvent(const worker::Event& event) {
  const auto cause = event.ending ? worker::NameOf(event.ending->cause) : std::string_view();
  log_.Write(
      event.kind == worker::EventKind::kServing ? LogLevel::kInfo : LogLevel::kWarn, EventName(event.kind),
      {{"version", event.version}, {"detail", event.detail}, {"cause", cause}, {"delay_ms", event.retry.count()}});
  if (event.kind != worker::EventKind::kServing) return;
  const auto recorded = guard_->Record(ParseWhole(event.version).value_or(0));
  if (!recorded)
    log_.Error("model_version_not_recorded", {{"version", event.version}, {"reason", recorded.error().message}});
}

ServeLoop::Stamp ServeLoop::StampNow() const {
  Stamp stamp;
  struct stat status{};
  const auto time = [&status] { return status.st_mtim.tv_sec * 1'000'000'000 + status.st_mtim.tv_nsec; };
  if (::stat(files_.bundle.c_str(), &status) == 0) {
    stamp.bundle_time = time();
    stamp.bundle_file = status.st_ino;
  }
  if (::stat(files_.lease.c_str(), &status) == 0) {
    stamp.lease_time = time();
    stamp.lease_file = status.st_ino;
  }
  return stamp;
}

Result<void> ServeLoop::ServePair(const Pair& pair) {
  const Deployment& deployment = Present(deployment_, kReadByRun);
  return model_->Serve(
      std::make_shared<worker::BundleSource>(worker::BundleSource::Files{.bundle = pair.bundle, .lease = pair.lease},
                                             bundle::Opening{.device = deployment.device,
                                                             .model = deployment.model,
                                                             .bundle_signers = deployment.signers,
                                                             .lease_signers = deployment.signers,
                                                             .guard = *guard_,
                                                             .clock = clock_,
                                                             .key = Present(key_, kReadByRun).agreement(),
                                                             .key_epoch = deployment.key_epoch,
                                                             .minimum_version = deployment.minimum_version,
                                                             .purpose = bundle::Purpose::kLoad}));
}

// The pair that is there, or else, while nothing serves, the one that served last.
void ServeLoop::ServeFromDisk() {
  seen_ = StampNow();
  const auto served = ServePair({.bundle = files_.bundle, .lease = files_.lease});
  if (served) {
    again_at_ = SteadyTime::max();
    KeepAsGood(seen_);
    return;
  }
  again_at_ = clock_.SteadyNow() + kTryAgainAfter;
  if (model_->status().serving) return;
  std::error_code ignored;
  if (std::filesystem::exists(files_.good_bundle, ignored))
    std::ignore = ServePair({.bundle = files_.good_bundle, .lease = files_.good_lease});
}

// Two names of one file: a bundle is replaced by another and never written to.
void ServeLoop::KeepAsGood(const Stamp& served) {
  for (const auto& [from, to] : {std::pair(files_.bundle, files_.good_bundle), {files_.lease, files_.good_lease}}) {
    const std::filesystem::path fresh = to.string() + ".new";
    std::error_code failure;
    std::filesystem::remove(fresh, failure);
    std::filesystem::create_hard_link(from, fresh, failure);
    // What was put there meanwhile has not served.
    if (!failure && StampNow() == served) std::filesystem::rename(fresh, to, failure);
    if (failure) log_.Warn("model_not_kept", {{"reason", failure.message()}});
  }
}

void ServeLoop::Watch(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    {
      std::unique_lock lock(mutex_);
      wake_.wait_for(lock, stop, kBetweenLooksAtDisk, [] { return false; });
    }
    if (stop.stop_requested()) return;
    if (StampNow() != seen_ || clock_.SteadyNow() >= again_at_) ServeFromDisk();
  }
}

Result<void> ServeLoop::ServeUntil(const std::stop_token& stop) {
  ConnectionLog observer(log_);
  serving::ModelServerOptions server_options = options_.server;
  server_options.model_name = Present(deployment_, kReadByRun).model.str();
  TACIT_TRY(const auto threads, net::IoThreads::Create(kServingThreads));
  serving::ModelServer server(std::move(server_options), *model_, clock_);
  const net::ListenerOptions listener = SocketOptions(options_);
  TACIT_TRY(const auto http, net::HttpServer::Create(*threads, listener, observer));
  threads->Start();
  http->Serve([&server](net::HttpRequest& request) { return server.Handle(request); });
  log_.Info("serving_started", {{"socket", listener.unix_path.string()}, {"model", deployment_->model.str()}});
  ServeFromDisk();
  Watch(stop);
  http->Drain(clock_.SteadyNow() + options_.drain);
  server.Stop();
  threads->StopAndJoin();
  return {};
}

}  // namespace tacit::agent
