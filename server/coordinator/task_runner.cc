#include "server/coordinator/task_runner.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "common/base/check.h"
#include "server/coordinator/task_runner_parts.h"

namespace tacit::coordinator {
namespace {

constexpr Millis kAckPatience{60'000};
constexpr Millis kBetweenCheckIns{1'000};

// Runs on the compute pool, where everything it needs is its own.
struct Draw {
  dp::UnnoisedSum sum;
  dp::ReleaseToken token;
  std::unique_ptr<BitSource> bits;
};

}  // namespace

TaskRunner::TaskRunner(Services& services, store::TaskRecord record, std::function<void()> on_change)
    : services_(services), record_(std::move(record)), on_change_(std::move(on_change)) {}

TaskRunner::~TaskRunner() = default;

dp::SumOptions TaskRunner::SumOptionsOf(const RoundKey& key) const {
  return {.round = key,
          .mechanism = spec().privacy.mechanism,
          .grid_radius = spec().privacy.grid_radius,
          .parameters = spec().model.ParameterCount()};
}

void TaskRunner::StartNextRound(RoundNumber number) {
  machine_.emplace(RoundKey{spec().id, number}, RulesOfTask());
  total_ = std::make_unique<PartialSum>(SumOptionsOf(CurrentKey()));
  filling_ = std::make_unique<PartialSum>(SumOptionsOf(CurrentKey()));
  in_flight_.reset();
  next_sequence_ = 0;
  sealer_.reset();
  token_.reset();
  next_model_.reset();
  refused_for_budget_ = false;
}

round::Rules TaskRunner::RulesOfTask() const {
  const task::Cohort& cohort = spec().cohort;
  return {.min_cohort = cohort.min,
          .target_cohort = cohort.size,
          .max_leases = static_cast<std::uint32_t>(std::min<std::uint64_t>(cohort.MaxAdmitted(), UINT32_MAX)),
          .deadline = cohort.deadline,
          .interest_lifetime = services_.long_poll + Millis(15'000)};
}

// ---- What devices ask ----

CheckInReply TaskRunner::CheckIn(const DeviceId& device) {
  if (!machine_)
    return WaitView{kBetweenCheckIns * 10, "task " + spec().id.str() + " has ended: " + record_.state_reason};
  if (stopping_) return WaitView{kBetweenCheckIns, "the server is stopping"};
  if (!MayTakePart(device)) {
    return WaitView{kBetweenCheckIns * 60, "this device has taken part in " + std::to_string(ParticipationsOf(device)) +
                                               " rounds of task " + spec().id.str() + ", as many as it may"};
  }
  Handle(round::CheckedIn{device});
  CheckInReply reply = std::move(Present(check_in_reply_, "the machine answers every check-in"));
  check_in_reply_.reset();
  return reply;
}

Result<UploadPlan> TaskRunner::PlanUpload(const RoundKey& round, const DeviceId& device) const {
  if (!machine_ || round.round < CurrentKey().round) {
    return Fail(ErrorCode::kGone, "round " + std::to_string(round.round) + " of task " + round.task.str() +
                                      " is over; drop the update and check in again");
  }
  if (round.round > CurrentKey().round) {
    return Fail(ErrorCode::kNotFound,
                "there is no round " + std::to_string(round.round) + " of task " + round.task.str());
  }
  if (!MayTakePart(device)) {
    return Fail(ErrorCode::kPermissionDenied, "this device has taken part in as many rounds of task " +
                                                  round.task.str() + " as it may (" +
                                                  std::to_string(spec().max_participations) + ")");
  }
  const task::Privacy& privacy = spec().privacy;
  return UploadPlan{.parameters = spec().model.ParameterCount(),
                    .schema_digest = spec().model.SchemaDigest(),
                    .mechanism = privacy.mechanism,
                    .clip_norm = privacy.clip_norm,
                    .grid_radius = privacy.grid_radius,
                    .max_examples = spec().aggregation.max_examples};
}

net::Task<Result<void>> TaskRunner::Submit(Submission submission) {
  TACIT_CO_TRY_VOID(PlanUpload(submission.round, submission.device));
  if (stopping_) co_return Fail(ErrorCode::kUnavailable, "the server is stopping; keep the update and send it again");
  auto ack = std::make_shared<PendingAck>();
  const Listed listed(acks_, acks_.emplace(submission.device, ack));
  offered_ = &submission;
  offered_ack_ = ack;
  Handle(round::Offered{submission.device, submission.digest});
  offered_ = nullptr;
  offered_ack_.reset();
  if (!ack->outcome) co_await ack->wake.WaitUntil(services_.clock.SteadyNow() + kAckPatience);
  if (const std::optional<Result<void>>& outcome = ack->outcome) co_return *outcome;
  co_return Fail(ErrorCode::kUnavailable, "the update is not durable yet; keep it and send it again");
}

void TaskRunner::ReportRejected(const RoundKey& round, const DeviceId& device) {
  if (machine_ && round == CurrentKey()) Handle(round::Rejected{device});
}

void TaskRunner::Tick() {
  if (machine_ && !stopping_) Handle(round::Tick{});
}

std::uint64_t TaskRunner::ParticipationsOf(const DeviceId& device) const {
  const auto found = participations_.find(device);
  return found == participations_.end() ? 0 : found->second;
}

bool TaskRunner::MayTakePart(const DeviceId& device) const {
  // A device whose last permitted round is this one must still get its answers.
  return ParticipationsOf(device) < spec().max_participations || machine().counted().contains(device);
}

// ---- Carrying out what the round wants ----

void TaskRunner::Handle(const round::Event& event) {
  TACIT_CHECK(!handling_, "an action never handles an event itself, only a step it spawned does");
  handling_ = true;
  const round::Actions actions = machine().Step(event, services_.clock.SteadyNow());
  for (const round::Action& action : actions) std::visit([this](const auto& each) { Carry(each); }, action);
  handling_ = false;
}

void TaskRunner::Spawn(net::Task<void> step) {
  const auto spawned = services_.background.Spawn(std::move(step));
  TACIT_CHECK(spawned, "the background group has room for every task's few steps");
}

void TaskRunner::Carry(const round::GrantLease& /*action*/) {
  check_in_reply_ = LeaseView{.round = CurrentKey(),
                              .spec = spec(),
                              .model_version = model_record().version,
                              .model_digest = model_record().digest,
                              .model_bytes = model_record().bytes,
                              .time_left = machine().deadline() - services_.clock.SteadyNow()};
}

void TaskRunner::Carry(const round::TellToWait& action) {
  check_in_reply_ = WaitView{kBetweenCheckIns, "task " + spec().id.str() + ", round " +
                                                   std::to_string(CurrentKey().round) + ": " + action.reason};
}

void TaskRunner::Carry(const round::Fold& action) {
  TACIT_CHECK(offered_ != nullptr && offered_->device == action.device, "only the update being offered is folded");
  const auto grid = offered_->grid.As<std::int32_t>();
  const Result<void> added = IsPrivate() ? filling_->sum.Add(grid) : filling_->sum.AddWeighted(grid, offered_->weight);
  TACIT_CHECK(added.has_value(), "Submit verified the vector, and a task is refused if a full cohort could overflow");
  filling_->contributions.push_back({action.device, offered_->digest, offered_->weight});
}

void TaskRunner::Carry(const round::JoinPending& /*action*/) {
  // The acknowledgement of the first one answers everyone who waits under this device's name.
}

void TaskRunner::Carry(const round::Acknowledge& action) {
  Resolve(action.device, Result<void>{});
}

void TaskRunner::Carry(const round::Refuse& action) {
  // A refusal of what is being offered must not answer an earlier, good upload of the same device.
  if (offered_ack_ != nullptr) {
    offered_ack_->Set(std::unexpected(action.error));
  } else {
    Resolve(action.device, std::unexpected(action.error));
  }
}

void TaskRunner::Resolve(const DeviceId& device, const Result<void>& outcome) {
  const auto [first, last] = acks_.equal_range(device);
  for (auto each = first; each != last; ++each) {
    if (!each->second->outcome) each->second->Set(outcome);
  }
}

void TaskRunner::Carry(const round::Announce& /*action*/) {
  ShowMetrics();
  on_change_();
}

// ---- Opening ----

void TaskRunner::Carry(const round::Open& /*action*/) {
  Spawn(DoOpen());
}

net::Task<void> TaskRunner::DoOpen() {
  const Result<void> opened = co_await OpenDurably();
  if (!opened) {
    services_.log.Warn("round_not_opened", {{"task", spec().id.str()},
                                            {"round", CurrentKey().round},
                                            {"code", TraitsOf(opened.error().code).name},
                                            {"reason", opened.error().message}});
    Handle(round::OpenRefused{opened.error().message, opened.error().code == ErrorCode::kUnavailable});
    co_return;
  }
  services_.log.Info("round_opened", {{"task", spec().id.str()},
                                      {"round", CurrentKey().round},
                                      {"cohort_min", spec().cohort.min},
                                      {"cohort_size", spec().cohort.size},
                                      {"deadline_ms", spec().cohort.deadline.count()}});
  Handle(round::Opened{});
}

net::Task<Result<void>> TaskRunner::OpenDurably() {
  if (IsPrivate()) TACIT_CO_TRY_VOID(co_await ReserveBudget());
  const RoundKey key = CurrentKey();
  if (!sealer_) {
    // A crash after this step leaves a key without a round: it is replaced, having sealed nothing.
    TACIT_CO_TRY_VOID(
        co_await services_.store.Call("round_key", [key](store::Store& store) { return store.DestroyRoundKey(key); }));
    TACIT_CO_TRY(auto fresh, co_await services_.store.Call(
                                 "round_key", [key](store::Store& store) { return store.CreateRoundKey(key); }));
    TACIT_CO_TRY(auto sealer, crypto::Aes256GcmSealer::Create(std::move(fresh)));
    sealer_.emplace(std::move(sealer));
  }
  opened_at_ = services_.clock.Now();
  const store::RoundRecord row = RoundRow(store::RoundPhase::kOpen);
  co_return co_await services_.store.Call("put_round", [row](store::Store& store) { return store.PutRound(row); });
}

net::Task<Result<void>> TaskRunner::ReserveBudget() {
  const RoundNumber number = CurrentKey().round;
  // Reserved before a crash, or before a failed attempt: it is spent once, not twice.
  if (ledger().OpenRound() == number) co_return Result<void>{};
  const auto proposed = ledger().ProposeReserve(number, services_.clock.Now());
  if (!proposed) {
    refused_for_budget_ = proposed.error().code == ErrorCode::kBudgetExhausted;
    co_return std::unexpected(proposed.error());
  }
  TACIT_CO_TRY(const auto durable,
               co_await services_.store.Call(
                   "append_ledger", [entry = *proposed](store::Store& store) { return store.AppendLedger(entry); }));
  TACIT_CO_TRY_VOID(ledger().Apply(durable));
  ShowPrivacy();
  co_return Result<void>{};
}

store::RoundRecord TaskRunner::RoundRow(store::RoundPhase phase) const {
  return {.key = CurrentKey(),
          .phase = phase,
          .reason = {},
          .opened_at = opened_at_,
          .ended_at = std::nullopt,
          .counted = total_->contributions.size(),
          .total_weight = total_->sum.total_weight(),
          .base_version = model_record().version,
          .epsilon_after = ledger_ ? ledger_->Spent().epsilon : 0};
}

// ---- Committing partial sums ----

void TaskRunner::Carry(const round::CommitPartial& /*action*/) {
  in_flight_ = std::exchange(filling_, std::make_unique<PartialSum>(SumOptionsOf(CurrentKey())));
  Spawn(DoCommit());
}

net::Task<void> TaskRunner::DoCommit() {
  Result<void> committed = co_await CommitDurably();
  if (!committed && co_await CommitIsDurableAfterAll()) committed = {};
  if (committed) committed = total_->sum.Merge(in_flight_->sum);
  if (!committed) {
    services_.log.Error("partial_not_committed", {{"task", spec().id.str()},
                                                  {"round", CurrentKey().round},
                                                  {"updates", in_flight_->contributions.size()},
                                                  {"reason", committed.error().message}});
    in_flight_.reset();
    Handle(round::CommitFailed{committed.error().message});
    co_return;
  }
  for (const store::Contribution& each : in_flight_->contributions) {
    total_->contributions.push_back(each);
    ++participations_[each.device];
  }
  services_.log.Debug(
      "partial_committed",
      {{"task", spec().id.str()}, {"round", CurrentKey().round}, {"updates", in_flight_->contributions.size()}});
  in_flight_.reset();
  Handle(round::Committed{});
}

net::Task<Result<void>> TaskRunner::CommitDurably() {
  const RoundKey key = CurrentKey();
  const PartialSum& partial = *in_flight_;
  const std::uint64_t sequence = next_sequence_++;
  const Bytes context = SealContext(key);
  TACIT_CO_TRY(const auto bytes, co_await services_.compute.Run(
                                     [this, &partial, &context] { return partial.sum.Seal(*sealer_, context); }));
  co_return co_await services_.store.Call("commit_partial", [&](store::Store& store) {
    return store.CommitPartial(key, sequence, bytes, partial.contributions);
  });
}

net::Task<bool> TaskRunner::CommitIsDurableAfterAll() {
  // A disk that fails in the very moment of a commit can report a failure for what it has kept: ask what is there.
  const RoundKey key = CurrentKey();
  const auto stored =
      co_await services_.store.Call("contributions", [key](store::Store& store) { return store.Contributions(key); });
  if (!stored) co_return false;
  const auto is_stored = [&](const store::Contribution& ours) {
    return std::ranges::any_of(*stored, [&](const store::Contribution& theirs) {
      return theirs.device == ours.device && theirs.payload_digest == ours.payload_digest;
    });
  };
  co_return std::ranges::all_of(in_flight_->contributions, is_stored);
}

// ---- Charging ----

void TaskRunner::Carry(const round::Charge& /*action*/) {
  Spawn(DoCharge());
}

net::Task<void> TaskRunner::DoCharge() {
  const Result<void> charged = co_await ChargeDurably();
  if (!charged) {
    services_.log.Error(
        "round_not_charged",
        {{"task", spec().id.str()}, {"round", CurrentKey().round}, {"reason", charged.error().message}});
    Handle(round::ChargeFailed{charged.error().message});
    co_return;
  }
  services_.log.Info("round_charged", {{"task", spec().id.str()},
                                       {"round", CurrentKey().round},
                                       {"counted", total_->contributions.size()},
                                       {"epsilon_spent", ledger_ ? ledger_->Spent().epsilon : 0.0}});
  Handle(round::Charged{});
}

net::Task<Result<void>> TaskRunner::ChargeDurably() {
  const store::RoundRecord closing = RoundRow(store::RoundPhase::kClosing);
  TACIT_CO_TRY_VOID(
      co_await services_.store.Call("put_round", [closing](store::Store& store) { return store.PutRound(closing); }));
  const RoundNumber number = CurrentKey().round;
  if (IsPrivate() && !(charge_ && charge_->value().round == number)) {
    TACIT_CO_TRY(const auto proposed,
                 ledger().ProposeCharge(number, total_->contributions.size(), services_.clock.Now()));
    TACIT_CO_TRY(const auto durable, co_await services_.store.Call("append_ledger", [proposed](store::Store& store) {
      return store.AppendLedger(proposed);
    }));
    TACIT_CO_TRY_VOID(ledger().Apply(durable));
    charge_ = durable;
    ShowPrivacy();
  }
  if (!token_) TACIT_CO_TRY_VOID(co_await MintToken());
  const store::RoundRecord charged = RoundRow(store::RoundPhase::kCharged);
  co_return co_await services_.store.Call("put_round",
                                          [charged](store::Store& store) { return store.PutRound(charged); });
}

net::Task<Result<void>> TaskRunner::MintToken() {
  if (!IsPrivate()) {
    const task::Privacy& privacy = spec().privacy;
    token_.emplace(dp::NoPrivacyToken({.round = CurrentKey(),
                                       .clip_norm = privacy.clip_norm,
                                       .grid_radius = privacy.grid_radius,
                                       .divisor = static_cast<double>(total_->sum.total_weight())}));
    co_return Result<void>{};
  }
  if (!charge_ || charge_->value().round != CurrentKey().round) {
    co_return Fail(ErrorCode::kDataLoss, "round " + std::to_string(CurrentKey().round) + " of task " + spec().id.str() +
                                             " is recorded as charged, but the ledger has no charge for it");
  }
  TACIT_CO_TRY(auto token, ledger().Redeem(*charge_));
  token_.emplace(std::move(token));
  co_return Result<void>{};
}

// ---- Releasing ----

void TaskRunner::Carry(const round::Release& /*action*/) {
  Spawn(DoRelease());
}

net::Task<void> TaskRunner::DoRelease() {
  Result<void> done = co_await DrawNextModel();
  if (done) done = co_await Publish();
  if (!done) {
    services_.log.Error("round_not_published",
                        {{"task", spec().id.str()}, {"round", CurrentKey().round}, {"reason", done.error().message}});
    Handle(round::ReleaseFailed{done.error().message});
    co_return;
  }
  const RoundKey key = CurrentKey();
  const Millis took = services_.clock.Now() - opened_at_;
  services_.log.Info("round_published", {{"task", key.task.str()},
                                         {"round", key.round},
                                         {"counted", total_->contributions.size()},
                                         {"model_version", model_record().version},
                                         {"epsilon_spent", ledger_ ? ledger_->Spent().epsilon : 0.0}});
  services_.metrics.RoundEnded(key.task.str(), "published", std::chrono::duration<double>(took).count());
  Handle(round::Released{});
  co_await ForgetSums(key);
  if (active()) {
    StartNextRound(key.round + 1);
  } else {
    machine_.reset();
    services_.log.Info(
        "task_ended",
        {{"task", key.task.str()}, {"state", store::NameOf(record_.state)}, {"reason", record_.state_reason}});
  }
  ShowMetrics();
  on_change_();
}

net::Task<Result<void>> TaskRunner::DrawNextModel() {
  if (next_model_) co_return Result<void>{};
  if (!token_) {
    co_return Fail(ErrorCode::kInternal, "the sum was opened once already and its release failed; nothing is released");
  }
  auto draw =
      std::make_shared<Draw>(Draw{std::move(total_->sum), *std::move(token_), services_.noise_source(CurrentKey())});
  token_.reset();
  TACIT_CO_TRY(const auto average, co_await services_.compute.Run([draw] {
    return dp::ReleaseAverage(std::move(draw->sum), std::move(draw->token), *draw->bits);
  }));
  std::vector<float> model(model_->size() / sizeof(float));
  std::memcpy(model.data(), model_->data(), model_->size());
  optimizer_->Step(average, model);
  next_model_.emplace(std::move(model));
  co_return Result<void>{};
}

net::Task<Result<void>> TaskRunner::Publish() {
  const std::vector<float>& model = Present(next_model_, "it is published when it was drawn");
  store::PublishStep step{.round = RoundRow(store::RoundPhase::kPublished),
                          .model = model,
                          .optimizer_state = optimizer_->State(),
                          .task_state = std::nullopt};
  step.round.ended_at = services_.clock.Now();
  if (rounds_published_ + 1 >= spec().rounds) {
    step.task_state = {store::TaskState::kFinished, "all " + std::to_string(spec().rounds) + " rounds are published"};
  }
  TACIT_CO_TRY(model_record_,
               co_await services_.store.Call("publish", [&step](store::Store& store) { return store.Publish(step); }));
  const ByteSpan bytes = AsBytes(std::span<const float>(model));
  model_ = std::make_shared<const Bytes>(bytes.begin(), bytes.end());
  ++rounds_published_;
  if (step.task_state) {
    record_.state = step.task_state->state;
    record_.state_reason = step.task_state->reason;
  }
  co_return Result<void>{};
}

// ---- Ending ----

void TaskRunner::Carry(const round::Abandon& action) {
  Spawn(DoAbandon(action.reason));
}

net::Task<void> TaskRunner::DoAbandon(std::string reason) {
  const RoundKey key = CurrentKey();
  services_.log.Warn(
      "round_abandoned",
      {{"task", key.task.str()}, {"round", key.round}, {"counted", total_->contributions.size()}, {"reason", reason}});
  if (opened_at_ == WallTime{}) opened_at_ = services_.clock.Now();
  store::RoundRecord row = RoundRow(store::RoundPhase::kAbandoned);
  row.reason = reason;
  row.ended_at = services_.clock.Now();
  const auto recorded =
      co_await services_.store.Call("put_round", [row](store::Store& store) { return store.PutRound(row); });
  if (!recorded) {
    // The row stays as it was, so the next start takes the round up again; nothing was released either way.
    services_.log.Error("round_end_not_recorded",
                        {{"task", key.task.str()}, {"round", key.round}, {"reason", recorded.error().message}});
  }
  const Millis took = *row.ended_at - row.opened_at;
  services_.metrics.RoundEnded(key.task.str(), "abandoned", std::chrono::duration<double>(took).count());
  co_await ForgetSums(key);
  opened_at_ = {};
  if (refused_for_budget_) {
    const store::TaskStateChange change{store::TaskState::kBudgetExhausted, reason};
    record_.state = change.state;
    record_.state_reason = change.reason;
    machine_.reset();
    const auto stored = co_await services_.store.Call(
        "set_task_state", [id = key.task, change](store::Store& store) { return store.SetTaskState(id, change); });
    services_.log.Warn("task_ended", {{"task", key.task.str()},
                                      {"state", store::NameOf(change.state)},
                                      {"reason", reason},
                                      {"recorded", stored.has_value()}});
  } else {
    StartNextRound(key.round + 1);
  }
  ShowMetrics();
  on_change_();
}

net::Task<void> TaskRunner::ForgetSums(RoundKey key) {
  const auto destroyed =
      co_await services_.store.Call("round_key", [key](store::Store& store) { return store.DestroyRoundKey(key); });
  const auto dropped =
      co_await services_.store.Call("drop_partials", [key](store::Store& store) { return store.DropPartials(key); });
  if (destroyed && dropped) co_return;
  services_.log.Error("sums_not_forgotten",
                      {{"task", key.task.str()},
                       {"round", key.round},
                       {"reason", destroyed ? dropped.error().message : destroyed.error().message}});
}

// ---- Showing ----

TaskView TaskRunner::View() const {
  TaskView view{.record = record_,
                .latest_version = model_record().version,
                .rounds_published = rounds_published_,
                .current = std::nullopt,
                .privacy = std::nullopt};
  if (machine_) {
    CurrentRoundView current{.round = CurrentKey().round,
                             .phase = std::string(round::NameOf(machine().phase())),
                             .waiting_for = machine().WaitingFor(),
                             .counted = machine().counted().size(),
                             .leased = machine().leased(),
                             .time_left = std::nullopt};
    if (machine().phase() == round::Phase::kOpen)
      current.time_left = machine().deadline() - services_.clock.SteadyNow();
    view.current = std::move(current);
  }
  if (ledger_) {
    const dp::EpsilonReport spent = ledger_->Spent();
    view.privacy = PrivacyView{.accountant = std::string(spent.accountant),
                               .epsilon_spent = spent.epsilon,
                               .epsilon_reserved = spent.epsilon - ledger_->Charged().epsilon,
                               .rounds_charged = ledger_->rounds_charged(),
                               .rounds_left = ledger_->RoundsLeft()};
  }
  return view;
}

void TaskRunner::ShowMetrics() {
  const std::string& name = spec().id.str();
  if (machine_) {
    services_.metrics.SetRound(name, CurrentKey().round, round::NameOf(machine().phase()), machine().counted().size());
  }
  services_.metrics.SetModelVersion(name, model_record().version);
}

void TaskRunner::ShowPrivacy() {
  if (!ledger_) return;
  const double spent = ledger_->Spent().epsilon;
  services_.metrics.SetEpsilon(spec().id.str(), spent, spent - ledger_->Charged().epsilon,
                               spec().privacy.promise().budget.value());
}

}  // namespace tacit::coordinator
