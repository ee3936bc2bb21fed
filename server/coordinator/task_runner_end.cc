// How a TaskRunner ends a round: the charge, the release, or neither.

#include <algorithm>
#include <cstring>
#include <utility>

#include "common/base/check.h"
#include "common/crypto/digest.h"
#include "server/coordinator/task_runner_parts.h"

namespace tacit::coordinator {
namespace {

constexpr Millis kFirstPause{1000};
constexpr Millis kLongestPause{30'000};

// Runs on the compute pool, where everything it needs is its own.
struct Draw {
  dp::UnnoisedSum sum;
  dp::ReleaseToken token;
  crypto::SecretKey secret;
};

// "Seals" by digest: what is left of a sum is a number that tells it from every other sum.
class DigestSealer final : public Sealer {
 public:
  using Sealer::Open;
  using Sealer::Seal;
  [[nodiscard]] std::size_t SealedSize(std::size_t /*plaintext*/) const override { return Digest256().size(); }
  Result<void> Seal(std::size_t plaintext, const Writer& write, ByteSpan context,
                    std::span<std::uint8_t> sealed) const override {
    crypto::Sha256Stream digest;
    digest.Update(context);
    std::vector<std::uint8_t> block(std::min(kBlock, plaintext));
    for (std::size_t at = 0; at < plaintext; at += kBlock) {
      const std::span<std::uint8_t> part = std::span(block).first(std::min(kBlock, plaintext - at));
      write(at, part);
      digest.Update(part);
    }
    crypto::Zeroise(block);
    std::ranges::copy(digest.Finish(), sealed.begin());
    return {};
  }
  Result<void> Open(ByteSpan /*sealed*/, ByteSpan /*context*/, const Reader& /*read*/) const override {
    return Fail(ErrorCode::kInternal, "a digest cannot be opened");
  }
};

}  // namespace

// ---- Charging ----

void TaskRunner::Carry(const round::Charge& /*action*/) {
  Spawn(DoCharge());
}

net::Task<void> TaskRunner::DoCharge() {
  Begin(round::Stage::kCharge);
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
                                       Counted(total_->contributions.size()),
                                       {"epsilon_spent", ledger_ ? ledger_->Spent().epsilon : 0.0}});
  Handle(round::Charged{});
}

net::Task<Result<void>> TaskRunner::ChargeDurably() {
  const store::RoundRecord closing = RoundRow(store::RoundPhase::kClosing);
  TACIT_CO_TRY_VOID(
      co_await services_.store.Call("put_round", [closing](store::Store& store) { return store.PutRound(closing); }));
  const RoundNumber number = CurrentKey().round;
  if (IsPrivate() && !(charge_ && charge_->value().round == number)) {
    TACIT_CO_TRY(charge_, co_await Enter([this, number] {
                   return ledger().ProposeCharge(number, total_->contributions.size(), services_.clock.Now());
                 }));
  }
  if (!token_) TACIT_CO_TRY_VOID(co_await MintToken());
  const store::RoundRecord charged = RoundRow(store::RoundPhase::kCharged);
  co_return co_await services_.store.Call("put_round",
                                          [charged](store::Store& store) { return store.PutRound(charged); });
}

net::Task<Result<void>> TaskRunner::MintToken() {
  if (!IsPrivate()) {
    const task::Privacy& privacy = spec().privacy;
    token_.emplace(
        dp::NoPrivacyToken({.round = CurrentKey(),
                            .clip_norm = privacy.clip_norm,
                            .grid_radius = privacy.grid_radius,
                            .divisor = spec().asynchronous ? static_cast<double>(spec().cohort.size)
                                                           : static_cast<double>(total_->sum.total_weight())}));
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
  if (done) done = co_await MarkNextModel();
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
                                         Counted(total_->contributions.size()),
                                         {"model_version", model_record().version},
                                         {"epsilon_spent", ledger_ ? ledger_->Spent().epsilon : 0.0}});
  services_.metrics.RoundEnded(key.task.str(), "published", std::chrono::duration<double>(took).count());
  TellStory({});
  Handle(round::Released{});
  co_await ForgetSums(key);
  GoOnAfter(key);
}

void TaskRunner::GoOnAfter(const RoundKey& key) {
  if (active()) {
    StartNextRound(key.round + 1, NextLineage());
  } else {
    LetGo();
    services_.log.Info(
        "task_ended",
        {{"task", key.task.str()}, {"state", store::NameOf(record_.state)}, {"reason", record_.state_reason}});
  }
  ShowMetrics();
  around_.on_change();
}

net::Task<Result<void>> TaskRunner::DrawNextModel() {
  if (next_model_) co_return Result<void>{};
  Begin(round::Stage::kNoise);
  if (!token_) {
    co_return Fail(ErrorCode::kInternal, "the sum was opened once already and its release failed; nothing is released");
  }
  auto draw = std::make_shared<Draw>(
      Draw{std::move(total_->sum), *std::move(token_), std::move(Present(noise_secret_, "an open round has its key"))});
  token_.reset();
  noise_secret_.reset();
  TACIT_CO_TRY(auto average,
               co_await services_.compute.Run([this, draw, key = CurrentKey()]() -> Result<std::vector<float>> {
                 // The key of the noise is the sum's own: the same sum gets the same noise, another one other noise,
                 // and who has the round's key but not the sum has no noise.
                 AlignedBuffer room;
                 TACIT_TRY(const ByteSpan digest, draw->sum.Seal(DigestSealer(), {}, room));
                 const auto bits = services_.noise_source(key, draw->secret.Derive(digest));
                 return dp::ReleaseAverage(std::move(draw->sum), std::move(draw->token), *bits);
               }));
  if (const auto& tracking = spec().privacy.tracking) {
    next_clip_norm_ = dp::NextClipNorm(record_.clip_norm, static_cast<double>(average.back()), *tracking);
    average.pop_back();
  }
  std::vector<float> model(model_.bytes.size() / sizeof(float));
  std::memcpy(model.data(), model_.bytes.data(), model_.bytes.size());
  optimizer_->Step(average, model);
  next_model_.emplace(std::move(model));
  co_return Result<void>{};
}

net::Task<Result<void>> TaskRunner::Publish() {
  Begin(round::Stage::kPublish);
  const std::vector<float>& model = Present(next_model_, "it is published when it was drawn");
  store::PublishStep step{.round = RoundRow(store::RoundPhase::kPublished),
                          .model = model,
                          .optimizer_state = optimizer_->State(),
                          .next_clip_norm = next_clip_norm_,
                          .task_state = std::nullopt,
                          .commitment = commitment_};
  step.round.ended_at = services_.clock.Now();
  if (rounds_published_ + 1 >= spec().rounds) {
    step.task_state = {store::TaskState::kFinished, "all " + std::to_string(spec().rounds) + " rounds are published"};
  }
  auto published =
      co_await services_.store.Call("publish", [&step](store::Store& store) { return store.Publish(step); });
  if (!published) {
    // As in AppendDurably.
    const auto latest =
        co_await services_.store.Call("model", [id = spec().id](store::Store& store) { return store.LatestModel(id); });
    if (latest && latest->version == CurrentKey().round) published = latest;
  }
  TACIT_CO_TRY(auto record, std::move(published));
  TACIT_CO_TRY(auto bytes, co_await services_.store.Call("map_model", [digest = record.digest](store::Store& store) {
    return store.MapModel(digest);
  }));
  if (const auto& asynchronous = spec().asynchronous) {
    older_models_.push_back({model_record().version, model_record().digest, std::move(model_)});
    if (older_models_.size() > asynchronous->max_staleness) older_models_.erase(older_models_.begin());
  }
  model_record_ = std::move(record);
  model_ = std::move(bytes);
  ++rounds_published_;
  record_.clip_norm = next_clip_norm_.value_or(record_.clip_norm);
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
      {{"task", key.task.str()}, {"round", key.round}, Counted(total_->contributions.size()), {"reason", reason}});
  if (opened_at_ == WallTime{}) opened_at_ = services_.clock.Now();
  store::RoundRecord row = RoundRow(store::RoundPhase::kAbandoned);
  row.reason = reason;
  row.ended_at = services_.clock.Now();
  if (!co_await RecordEnd(row)) co_return;  // the next start takes the round up again
  const Millis took = *row.ended_at - row.opened_at;
  services_.metrics.RoundEnded(key.task.str(), "abandoned", std::chrono::duration<double>(took).count());
  co_await VoidReservation(key.round);
  TellStory(reason);
  const store::TaskStateChange change{store::TaskState::kBudgetExhausted, reason};
  const bool exhausted = refused_for_budget_ && active();
  if (exhausted) {
    record_.state = change.state;
    record_.state_reason = change.reason;
  }
  co_await ForgetSums(key);
  opened_at_ = {};
  if (exhausted) {
    LetGo();
    const auto stored = co_await services_.store.Call(
        "set_task_state", [id = key.task, change](store::Store& store) { return store.SetTaskState(id, change); });
    services_.log.Warn("task_ended", {{"task", key.task.str()},
                                      {"state", store::NameOf(change.state)},
                                      {"reason", reason},
                                      {"recorded", stored.has_value()}});
    ShowMetrics();
    around_.on_change();
  } else {
    GoOnAfter(key);
  }
}

net::Task<Result<void>> TaskRunner::StopTask(std::string reason) {
  if (!active()) {
    co_return Fail(ErrorCode::kConflict, "task " + spec().id.str() + " has ended: " + record_.state_reason);
  }
  // Durable before it is acted on: a crash in between finds a task that is stopped, and a round that is to end.
  const store::TaskStateChange change{store::TaskState::kStopped, std::move(reason)};
  TACIT_CO_TRY_VOID(co_await services_.store.Call(
      "set_task_state", [id = spec().id, change](store::Store& store) { return store.SetTaskState(id, change); }));
  if (!active()) co_return Result<void>{};  // it ended by itself meanwhile
  record_.state = change.state;
  record_.state_reason = change.reason;
  if (machine_) Handle(round::StopAsked{change.reason});
  co_return Result<void>{};
}

// Says in the ledger that a reservation came to nothing. A crash before it leaves a reservation that the next one
// passes, which means the same.
net::Task<void> TaskRunner::VoidReservation(RoundNumber round) {
  if (!ledger_) co_return;
  const WallTime now = services_.clock.Now();
  if (!ledger().ProposeVoid(round, now)) co_return;  // not reserved, or charged
  const auto applied = co_await Enter([this, round, now] { return ledger().ProposeVoid(round, now); });
  if (applied) co_return;
  services_.log.Warn("reservation_not_voided",
                     {{"task", spec().id.str()}, {"round", round}, {"reason", applied.error().message}});
}

// Until the end is on disk the round's key and sums stay: a restart finds the round as it stood, and must be able to
// read it. False when the server stops first.
net::Task<bool> TaskRunner::RecordEnd(store::RoundRecord row) {
  for (Millis pause = kFirstPause;; pause = std::min(pause * 2, kLongestPause)) {
    const auto recorded =
        co_await services_.store.Call("put_round", [row](store::Store& store) { return store.PutRound(row); });
    // What has ended is recorded already, by an attempt that was reported to have failed.
    if (recorded || recorded.error().code == ErrorCode::kConflict) co_return true;
    services_.log.Error("round_end_not_recorded", {{"task", row.key.task.str()},
                                                   {"round", row.key.round},
                                                   {"reason", recorded.error().message},
                                                   {"delay_ms", pause.count()}});
    if (stopping_) co_return false;
    co_await retry_wake_.WaitUntil(services_.clock.SteadyNow() + pause);
    if (stopping_) co_return false;
  }
}

Result<void> TaskRunner::UseRoundKey(const crypto::SecretKey& secret) {
  TACIT_TRY(auto sealer, crypto::Aes256GcmSealer::Create(secret.Derive(AsBytes("tacit-seal/1"))));
  sealer_.emplace(std::move(sealer));
  const RoundKey key = CurrentKey();
  const auto derive = [&](std::string_view purpose) {
    return secret.Derive(ByteWriter().Text(purpose).Text(key.task.str()).U64(key.round).bytes());
  };
  noise_secret_.emplace(derive("tacit-noise/2"));
  if (CohortIsSecret()) coin_secret_.emplace(derive("tacit-coin/1"));
  return {};
}

net::Task<void> TaskRunner::ForgetSums(RoundKey key) {
  const auto destroyed =
      co_await services_.store.Call("round_key", [key](store::Store& store) { return store.DestroyRoundKey(key); });
  const auto dropped =
      co_await services_.store.Call("drop_partials", [key](store::Store& store) { return store.DropPartials(key); });
  const auto forgotten = co_await ForgetLeases(key);
  for (const Result<void>& each : {destroyed, dropped, forgotten}) {
    if (each) continue;
    services_.log.Error("sums_not_forgotten",
                        {{"task", key.task.str()}, {"round", key.round}, {"reason", each.error().message}});
    co_return;
  }
}

void TaskRunner::LetGo() {
  machine_.reset();
  total_.reset();
  filling_.reset();
  in_flight_.reset();
  sealed_room_ = {};
  sealer_.reset();
  noise_secret_.reset();
  coin_secret_.reset();
  token_.reset();
  next_model_.reset();
  commitment_.reset();
  mark_key_.reset();
  older_models_.clear();
  optimizer_.reset();
}

}  // namespace tacit::coordinator
