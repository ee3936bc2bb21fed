#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/ids.h"
#include "dp/ledger.h"
#include "server/store/store.h"

namespace tacit::simulation {

/// Parameters of the model of every simulated task.
inline constexpr std::size_t kParameters = 9;
using Grid = std::array<std::int32_t, kParameters>;
/// Partial sums of a simulated round: few, so that rounds of four devices merge theirs.
inline constexpr std::size_t kPartialsAtMost = 2;

/// What the world outside the server knows for certain, kept through every crash, and what it must therefore find
/// again. It shares no code with what it checks.
class History {
 public:
  /// A device has made its update for a round. Kept by the device until it is answered.
  void Made(const RoundKey& round, const DeviceId& device, const Digest128& digest, const Grid& grid);
  /// The server said that it is counted.
  void Acknowledged(const RoundKey& round, const DeviceId& device);
  /// The server said that the task is there.
  void Created(const TaskId& task) { created_.insert(task); }
  /// The server took the key that the noise of a round is drawn with.
  void Drawn(const RoundKey& round, Bytes key);
  void Complain(std::string what) { violations_.push_back(std::move(what)); }

  /// Compares with what a store holds that a process has just opened, or is about to close.
  void Check(store::Store& store);
  /// Whether every task came to its end.
  static bool AllEnded(store::Store& store);

  [[nodiscard]] const std::vector<std::string>& violations() const { return violations_; }
  [[nodiscard]] std::uint64_t acknowledged() const { return acknowledged_; }
  [[nodiscard]] std::uint64_t published() const { return models_.size(); }
  /// Entries of sums that came from updates of older models.
  [[nodiscard]] std::uint64_t stale() const { return stale_; }
  /// Digests of all models, for a comparison of two runs.
  [[nodiscard]] std::string Fingerprint() const;

 private:
  struct Update {
    Digest128 digest{};
    Grid grid{};
    bool acknowledged = false;
  };
  /// What an ended round is for ever.
  struct Ending {
    store::RoundPhase phase = store::RoundPhase::kAbandoned;
    std::uint64_t counted = 0;
    bool operator==(const Ending&) const = default;
  };
  using Devices = std::set<DeviceId>;

  void CheckTask(store::Store& store, const store::TaskRecord& task);
  void CheckRound(store::Store& store, const store::TaskRecord& task, const store::RoundRecord& round);
  Devices CheckContributions(store::Store& store, const store::TaskRecord& task, const store::RoundRecord& round);
  void MatchBuffers(store::Store& store, const TaskId& task, const std::vector<store::RoundRecord>& rounds);
  [[nodiscard]] double ShareOf(const store::TaskRecord& task, const RoundKey& round, const DeviceId& device,
                               std::size_t entry);
  void CheckModel(store::Store& store, const store::TaskRecord& task, const RoundKey& round, const Devices& devices);
  void CheckSum(const store::TaskRecord& task, const RoundKey& round, const Devices& devices,
                const std::array<double, kParameters>& step);
  void CheckMark(store::Store& store, const store::TaskRecord& task, const store::ModelRecord& model,
                 std::span<const float> parameters);
  void CheckLedger(store::Store& store, const store::TaskRecord& task);
  void CheckParticipations(store::Store& store, const TaskId& task, const std::map<DeviceId, std::uint64_t>& rounds);

  std::map<RoundKey, std::map<DeviceId, Update>> updates_;  // by the round that leased them
  // Rounds that leased a device's updates, in the order in which it made them.
  std::map<std::pair<TaskId, DeviceId>, std::vector<RoundNumber>> made_;
  // Of asynchronous tasks: which of a device's leases a buffer counted.
  std::map<RoundKey, std::map<DeviceId, RoundNumber>> leases_;
  std::set<TaskId> created_;
  std::map<RoundKey, Bytes> drawn_;
  std::map<RoundKey, Devices> counted_;
  std::map<RoundKey, Ending> endings_;
  std::map<RoundKey, Digest256> models_;
  std::map<TaskId, std::vector<dp::LedgerEntry>> ledgers_;
  std::optional<Grid> noise_;  // of a stream of zeros: the same in every round
  std::uint64_t acknowledged_ = 0;
  std::uint64_t stale_ = 0;
  std::vector<std::string> violations_;
};

}  // namespace tacit::simulation
