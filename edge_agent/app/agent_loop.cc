#include "edge_agent/app/agent_loop.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <utility>
#include <vector>

#include "common/base/check.h"
#include "common/base/version.h"
#include "common/crypto/random.h"
#include "edge_agent/enrolment/renew.h"
#include "edge_agent/training/trainer.h"
#include "proto/codec/limits.h"

namespace tacit::agent {
namespace {

constexpr Millis kRenewalTimeout{10'000};
constexpr upload::BackoffOptions kRenewalBackoff{.first = Millis(5'000), .longest = std::chrono::minutes(15)};
// A server that keeps saying "nothing yet" must not be asked in a tight loop, nor fill the log.
constexpr Millis kShortestPause{200};
constexpr Millis kSayAgainAfter = std::chrono::minutes(10);
constexpr std::string_view kProgram = "tacit-agent ";
constexpr const char* kOpened = "Run opens it before anything is asked for";

std::uint64_t RandomSeed() {
  return crypto::OsRandom().NextU64();
}

// Every device, task and round shuffles in an order of its own, and a restarted agent in the same one.
std::uint64_t TrainingSeed(std::uint64_t seed, const DeviceId& device, const codec::Lease& lease) {
  const Digest128 digest =
      Xxh3(ByteWriter().U64(seed).Text(device.str()).Text(lease.task.str()).U64(lease.round).bytes());
  std::uint64_t value = 0;
  std::memcpy(&value, digest.data(), sizeof value);
  return value;
}

std::optional<training::Adversarial> AdversarialOf(const codec::TrainingPlan& plan) {
  if (!plan.adversarial) return std::nullopt;
  const codec::Adversarial& hard = *plan.adversarial;
  return training::Adversarial{.epsilon = hard.epsilon,
                               .steps = hard.steps,
                               .step_size = hard.step_size,
                               .share = hard.share,
                               .input_min = hard.input_min,
                               .input_max = hard.input_max};
}

training::TrainingOptions OptionsOf(const codec::TrainingPlan& plan, std::uint64_t seed) {
  return {.epochs = plan.epochs,
          .batch_size = plan.batch_size,
          .learning_rate = plan.learning_rate,
          .momentum = plan.momentum,
          .proximal_mu = plan.proximal_mu,
          .adversarial = AdversarialOf(plan),
          .seed = seed};
}

}  // namespace

AgentLoop::AgentLoop(enrolment::EnrolledIdentity identity, data::Dataset dataset, LoopOptions options, Logger& log,
                     const Clock& clock)
    : identity_(std::move(identity)),
      dataset_(std::move(dataset)),
      options_(std::move(options)),
      log_(log),
      clock_(clock),
      store_(options_.state_directory),
      residuals_(options_.state_directory),
      backoff_(options_.backoff, RandomSeed()),
      renewal_backoff_(kRenewalBackoff, RandomSeed()) {}

Result<void> AgentLoop::Run(const std::stop_token& stop) {
  stop_ = stop;
  TACIT_TRY(local_ledger_, upload::LocalLedger::Open(options_.state_directory, options_.local_cap));
  TACIT_TRY_VOID(Connect());
  const std::stop_callback cancel(stop, [this] { CancelSession(); });
  log_.Info("agent_started", {{"device", identity_.device.str()},
                              {"server", identity_.agents.host},
                              {"port", identity_.agents.port},
                              {"inputs", dataset_.features},
                              {"classes", dataset_.classes}});
  // That some were is no number computed from the data, and all that leaves their owner's eyes: a log may be collected.
  if (dataset_.left_out.rows > 0)
    log_.Warn("agent_labels_left_out", {{"reason",
                                         "labels of the data that are none of the classes are left out, with "
                                         "what belongs to them; 'tacit-agent shape' says which"}});
  SayCapTightened();
  pending_ = store_.Load();
  if (pending_ && !Present(local_ledger_, kOpened).MaySendKept(pending_->round.task)) {
    log_.Warn("agent_update_dropped", {{"task", pending_->round.task.str()}, {"round", pending_->round.round}});
    store_.Drop();
    pending_.reset();
  }
  if (pending_)
    log_.Info("agent_update_found", {{"task", pending_->round.task.str()}, {"round", pending_->round.round}});
  while (!stop_.stop_requested() && rounds_counted_ != options_.rounds_limit) {
    TACIT_TRY_VOID(RenewWhenDue());
    TACIT_TRY_VOID(pending_ ? SendPending() : SeekWork());
  }
  log_.Info("agent_stopped", {{"rounds_counted", rounds_counted_}});
  return {};
}

Result<void> AgentLoop::Connect() {
  TACIT_TRY(upload::AgentSession session,
            upload::AgentSession::Create({.server = enrolment::ClientOptionsFor(identity_),
                                          .state_directory = options_.state_directory,
                                          .agent_version = std::string(kProgram) + std::string(kVersion)}));
  const std::scoped_lock lock(mutex_);
  session_ = std::make_unique<upload::AgentSession>(std::move(session));
  // A stop that came while there was no session, or an old one, must reach this one too.
  if (stop_.stop_requested()) session_->Cancel();
  return {};
}

void AgentLoop::CancelSession() {
  const std::scoped_lock lock(mutex_);
  session_->Cancel();
}

Result<void> AgentLoop::RenewWhenDue() {
  if (clock_.Now() < enrolment::RenewalDueAt(identity_) || clock_.SteadyNow() < renewal_not_before_) return {};
  auto renewed =
      enrolment::Renew(identity_, {.state_directory = options_.state_directory, .timeout = kRenewalTimeout}, clock_);
  if (renewed) {
    identity_ = *std::move(renewed);
    renewal_backoff_.Reset();
    renewal_not_before_ = {};
    log_.Info("agent_certificate_renewed", {{"not_after", FormatRfc3339(identity_.not_after)}});
    return Connect();
  }
  if (clock_.Now() >= identity_.not_after) {
    return Fail(ErrorCode::kUnauthenticated,
                "this device's certificate expired at " + FormatRfc3339(identity_.not_after) +
                    " and could not be renewed (" + renewed.error().message +
                    "); have an operator run 'tacit device token create --name " + identity_.device.str() +
                    "', and 'tacit-agent join' with that token and this state directory");
  }
  const Millis delay = renewal_backoff_.Next();
  renewal_not_before_ = clock_.SteadyNow() + delay;
  log_.Warn("agent_renewal_failed", {{"code", TraitsOf(renewed.error().code).name},
                                     {"reason", renewed.error().message},
                                     {"not_after", FormatRfc3339(identity_.not_after)},
                                     {"delay_ms", delay.count()}});
  return {};
}

// While the server holds an answer back nothing is renewed, and a certificate may live no longer than a poll.
Millis AgentLoop::LongestPoll() const {
  const auto until_due = std::chrono::ceil<Millis>(enrolment::RenewalDueAt(identity_) - clock_.Now());
  const auto until_next_try = std::chrono::ceil<Millis>(renewal_not_before_ - clock_.SteadyNow());
  return std::clamp(std::max(until_due, until_next_try), Millis(0), options_.long_poll);
}

// A revocation is for ever, and what was never enrolled here does not become so: asking again helps nobody.
Error AgentLoop::ShutOut(const Error& refusal) const {
  return {ErrorCode::kPermissionDenied,
          "the server at " + identity_.agents.host + " shuts this device out (" + refusal.message +
              "); to take part again it needs a new token, and to join under another name with a "
              "fresh state directory"};
}

Result<void> AgentLoop::SeekWork() {
  // At first an answer at once: whoever starts an agent wants to see what it waits for, above all when it is because
  // its data do not fit.
  const bool first = !was_answered_;
  const auto reply = session_->CheckIn({.task = options_.task,
                                        .inputs = static_cast<std::uint32_t>(dataset_.features),
                                        .classes = dataset_.classes,
                                        .declined = declined_,
                                        .only_local_noise = HasCap(),
                                        .wait = first ? Millis(0) : LongestPoll()});
  // A check-in is refused for who the device is, and for nothing else.
  if (!reply && reply.error().code == ErrorCode::kPermissionDenied) return std::unexpected(ShutOut(reply.error()));
  if (!reply) {
    const bool missing = options_.task && reply.error().code == ErrorCode::kNotFound;
    missing ? WaitForTask(reply.error()) : WaitAfter("check_in", reply.error());
    return {};
  }
  task_is_missing_ = false;
  was_answered_ = true;
  if (const auto* lease = std::get_if<codec::Lease>(&*reply)) {
    TakePart(*lease);
    return {};
  }
  backoff_.Reset();
  const auto& wait = std::get<codec::Wait>(*reply);
  SayWaiting(wait.reason);
  Pause(first ? kShortestPause : std::max(wait.retry_after, kShortestPause));
  return {};
}

// Nobody can take it back: it must not happen without a word.
void AgentLoop::SayCapTightened() {
  const upload::LocalLedger& ledger = Present(local_ledger_, kOpened);
  const auto& before = ledger.replaced_cap();
  const auto& now = ledger.record().cap;
  if (!before || !now) return;
  const double spent = ledger.EpsilonSpent().value_or(0);
  const char* meaning = spent < now->epsilon.value()
                            ? "what is spent counts against it"
                            : "as much is spent already: this device sends no noised update any more";
  log_.Warn("agent_cap_tightened", {{"epsilon", now->epsilon.value()},
                                    {"delta", now->delta.value()},
                                    {"epsilon_before", before->epsilon.value()},
                                    {"delta_before", before->delta.value()},
                                    {"epsilon_spent", spent},
                                    {"reason", meaning}});
}

bool AgentLoop::HasCap() const {
  return Present(local_ledger_, kOpened).record().cap.has_value();
}

// What is refused here does not pass with time: the server is told, so that it gives the place to somebody else.
void AgentLoop::Decline(const TaskId& task, const Error& why) {
  log_.Warn("agent_task_declined", {{"task", task.str()}, {"code", TraitsOf(why.code).name}, {"reason", why.message}});
  if (declined_.size() >= codec::kMaxDeclined) declined_.erase(declined_.begin());
  declined_.push_back(task);
  Pause(kShortestPause);
}

void AgentLoop::TakePart(const codec::Lease& lease) {
  last_reason_.clear();
  if (const auto room = Present(local_ledger_, kOpened).CheckRoom(lease); !room)
    return Decline(lease.task, room.error());
  log_.Info("agent_round_started", {{"task", lease.task.str()},
                                    {"round", lease.round},
                                    {"model_version", lease.model_version},
                                    {"deadline_ms", lease.deadline.count()}});
  auto update = MakeUpdate(lease);
  if (!update) return WaitAfter("train", update.error());
  if (options_.fault == Fault::kSlow) {
    log_.Warn("agent_fault_injected", {{"fault", "slow"}, {"delay_ms", lease.deadline.count() + 1000}});
    Pause(lease.deadline + Millis(1000));
  }
  Keep(*std::move(update));
}

// Before anything is downloaded or allocated: a server may ask for what this device has not.
Result<void> AgentLoop::CheckLease(const codec::Lease& lease, const model::ModelSpec& spec) const {
  const std::string task = "task " + lease.task.str();
  const auto differs = [&](std::uint64_t wanted, std::uint64_t found, const char* what) {
    return Fail(ErrorCode::kInvalidArgument,
                task + " takes " + std::to_string(wanted) + ' ' + what + ", the data have " + std::to_string(found));
  };
  if (spec.inputs() != dataset_.features) return differs(spec.inputs(), dataset_.features, "features");
  if (spec.classes() != dataset_.classes) return differs(spec.classes(), dataset_.classes, "classes");
  // The file and its numbers, start, trained copy, gradient, momentum, delta, grid and payload; and a pass's layers.
  constexpr std::uint64_t kBytesPerParameter = 40;
  // The residual and its file, the sum with it, the order of the entries, and what is kept with the update.
  constexpr std::uint64_t kBytesMoreWhereSparse = 24;
  constexpr std::uint64_t kBytesForLayers = 64U << 20U;
  const std::uint64_t each =
      kBytesPerParameter + (upload::IsSparse(lease, options_.encoding) ? kBytesMoreWhereSparse : 0);
  // Outputs and slopes of the layers for one row at least, which may be more than the rest; and of hardened training
  // the rows of a batch as they were, what they become, and the slope.
  const model::RowCost& row = spec.layers().cost();
  const std::uint64_t of_rows = (2 * row.numbers + row.columns) * sizeof(float);
  const std::uint64_t batch = std::min<std::uint64_t>(lease.training.batch_size, dataset_.rows);
  const std::uint64_t hardened = lease.training.adversarial ? 3 * batch * spec.inputs() * sizeof(float) : 0;
  const std::uint64_t needed_mib = (spec.ParameterCount() * each + kBytesForLayers + of_rows + hardened) >> 20U;
  if (needed_mib <= options_.memory_limit_mib) return {};
  return Fail(ErrorCode::kTooLarge, "the model of " + task + " has " + std::to_string(spec.ParameterCount()) +
                                        " parameters; training it takes up to " + std::to_string(needed_mib) +
                                        " MiB, more than --memory-limit-mib " +
                                        std::to_string(options_.memory_limit_mib));
}

// With noise of the device even a training that diverges gives an update, of zeros and noise: that none came would tell
// of the data without any.
Result<upload::PendingUpdate> AgentLoop::Train(const codec::Lease& lease, const model::ModelSpec& spec,
                                               std::span<const float> start) {
  const training::TrainingOptions plan =
      OptionsOf(lease.training, TrainingSeed(options_.seed, identity_.device, lease));
  std::vector<float> residual;
  if (upload::IsSparse(lease, options_.encoding))
    residual = residuals_.Load(lease.task, lease.schema_digest, start.size());
  const upload::UpdateOptions options{
      .encoding = options_.encoding, .example_count = dataset_.rows, .residual = residual};
  const auto trained = training::Train(spec, start, dataset_, plan, stop_);
  auto update = trained ? upload::MakeUpdate(lease, trained->delta, options) : std::unexpected(trained.error());
  if (update || !lease.local || stop_.stop_requested()) return update;
  return upload::MakeUpdate(lease, std::vector<float>(start.size()), options);
}

Result<upload::PendingUpdate> AgentLoop::MakeUpdate(const codec::Lease& lease) {
  TACIT_TRY(const model::ModelSpec spec, upload::SpecOf(lease));
  TACIT_TRY_VOID(CheckLease(lease, spec));
  TACIT_TRY(const std::vector<float> start, session_->DownloadModel(lease));
  // Before the data are looked at: from here on an update is sent, whatever they make of the training.
  TACIT_TRY_VOID(Present(local_ledger_, kOpened).Charge(lease));
  auto update = Train(lease, spec, start);
  if (!update) return update;
  if (options_.fault == Fault::kNan) {
    log_.Warn("agent_fault_injected", {{"fault", "nan"}});
    PoisonWithNan(*update);
  }
  return update;
}

// A disk that does not take the update costs only the promise to send it after a crash: it is sent all the same.
void AgentLoop::Keep(upload::PendingUpdate update) {
  if (const auto saved = store_.Save(update); !saved) {
    log_.Warn("agent_update_not_kept",
              {{"code", TraitsOf(saved.error().code).name}, {"reason", saved.error().message}});
  }
  pending_ = std::move(update);
}

// Before the update is forgotten: after a crash in between it is sent again, and this done again, to the same end. A
// residual that cannot be written is given up, the old one too: that was sent. What sparse updates left before a dense
// one has been learned anew by then, and sent with it.
void AgentLoop::AdvanceResidual(const upload::PendingUpdate& update) {
  if (!update.header.sparse) return residuals_.Drop(update.round.task);
  const auto saved = residuals_.Save(update.round.task, update.header.schema_digest, update.unsent);
  if (saved) return;
  residuals_.Drop(update.round.task);
  log_.Warn("agent_residual_dropped", {{"task", update.round.task.str()},
                                       {"code", TraitsOf(saved.error().code).name},
                                       {"reason", saved.error().message}});
}

Result<void> AgentLoop::SendPending() {
  const upload::PendingUpdate& update = Present(pending_, "it is called with an update to send");
  const std::string task = update.round.task.str();
  const RoundNumber round = update.round.round;
  const auto answer = session_->Upload(update);
  if (!answer) {
    // An upload may be refused because of its round too; what the device spent is kept from nobody but who is shut out.
    if (answer.error().code == ErrorCode::kPermissionDenied) {
      const auto standing = session_->Privacy();
      if (!standing && standing.error().code == ErrorCode::kPermissionDenied)
        return std::unexpected(ShutOut(standing.error()));
    }
    WaitAfter("upload", answer.error());
    return {};
  }
  const std::optional<Error>& refused = *answer;
  if (!refused) AdvanceResidual(update);
  store_.Drop();
  pending_.reset();
  if (!refused) {
    ++rounds_counted_;
    backoff_.Reset();
    log_.Info("agent_update_counted", {{"task", task}, {"round", round}});
    return {};
  }
  const Error& refusal = *refused;
  const Millis delay = backoff_.Next(session_->retry_after());
  log_.Warn("agent_update_refused", {{"task", task},
                                     {"round", round},
                                     {"code", TraitsOf(refusal.code).name},
                                     {"reason", refusal.message},
                                     {"delay_ms", delay.count()}});
  Pause(delay);
  return {};
}

// It may be made later; that it may be misspelt is for a person to see.
void AgentLoop::WaitForTask(const Error& error) {
  if (stop_.stop_requested()) return;
  if (!task_is_missing_)
    log_.Warn("agent_task_missing",
              {{"task", Present(options_.task, "only a task that is asked for can be missing").str()},
               {"reason", error.message}});
  task_is_missing_ = true;
  Pause(backoff_.Next(session_->retry_after()));
}

void AgentLoop::SayWaiting(const std::string& reason) {
  const SteadyTime now = clock_.SteadyNow();
  if (reason == last_reason_ && now < last_reason_at_ + kSayAgainAfter) return;
  last_reason_ = reason;
  last_reason_at_ = now;
  log_.Info("agent_waiting", {{"reason", reason}});
}

void AgentLoop::WaitAfter(std::string_view what, const Error& error) {
  // A stop makes whatever was under way fail; that is not worth a line.
  if (stop_.stop_requested()) return;
  last_reason_.clear();
  const Millis delay = backoff_.Next(session_->retry_after());
  log_.Warn(
      "agent_retrying",
      {{"step", what}, {"code", TraitsOf(error.code).name}, {"reason", error.message}, {"delay_ms", delay.count()}});
  Pause(delay);
}

void AgentLoop::Pause(Millis time) {
  std::unique_lock lock(mutex_);
  wake_.wait_for(lock, stop_, time, [] { return false; });
}

}  // namespace tacit::agent
