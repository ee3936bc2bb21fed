#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "tests/simulation/fleet.h"
#include "tests/simulation/history.h"
#include "tests/simulation/simulated_disk.h"
#include "tests/simulation/simulated_time.h"
#include "tests/support/temp_directory.h"

namespace tacit::simulation {

struct WorldOptions {
  std::uint64_t seed = 0;
  bool disk_lies = false;
};

struct Outcome {
  std::vector<std::string> violations;
  std::uint64_t crashes = 0;
  std::uint64_t merges = 0;  ///< Of partial sums.
  std::uint64_t acknowledged = 0;
  std::uint64_t published = 0;
  std::uint64_t stale = 0;  ///< Entries of sums that came from updates of older models.
  std::string fingerprint;
};

/// A fleet and the processes of one server, one after the other, on simulated time, network and disk. The same seed
/// is the same story, whatever the machine: one thread, and every choice is the seed's.
class World {
 public:
  explicit World(WorldOptions options);

  /// Processes that crash or are stopped, then one that is left alone until every task has ended.
  Outcome Run();

 private:
  class Process;
  /// What becomes of a process.
  struct Fate {
    std::uint64_t steps = 0;  ///< Until it is stopped or crashes, unless a sync crashes it first.
    bool stops_well = false;
    Crash crash = Crash::kKill;
    std::uint64_t syncs = 0;  ///< Until it crashes; 0: no sync does it.
    double disk_failure = 0;  ///< Probability, once it has started.
    [[nodiscard]] static Fate Drawn(std::mt19937_64& random);
  };

  void Live(const Fate& fate);
  void LiveToTheEnd();

  WorldOptions options_;
  std::mt19937_64 random_;
  SimulatedTime time_;
  SystemClock clock_;
  testing::TempDirectory root_;
  SimulatedDisk disk_;
  History history_;
  Fleet fleet_;
  std::uint64_t crashes_ = 0;
  std::uint64_t merges_ = 0;
};

}  // namespace tacit::simulation
