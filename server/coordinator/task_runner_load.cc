// How a TaskRunner takes a task up from the store where it stood.

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <utility>

#include "common/crypto/digest.h"
#include "server/coordinator/task_runner_parts.h"

namespace tacit::coordinator {
namespace {

constexpr std::size_t kRoundsPerPage = 1000;
constexpr std::chrono::hours kReadPatience{1};  // until it is waited for again

round::Phase PhaseOf(store::RoundPhase phase) {
  switch (phase) {
    case store::RoundPhase::kScheduled:
      return round::Phase::kScheduled;
    case store::RoundPhase::kOpen:
      return round::Phase::kOpen;
    case store::RoundPhase::kClosing:
      return round::Phase::kClosing;
    case store::RoundPhase::kCharged:
      return round::Phase::kCharged;
    case store::RoundPhase::kPublished:
      return round::Phase::kPublished;
    case store::RoundPhase::kAbandoned:
      return round::Phase::kAbandoned;
  }
  return round::Phase::kAbandoned;
}

/// A partial sum on its way from the disk.
struct Reading {
  AlignedBuffer room;
  std::optional<Result<ByteSpan>> sealed;
  net::WakeUp done;
};

// Of no runner: one whose load has failed is gone before its last read has ended.
net::Task<void> Read(StoreThread& store, RoundKey key, std::uint64_t sequence, std::shared_ptr<Reading> into) {
  // Also where an exception ends it, which the group logs: the load would wait for ever.
  struct Waking {
    Reading& reading;
    ~Waking() { reading.done.Wake(); }
  } const waking{*into};
  into->sealed = co_await store.Call("read_partial", [key, sequence, &room = into->room](store::Store& from) {
    return from.ReadPartial(key, sequence, room);
  });
}

}  // namespace

net::Task<Result<std::unique_ptr<TaskRunner>>> TaskRunner::Load(Services& services, store::TaskRecord record,
                                                                Surroundings around) {
  std::unique_ptr<TaskRunner> runner(new TaskRunner(services, std::move(record), std::move(around)));
  TACIT_CO_TRY_VOID(co_await runner->LoadModel());
  TACIT_CO_TRY_VOID(co_await runner->LoadMarkKey());
  TACIT_CO_TRY_VOID(co_await runner->LoadLedger());
  TACIT_CO_TRY_VOID(co_await runner->LoadRound());
  runner->ShowMetrics();
  runner->ShowPrivacy();
  co_return runner;
}

net::Task<Result<void>> TaskRunner::LoadLedger() {
  const TaskId id = spec().id;
  TACIT_CO_TRY(const auto counts, co_await services_.store.Call("participations", [id](store::Store& store) {
    return store.ParticipationCounts(id);
  }));
  for (const store::Participation& each : counts) {
    participations_[each.device] = {each.rounds, each.last_round};
    most_participations_ = std::max(most_participations_, each.rounds);
  }
  if (!IsPrivate()) co_return Result<void>{};
  TACIT_CO_TRY(const auto recorded,
               co_await services_.store.Call("ledger", [id](store::Store& store) { return store.Ledger(id); }));
  std::vector<dp::LedgerEntry> entries;
  for (const auto& each : recorded) entries.push_back(each.value());
  TACIT_CO_TRY(auto ledger, dp::BudgetLedger::Restore(spec().Policy(&crypto::Sha256), entries, model_record().version));
  ledger_.emplace(std::move(ledger));
  // The latest round's, if it has one; an adjustment may stand behind it.
  for (const auto& each : recorded) {
    if (each.value().kind == dp::LedgerKind::kCharge) charge_ = each;
  }
  co_return Result<void>{};
}

net::Task<Result<void>> TaskRunner::LoadModel() {
  const TaskId id = spec().id;
  TACIT_CO_TRY(model_record_,
               co_await services_.store.Call("model", [id](store::Store& store) { return store.LatestModel(id); }));
  const Digest256 digest = model_record().digest;
  TACIT_CO_TRY(model_, co_await services_.store.Call("map_model",
                                                     [digest](store::Store& store) { return store.MapModel(digest); }));
  if (model_.bytes.size() != spec().model.ParameterCount() * sizeof(float)) {
    co_return Fail(ErrorCode::kDataLoss, "the newest model of task " + id.str() + " has the wrong size");
  }
  // A stopped task may still have a round to publish.
  if (!active() && record_.state != store::TaskState::kStopped) co_return Result<void>{};
  TACIT_CO_TRY(const auto state, co_await services_.store.Call(
                                     "optimizer", [id](store::Store& store) { return store.OptimizerState(id); }));
  TACIT_CO_TRY(optimizer_, aggregation::CreateOptimizer(spec().aggregation, spec().model.ParameterCount(), state));
  co_return Result<void>{};
}

net::Task<Result<void>> TaskRunner::LoadRound() {
  const TaskId id = spec().id;
  std::optional<store::RoundRecord> latest;
  std::vector<ModelVersion> versions{0};
  for (RoundNumber after = 0;;) {
    TACIT_CO_TRY(const auto page, co_await services_.store.Call("rounds", [id, after](store::Store& store) {
      return store.Rounds(id, after, kRoundsPerPage);
    }));
    for (const store::RoundRecord& row : page) {
      latest = row;
      if (row.phase != store::RoundPhase::kPublished) continue;
      ++rounds_published_;
      versions.push_back(row.key.round);
    }
    if (page.size() < kRoundsPerPage) break;
    after = page.back().key.round;
  }
  const bool between_rounds = !latest || store::HasEnded(latest->phase);
  if (active() || !between_rounds) TACIT_CO_TRY_VOID(co_await LoadOlderModels(std::move(versions)));
  if (between_rounds) {
    if (latest) co_await ForgetSums(latest->key);  // in case the last process ended before it could
    if (active()) {
      TACIT_CO_TRY(auto lineage, co_await LoadLineage());
      StartNextRound(latest ? latest->key.round + 1 : 1, std::move(lineage));
    } else {
      LetGo();
    }
    co_return Result<void>{};
  }
  TACIT_CO_TRY(auto lineage, co_await LoadLineage());
  // What is remembered of updates can be as large as the rest of the task: it is not copied.
  StartNextRound(latest->key.round, {.versions = lineage.versions, .counted = {}, .leased = {}});
  opened_at_ = latest->opened_at;
  resumed_ = true;
  // Its clock goes on where it stood, as far as that can be told.
  const Millis open_for = std::max(services_.clock.Now() - opened_at_, Millis(0));
  stages_.emplace(opened_at_, services_.clock.SteadyNow() - open_for);
  stages_->Begin(round::Stage::kCollect, services_.clock.SteadyNow() - open_for);
  const auto sums = co_await LoadSums(latest->key);
  // Without its key a round is lost, but the task and the server are not.
  if (!sums && sums.error().code == ErrorCode::kNotFound)
    co_return co_await AbandonUnreadable(*latest, sums.error().message, std::move(lineage));
  TACIT_CO_TRY_VOID(sums);
  std::map<DeviceId, round::Sent> counted;
  for (const store::Contribution& each : total_->contributions)
    counted.emplace(each.device, round::Sent{each.payload_digest, each.leased_in});
  machine_ = round::Machine::Restore(latest->key, RulesOfTask(), PhaseOf(latest->phase), std::move(counted),
                                     services_.clock.SteadyNow(), std::move(lineage));
  if (latest->phase == store::RoundPhase::kCharged) TACIT_CO_TRY_VOID(co_await MintToken());
  services_.log.Info("round_resumed", {{"task", id.str()},
                                       {"round", latest->key.round},
                                       {"phase", round::NameOf(machine().phase())},
                                       Counted(machine().counted().size())});
  if (!active()) Handle(round::StopAsked{record_.state_reason});
  co_return Result<void>{};
}

net::Task<Result<void>> TaskRunner::LoadSums(const RoundKey& key) {
  TACIT_CO_TRY(const auto round_key, co_await services_.store.Call(
                                         "round_key", [key](store::Store& store) { return store.LoadRoundKey(key); }));
  TACIT_CO_TRY_VOID(UseRoundKey(round_key));
  TACIT_CO_TRY_VOID(co_await LoadPartials(key));
  TACIT_CO_TRY(total_->contributions, co_await services_.store.Call("contributions", [key](store::Store& store) {
    return store.Contributions(key);
  }));
  // Who is counted stands in rows, what they sent in files; together they are the round.
  if (total_->sum.contributions() != total_->contributions.size() ||
      total_->sum.total_weight() != total_->TotalWeight()) {
    co_return Fail(ErrorCode::kDataLoss, "the partial sums of round " + std::to_string(key.round) + " of task " +
                                             key.task.str() + " hold " + std::to_string(total_->sum.contributions()) +
                                             " updates, but " + std::to_string(total_->contributions.size()) +
                                             " devices are recorded as counted");
  }
  co_return Result<void>{};
}

// A round's partial sums together can be larger than memory, and a server that was killed should be back at once: the
// next one is read while one is opened and added.
net::Task<Result<void>> TaskRunner::LoadPartials(const RoundKey& key) {
  TACIT_CO_TRY(partials_, co_await services_.store.Call(
                              "partial_sequences", [key](store::Store& store) { return store.PartialSequences(key); }));
  if (partials_.empty()) co_return Result<void>{};
  next_sequence_ = partials_.back() + 1;
  const auto start = [&](std::uint64_t sequence, AlignedBuffer room) {
    auto reading = std::make_shared<Reading>();
    reading->room = std::move(room);
    Spawn(Read(services_.store, key, sequence, reading));
    return reading;
  };
  std::shared_ptr<Reading> reading = start(partials_.front(), {});
  AlignedBuffer spare;
  for (std::size_t i = 0; i < partials_.size(); ++i) {
    while (!co_await reading->done.WaitUntil(services_.clock.SteadyNow() + kReadPatience)) {
    }
    const std::shared_ptr<Reading> read = std::exchange(reading, nullptr);
    if (!read->sealed)
      co_return Fail(ErrorCode::kInternal, "a partial sum could not be read; the server's log says why");
    TACIT_CO_TRY(const ByteSpan sealed, Present(read->sealed, "looked at just now"));
    if (i + 1 < partials_.size()) reading = start(partials_[i + 1], std::move(spare));
    const Bytes context = SealContext(key, partials_[i]);
    TACIT_CO_TRY_VOID(co_await services_.compute.Run(
        [this, &sealed, &context] { return total_->sum.AddSealed(Present(sealer_, "just made"), sealed, context); }));
    spare = std::move(read->room);
  }
  co_return Result<void>{};
}

net::Task<Result<void>> TaskRunner::AbandonUnreadable(store::RoundRecord row, std::string why, round::Lineage lineage) {
  row.phase = store::RoundPhase::kAbandoned;
  row.reason = "its partial sums cannot be read again: " + why;
  row.ended_at = services_.clock.Now();
  TACIT_CO_TRY_VOID(
      co_await services_.store.Call("put_round", [row](store::Store& store) { return store.PutRound(row); }));
  services_.log.Error(
      "round_abandoned",
      {{"task", row.key.task.str()}, {"round", row.key.round}, Counted(row.counted), {"reason", row.reason}});
  co_await ForgetSums(row.key);
  if (active()) {
    StartNextRound(row.key.round + 1, std::move(lineage));
  } else {
    LetGo();
  }
  co_return Result<void>{};
}

}  // namespace tacit::coordinator
