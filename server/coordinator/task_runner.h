#pragma once

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/check.h"
#include "common/crypto/sealer.h"
#include "dp/ledger.h"
#include "dp/release.h"
#include "server/aggregation/optimizer.h"
#include "server/coordinator/services.h"
#include "server/coordinator/views.h"
#include "server/round/machine.h"

namespace tacit::coordinator {

/// What an active task holds for each parameter of its model at most: next model, its start and the average (12), the
/// sum (8), what of it is sealed and on its way to the disk (8), two sealed parts that are read again (16), the
/// optimiser's two moments and their copy (16), rounded up. The models that are served are
/// their files, mapped; updates are in `limits.upload_memory`.
inline constexpr std::uint64_t kTaskBytesPerParameter = 64;
/// What an asynchronous task remembers of an update until its lease holds no more, and of a device at work: measured
/// with the longest names, 208 bytes for the only update of a device (further ones take less) and 320 in two trees.
inline constexpr std::uint64_t kTaskBytesPerRememberedUpdate = 256;
inline constexpr std::uint64_t kTaskBytesPerLease = 320;

/// What a task asks of the server around it.
struct Surroundings {
  std::function<void()> on_change;         ///< Something a waiting device could want to know has changed.
  std::function<std::uint64_t()> devices;  ///< How many are enrolled and not revoked.
  std::function<bool(const DeviceId&, WallTime)> was_enrolled_at;
};

/// Runs the rounds of one task: feeds the round machine, carries its actions out, and keeps the sums, the ledger and
/// the newest model. A failed store step is an event of the machine, never a lost round. Threads: under
/// `services.control` only.
class TaskRunner {
 public:
  /// Takes the task up from the store where it stood: its ledger, its newest model, and an unfinished round.
  /// Errors: kDataLoss when what is stored contradicts itself.
  static net::Task<Result<std::unique_ptr<TaskRunner>>> Load(Services& services, store::TaskRecord record,
                                                             Surroundings around);

  ~TaskRunner();
  TaskRunner(const TaskRunner&) = delete;
  TaskRunner& operator=(const TaskRunner&) = delete;

  [[nodiscard]] const task::TaskSpec& spec() const { return record_.spec; }
  [[nodiscard]] bool active() const { return record_.state == store::TaskState::kActive; }
  [[nodiscard]] TaskView View() const;
  /// Cost: none of View's, for who has rendered the figures of this moment already.
  [[nodiscard]] PrivacyMoment Moment() const;
  [[nodiscard]] const std::optional<dp::BudgetLedger>& ledger() const { return ledger_; }
  [[nodiscard]] const store::ModelRecord& model_record() const { return Present(model_record_, kLoaded); }
  /// Float32 little-endian: the file of the newest model, mapped, or in an asynchronous task of any that updates are
  /// taken for. Nothing for any other digest.
  [[nodiscard]] std::optional<SharedBytes> FindModel(const Digest256& digest) const;

  /// A lease, or why there is none.
  CheckInReply CheckIn(const DeviceId& device);

  /// Devices that were told that they lack a place and nothing else, in the order in which they were: at each tick as
  /// many of them are woken as there are free places, and stay in line until they leave it.
  using Line = std::list<net::WakeUp*>;
  [[nodiscard]] Line& line() { return line_; }

  /// The device that checked in at `since` is gone: it is not counted among those who wait for a round.
  void Left(const DeviceId& device, SteadyTime since);

  /// A device asked for work whose data have another shape than this task's, and fit no other task.
  void NoteOtherShape() { other_shape_at_ = services_.clock.SteadyNow(); }

  /// The device will not use the lease that it may have.
  void GiveBackPlace(const DeviceId& device);

  /// Errors: kNotFound for a round that never was; kGone for one that has ended; kPermissionDenied for a device that
  /// may not take part in it.
  [[nodiscard]] Result<UploadPlan> PlanUpload(const RoundKey& round, const DeviceId& device) const;

  /// Counts the update once; the answer comes when it is durable.
  /// Errors: kConflict, kGone, kPermissionDenied, kUnavailable (keep it and send it again), kDeadlineExceeded.
  void Submit(const std::shared_ptr<PendingUpload>& upload);
  /// Nobody waits for the answer any more; gives it where it has just come. Errors: those of Submit; kUnavailable for
  /// an update that is not durable yet.
  Result<void> StopWaiting(const std::shared_ptr<PendingUpload>& upload);

  /// What the device itself has spent; nothing when it never took part, unless a coin hides that.
  [[nodiscard]] std::optional<DeviceSpendView> SpendOf(const DeviceId& device) const;

  [[nodiscard]] bool CohortIsSecret() const { return spec().privacy.coin.has_value(); }

  /// An upload of this device was refused, here or before it got here.
  void ReportRefused(const RoundKey& round, const DeviceId& device, ErrorCode code);

  /// What another noise of the rounds to come would cost; they then have it, durably, unless it is a trial.
  /// Errors: kConflict for a task that has ended or has no ledger; kChanged at another moment than the order is for; as
  /// BudgetLedger::ProposeAdjust; those of the store.
  net::Task<Result<dp::Adjustment>> Adjust(AdjustOrder order);

  /// Opens no more rounds; the one under way ends, unless it is charged: then it is published first.
  /// Errors: kConflict for a task that has ended; those of the store.
  net::Task<Result<void>> StopTask(std::string reason);

  void Tick();
  /// No new steps are started after this; those under way finish in the background group.
  void Stop() {
    stopping_ = true;
    retry_wake_.Wake();
  }

 private:
  struct Part {
    std::uint64_t rounds = 0;
    RoundNumber last_round = 0;
  };
  struct OlderModel {
    ModelVersion version = 0;
    Digest256 digest{};
    /// Nothing of one that is damaged, and of those before it: no update is taken for them.
    std::optional<SharedBytes> bytes;
  };
  struct Batch;
  struct PartialSum;

  static constexpr const char* kLoaded = "Load gives out no runner without it";
  static constexpr const char* kInARound = "a step is taken in a round";

  TaskRunner(Services& services, store::TaskRecord record, Surroundings around);
  [[nodiscard]] Result<dp::Adjustment> ProposeAdjust(const AdjustOrder& order) const;
  net::Task<Result<void>> LoadLedger();
  net::Task<Result<void>> LoadModel();
  net::Task<Result<void>> LoadMarkKey();
  net::Task<Result<void>> LoadRound();
  net::Task<Result<void>> LoadOlderModels(std::vector<ModelVersion> versions);
  net::Task<Result<void>> LoadOlderModel(OlderModel& model);
  net::Task<Result<round::Lineage>> LoadLineage();
  net::Task<Result<void>> LoadSums(const RoundKey& key);
  net::Task<Result<void>> LoadPartials(const RoundKey& key);
  net::Task<Result<void>> AbandonUnreadable(store::RoundRecord row, std::string why, round::Lineage lineage);
  Result<void> UseRoundKey(const crypto::SecretKey& secret);

  void Handle(const round::Event& event);
  void Carry(const round::Open& action);
  void Carry(const round::GrantLease& action);
  void Carry(const round::TellToWait& action);
  void Carry(const round::Fold& action);
  void Carry(const round::JoinPending& action);
  void Carry(const round::Acknowledge& action);
  void Carry(const round::Refuse& action);
  void Carry(const round::CommitPartial& action);
  void Carry(const round::WaitForBatch& action);
  void Carry(const round::Charge& action);
  void Carry(const round::Release& action);
  void Carry(const round::Abandon& action);
  void Carry(const round::Announce& action);

  net::Task<void> DoOpen();
  net::Task<Result<void>> OpenDurably();
  net::Task<Result<void>> ReserveBudget();
  using Proposal = std::function<Result<dp::LedgerEntry>()>;
  net::Task<Result<Durable<dp::LedgerEntry>>> Enter(Proposal propose);
  net::Task<Result<Durable<dp::LedgerEntry>>> AppendDurably(const dp::LedgerEntry& entry);
  net::Task<void> DoWaitForBatch(RoundNumber round);
  net::Task<void> DoCommit();
  net::Task<Result<void>> CommitDurably();
  net::Task<Result<void>> MergeWhenMany();
  net::Task<Result<void>> MergePartials();
  net::Task<bool> AdoptPartials();
  net::Task<bool> MergeIsDurableAfterAll(std::uint64_t sequence);
  Result<ByteSpan> AddBatch(ByteSpan context);
  net::Task<bool> CommitIsDurableAfterAll();
  net::Task<void> DoCharge();
  net::Task<Result<void>> ChargeDurably();
  net::Task<Result<void>> MintToken();
  net::Task<void> DoRelease();
  net::Task<Result<void>> DrawNextModel();
  net::Task<Result<void>> MarkNextModel();
  net::Task<Result<void>> Publish();
  net::Task<void> DoAbandon(std::string reason);
  net::Task<bool> RecordEnd(store::RoundRecord row);
  net::Task<void> VoidReservation(RoundNumber round);
  net::Task<void> ForgetSums(RoundKey key);
  net::Task<Result<void>> ForgetLeases(RoundKey key);

  void Spawn(net::Task<void> step);
  /// A stage of the round begins, or another attempt at it.
  void Begin(round::Stage stage) { Present(stages_, kInARound).Begin(stage, services_.clock.SteadyNow()); }
  /// Tells how the round went. Shape: an empty reason for one that is published.
  void TellStory(std::string reason);
  void StartNextRound(RoundNumber number, round::Lineage lineage);
  /// Of the round after the one that has ended.
  [[nodiscard]] round::Lineage NextLineage();
  /// Of the models that updates are taken for, the newest last.
  [[nodiscard]] std::vector<ModelVersion> Versions() const;
  /// The next round, or none where the task has ended.
  void GoOnAfter(const RoundKey& key);
  /// The task has ended: what remains is what can be shown of it.
  void LetGo();
  void CountOutcome(std::string_view outcome);
  [[nodiscard]] double EpsilonOfRounds(std::uint64_t rounds) const;
  [[nodiscard]] std::optional<LocalPrivacyView> LocalView() const;
  void Resolve(const DeviceId& device, const Result<void>& outcome);
  void ShowMetrics();
  void ShowRound();
  /// Apart from ShowMetrics: an accountant can take tens of milliseconds, and its answer changes with the ledger alone.
  void ShowPrivacy();
  [[nodiscard]] round::Machine& machine() { return Present(machine_, kInARound); }
  [[nodiscard]] const round::Machine& machine() const { return Present(machine_, kInARound); }
  [[nodiscard]] dp::BudgetLedger& ledger() { return Present(ledger_, "a private task has a ledger"); }
  [[nodiscard]] bool IsPrivate() const { return spec().privacy.mechanism != dp::Mechanism::kNone; }
  [[nodiscard]] round::Rules RulesOfTask() const;
  [[nodiscard]] std::uint32_t FullBatch() const;
  [[nodiscard]] Millis BatchWait() const;
  /// What the round waits for, as operators see it.
  [[nodiscard]] std::string WaitingFor() const;
  [[nodiscard]] store::RoundRecord RoundRow(store::RoundPhase phase) const;
  /// Errors: kPermissionDenied for a device that has taken part as often as it may, took part too lately, or that the
  /// round's coin did not choose.
  [[nodiscard]] Result<void> CheckMayTakePart(const DeviceId& device) const;
  /// As in round::Sent, of an update that was sent under this round.
  [[nodiscard]] RoundNumber LeasedIn(const RoundKey& round) const { return spec().asynchronous ? round.round : 0; }
  /// Whether an upload for this round can be answered with anything but a refusal. Errors: those of PlanUpload.
  [[nodiscard]] Result<void> CheckTakes(const RoundKey& round, const DeviceId& device) const;
  [[nodiscard]] Result<void> CheckLease(const RoundKey& round, const DeviceId& device) const;
  void MakeBufferRules(round::Rules& rules) const;
  void ShrinkStale(Batch& batch) const;
  [[nodiscard]] Result<void> CheckLimits(const DeviceId& device) const;
  [[nodiscard]] bool IsDrawn(const DeviceId& device) const;
  [[nodiscard]] Result<void> CheckPopulation() const;
  /// How many are counted, as a log may show it: nothing where a coin hides it.
  [[nodiscard]] LogField Counted(std::uint64_t counted) const { return CountOf("counted", counted); }
  [[nodiscard]] LogField CountOf(std::string_view field, std::uint64_t count) const {
    return CohortIsSecret() ? LogField(field, "secret") : LogField(field, count);
  }
  [[nodiscard]] dp::SumOptions SumOptionsOf(const RoundKey& key) const;
  [[nodiscard]] RoundKey CurrentKey() const { return machine().key(); }

  Services& services_;
  store::TaskRecord record_;
  const std::shared_ptr<const task::TaskSpec> leased_spec_;  // of record_; one for all leases
  Surroundings around_;
  bool stopping_ = false;
  std::optional<SteadyTime> other_shape_at_;  // when a device last asked whose data have another shape
  net::WakeUp retry_wake_;                    // ends the pause before an end is recorded again

  std::optional<dp::BudgetLedger> ledger_;  // absent with mechanism none
  bool entering_ = false;                   // an entry is between its proposal and its place in the ledger
  std::unique_ptr<aggregation::ServerOptimizer> optimizer_;
  std::optional<crypto::SecretKey> mark_key_;       // of a task that marks its models
  SharedBytes model_;                               // newest version, float32 little-endian
  std::vector<OlderModel> older_models_;            // of an asynchronous task: max_staleness at most, oldest first
  std::optional<store::ModelRecord> model_record_;  // set by Load
  std::uint64_t rounds_published_ = 0;
  // What one device spends in so many: an accountant is slow.
  mutable std::map<std::uint64_t, double> epsilon_of_rounds_;
  std::map<DeviceId, Part> participations_;  // durable, this round's included once committed
  std::uint64_t most_participations_ = 0;    // of any device

  // The round under way; empty once the task has ended.
  std::optional<round::Machine> machine_;
  WallTime opened_at_{};
  std::optional<round::StageTimes> stages_;
  bool resumed_ = false;
  struct ShownPhase {
    RoundNumber round = 0;
    round::Phase phase{};
    WallTime since{};
    SteadyTime began{};
  };
  std::optional<ShownPhase> shown_phase_;          // in the metrics
  std::optional<crypto::Aes256GcmSealer> sealer_;  // of this round's key, as is the next
  std::optional<crypto::SecretKey> noise_secret_;
  std::optional<crypto::SecretKey> coin_secret_;
  std::unique_ptr<PartialSum> total_;    // everything durable, and what is being committed
  std::unique_ptr<Batch> filling_;       // takes folds
  std::unique_ptr<Batch> in_flight_;     // being committed
  AlignedBuffer sealed_room_;            // of the commit in flight; kept, because fresh pages are slow
  std::vector<std::uint64_t> partials_;  // the sequences of those on the disk: together they are the durable sum
  std::uint64_t next_sequence_ = 0;
  std::optional<dp::ReleaseToken> token_;
  std::optional<Durable<dp::LedgerEntry>> charge_;
  std::optional<std::vector<float>> next_model_;  // kept so that a failed publish is tried again without a second draw
  std::optional<dp::ClipNorm> next_clip_norm_;    // drawn with it, when it moves
  std::optional<std::string> commitment_;         // to its mark, once it has one
  bool refused_for_budget_ = false;
  Line line_;

  // Valid during one call of Handle only.
  std::optional<CheckInReply> check_in_reply_;
  PendingUpload* offered_ = nullptr;
  bool handling_ = false;

  std::multimap<DeviceId, std::shared_ptr<PendingUpload>> waiting_;  // for their answers
};

}  // namespace tacit::coordinator
