#include "server/coordinator/task_runner.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <ranges>
#include <utility>

#include "common/base/check.h"
#include "server/coordinator/task_runner_parts.h"

namespace tacit::coordinator {
namespace {

constexpr Millis kBetweenCheckIns{1'000};
constexpr Millis kBetweenEntries{5};

}  // namespace

TaskRunner::TaskRunner(Services& services, store::TaskRecord record, Surroundings around)
    : services_(services),
      record_(std::move(record)),
      leased_spec_(std::make_shared<const task::TaskSpec>(record_.spec)),
      around_(std::move(around)) {}

TaskRunner::~TaskRunner() = default;

dp::SumOptions TaskRunner::SumOptionsOf(const RoundKey& key) const {
  return {.round = key,
          .mechanism = spec().privacy.mechanism,
          .grid_radius = spec().privacy.grid_radius,
          .parameters = spec().model.ParameterCount(),
          .bit_steps = spec().privacy.bit_steps(),
          .entry_bound = spec().privacy.entry_bound()};
}

void TaskRunner::StartNextRound(RoundNumber number, round::Lineage lineage) {
  machine_.emplace(RoundKey{spec().id, number}, RulesOfTask(), std::move(lineage));
  total_ = std::make_unique<PartialSum>(SumOptionsOf(CurrentKey()));
  filling_ = std::make_unique<Batch>();
  in_flight_.reset();
  next_sequence_ = 0;
  partials_.clear();
  sealer_.reset();
  noise_secret_.reset();
  coin_secret_.reset();
  token_.reset();
  next_model_.reset();
  next_clip_norm_.reset();
  commitment_.reset();
  refused_for_budget_ = false;
  stages_.emplace(services_.clock.Now(), services_.clock.SteadyNow());
  resumed_ = false;
}

// ---- What devices ask ----

CheckInReply TaskRunner::CheckIn(const DeviceId& device) {
  if (!machine_)
    return WaitView{kBetweenCheckIns * 10, "task " + spec().id.str() + " has ended: " + record_.state_reason};
  if (stopping_) return WaitView{kBetweenCheckIns, "the server is stopping"};
  if (const auto may = CheckLimits(device); !may) return WaitView{kBetweenCheckIns * 60, may.error().message};
  if (machine().phase() == round::Phase::kOpen && !IsDrawn(device)) {
    return WaitView{kBetweenCheckIns, "task " + spec().id.str() + ", round " + std::to_string(CurrentKey().round) +
                                          ": the coin did not choose this device; waiting for the next round"};
  }
  Handle(round::CheckedIn{device});
  CheckInReply reply = std::move(Present(check_in_reply_, "the machine answers every check-in"));
  check_in_reply_.reset();
  return reply;
}

void TaskRunner::Left(const DeviceId& device, SteadyTime since) {
  if (machine_ && !stopping_) Handle(round::Left{device, since});
}

void TaskRunner::GiveBackPlace(const DeviceId& device) {
  if (machine_ && !stopping_) Handle(round::Rejected{device});
}

Result<void> TaskRunner::CheckTakes(const RoundKey& round, const DeviceId& device) const {
  if (!machine_ || (round.round < CurrentKey().round && !spec().asynchronous)) {
    return Fail(ErrorCode::kGone, "round " + std::to_string(round.round) + " of task " + round.task.str() +
                                      " is over; drop the update and check in again");
  }
  if (round.round > CurrentKey().round) {
    return Fail(ErrorCode::kNotFound,
                "there is no round " + std::to_string(round.round) + " of task " + round.task.str());
  }
  if (spec().asynchronous) return CheckLease(round, device);
  return CheckMayTakePart(device);
}

Result<UploadPlan> TaskRunner::PlanUpload(const RoundKey& round, const DeviceId& device) const {
  TACIT_TRY_VOID(CheckTakes(round, device));
  const task::Privacy& privacy = spec().privacy;
  return UploadPlan{.parameters = spec().model.ParameterCount(),
                    .schema_digest = spec().model.SchemaDigest(),
                    .mechanism = privacy.mechanism,
                    .clip_norm = record_.clip_norm,
                    .grid_radius = privacy.grid_radius,
                    .max_examples = spec().aggregation.max_examples,
                    .tracks_clip = privacy.tracking.has_value(),
                    .entry_bound = privacy.entry_bound(),
                    .top_k = spec().TopK(),
                    .takes_zstd = spec().updates.takes_zstd,
                    .counted = machine().CountedDigest(device, LeasedIn(round))};
}

void TaskRunner::Submit(const std::shared_ptr<PendingUpload>& upload) {
  const Submission& submission = upload->submission;
  if (auto takes = CheckTakes(submission.round, submission.device); !takes) return upload->Answer(std::move(takes));
  if (stopping_) {
    return upload->Answer(Fail(ErrorCode::kUnavailable, "the server is stopping; keep the update and send it again"));
  }
  offered_ = upload.get();
  Handle(round::Offered{submission.device, submission.digest, LeasedIn(submission.round)});
  offered_ = nullptr;
  if (!upload->outcome) waiting_.emplace(submission.device, upload);
}

Result<void> TaskRunner::StopWaiting(const std::shared_ptr<PendingUpload>& upload) {
  if (const auto& outcome = upload->outcome) return *outcome;
  const auto [first, last] = waiting_.equal_range(upload->submission.device);
  for (auto each = first; each != last;) each = each->second == upload ? waiting_.erase(each) : std::next(each);
  return Fail(ErrorCode::kUnavailable, "the update is not durable yet; keep it and send it again");
}

void TaskRunner::ReportRefused(const RoundKey& round, const DeviceId& device, ErrorCode code) {
  CountOutcome(TraitsOf(code).name);
  // The device's own fault, which sending the same bytes again cannot mend.
  const bool final =
      code == ErrorCode::kInvalidArgument || code == ErrorCode::kMalformed || code == ErrorCode::kTooLarge;
  if (final && machine_ && (round == CurrentKey() || spec().asynchronous)) Handle(round::Rejected{device});
}

void TaskRunner::CountOutcome(std::string_view outcome) {
  if (!CohortIsSecret()) services_.metrics.UpdateOutcome(spec().id.str(), outcome);
}

void TaskRunner::Tick() {
  if (!machine_ || stopping_) return;
  Handle(round::Tick{});
  // At ticks, so that a fleet whose updates come fast costs one look at its line for many of them.
  if (machine_) std::ranges::for_each(line_ | std::views::take(machine().FreePlaces()), &net::WakeUp::Wake);
}

Result<void> TaskRunner::CheckMayTakePart(const DeviceId& device) const {
  TACIT_TRY_VOID(CheckLimits(device));
  if (IsDrawn(device)) return {};
  return Fail(ErrorCode::kPermissionDenied, "the coin of round " + std::to_string(CurrentKey().round) + " of task " +
                                                spec().id.str() + " did not choose this device");
}

Result<void> TaskRunner::CheckLimits(const DeviceId& device) const {
  // A device that is in this round must still get its answers, also when it was its last.
  const auto found = participations_.find(device);
  if (CohortIsSecret() || found == participations_.end() || found->second.last_round == CurrentKey().round) return {};
  const Part& part = found->second;
  constexpr std::string_view kWho = "this device has taken part in ";
  if (part.rounds >= spec().max_participations) {
    return Fail(ErrorCode::kPermissionDenied, std::string(kWho) + std::to_string(part.rounds) + " rounds of task " +
                                                  spec().id.str() + ", as many as it may");
  }
  const RoundNumber next = part.last_round + spec().min_separation;
  if (CurrentKey().round >= next) return {};
  return Fail(ErrorCode::kPermissionDenied, std::string(kWho) + "round " + std::to_string(part.last_round) +
                                                " of task " + spec().id.str() + " and may again from round " +
                                                std::to_string(next) + " on");
}

// The same coin for every retry, and after a restart: it is a function of the round's key.
bool TaskRunner::IsDrawn(const DeviceId& device) const {
  if (!CohortIsSecret()) return true;
  // The population was counted when the round opened: who came later holds no coin of it.
  if (!coin_secret_ || !around_.was_enrolled_at(device, opened_at_)) return false;
  const crypto::SecretKey coin = coin_secret_->Derive(AsBytes(device.str()));
  std::uint64_t face = 0;
  std::memcpy(&face, coin.bytes().data(), sizeof face);
  // Rounded down: never more likely than what is accounted for.
  return face < static_cast<std::uint64_t>(
                    std::floor(Present(spec().privacy.coin, "asked above").probability.value() * 0x1p64));
}

std::optional<DeviceSpendView> TaskRunner::SpendOf(const DeviceId& device) const {
  const auto found = participations_.find(device);
  // Behind a coin a device has spent what every device has: that it took part, and how often, is what the coin hides.
  if (found == participations_.end() && !CohortIsSecret()) return std::nullopt;
  DeviceSpendView view{.task = spec().id,
                       .mechanism = spec().privacy.mechanism,
                       .rounds = std::nullopt,
                       .max_participations = spec().max_participations,
                       .epsilon = std::nullopt,
                       .delta = std::nullopt};
  if (!CohortIsSecret()) view.rounds = found->second.rounds;
  if (const auto& local = spec().privacy.local) {
    view.local = true;
    view.delta = local->delta.value();
    view.epsilon = EpsilonOfRounds(found->second.rounds);
  }
  if (!ledger_) return view;
  view.delta = spec().privacy.promise().delta.value();
  view.epsilon = view.rounds ? EpsilonOfRounds(*view.rounds) : ledger_->Spent().epsilon;
  return view;
}

double TaskRunner::EpsilonOfRounds(std::uint64_t rounds) const {
  const auto [place, is_new] = epsilon_of_rounds_.try_emplace(rounds, 0);
  const auto& local = spec().privacy.local;
  if (is_new)
    place->second = (local ? dp::LocalCost(*local, rounds) : Present(ledger_, kLoaded).CostOfDevice(rounds)).epsilon;
  return place->second;
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
  const std::optional<task::Asynchronous>& asynchronous = spec().asynchronous;
  check_in_reply_ = LeaseView{
      .round = CurrentKey(),
      .spec = leased_spec_,
      .clip_norm = record_.clip_norm,
      .model_version = model_record().version,
      .model_digest = model_record().digest,
      .model_bytes = model_record().bytes,
      .time_left = asynchronous ? asynchronous->lease_lifetime : machine().deadline() - services_.clock.SteadyNow()};
}

void TaskRunner::Carry(const round::TellToWait& action) {
  check_in_reply_ =
      WaitView{kBetweenCheckIns,
               "task " + spec().id.str() + ", round " + std::to_string(CurrentKey().round) + ": " + action.reason,
               action.lacks_place};
}

void TaskRunner::Carry(const round::Fold& action) {
  TACIT_CHECK(offered_ != nullptr && offered_->submission.device == action.device,
              "only the update being offered is folded");
  Submission& submission = offered_->submission;
  filling_->updates.push_back(std::move(submission.update));
  filling_->staleness.push_back(action.staleness);
  filling_->contributions.push_back({.device = action.device,
                                     .payload_digest = submission.digest,
                                     .weight = submission.weight,
                                     .leased_in = LeasedIn(submission.round)});
}

// The acknowledgement of the first one answers everyone who waits under this device's name; it alone is needed, and
// whoever waits for memory can have that of the others.
void TaskRunner::Carry(const round::JoinPending& /*action*/) {
  TACIT_CHECK(offered_ != nullptr, "only an update that is being offered joins another");
  const dp::VerifiedUpdate not_needed = std::move(offered_->submission.update);
}

void TaskRunner::Carry(const round::Acknowledge& action) {
  Resolve(action.device, Result<void>{});
}

void TaskRunner::Carry(const round::Refuse& action) {
  Resolve(action.device, std::unexpected(action.error));
}

void TaskRunner::Resolve(const DeviceId& device, const Result<void>& outcome) {
  const auto answer = [&](PendingUpload& upload) {
    if (outcome) CountOutcome("counted");
    upload.Answer(outcome);
  };
  // An answer to what is being offered must not answer another upload of the same device.
  if (offered_ != nullptr) return answer(*offered_);
  const auto [first, last] = waiting_.equal_range(device);
  for (auto each = first; each != last; ++each) answer(*each->second);
  waiting_.erase(first, last);
}

void TaskRunner::Carry(const round::Announce& /*action*/) {
  ShowMetrics();
  // Only an open round has something for a waiting device; its end is told by GoOnAfter.
  if (machine().phase() == round::Phase::kOpen) around_.on_change();
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
  Begin(round::Stage::kCollect);
  Handle(round::Opened{});
}

// Coins are accounted for with the population that was declared: with more devices a full cohort could turn some away.
Result<void> TaskRunner::CheckPopulation() const {
  if (!CohortIsSecret()) return {};
  const std::uint64_t enrolled = around_.devices();
  if (enrolled <= spec().privacy.population) return {};
  return Fail(ErrorCode::kUnavailable, std::to_string(enrolled) + " devices are enrolled, more than the " +
                                           std::to_string(spec().privacy.population) +
                                           " that 'privacy.population' declared");
}

net::Task<Result<void>> TaskRunner::OpenDurably() {
  TACIT_CO_TRY_VOID(CheckPopulation());
  if (IsPrivate()) TACIT_CO_TRY_VOID(co_await ReserveBudget());
  const RoundKey key = CurrentKey();
  if (!sealer_) {
    // A crash after this step leaves a key without a round: it is replaced, having sealed nothing.
    TACIT_CO_TRY_VOID(
        co_await services_.store.Call("round_key", [key](store::Store& store) { return store.DestroyRoundKey(key); }));
    TACIT_CO_TRY(const auto fresh, co_await services_.store.Call(
                                       "round_key", [key](store::Store& store) { return store.CreateRoundKey(key); }));
    TACIT_CO_TRY_VOID(UseRoundKey(fresh));
  }
  opened_at_ = services_.clock.Now();
  const store::RoundRecord row = RoundRow(store::RoundPhase::kOpen);
  co_return co_await services_.store.Call("put_round", [row](store::Store& store) { return store.PutRound(row); });
}

net::Task<Result<void>> TaskRunner::ReserveBudget() {
  const RoundNumber number = CurrentKey().round;
  // Reserved before a crash, or before a failed attempt: it is spent once, not twice.
  if (ledger().OpenRound() == number) co_return Result<void>{};
  if (spec().privacy.tracking) TACIT_CO_TRY_VOID(ledger().UseClipNorm(record_.clip_norm));
  const auto reserved =
      co_await Enter([this, number] { return ledger().ProposeReserve(number, services_.clock.Now()); });
  if (reserved) co_return Result<void>{};
  refused_for_budget_ = reserved.error().code == ErrorCode::kBudgetExhausted;
  co_return std::unexpected(reserved.error());
}

// The one way into the ledger: proposed, durable, applied, and nothing else in between.
net::Task<Result<Durable<dp::LedgerEntry>>> TaskRunner::Enter(Proposal propose) {
  // Only an operator's adjustment can meet a step of a round here, and neither takes long.
  net::WakeUp pause;
  while (entering_) co_await pause.WaitUntil(services_.clock.SteadyNow() + kBetweenEntries);
  TACIT_CO_TRY(const dp::LedgerEntry proposed, propose());
  entering_ = true;
  auto durable = co_await AppendDurably(proposed);
  entering_ = false;
  TACIT_CO_TRY_VOID(durable);
  TACIT_CO_TRY_VOID(ledger().Apply(*durable));
  epsilon_of_rounds_.clear();
  ShowPrivacy();
  co_return durable;
}

Result<dp::Adjustment> TaskRunner::ProposeAdjust(const AdjustOrder& order) const {
  if (order.only_at && *order.only_at != Moment()) {
    return Fail(ErrorCode::kChanged, "the privacy figures of task " + spec().id.str() +
                                         " are not those that this adjustment is for any more: look at them again");
  }
  return Present(ledger_, "asked before").ProposeAdjust(order.noise_multiplier, services_.clock.Now());
}

net::Task<Result<dp::Adjustment>> TaskRunner::Adjust(AdjustOrder order) {
  if (!active()) {
    co_return Fail(ErrorCode::kConflict, "task " + spec().id.str() + " has ended: " + record_.state_reason);
  }
  if (!ledger_) {
    co_return Fail(ErrorCode::kConflict, "task " + spec().id.str() + " has no noise of the server to adjust");
  }
  if (order.trial == AdjustOrder::Trial::kYes) co_return ProposeAdjust(order);
  // Proposed when no other entry is under way: what the order is for is compared with what it will follow.
  TACIT_CO_TRY(const auto entry, co_await Enter([this, &order]() -> Result<dp::LedgerEntry> {
                 TACIT_TRY(const dp::Adjustment made, ProposeAdjust(order));
                 return made.entry;
               }));
  const dp::EpsilonReport spent = ledger().Spent();
  services_.log.Info("task_adjusted", {{"task", spec().id.str()},
                                       {"noise_multiplier", order.noise_multiplier.value()},
                                       {"epsilon_spent", spent.epsilon},
                                       {"accountant", spent.accountant}});
  co_return dp::Adjustment{.entry = entry.value(), .spent = spent, .rounds_left = ledger().RoundsLeft()};
}

// A disk that fails in the very moment of a commit can report a failure for what it has kept: ask what is there.
net::Task<Result<Durable<dp::LedgerEntry>>> TaskRunner::AppendDurably(const dp::LedgerEntry& entry) {
  const SteadyTime began = services_.clock.SteadyNow();
  auto appended = co_await services_.store.Call("append_ledger",
                                                [entry](store::Store& store) { return store.AppendLedger(entry); });
  const std::chrono::duration<double> took = services_.clock.SteadyNow() - began;
  services_.metrics.LedgerCommitted(took.count());
  if (appended) co_return appended;
  const auto recorded =
      co_await services_.store.Call("ledger", [id = entry.task](store::Store& store) { return store.Ledger(id); });
  if (recorded && !recorded->empty() && recorded->back().value() == entry) co_return recorded->back();
  co_return appended;
}

store::RoundRecord TaskRunner::RoundRow(store::RoundPhase phase) const {
  return {.key = CurrentKey(),
          .phase = phase,
          .reason = {},
          .opened_at = opened_at_,
          .ended_at = std::nullopt,
          .counted = total_->contributions.size(),
          .total_weight = total_->TotalWeight(),
          .base_version = model_record().version,
          .epsilon_after = ledger_ ? ledger_->Spent().epsilon : 0};
}

// ---- Showing ----

std::optional<LocalPrivacyView> TaskRunner::LocalView() const {
  const auto& local = spec().privacy.local;
  if (!local) return std::nullopt;
  return LocalPrivacyView{
      .epsilon_of_one = EpsilonOfRounds(1),
      .epsilon_limit = EpsilonOfRounds(spec().Compositions()),
      .epsilon_counted = EpsilonOfRounds(most_participations_),
      .accountant = std::string(dp::LocalCost(*local, 0).accountant),
      .utility = dp::ForecastLocalUtility(local->mechanism, local->noise_multiplier, spec().cohort.size)};
}

// Privacy: a shape is what a device says of its configuration before it trains, and no model depends on it; which
// device said it, and how many did, is not told. Where a coin hides who comes, that somebody came is not told either.
std::string TaskRunner::WaitingFor() const {
  std::string text = machine().WaitingFor();
  const bool recent =
      other_shape_at_ && services_.clock.SteadyNow() < *other_shape_at_ + RulesOfTask().interest_lifetime;
  if (!recent || CohortIsSecret() || machine().phase() != round::Phase::kScheduled) return text;
  return text + "; devices have asked whose data have another shape than " + std::to_string(spec().model.inputs()) +
         " inputs and " + std::to_string(spec().model.classes()) + " classes";
}

PrivacyMoment TaskRunner::Moment() const {
  return {.ledger_entries = ledger_ ? ledger_->sequence() : 0,
          .state = record_.state,
          .clip_norm = record_.clip_norm.value(),
          .most_participations = spec().privacy.local ? most_participations_ : 0};
}

TaskView TaskRunner::View() const {
  TaskView view{.record = record_,
                .latest_version = model_record().version,
                .rounds_published = rounds_published_,
                .current = std::nullopt,
                .privacy = std::nullopt,
                .local = LocalView(),
                .moment = Moment()};
  if (machine_) {
    CurrentRoundView current{.round = CurrentKey().round,
                             .phase = std::string(round::NameOf(machine().phase())),
                             .since = std::nullopt,
                             .waiting_for = WaitingFor(),
                             .counted = std::nullopt,
                             .leased = std::nullopt,
                             .time_left = std::nullopt};
    if (!CohortIsSecret()) {
      current.since = shown_phase_ ? shown_phase_->since : opened_at_;
      current.counted = machine().counted().size();
      current.leased = machine().leased();
    }
    if (machine().phase() == round::Phase::kOpen && !spec().asynchronous)
      current.time_left = machine().deadline() - services_.clock.SteadyNow();
    view.current = std::move(current);
  }
  if (ledger_) {
    const dp::EpsilonReport spent = ledger_->Spent();
    view.privacy = PrivacyView{.accountant = std::string(spent.accountant),
                               .epsilon_spent = spent.epsilon,
                               .epsilon_rdp = spent.epsilon_rdp,
                               .rho_zcdp = spent.rho_zcdp,
                               .epsilon_reserved = spent.epsilon - ledger_->Charged().epsilon,
                               .rounds_charged = ledger_->rounds_charged(),
                               .rounds_left = ledger_->RoundsLeft(),
                               .noise_multiplier = ledger_->noise_multiplier(),
                               .rounds_by_noise = {ledger_->reserved().begin(), ledger_->reserved().end()},
                               .filter_order = std::nullopt};
    if (const auto& filter = ledger_->filter()) view.privacy->filter_order = filter->order();
  }
  return view;
}

void TaskRunner::ShowMetrics() {
  const std::string& name = spec().id.str();
  services_.metrics.SetTask(name, {.active = active(),
                                   .rounds = spec().rounds,
                                   .min_updates = spec().cohort.min,
                                   .target_updates = spec().cohort.size});
  if (spec().deployment) services_.metrics.EdgeCounted(name, {});  // as 0 before the first report
  if (machine_) ShowRound();
  services_.metrics.SetModelVersion(name, model_record().version);
}

// Privacy: behind a coin the phases' durations are left out: how long a round closes can depend on who came last.
void TaskRunner::ShowRound() {
  const std::string& name = spec().id.str();
  const SteadyTime now = services_.clock.SteadyNow();
  const round::Phase phase = machine().phase();
  if (!shown_phase_ || shown_phase_->round != CurrentKey().round || shown_phase_->phase != phase) {
    if (shown_phase_ && shown_phase_->phase < round::Phase::kPublished && !CohortIsSecret()) {
      const std::chrono::duration<double> took = now - shown_phase_->began;
      services_.metrics.PhaseEnded(name, round::NameOf(shown_phase_->phase), took.count());
    }
    shown_phase_ = {.round = CurrentKey().round, .phase = phase, .since = services_.clock.Now(), .began = now};
    if (phase == round::Phase::kClosing) Begin(round::Stage::kClose);
  }
  const std::chrono::duration<double> since = shown_phase_->since.time_since_epoch();
  services_.metrics.SetRound(
      name, {.round = CurrentKey().round,
             .phase = round::NameOf(phase),
             .since = since.count(),
             .counted = CohortIsSecret() ? std::nullopt : std::optional<std::uint64_t>(machine().counted().size())});
}

void TaskRunner::TellStory(std::string reason) {
  if (!services_.on_round_ended) return;
  const round::StageTimes& stages = Present(stages_, kInARound);
  const SteadyTime now = services_.clock.SteadyNow();
  round::Story story{.key = CurrentKey(),
                     .published = reason.empty(),
                     .reason = {},
                     .resumed = resumed_,
                     .cohort_size = spec().cohort.size,
                     .counted = std::nullopt,
                     .epsilon_spent = std::nullopt,
                     .began = stages.began(),
                     .ended = stages.At(now),
                     .stages = {}};
  if (ledger_) story.epsilon_spent = ledger_->Spent().epsilon;
  if (!CohortIsSecret()) {
    story.reason = std::move(reason);
    story.counted = total_->contributions.size();
    story.stages = stages.Until(now);
  }
  services_.on_round_ended(story);
}

void TaskRunner::ShowPrivacy() {
  if (!ledger_) return;
  const double spent = ledger_->Spent().epsilon;
  services_.metrics.SetPrivacy(spec().id.str(), {.spent = spent,
                                                 .reserved = spent - ledger_->Charged().epsilon,
                                                 .budget = spec().privacy.promise().budget.value(),
                                                 .delta = spec().privacy.promise().delta.value()});
}

}  // namespace tacit::coordinator
