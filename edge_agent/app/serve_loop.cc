#include "edge_agent/app/serve_loop.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <initializer_list>
#include <string_view>
#include <utility>

#include "common/base/check.h"
#include "common/base/text.h"
#include "common/crypto/random.h"
#include "common/net/executor.h"
#include "common/net/http_server.h"
#include "edge_agent/app/inference_worker.h"
#include "edge_agent/detect/tally.h"
#include "edge_agent/enrolment/renew.h"
#include "edge_agent/protect/start_pages.h"
#include "edge_agent/serving/token_file.h"
#include "edge_agent/worker/bundle_model.h"

namespace tacit::agent {
namespace {

constexpr Millis kBetweenLooksAtCertificate = std::chrono::hours(1);
constexpr Millis kTryRenewalAgainAfter{60'000};
// A worker that could not be started may be another time: what was missing may have been memory.
constexpr Millis kTryAgainAfter{60'000};
// What a process that is killed forgets of what it counted.
constexpr Millis kBetweenSaves{60'000};
constexpr int kMostTries = 3;
constexpr std::size_t kServingThreads = 1;
constexpr std::size_t kMostServingConnections = 512;
constexpr const char* kOpenedByRun = "Run opens it first";

std::string GapsOf(const keys::KeyReport& report) {
  std::string text;
  for (const keys::KeyGap gap : report.gaps) text += (text.empty() ? "" : ",") + std::string(NameOf(gap));
  return text;
}

// What goes wrong on connections; requests are counted by nobody here.
class ConnectionLog final : public net::ServerObserver {
 public:
  explicit ConnectionLog(Logger& log) : log_(log) {}
  void OnConnectionOpened(std::string_view /*listener*/) override {}
  void OnConnectionClosed(std::string_view /*listener*/) override {}
  void OnConnectionRefused(std::string_view listener, std::string_view reason, std::string_view /*address*/) override {
    log_.WarnSparingly("serving_connection_refused", {{"listener", listener}, {"reason", reason}});
  }
  void OnHandshake(std::string_view /*listener*/, std::string_view /*kind*/) override {}
  void OnHandshakeFailed(std::string_view listener, std::string_view reason, std::string_view /*address*/,
                         std::string_view detail) override {
    log_.WarnSparingly("serving_handshake_failed", {{"listener", listener}, {"reason", reason}, {"detail", detail}});
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

net::ListenerOptions ListenerNamed(std::string name) {
  net::ListenerOptions listener;
  listener.name = std::move(name);
  listener.max_connections = kMostServingConnections;
  listener.max_connections_per_source = kMostServingConnections;
  return listener;
}

net::ListenerOptions SocketOptions(const ServeOptions& options) {
  net::ListenerOptions listener = ListenerNamed("serving");
  listener.unix_path = options.socket.empty() ? options.state_directory / "serving.sock" : options.socket;
  listener.unix_mode = options.socket_mode;
  return listener;
}

}  // namespace

ServeLoop::ServeLoop(ServeOptions options, Logger& log, const Clock& clock)
    : options_(std::move(options)),
      log_(log),
      clock_(clock),
      refresh_at_(clock.SteadyNow()),
      look_at_(clock.SteadyNow()),
      save_at_(clock.SteadyNow() + kBetweenSaves) {}

Result<void> ServeLoop::Run(const std::stop_token& stop) {
  TACIT_TRY(const enrolment::EnrolledIdentity identity, enrolment::LoadIdentity(options_.state_directory));
  TACIT_TRY(kept_, OpenKeptModel({.state = options_.state_directory,
                                  .task = options_.task,
                                  .key = options_.key,
                                  .if_missing = keys::IfMissing::kMake,
                                  .signers = options_.signers},
                                 identity, clock_, log_));
  TACIT_TRY(reporter_, MakeReporter(identity));
  certificate_ = identity.certificate_pem;
  const keys::KeyReport& key = Present(kept_, kOpenedByRun).key->report();
  log_.Info("serving_key", {{"tier", NameOf(key.tier)}, {"gaps", GapsOf(key)}});
  model_ = std::make_unique<serving::SupervisedModel>(SupervisorOptionsNow());
  const Result<void> served = ServeUntil(stop);
  server_.reset();
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

Result<reports::Reporter> ServeLoop::MakeReporter(const enrolment::EnrolledIdentity& identity) {
  return reports::Reporter::Create({.file = options_.state_directory / "delivery" / (options_.task.str() + ".reports"),
                                    .task = options_.task,
                                    .device = identity.device,
                                    .server = enrolment::ClientOptionsFor(identity),
                                    .interval = options_.report_interval,
                                    .seed = crypto::OsRandom().NextU64(),
                                    .tally = [this] { return server_ ? server_->Counted() : detect::Tally(); },
                                    .missing = [this] { return MissingNow(); }},
                                   clock_, log_);
}

std::vector<protect::Measure> ServeLoop::MissingNow() const {
  const worker::SupervisorStatus status = model_->status();
  return status.model ? status.model->protections.Missing() : std::vector<protect::Measure>();
}

void ServeLoop::SaveSoon() {
  {
    const std::scoped_lock lock(mutex_);
    has_news_ = true;
  }
  wake_.notify_all();
}

// On the supervisor's thread.
void ServeLoop::OnEvent(const worker::Event& event) {
  if (event.ending && event.ending->cause != worker::EndCause::kQuit) SaveSoon();
  const auto cause = event.ending ? worker::NameOf(event.ending->cause) : std::string_view();
  const std::initializer_list<LogField> fields = {
      {"version", event.version}, {"detail", event.detail}, {"cause", cause}, {"delay_ms", event.retry.count()}};
  switch (event.kind) {
    case worker::EventKind::kServing:
      return log_.Info("model_serving", fields);
    case worker::EventKind::kRefused:
      return log_.Warn("model_refused", fields);
    case worker::EventKind::kEnded:
      return log_.Warn("model_ended", fields);
    case worker::EventKind::kExpired:
      return log_.Warn("model_expired", fields);
    case worker::EventKind::kStartFailed:
      return log_.Warn("model_start_failed", fields);
  }
}

// On any thread that answers.
void ServeLoop::OnDetection(const serving::DetectionEvent& event) {
  using Kind = serving::DetectionEvent::Kind;
  switch (event.kind) {
    case Kind::kExtraction:
      return log_.WarnSparingly("detector_extraction", {{"asker", event.asker}, {"reason", event.detail}});
    case Kind::kOverBudget:
      return log_.WarnSparingly("detector_over_budget", {{"asker", event.asker}, {"reason", event.detail}});
    case Kind::kDrift:
      return log_.WarnSparingly("detector_drift", {{"reason", event.detail}});
  }
}

std::shared_ptr<worker::ModelSource> ServeLoop::SourceOf(const delivery::Current& current) {
  delivery::ModelKeeper& keeper = Present(kept_, kOpenedByRun).keeper;
  return std::make_shared<worker::BundleSource>(
      current.bundle, [&keeper, current](bundle::ByteSource& source) { return keeper.Open(source, current); }, clock_);
}

void ServeLoop::ServeStored() {
  again_at_ = SteadyTime::max();
  auto stored = Present(kept_, kOpenedByRun).keeper.Stored();
  if (stored) return Take(*std::move(stored));
  log_.Info("model_not_held", {{"code", TraitsOf(stored.error().code).name}, {"reason", stored.error().message}});
}

// Each version that is discarded is one less: it ends.
void ServeLoop::Take(delivery::Current current) {
  for (;;) {
    const auto served = model_->Serve(SourceOf(current));
    if (served) return KeepAsUsed(current);
    if (WorthAnotherTry(current, served.error().code)) {
      again_at_ = clock_.SteadyNow() + kTryAgainAfter;
      return;
    }
    failed_tries_ = 0;
    auto before = Present(kept_, kOpenedByRun).keeper.Discard(current);
    if (!before) return;
    // It serves all the while.
    if (used_ == before->model.manifest && model_->status().serving) return;
    current = *std::move(before);
  }
}

void ServeLoop::KeepAsUsed(const delivery::Current& current) {
  used_ = current.model.manifest;
  failed_tries_ = 0;
  again_at_ = SteadyTime::max();
  const auto confirmed = Present(kept_, kOpenedByRun).keeper.Confirm(current);
  if (confirmed) return;
  log_.Error("model_version_not_recorded",
             {{"version", std::to_string(current.model.version)}, {"reason", confirmed.error().message}});
}

// A model that is bad is so for ever. A clock that is wrong, a signer that is not trusted or memory that is short is no
// fault of it; but what keeps failing beside a version that works is given up.
bool ServeLoop::WorthAnotherTry(const delivery::Current& current, ErrorCode code) {
  if (used_ == current.model.manifest) return true;
  constexpr std::array kBad = {ErrorCode::kDataLoss, ErrorCode::kMalformed, ErrorCode::kInvalidArgument,
                               ErrorCode::kTooLarge};
  if (std::ranges::find(kBad, code) != kBad.end()) return false;
  return !used_ || ++failed_tries_ < kMostTries;
}

// `tacit-agent run` may have renewed it, or it is due.
void ServeLoop::LookAtCertificate() {
  look_at_ = clock_.SteadyNow() + kTryRenewalAgainAfter;
  const auto identity = FreshIdentity(options_.state_directory, clock_);
  const auto connected = identity ? Reconnect(*identity) : Result<void>(std::unexpected(identity.error()));
  if (!connected) {
    log_.Warn("agent_identity_not_read", {{"reason", connected.error().message}});
    return;
  }
  const auto until_due = std::chrono::ceil<Millis>(enrolment::RenewalDueAt(*identity) - clock_.Now());
  if (until_due > Millis(0)) look_at_ = clock_.SteadyNow() + std::min(until_due, kBetweenLooksAtCertificate);
}

Result<void> ServeLoop::Reconnect(const enrolment::EnrolledIdentity& identity) {
  if (identity.certificate_pem == certificate_) return {};
  const std::scoped_lock lock(connection_mutex_);
  TACIT_TRY_VOID(Present(kept_, kOpenedByRun).keeper.Reconnect(enrolment::ClientOptionsFor(identity)));
  TACIT_TRY_VOID(Present(reporter_, kOpenedByRun).Reconnect(enrolment::ClientOptionsFor(identity)));
  certificate_ = identity.certificate_pem;
  log_.Info("agent_certificate_renewed", {{"not_after", FormatRfc3339(identity.not_after)}});
  return {};
}

void ServeLoop::Refresh() {
  delivery::ModelKeeper& keeper = Present(kept_, kOpenedByRun).keeper;
  auto refreshed = keeper.Refresh();
  refresh_at_ = clock_.SteadyNow() + keeper.UntilNext();
  if (!refreshed) return;
  Take(std::move(refreshed->current));
  Present(reporter_, kOpenedByRun).SendSoon();
}

void ServeLoop::Report() {
  reports::Reporter& reporter = Present(reporter_, kOpenedByRun);
  bool has_news = false;
  {
    const std::scoped_lock lock(mutex_);
    has_news = std::exchange(has_news_, false);
  }
  if (clock_.SteadyNow() >= reporter.due()) return reporter.Send();
  if (!has_news && clock_.SteadyNow() < save_at_) return;
  reporter.Save();
  save_at_ = clock_.SteadyNow() + kBetweenSaves;
}

Millis ServeLoop::UntilSomethingIsDue() const {
  const SteadyTime due = Present(reporter_, kOpenedByRun).due();
  const auto left = std::min({refresh_at_, again_at_, look_at_, save_at_, due}) - clock_.SteadyNow();
  return std::max(std::chrono::ceil<Millis>(left), Millis(0));
}

void ServeLoop::Watch(const std::stop_token& stop) {
  const std::stop_callback cancel(stop, [this] {
    const std::scoped_lock lock(connection_mutex_);
    Present(kept_, kOpenedByRun).keeper.Cancel();
    Present(reporter_, kOpenedByRun).Cancel();
  });
  while (!stop.stop_requested()) {
    // What a model and a server were just asked with is not used again for long.
    protect::LetGoOfStartPages();
    {
      std::unique_lock lock(mutex_);
      wake_.wait_for(lock, stop, UntilSomethingIsDue(), [this] { return has_news_; });
    }
    if (stop.stop_requested()) return;
    if (clock_.SteadyNow() >= again_at_) ServeStored();
    const bool refreshes = clock_.SteadyNow() >= refresh_at_;
    if (refreshes || clock_.SteadyNow() >= look_at_) LookAtCertificate();
    // A connection that was made after the stop was not cancelled by it.
    if (refreshes && !stop.stop_requested()) Refresh();
    if (!stop.stop_requested()) Report();
  }
}

// Null where it listens at none.
Result<std::unique_ptr<net::HttpServer>> ServeLoop::ListenAtPort(net::IoThreads& threads,
                                                                 net::ServerObserver& observer) {
  if (options_.port.at.address.empty()) return std::unique_ptr<net::HttpServer>();
  TACIT_TRY_VOID(serving::ReadTokenFile(options_.port.tokens));
  TACIT_TRY(PortIdentity identity, LoadPortIdentity(options_.port, options_.state_directory, clock_.Now()));
  net::ListenerOptions listener = ListenerNamed("serving_port");
  listener.address = options_.port.at.address;
  listener.port = options_.port.at.port;
  listener.tls = std::move(identity.tls);
  TACIT_TRY(auto http, net::HttpServer::Create(threads, std::move(listener), observer));
  log_.Info("serving_port_opened", {{"address", options_.port.at.address},
                                    {"port", http->port()},
                                    {"trust", identity.trust.string()},
                                    {"tokens", options_.port.tokens.string()}});
  return http;
}

Result<void> ServeLoop::ServeUntil(const std::stop_token& stop) {
  ConnectionLog observer(log_);
  serving::ModelServerOptions server_options = options_.server;
  server_options.model_name = options_.task.str();
  server_options.on_detection = [this](const serving::DetectionEvent& event) { OnDetection(event); };
  TACIT_TRY(const auto threads, net::IoThreads::Create(kServingThreads));
  gate_ = std::make_unique<serving::TokenGate>(options_.port.tokens, log_, clock_);
  server_ = std::make_unique<serving::ModelServer>(std::move(server_options), *model_, clock_, gate_.get());
  const net::ListenerOptions listener = SocketOptions(options_);
  std::vector<std::unique_ptr<net::HttpServer>> listeners(2);
  TACIT_TRY(listeners[0], net::HttpServer::Create(*threads, listener, observer));
  TACIT_TRY(listeners[1], ListenAtPort(*threads, observer));
  std::erase(listeners, nullptr);
  threads->Start();
  for (const auto& http : listeners)
    http->Serve([this](net::HttpRequest& request) { return server_->Handle(request); });
  log_.Info("serving_started", {{"socket", listener.unix_path.string()}, {"model", options_.task.str()}});
  ServeStored();
  Watch(stop);
  const SteadyTime drained = clock_.SteadyNow() + options_.drain;
  for (const auto& http : listeners) http->StopAccepting();
  for (const auto& http : listeners) http->Drain(drained);
  server_->Stop();
  threads->StopAndJoin();
  Present(reporter_, kOpenedByRun).Save();
  return {};
}

}  // namespace tacit::agent
