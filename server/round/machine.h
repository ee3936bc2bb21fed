#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/base/ids.h"
#include "common/base/result.h"

namespace tacit::round {

/// Where a round stands. It only ever moves down this list, and it always reaches one of the last two.
enum class Phase : std::uint8_t {
  kScheduled,  ///< Waits until enough devices have checked in; nothing is spent yet.
  kOpen,       ///< The budget is reserved; leases are given and updates are taken.
  kClosing,    ///< No more updates; waits for the last ones to be durable, then for the charge.
  kCharged,    ///< The charge is durable; noise may be drawn and the model published.
  kPublished,  ///< Ended: the next model is durable and served.
  kAbandoned,  ///< Ended without a model. What was reserved stays spent.
};

/// The stable name of a phase in the API, the log and the metrics.
std::string_view NameOf(Phase phase);

/// The limits one round runs under.
struct Rules {
  std::uint32_t min_cohort = 1;      ///< Fewer than this at the deadline: the round is abandoned.
  std::uint32_t target_cohort = 1;   ///< Reached: the round closes at once.
  std::uint32_t max_leases = 1;      ///< Target times over-selection: how many devices may be at work.
  Millis deadline{60'000};           ///< From open to closing.
  Millis interest_lifetime{60'000};  ///< How long a check-in counts as presence while the round is scheduled.
  Millis retry_delay{2'000};         ///< Between attempts of a step that the store refused.
  std::uint32_t max_attempts = 30;   ///< Attempts of one step before the round is abandoned.
  std::uint32_t full_batch = 1;      ///< Updates that are worth a commit of their own, without waiting for more.
  /// Nothing that can be seen may depend on how many come: the round ends at its deadline and not when it is full, and
  /// with whoever came.
  bool cohort_is_secret = false;
  /// With a secret cohort: from the closing to the charge, so that the time of the end does not tell whether an update
  /// that came last was still on its way to the disk. Longer than that should take.
  Millis settling{2'000};
  /// Devices work at their own pace (docs/adr/0016): the round takes updates that earlier rounds leased, has no
  /// deadline, and closes when `target_cohort` updates are durable. `max_leases` is then how many devices are at work
  /// at a time.
  bool asynchronous = false;
  Millis lease_lifetime{60'000};  ///< Asynchronous: how long the place of a device that does not answer is held.
};

/// What tells a retry of an update from another one.
struct Sent {
  Digest128 digest{};
  RoundNumber leased_in = 0;  ///< Asynchronous: the round that gave the lease. Otherwise 0.
  bool operator==(const Sent&) const = default;
};

/// Who is at work, and since when.
class Leases {
 public:
  /// From now on, also where it did already. Times must not decrease.
  void Hold(const DeviceId& device, SteadyTime now);
  /// Whether it held one.
  bool Free(const DeviceId& device);
  /// Cost: of those that go; the others are not looked at.
  void FreeOlderThan(SteadyTime time);
  [[nodiscard]] bool Holds(const DeviceId& device) const { return since_.contains(device); }
  [[nodiscard]] std::size_t size() const { return since_.size(); }

 private:
  std::map<DeviceId, SteadyTime> since_;
  std::set<std::pair<SteadyTime, DeviceId>> by_time_;  // the same
};

/// What an asynchronous round knows from the rounds before it.
struct Lineage {
  /// Of the models that an update may have been trained from: ascending, the newest last.
  std::vector<ModelVersion> versions;
  /// Updates that were counted under leases that still hold, in this round and before it.
  std::map<DeviceId, std::vector<Sent>> counted;
  Leases leased;
};

// ---- What happens to a round ----

/// An eligible device asks for work.
struct CheckedIn {
  DeviceId device;
};
/// A device that checked in and was told to wait is gone. What it said later than `since` still holds.
struct Left {
  DeviceId device;
  SteadyTime since{};
};
/// The budget for this round is reserved, durably, and so is the fact that the round is open.
struct Opened {};
/// The round cannot be paid for, or cannot be opened at all.
struct OpenRefused {
  std::string reason;
  bool passing = false;  ///< True for a fault that a later attempt may not meet (a full disk).
};
/// A verified update is here.
struct Offered {
  DeviceId device;
  Digest128 digest{};
  RoundNumber leased_in = 0;  ///< As in Sent.
};
/// An update of this device was refused before it got here, or will not come: it counts for no opening, and its place
/// is free again.
struct Rejected {
  DeviceId device;
};
/// The wait that WaitForBatch asked for is over.
struct BatchWaited {};
/// The partial sum in flight and the list of its contributors are durable.
struct Committed {};
/// The partial sum in flight could not be made durable, and counts for nobody.
struct CommitFailed {
  std::string reason;
};
/// The closing of the cohort and the charge for it are durable.
struct Charged {};
struct ChargeFailed {
  std::string reason;
};
struct Released {};
struct ReleaseFailed {
  std::string reason;
};
/// No charge is wanted any more: a round that is not charged ends, one that is goes on to its publication.
struct StopAsked {
  std::string reason;
};
/// Time passed.
struct Tick {};

using Event = std::variant<CheckedIn, Left, Opened, OpenRefused, Offered, Rejected, BatchWaited, Committed,
                           CommitFailed, Charged, ChargeFailed, Released, ReleaseFailed, StopAsked, Tick>;

// ---- What the round wants done ----

/// Reserve the budget and record the round as open; answer with Opened or OpenRefused.
struct Open {};
struct GrantLease {
  DeviceId device;
};
/// Tell this device to come back, and why.
struct TellToWait {
  DeviceId device;
  std::string reason;
  bool lacks_place = false;  ///< And nothing else: it can have the next one that is free.
};
/// Add the offered update to the batch that is filling.
struct Fold {
  DeviceId device;
  std::uint32_t staleness = 0;  ///< Models that were published since the one it was trained from.
};
/// The same update is already in, or on its way in: answer it when, and as, the first one is answered.
struct JoinPending {
  DeviceId device;
};
struct Acknowledge {
  DeviceId device;
};
/// Refuse what the device sent; nothing was counted.
struct Refuse {
  DeviceId device;
  Error error;
};
/// Make the filling batch and its contributors durable; answer with Committed or CommitFailed.
struct CommitPartial {};
/// Say BatchWaited a moment later: a commit costs the same for one update as for many, and more are on their way.
struct WaitForBatch {};
/// Record the cohort as closed and charge for it, durably; answer with Charged or ChargeFailed.
struct Charge {};
/// Draw noise, publish; answer with Released or ReleaseFailed.
struct Release {};
/// Record the end without a model.
struct Abandon {
  std::string reason;
};
/// Something every waiting device or an operator can see has changed. Free places are no such thing: see FreePlaces.
struct Announce {};

using Action = std::variant<Open, GrantLease, TellToWait, Fold, JoinPending, Acknowledge, Refuse, CommitPartial,
                            WaitForBatch, Charge, Release, Abandon, Announce>;
using Actions = std::vector<Action>;

/// One round as a pure state machine: no I/O, no clock, no randomness. Given the same events it does the same things,
/// so the server and the simulation run the very same code. Threads: one at a time.
class Machine {
 public:
  /// An asynchronous round has a lineage with at least one version; others have none.
  Machine(RoundKey key, Rules rules, Lineage lineage = {});

  /// A round found in the store at start: `counted` is what was durable. An open round gets its full deadline again,
  /// because devices could not reach it while the server was down.
  static Machine Restore(RoundKey key, Rules rules, Phase phase, std::map<DeviceId, Sent> counted, SteadyTime now,
                         Lineage lineage = {});

  /// What the next round of an asynchronous task is to know, where updates may have been trained from `versions`.
  Lineage Succession(std::vector<ModelVersion> versions) &&;

  /// Takes one event at time `now` and says what to do. Events must carry non-decreasing times.
  Actions Step(const Event& event, SteadyTime now);

  [[nodiscard]] const RoundKey& key() const { return key_; }
  [[nodiscard]] Phase phase() const { return phase_; }
  [[nodiscard]] bool ended() const { return phase_ == Phase::kPublished || phase_ == Phase::kAbandoned; }
  /// Devices whose update is durable in this round.
  [[nodiscard]] const std::map<DeviceId, Sent>& counted() const { return counted_; }
  [[nodiscard]] std::size_t leased() const { return lineage_.leased.size(); }
  /// How many more devices would get a lease if they asked.
  [[nodiscard]] std::size_t FreePlaces() const;
  /// SteadyTime::max() where there is none.
  [[nodiscard]] SteadyTime deadline() const { return deadline_; }
  /// Asynchronous: whether an update that was leased in this round can still be taken.
  /// Errors: kGone when the model that it was trained from is too old.
  [[nodiscard]] Result<void> CheckLease(RoundNumber leased_in) const;
  /// Asynchronous: whether an update of this lease was counted, or is on its way to the disk.
  [[nodiscard]] bool HasUpdate(const DeviceId& device, RoundNumber leased_in) const;
  /// Of this device's update that is durable: in this round, or in an asynchronous task under this lease (as in Sent).
  [[nodiscard]] std::optional<Digest128> CountedDigest(const DeviceId& device, RoundNumber leased_in) const;
  /// Why it is not further on, in words; why it ended, once it has.
  [[nodiscard]] std::string WaitingFor() const;

 private:
  void On(const CheckedIn& event, SteadyTime now, Actions& out);
  void On(const Left& event, SteadyTime now, Actions& out);
  void On(const Opened& event, SteadyTime now, Actions& out);
  void On(const OpenRefused& event, SteadyTime now, Actions& out);
  void On(const Offered& event, SteadyTime now, Actions& out);
  void On(const Rejected& event, SteadyTime now, Actions& out);
  void On(const BatchWaited& event, SteadyTime now, Actions& out);
  void On(const Committed& event, SteadyTime now, Actions& out);
  void On(const CommitFailed& event, SteadyTime now, Actions& out);
  void On(const Charged& event, SteadyTime now, Actions& out);
  void On(const ChargeFailed& event, SteadyTime now, Actions& out);
  void On(const Released& event, SteadyTime now, Actions& out);
  void On(const ReleaseFailed& event, SteadyTime now, Actions& out);
  void On(const StopAsked& event, SteadyTime now, Actions& out);
  void On(const Tick& event, SteadyTime now, Actions& out);

  [[nodiscard]] std::size_t Taken() const { return counted_.size() + in_flight_.size() + filling_.size(); }
  /// Asynchronous: as many updates are here as the round takes, unless one does not get to the disk.
  [[nodiscard]] bool Full() const { return rules_.asynchronous && Taken() >= rules_.target_cohort; }
  [[nodiscard]] const Sent* Find(const DeviceId& device) const;
  [[nodiscard]] bool Knows(const DeviceId& device) const { return Find(device) != nullptr; }
  [[nodiscard]] const Sent* FindCountedBefore(const DeviceId& device, RoundNumber leased_in) const;
  [[nodiscard]] std::optional<Error> ObstacleTo(const Offered& event) const;
  [[nodiscard]] std::uint32_t StalenessOf(RoundNumber leased_in) const;
  void OfferAgain(const Offered& event, Actions& out) const;
  void CommitOrWait(Actions& out);
  void StartCommit(Actions& out);
  void StartClosing(SteadyTime now, Actions& out);
  void CloseWhenSettled(SteadyTime now, Actions& out);
  void ForgetTheGone(SteadyTime now);
  void TryOpen(SteadyTime now, Actions& out);
  void RetryOrAbandon(std::string_view step, const std::string& reason, SteadyTime now, Actions& out);
  void Redo(SteadyTime now, Actions& out);
  void End(std::string reason, Actions& out);

  RoundKey key_;
  Rules rules_;
  Phase phase_ = Phase::kScheduled;
  bool opening_ = false;      // Open was asked for and not answered.
  bool batch_waits_ = false;  // WaitForBatch was asked for and not answered.
  bool charging_ = false;     // Charge was asked for and not answered.
  bool releasing_ = false;    // Release was asked for and not answered.
  std::uint32_t attempts_ = 0;
  SteadyTime retry_at_ = SteadyTime::max();
  SteadyTime deadline_ = SteadyTime::max();
  SteadyTime settles_at_{};  // no sooner does a closing round with a secret cohort end
  std::string reason_;
  std::string stop_reason_;  // set once a stop was asked for
  std::map<DeviceId, SteadyTime> interested_;
  Lineage lineage_;                     // `leased` also of rounds that are not asynchronous
  std::map<DeviceId, Sent> counted_;    // durable
  std::map<DeviceId, Sent> in_flight_;  // in the batch being committed
  std::map<DeviceId, Sent> filling_;    // in the batch being filled
};

}  // namespace tacit::round
