#include <string>

#include "common/net/http_server.h"
#include "server/app/config.h"

namespace tacit::app {

namespace {

/// Measured resident size of an idle server, with room for SQLite's cache, the stacks that threads touch and the
/// registries of a large fleet.
constexpr std::uint64_t kProgramBytes = 96ULL << 20U;

/// SessionCache counts 7.6 KiB for a device of this CA: room for half of the devices that may be connected. Those are
/// in the memory of their connections, too, as long as they are.
constexpr std::uint64_t kSessionBytesPerConnection = 4 * 1024;

std::uint64_t ConnectionBytes(const ListenerConfig& listener) {
  net::ListenerOptions options;
  options.max_connections = listener.max_connections;
  return net::HttpServer::WorstCaseBytes(options);
}

std::string InMiB(std::uint64_t bytes) {
  return std::to_string((bytes + (1U << 20U) - 1) >> 20U) + " MiB";
}

}  // namespace

std::uint64_t SessionMemory(const ServerConfig& config) {
  return config.session_lifetime > Millis(0) ? config.agents.max_connections * kSessionBytesPerConnection : 0;
}

MemoryPlan WorstCaseMemory(const ServerConfig& config) {
  return {.uploads = config.limits.upload_memory,
          .tasks = config.limits.task_memory,
          .bundles = config.limits.bundle_memory,
          .connections = ConnectionBytes(config.agents) + ConnectionBytes(config.enrolment.listener) +
                         ConnectionBytes(config.api) + ConnectionBytes(config.metrics),
          .sessions = SessionMemory(config),
          .program = kProgramBytes};
}

Result<void> CheckMemory(const ServerConfig& config) {
  const MemoryPlan plan = WorstCaseMemory(config);
  if (plan.total() <= config.limits.memory_ceiling) return {};
  return Fail(ErrorCode::kInvalidArgument,
              "the limits allow " + InMiB(plan.total()) + " of memory, more than limits.memory_ceiling of " +
                  InMiB(config.limits.memory_ceiling) + ". Raise it, or lower limits.upload_memory (" +
                  InMiB(plan.uploads) + "), limits.task_memory (" + InMiB(plan.tasks) + "), limits.bundle_memory (" +
                  InMiB(plan.bundles) + ") or agents.max_connections (" + InMiB(plan.connections + plan.sessions) +
                  " for all connections and the sessions of devices); the program itself takes " + InMiB(plan.program));
}

}  // namespace tacit::app
