#pragma once

#include <sys/types.h>

#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>

#include "common/base/clock.h"
#include "common/base/ids.h"
#include "common/base/log.h"
#include "common/base/result.h"
#include "edge_agent/app/deployment.h"
#include "edge_agent/keys/device_key.h"
#include "edge_agent/keys/key_place.h"
#include "edge_agent/serving/model_server.h"
#include "edge_agent/serving/served_model.h"

namespace tacit::agent {

struct ServeOptions {
  std::filesystem::path state_directory;
  TaskId task;
  keys::KeyPlace key;
  std::filesystem::path socket;  ///< Empty: serving.sock in the state directory.
  mode_t socket_mode = 0660;
  Millis drain{10'000};  ///< At the end, for requests under way.
  serving::ModelServerOptions server = {};
};

/// The life of an agent that serves: a worker with the model that lies in the state directory, a socket to ask it at,
/// and a look every second whether another version, or another lease, was put there. Log events: docs/OPERATING.md.
/// Threads: Run in one; the stop token may be used from any.
class ServeLoop {
 public:
  ServeLoop(ServeOptions options, Logger& log, const Clock& clock);

  /// Returns when `stop` is requested. A model that cannot be used is told and waited for; until there is one, nothing
  /// is ready. Errors: of the deployment, the device's key and the socket.
  Result<void> Run(const std::stop_token& stop);

 private:
  // What tells one pair of files from the next.
  struct Stamp {
    std::int64_t bundle_time = 0;
    std::int64_t lease_time = 0;
    std::uint64_t bundle_file = 0;
    std::uint64_t lease_file = 0;
    bool operator==(const Stamp&) const = default;
  };
  struct Pair {
    std::filesystem::path bundle;
    std::filesystem::path lease;
  };
  [[nodiscard]] Stamp StampNow() const;
  [[nodiscard]] worker::SupervisorOptions SupervisorOptionsNow();
  void OnEvent(const worker::Event& event);
  void ServeFromDisk();
  Result<void> ServePair(const Pair& pair);
  void KeepAsGood(const Stamp& served);
  void Watch(const std::stop_token& stop);
  Result<void> ServeUntil(const std::stop_token& stop);

  const ServeOptions options_;
  const DeploymentFiles files_;
  Logger& log_;
  const Clock& clock_;
  std::optional<Deployment> deployment_;  // set by Run
  std::optional<keys::DeviceKey> key_;    // set by Run; used by the supervisor's thread only
  std::unique_ptr<RollbackGuard> guard_;  // as key_
  std::unique_ptr<serving::SupervisedModel> model_;
  Stamp seen_;
  SteadyTime again_at_ = SteadyTime::max();
  std::mutex mutex_;
  std::condition_variable_any wake_;
};

}  // namespace tacit::agent
