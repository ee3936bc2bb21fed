#include <sys/resource.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "server/app/config.h"

namespace tacit::app {

namespace {

/// The listeners, the database and its log, what is being read or written in the data directory, the standard streams,
/// and room for what the system's libraries open for a moment.
constexpr std::uint64_t kOwnFiles = 128;
/// Of an I/O thread: its poll, its wake-up and its timer.
constexpr std::uint64_t kFilesPerThread = 3;
/// The threads of the rounds and of the store are such threads, too.
constexpr std::uint64_t kOtherThreads = 2;

std::string Advice(const ServerConfig& config, std::uint64_t needed, std::uint64_t allowed) {
  const std::uint64_t missing = needed - allowed;
  std::string advice = "Raise the hard limit (LimitNOFILE=" + std::to_string(needed) +
                       " in a systemd unit, --ulimit nofile=" + std::to_string(needed) +
                       " for a container, /etc/security/limits.conf for a login)";
  const std::uint64_t of_agents = config.agents.max_connections;
  if (of_agents > missing) advice += ", or lower agents.max_connections to " + std::to_string(of_agents - missing);
  return advice;
}

}  // namespace

std::uint64_t FilesNeeded(const ServerConfig& config) {
  const std::uint64_t connections = std::uint64_t{config.agents.max_connections} +
                                    config.enrolment.listener.max_connections + config.api.max_connections +
                                    config.metrics.max_connections;
  return connections + kOwnFiles + kFilesPerThread * (config.io_threads + kOtherThreads);
}

Result<void> MakeRoomForFiles(const ServerConfig& config) {
  const std::uint64_t needed = FilesNeeded(config);
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0)
    return Fail(ErrorCode::kUnavailable, std::string("cannot ask for the limit of open files: ") + strerror(errno));
  if (limit.rlim_max < needed) {
    return Fail(ErrorCode::kInvalidArgument, "the max_connections of all listeners and the server's own files take " +
                                                 std::to_string(needed) + " open files, and the system allows " +
                                                 std::to_string(limit.rlim_max) + ". " +
                                                 Advice(config, needed, limit.rlim_max));
  }
  limit.rlim_cur = limit.rlim_max;
  if (::setrlimit(RLIMIT_NOFILE, &limit) != 0)
    return Fail(ErrorCode::kUnavailable, std::string("cannot raise the limit of open files: ") + strerror(errno));
  return {};
}

}  // namespace tacit::app
