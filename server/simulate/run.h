#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/ids.h"
#include "common/base/result.h"
#include "server/simulate/examples.h"
#include "server/task/task_spec.h"

namespace tacit::simulate {

/// The devices that a task meets.
struct Fleet {
  std::uint64_t devices = 1;
  double dropout = 0;  ///< In [0, 1): the probability that one which got a lease never answers it.
};

/// Most devices that are simulated.
inline constexpr std::uint64_t kMostDevices = 1'000'000;

/// Whether the fleet can carry the task at all, found before anything runs.
/// Errors: kInvalidArgument, with what to change.
Result<void> CheckFleet(const task::TaskSpec& spec, const Fleet& fleet);

/// What is simulated otherwise than an operator might think, for people; empty where nothing is.
std::vector<std::string> NotesOn(const task::TaskSpec& spec, const Fleet& fleet);

/// A published round.
struct RoundPoint {
  RoundNumber round = 0;
  std::uint64_t counted = 0;
  double accuracy = 0;  ///< Of its model on the data held out.
  double loss = 0;      ///< The same; in nats.
  /// Spent by then: of the ledger, or with noise of the devices what one spends that is in every round it may be in.
  std::optional<double> epsilon;
};

struct RunOptions {
  const FleetExamples& examples;
  Fleet fleet;
  std::size_t threads = 1;
  /// Of everything that is chance: who comes, in which order a device sees its rows, coins, noise.
  std::uint64_t seed = 0;
  /// Told of every round that is published.
  std::function<void(const RoundPoint& point)> on_round = {};
  /// Asked now and then whether to give up.
  std::function<bool()> stopped = [] { return false; };
};

struct RunOutcome {
  std::vector<RoundPoint> rounds;
  std::uint64_t abandoned = 0;
  std::string ended;                              ///< Why it did not publish all its rounds; empty where it did.
  std::optional<Digest256> model = std::nullopt;  ///< SHA-256 of the newest.
};

/// Runs a task to its end as a server does, with coordinator, round machine, ledger and store of the server and the
/// trainer of the devices, in one process and on simulated time.
///
/// The same bits for the same task, fleet, examples and seed, whatever the number of threads, on one machine.
/// Errors: kInvalidArgument for a task that the server would not take, or that does not fit the examples; kUnavailable
/// when it was stopped, or the directory for temporary files cannot be used. A task that publishes nothing is none.
/// Privacy: none. The noise is that of the mechanism, from a stream that everybody can make again from the seed: its
/// models must not leave the hands of those who have the data.
Result<RunOutcome> RunTask(const task::TaskSpec& spec, const std::string& toml, const RunOptions& options);

}  // namespace tacit::simulate
