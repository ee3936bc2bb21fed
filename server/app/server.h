#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

#include "common/base/log.h"
#include "server/app/config.h"
#include "server/coordinator/services.h"

namespace tacit::app {

/// What a test may replace in an otherwise real server.
struct ServerSeams {
  coordinator::NoiseSourceFactory noise_source;
  /// Called after every durable step of the store, with its name. Empty in production.
  std::function<void(std::string_view step)> after_store_step;
};

/// Noise from a key that the operating system gives anew for every round, and nobody keeps.
ServerSeams ProductionSeams();

/// The whole server, wired: the one place where parts meet. Destroyed in the reverse order of construction.
/// Threads: the methods from one thread that is none of the server's.
class Server {
 public:
  /// Takes the ports, opens the store, takes up every task, and serves. Until it has the ports it writes nothing.
  /// Errors: whatever keeps a server from running, in words for an operator.
  static Result<std::unique_ptr<Server>> Start(const ServerConfig& config, const ServerSeams& seams, Logger& log);
  /// As Stop with no grace.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  /// Ends cleanly: no new work, answers under way are given, what is acknowledged is durable.
  void Stop(Millis grace);

 private:
  struct Parts;
  explicit Server(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

/// `main` of the server: parses the command line, runs until SIGTERM or SIGINT. Returns the exit code: 0 stopped
/// cleanly or the configuration is good, 1 could not run, 2 bad command line or configuration.
int RunServer(int argc, char** argv, const ServerSeams& seams);

}  // namespace tacit::app
