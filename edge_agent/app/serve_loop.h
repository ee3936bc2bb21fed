#pragma once

#include <sys/types.h>

#include <condition_variable>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/base/ids.h"
#include "common/base/log.h"
#include "common/base/result.h"
#include "common/net/executor.h"
#include "common/net/http_server.h"
#include "edge_agent/app/kept_model.h"
#include "edge_agent/app/serving_port.h"
#include "edge_agent/keys/key_place.h"
#include "edge_agent/protect/protections.h"
#include "edge_agent/reports/reporter.h"
#include "edge_agent/serving/model_server.h"
#include "edge_agent/serving/served_model.h"
#include "edge_agent/serving/token_gate.h"

namespace tacit::agent {

struct ServeOptions {
  std::filesystem::path state_directory;
  TaskId task;
  keys::KeyPlace key;
  std::vector<std::filesystem::path> signers = {};  ///< PEM; empty: the server's own key.
  std::filesystem::path socket;                     ///< Empty: serving.sock in the state directory.
  mode_t socket_mode = 0660;
  PortOptions port = {};
  Millis drain{10'000};             ///< At the end, for requests under way.
  Millis report_interval{900'000};  ///< As reports::ReporterOptions::interval.
  serving::ModelServerOptions server = {};
};

/// The life of an agent that serves: a worker with the model that this device holds, a socket and perhaps a port to ask
/// it at, and the keeper that asks the server for the next lease and the next version, and is told how it goes. Log
/// events: docs/OPERATING.md.
/// Threads: Run in one; the stop token may be used from any.
class ServeLoop {
 public:
  ServeLoop(ServeOptions options, Logger& log, const Clock& clock);

  /// Returns when `stop` is requested. A model that is held already is served before anybody is asked. One that cannot
  /// be had, or used, is told and waited for; until there is one, nothing is ready.
  /// Errors: of the device's identity and key, the directory of its models, the socket, and the port with its tokens.
  Result<void> Run(const std::stop_token& stop);

 private:
  [[nodiscard]] worker::SupervisorOptions SupervisorOptionsNow();
  void OnEvent(const worker::Event& event);
  void SaveSoon();
  [[nodiscard]] std::vector<protect::Measure> MissingNow() const;
  Result<reports::Reporter> MakeReporter(const enrolment::EnrolledIdentity& identity);
  void Report();
  void OnDetection(const serving::DetectionEvent& event);
  [[nodiscard]] std::shared_ptr<worker::ModelSource> SourceOf(const delivery::Current& current);
  void ServeStored();
  void Take(delivery::Current current);
  void KeepAsUsed(const delivery::Current& current);
  /// Whether what cannot be served may be served another time.
  bool WorthAnotherTry(const delivery::Current& current, ErrorCode code);
  void LookAtCertificate();
  Result<void> Reconnect(const enrolment::EnrolledIdentity& identity);
  void Refresh();
  [[nodiscard]] Millis UntilSomethingIsDue() const;
  void Watch(const std::stop_token& stop);
  Result<std::unique_ptr<net::HttpServer>> ListenAtPort(net::IoThreads& threads, net::ServerObserver& observer);
  Result<void> ServeUntil(const std::stop_token& stop);

  const ServeOptions options_;
  Logger& log_;
  const Clock& clock_;
  std::optional<KeptModel> kept_;  // set by Run, before the supervisor that opens models with it
  std::optional<reports::Reporter> reporter_;
  std::unique_ptr<serving::SupervisedModel> model_;
  std::unique_ptr<serving::TokenGate> gate_;
  std::unique_ptr<serving::ModelServer> server_;  // set before anything is served or reported
  std::mutex connection_mutex_;                   // guards the connections, which are replaced and cancelled
  std::string certificate_;                       // that it was made with
  std::optional<Digest256> used_;                 // what serves, or served last
  int failed_tries_ = 0;                          // of one version
  SteadyTime refresh_at_;
  SteadyTime look_at_;  // for another certificate
  SteadyTime again_at_ = SteadyTime::max();
  SteadyTime save_at_;  // what was counted
  mutable std::mutex mutex_;
  bool has_news_ = false;  // that should be on the disk at once; guarded by mutex_
  std::condition_variable_any wake_;
};

}  // namespace tacit::agent
