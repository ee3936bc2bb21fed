#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>

#include <nlohmann/json.hpp>

#include "common/base/result.h"

namespace tacit::load {

struct Scene {
  std::filesystem::path directory;  ///< Of `tacit init`, with its fleet.
  std::uint16_t port = 0;           ///< Of the agents' listener, on 127.0.0.1.
  pid_t server = 0;                 ///< Whose CPU time and memory are measured.
  std::size_t clients = 0;
};

enum class KeepAlive : bool { kNo, kYes };

struct RoundsOptions {
  std::string task;
  std::size_t rounds = 1;
  /// Rounds before them that are not measured: in the first one a server touches its memory for the first time, which
  /// the reference has done before its clients come.
  std::size_t warm_up = 0;
  std::size_t parameters = 0;
  KeepAlive keep_alive = KeepAlive::kYes;
  /// Every so many-th client does something wrong before it uploads as it should: goes away in the middle, drips, sends
  /// a byte that was changed, or uploads again what was acknowledged. 0: none.
  std::size_t mischief_every = 0;
};

/// Every client takes part in every round of a task of `clients` devices: check-in, upload, acknowledgement.
/// What comes back, each over all rounds: updates, seconds and CPU seconds of the uploads alone, CPU seconds of the
/// check-ins, latencies from an upload's first byte to its acknowledgement, memory, and how often it was told to come
/// back.
/// Errors: kInternal for an answer that should not have been given.
Result<nlohmann::json> RunRounds(const Scene& scene, const RoundsOptions& options);

/// The same uploads, to a server that only reads them.
Result<nlohmann::json> RunSink(const Scene& scene, const RoundsOptions& options);

struct IdleOptions {
  std::string task;
  std::size_t check_ins = 0;  ///< Measured one after another, while all are connected.
};

/// All clients connect and wait in long polls; some of them are then asked to check in again.
Result<nlohmann::json> RunIdle(const Scene& scene, const IdleOptions& options);

struct StormOptions {
  bool reference = false;  ///< Against the server that does nothing but TLS, instead.
};

/// All clients are connected and checked in, are cut at once, and connect again at once.
Result<nlohmann::json> RunStorm(const Scene& scene, const StormOptions& options);

}  // namespace tacit::load
