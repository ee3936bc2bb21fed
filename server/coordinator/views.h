#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/base/ids.h"
#include "common/net/wake_up.h"
#include "dp/sum.h"
#include "server/store/records.h"
#include "server/task/task_spec.h"

namespace tacit::coordinator {

/// Whether a device that waits for its answer is still there. Threads: any.
class Presence {
 public:
  void Leave() {
    left_ = true;
    wake_.Wake();
  }
  [[nodiscard]] bool left() const { return left_; }
  /// Of the wait; woken when the device leaves, too.
  [[nodiscard]] net::WakeUp& wake() { return wake_; }

 private:
  std::atomic<bool> left_ = false;
  net::WakeUp wake_;
};

/// A device asks for work.
struct CheckInQuery {
  DeviceId device;
  Digest256 key{};             ///< That its certificate is for: asked about again after each wait.
  std::optional<TaskId> task;  ///< Only this task.
  std::uint32_t inputs = 0;    ///< The shape of the device's data; 0 where it is not told.
  std::uint32_t classes = 0;
  std::vector<TaskId> declined;   ///< Tasks that the device does not want.
  bool only_local_noise = false;  ///< Whether it sends nothing without noise of its own.
  bool trains_layers = false;     ///< Whether it knows models of layers over signals and images,
  bool trains_hardened = false;   ///< and training on examples that are made hard.
  Millis wait{0};                 ///< How long the answer may be held back.
  std::shared_ptr<Presence> presence = std::make_shared<Presence>();
};

/// Permission to train for one round.
struct LeaseView {
  RoundKey round;
  std::shared_ptr<const task::TaskSpec> spec;
  dp::ClipNorm clip_norm;  ///< Of this round.
  ModelVersion model_version = 0;
  Digest256 model_digest{};
  std::uint64_t model_bytes = 0;
  Millis time_left{0};
};

struct WaitView {
  Millis retry_after{0};
  std::string reason;
  bool lacks_place = false;  ///< As round::TellToWait.
};

using CheckInReply = std::variant<LeaseView, WaitView>;

/// What an upload for a round must look like, known before a byte of its body is read.
struct UploadPlan {
  std::size_t parameters = 0;
  Digest128 schema_digest{};
  dp::Mechanism mechanism;
  dp::ClipNorm clip_norm;
  dp::GridRadius grid_radius;
  std::uint64_t max_examples = 1;  ///< 1 where counts are ignored.
  bool tracks_clip = false;        ///< Whether it must tell if it was clipped.
  std::uint32_t entry_bound = 0;   ///< Above 0: grid integers that the device noised, each at most this.
  std::uint32_t top_k = 0;         ///< Values of a sparse update; 0: none are taken.
  bool takes_zstd = false;
  std::optional<Digest128> counted = std::nullopt;  ///< Of this device's update that is durably in the round.
};

/// A verified update: on the grid, inside the bound.
struct Submission {
  RoundKey round;
  DeviceId device;
  Digest256 key{};  ///< That its certificate is for: asked about again once its bytes are here.
  Digest128 digest{};
  dp::VerifiedUpdate update;
  std::uint64_t weight = 1;
};

/// One upload that waits for its answer. Threads: of the coordinator alone, until it has woken.
struct PendingUpload {
  Submission submission;
  net::WakeUp wake;
  std::optional<Result<void>> outcome;

  void Answer(Result<void> result) {
    outcome = std::move(result);
    wake.Wake();
  }
};

struct CurrentRoundView {
  RoundNumber round = 0;
  std::string phase;
  std::optional<WallTime>
      since;  ///< Its phase began; absent where a coin hides who comes, as how long it closes may tell.
  std::string waiting_for;
  std::optional<std::uint64_t> counted;  ///< Absent, as the next, where a coin hides how many come.
  std::optional<std::uint64_t> leased;
  std::optional<Millis> time_left;
};

/// Privacy figures of a task: functions of its public parameters and its number of rounds.
struct PrivacyView {
  std::string accountant;
  double epsilon_spent = 0;     ///< Upper bound: every round that was ever reserved is in it.
  double epsilon_rdp = 0;       ///< The same by Renyi DP alone, never below it.
  double rho_zcdp = 0;          ///< Zero-concentrated DP of the same rounds.
  double epsilon_reserved = 0;  ///< The part of it held by rounds that have released nothing.
  std::uint64_t rounds_charged = 0;
  std::uint64_t rounds_left = 0;
  dp::NoiseMultiplier noise_multiplier;           ///< Of the rounds to come.
  std::vector<dp::NoisedRounds> rounds_by_noise;  ///< Reserved, in the order in which each noise was first used.
  std::optional<double> filter_order;             ///< Set once an operator changed the noise.
};

/// What one device has spent on one task, whatever others have.
/// Privacy: for the device itself and for auditors.
struct DeviceSpendView {
  TaskId task;
  dp::Mechanism mechanism;
  std::optional<std::uint64_t> rounds;  ///< It was counted in, abandoned ones included; absent where a coin hides it.
  std::uint64_t max_participations = 0;
  std::optional<double> epsilon;  ///< Absent where no noise is added, as delta.
  std::optional<double> delta;
  bool local = false;  ///< Whether the noise is the device's own: then of the updates that were counted.
};

/// What the noise of its devices promises them.
struct LocalPrivacyView {
  double epsilon_of_one = 0;   ///< One noised update.
  double epsilon_limit = 0;    ///< As many as one device may send.
  double epsilon_counted = 0;  ///< As many as the busiest device was counted in.
  std::string accountant;
  dp::UtilityForecast utility;
};

/// All that a task's privacy figures depend on beside what never changes: equal moments have equal figures.
struct PrivacyMoment {
  std::uint64_t ledger_entries = 0;
  store::TaskState state = store::TaskState::kActive;
  double clip_norm = 0;
  std::uint64_t most_participations = 0;  ///< Of any device, where that is told: with noise of devices.

  bool operator==(const PrivacyMoment&) const = default;
};

/// Another noise for the rounds to come.
struct AdjustOrder {
  enum class Trial : std::uint8_t { kYes, kNo };

  dp::NoiseMultiplier noise_multiplier;
  Trial trial = Trial::kYes;
  std::optional<PrivacyMoment> only_at;  ///< Set: not when the figures are others by then.
};

struct TaskView {
  store::TaskRecord record;
  ModelVersion latest_version = 0;
  std::uint64_t rounds_published = 0;
  std::optional<CurrentRoundView> current;
  std::optional<PrivacyView> privacy;     ///< Absent with mechanism none.
  std::optional<LocalPrivacyView> local;  ///< Of noise that the devices add.
  PrivacyMoment moment;
};

}  // namespace tacit::coordinator
