#include "server/coordinator/coordinator.h"

#include <algorithm>
#include <exception>
#include <memory>
#include <utility>

#include "common/base/check.h"
#include "common/crypto/random.h"
#include "server/coordinator/pacing.h"
#include "server/ownership/watermark.h"

namespace tacit::coordinator {
namespace {

constexpr Millis kTick{50};
constexpr Millis kBetweenSightingFlushes{10'000};
constexpr Millis kWithoutTasks{5'000};
constexpr std::size_t kDevicesPerPage = 10'000;

template <typename T>
struct Slot {
  net::WakeUp wake;
  std::optional<Result<T>> result;
};

template <typename T>
net::Task<void> RunInto(std::function<net::Task<Result<T>>()> start, std::shared_ptr<Slot<T>> slot) {
  // Also where an exception ends it, which the group logs: the caller would wait for ever.
  struct Waking {
    Slot<T>& slot;
    ~Waking() { slot.wake.Wake(); }
  } const waking{*slot};
  slot->result = co_await start();
}

std::unexpected<Error> NotCarriedOut() {
  return Fail(ErrorCode::kInternal, "the request could not be carried out; the server's log says why");
}

// Keeps a waiter in a list for exactly as long as it waits.
class Waiting {
 public:
  using Waiters = std::list<net::WakeUp*>;
  Waiting(Waiters& waiters, net::WakeUp& wake) : waiters_(waiters), place_(waiters_.insert(waiters_.end(), &wake)) {}
  ~Waiting() { waiters_.erase(place_); }
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;

 private:
  Waiters& waiters_;
  Waiters::iterator place_;
};

bool FitsData(const model::ModelSpec& model, const CheckInQuery& query) {
  return (query.inputs == 0 || query.inputs == model.inputs()) &&
         (query.classes == 0 || query.classes == model.classes());
}

std::string ShapeText(std::uint32_t inputs, std::uint32_t classes) {
  return std::to_string(inputs) + " inputs and " + std::to_string(classes) + " classes";
}

// What keeps the device out of the task wherever its round stands; empty where nothing does. It must be found before
// the round hears of the device: one that is counted and then does not come has opened a round and spent its epsilon.
std::string ObstacleOf(const task::TaskSpec& spec, const CheckInQuery& query) {
  const std::string task = "task " + spec.id.str();
  if (std::ranges::find(query.declined, spec.id) != query.declined.end()) return "this device declines " + task;
  if (query.only_local_noise && !spec.privacy.local)
    return task + " takes updates without noise of the device, and this device sends none";
  if (spec.model.HasSpace() && !query.trains_layers)
    return task + " trains layers over signals or images, which the agent on this device is too old for; upgrade it";
  if (spec.training.adversarial && !query.trains_hardened)
    return task + " hardens its model in training, which the agent on this device is too old for; upgrade it";
  if (FitsData(spec.model, query)) return {};
  return task + " takes " + ShapeText(spec.model.inputs(), spec.model.classes()) + ", this device has " +
         ShapeText(query.inputs, query.classes);
}

std::uint64_t MemoryOf(const task::TaskSpec& spec) {
  std::uint64_t bytes = spec.model.ParameterCount() * kTaskBytesPerParameter;
  if (const auto& asynchronous = spec.asynchronous) {
    bytes += kTaskBytesPerRememberedUpdate * spec.cohort.size * (std::uint64_t{asynchronous->max_staleness} + 1);
    bytes += kTaskBytesPerLease * asynchronous->concurrency;
  }
  if (spec.watermark) bytes += ownership::MemoryOfMark(spec.model, *spec.watermark);
  return bytes;
}

// Adds to a count for as long as it lives.
class Held {
 public:
  Held(std::uint64_t& count, std::uint64_t amount) : count_(count), amount_(amount) { count_ += amount_; }
  ~Held() { count_ -= amount_; }
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;

 private:
  std::uint64_t& count_;
  std::uint64_t amount_;
};

}  // namespace

std::unique_ptr<Keystream> NoiseOfSecret(const RoundKey& /*round*/, const crypto::SecretKey& secret) {
  return std::make_unique<crypto::AesKeystream>(secret);
}

Coordinator::Coordinator(Services services) : services_(std::move(services)) {}
Coordinator::~Coordinator() = default;

template <typename T>
net::Task<Result<T>> Coordinator::OnControl(std::function<net::Task<Result<T>>()> start) {
  auto slot = std::make_shared<Slot<T>>();
  // Not CallOn, which would come back here to say that it is spawned: two hops between threads for every request.
  net::HandTo(services_.control, [this, start = std::move(start), slot]() mutable {
    const auto spawned = services_.background.Spawn(RunInto<T>(std::move(start), slot));
    if (spawned) return;
    slot->result = std::unexpected(spawned.error());
    slot->wake.Wake();
  });
  // The result is looked at only after the wake-up, which orders the two threads.
  while (!co_await slot->wake.WaitUntil(services_.clock.SteadyNow() + std::chrono::hours(1))) {
  }
  if (!slot->result) co_return NotCarriedOut();
  co_return std::move(Present(slot->result, "looked at just now"));
}

// ---- Life ----

net::Task<Result<void>> Coordinator::Start() {
  return OnControl<void>([this] { return StartOnControl(); });
}

net::Task<Result<void>> Coordinator::StartOnControl() {
  for (std::optional<DeviceId> after;;) {
    TACIT_CO_TRY(const auto page, co_await services_.store.Call("devices", [after](store::Store& store) {
      return store.Devices(after, kDevicesPerPage);
    }));
    devices_.Load(page);
    if (page.size() < kDevicesPerPage) break;
    after = page.back().id;
  }
  TACIT_CO_TRY(auto tasks, co_await services_.store.Call("tasks", [](store::Store& store) { return store.Tasks(); }));
  std::uint64_t needed = 0;
  for (const store::TaskRecord& record : tasks)
    if (record.state == store::TaskState::kActive) needed += MemoryOf(record.spec);
  if (needed > services_.task_memory) {
    co_return Fail(ErrorCode::kInvalidArgument,
                   "the active tasks of this data directory need " + std::to_string(needed) +
                       " bytes; raise [limits] task_memory, now " + std::to_string(services_.task_memory));
  }
  for (store::TaskRecord& record : tasks) {
    const std::string name = record.spec.id.str();
    const auto added = co_await AddRunner(std::move(record));
    if (!added) co_return Annotate(added.error(), "task " + name);
  }
  const auto counts = devices_.Counts();
  services_.metrics.SetDevices(counts.active, counts.revoked);
  const auto spawned = services_.background.Spawn(LetTimePass());
  TACIT_CHECK(spawned.has_value(), "the background group was just made");
  co_return Result<void>{};
}

net::Task<Result<void>> Coordinator::AddRunner(store::TaskRecord record) {
  const TaskId id = record.spec.id;
  // Before its first round, and for good: who comes late for the last one was drawn as well.
  if (record.spec.privacy.coin && record.state == store::TaskState::kActive) services_.metrics.WithholdTraffic();
  TACIT_CO_TRY(auto runner, co_await TaskRunner::Load(services_, std::move(record),
                                                      {.on_change = [this] { WakeWaiters(); },
                                                       .devices = [this] { return devices_.Counts().active; },
                                                       .was_enrolled_at =
                                                           [this](const DeviceId& device, WallTime at) {
                                                             return devices_.WasEnrolledAt(device, at);
                                                           }}));
  runners_.emplace(id, std::move(runner));
  WakeWaiters();
  co_return Result<void>{};
}

net::Task<void> Coordinator::LetTimePass() {
  SteadyTime next_flush = services_.clock.SteadyNow() + kBetweenSightingFlushes;
  while (!stopping_) {
    co_await clock_wake_.WaitUntil(services_.clock.SteadyNow() + kTick);
    if (stopping_) break;
    for (const auto& [id, runner] : runners_) runner->Tick();
    if (services_.clock.SteadyNow() < next_flush) continue;
    co_await FlushSightings();
    next_flush = services_.clock.SteadyNow() + kBetweenSightingFlushes;
  }
  co_await FlushSightings();
}

net::Task<void> Coordinator::FlushSightings() {
  const std::vector<store::DeviceSighting> sightings = devices_.TakeSightings();
  const auto counts = devices_.Counts();
  services_.metrics.SetDevices(counts.active, counts.revoked);
  if (sightings.empty()) co_return;
  const auto stored = co_await services_.store.Call(
      "touch_devices", [&sightings](store::Store& store) { return store.TouchDevices(sightings); });
  if (!stored) services_.log.Warn("sightings_not_stored", {{"reason", stored.error().message}});
}

net::Task<void> Coordinator::Stop() {
  co_await net::CallOn(services_.control, [this] {
    stopping_ = true;
    for (const auto& [id, runner] : runners_) runner->Stop();
    clock_wake_.Wake();
    WakeWaiters();
  });
}

void Coordinator::WakeWaiters() {
  for (net::WakeUp* waiter : waiters_) waiter->Wake();
}

// ---- Devices ----

net::Task<Result<CheckInReply>> Coordinator::CheckIn(std::shared_ptr<const CheckInQuery> query) {
  return OnControl<CheckInReply>([this, query = std::move(query)] { return CheckInOnControl(query); });
}

net::Task<Result<CheckInReply>> Coordinator::CheckInOnControl(std::shared_ptr<const CheckInQuery> query) {
  const SteadyTime until = services_.clock.SteadyNow() + std::min(query->wait, services_.long_poll);
  Presence& presence = *query->presence;
  const Waiting waiting(waiters_, presence.wake());
  for (SteadyTime asked_at{};;) {
    // Asked again after every wait: a revocation must reach a device that is waiting, too.
    const Result<void> active = devices_.CheckActive(query->device, query->key);
    if (presence.left() || !active) {
      for (const auto& [id, runner] : runners_) runner->Left(query->device, asked_at);
      TACIT_CO_TRY_VOID(active);
      co_return WaitView{kWithoutTasks, "the device has left"};
    }
    if (const auto& task = query->task) TACIT_CO_TRY_VOID(Find(*task));
    std::vector<TaskRunner::Line*> lines;
    CheckInReply reply = AskRunners(*query, lines);
    asked_at = services_.clock.SteadyNow();
    const bool leased = std::holds_alternative<LeaseView>(reply);
    if (leased || stopping_ || services_.clock.SteadyNow() >= until) co_return Paced(std::move(reply), query->device);
    std::list<Waiting> in_line;
    for (TaskRunner::Line* const line : lines) in_line.emplace_back(*line, presence.wake());
    co_await presence.wake().WaitUntil(until);
  }
}

Millis Coordinator::RetryAfter(const DeviceId& device, Millis least) const {
  const Millis spread = SpreadOf(devices_.Counts().active, kCheckInsPerSecond);
  return least + PlaceInSpread(device, services_.clock.SteadyNow(), spread);
}

// Polls that began together end together, and a server that stops sends everybody away at once: whoever is there then
// has to connect anew.
CheckInReply Coordinator::Paced(CheckInReply reply, const DeviceId& device) const {
  auto* const wait = std::get_if<WaitView>(&reply);
  if (wait == nullptr) return reply;
  const Millis spread = SpreadOf(devices_.Counts().active, kReconnectionsPerSecond);
  wait->retry_after = stopping_ ? wait->retry_after + PlaceInSpread(device, services_.clock.SteadyNow(), spread)
                                : RetryAfter(device, wait->retry_after);
  return reply;
}

CheckInReply Coordinator::AskRunners(const CheckInQuery& query, std::vector<TaskRunner::Line*>& lines) {
  std::optional<WaitView> reason;
  std::vector<TaskRunner*> misfits;
  bool fits_one = false;
  for (const auto& [id, runner] : runners_) {
    if (query.task && id != *query.task) continue;
    if (!runner->active() && !query.task) continue;
    if (std::string obstacle = ObstacleOf(runner->spec(), query); !obstacle.empty()) {
      runner->GiveBackPlace(query.device);
      if (!FitsData(runner->spec().model, query)) misfits.push_back(runner.get());
      reason = WaitView{kWithoutTasks, std::move(obstacle)};
      continue;
    }
    fits_one = true;
    CheckInReply reply = runner->CheckIn(query.device);
    if (std::holds_alternative<LeaseView>(reply)) return reply;
    reason = std::get<WaitView>(std::move(reply));
    if (reason->lacks_place) lines.push_back(&runner->line());
  }
  if (!fits_one) std::ranges::for_each(misfits, &TaskRunner::NoteOtherShape);
  if (reason) return *std::move(reason);
  return WaitView{kWithoutTasks, "no task is active on this server"};
}

net::Task<Result<SharedBytes>> Coordinator::CurrentModel(Digest256 digest) {
  co_return co_await net::CallOn(services_.control, [this, &digest]() -> Result<SharedBytes> {
    for (const auto& [id, runner] : runners_) {
      if (auto model = runner->FindModel(digest)) return *std::move(model);
    }
    return Fail(ErrorCode::kGone, "no task is at this model now; check in again for the newest one");
  });
}

net::Task<Result<UploadPlan>> Coordinator::PlanUpload(RoundKey round, DeviceId device) {
  co_return co_await net::CallOn(services_.control, [this, &round, &device]() -> Result<UploadPlan> {
    TACIT_TRY(TaskRunner* const runner, Find(round.task));
    return runner->PlanUpload(round, device);
  });
}

net::Task<Result<void>> Coordinator::Submit(Submission submission) {
  const auto upload = std::make_shared<PendingUpload>(std::move(submission));
  // No coroutine there and no second way back: it would cost a small update as much as adding it up.
  net::HandTo(services_.control, [this, upload] {
    try {
      SubmitOnControl(upload);
    } catch (const std::exception& caught) {
      services_.metrics.Exception("background");
      services_.log.Error("background_exception", {{"what", caught.what()}});
      if (!upload->outcome) upload->Answer(NotCarriedOut());
    }
  });
  // The outcome is looked at only after the wake-up, which orders the two threads.
  if (co_await upload->wake.WaitUntil(services_.clock.SteadyNow() + services_.ack_patience))
    co_return Present(upload->outcome, "it is woken by the answer");
  co_return co_await net::CallOn(services_.control, [&] { return RunnerOf(*upload).StopWaiting(upload); });
}

void Coordinator::SubmitOnControl(const std::shared_ptr<PendingUpload>& upload) {
  // Asked again: it may have been revoked or replaced while its update was read and checked.
  const Submission& submission = upload->submission;
  if (auto active = devices_.CheckActive(submission.device, submission.key); !active)
    return upload->Answer(std::move(active));
  RunnerOf(*upload).Submit(upload);
}

TaskRunner& Coordinator::RunnerOf(const PendingUpload& upload) {
  const auto runner = Find(upload.submission.round.task);
  TACIT_CHECK(runner.has_value(), "PlanUpload found the task, and tasks are never removed");
  return **runner;
}

net::Task<bool> Coordinator::ReportRefused(RoundKey round, DeviceId device, ErrorCode code) {
  co_return co_await net::CallOn(services_.control, [this, &round, &device, code] {
    const auto runner = Find(round.task);
    if (!runner) return true;
    (*runner)->ReportRefused(round, device, code);
    return !(*runner)->CohortIsSecret();
  });
}

net::Task<bool> Coordinator::AnyCohortIsSecret() {
  co_return co_await net::CallOn(services_.control, [this] { return AnyActive(&TaskRunner::CohortIsSecret); });
}

bool Coordinator::AnyActive(bool (TaskRunner::*is)() const) const {
  return std::ranges::any_of(runners_,
                             [&](const auto& entry) { return entry.second->active() && (entry.second.get()->*is)(); });
}

net::Task<std::vector<DeviceSpendView>> Coordinator::SpendOf(DeviceId device) {
  const auto ask = [this, &device] {
    std::vector<DeviceSpendView> views;
    for (const auto& [id, runner] : runners_)
      if (auto view = runner->SpendOf(device)) views.push_back(*std::move(view));
    return views;
  };
  co_return co_await net::CallOn(services_.control, ask, net::Handing::kPosted);
}

Result<TaskRunner*> Coordinator::Find(const TaskId& id) {
  const auto found = runners_.find(id);
  if (found == runners_.end()) {
    return Fail(ErrorCode::kNotFound, "there is no task named " + id.str() + "; 'tacit task list' shows what there is");
  }
  return found->second.get();
}

// ---- Operators ----

net::Task<void> Coordinator::DeviceRevoked(DeviceId device) {
  devices_.Revoke(device);
  co_await net::CallOn(services_.control, [this] { WakeWaiters(); });
}

net::Task<Result<TaskView>> Coordinator::CreateTask(task::TaskSpec spec, std::string toml) {
  return OnControl<TaskView>(
      [this, spec = std::move(spec), toml = std::move(toml)] { return CreateTaskOnControl(spec, toml); });
}

net::Task<Result<void>> Coordinator::CheckTask(const task::TaskSpec& spec) {
  co_return co_await net::CallOn(services_.control, [this, &spec] { return CheckNew(spec); });
}

net::Task<Result<TaskView>> Coordinator::CreateTaskOnControl(task::TaskSpec spec, std::string toml) {
  TACIT_CO_TRY_VOID(CheckNew(spec));
  // Taken before the first wait: another task that is being created meanwhile must see it.
  const Held held(creating_, MemoryOf(spec));
  const TaskId id = spec.id;
  const store::TaskRecord record{.spec = spec,
                                 .toml = std::move(toml),
                                 .created_at = services_.clock.Now(),
                                 .state = store::TaskState::kActive,
                                 .state_reason = {}};
  const std::vector<float> initial = spec.model.InitialParameters(spec.model_seed);
  TACIT_CO_TRY_VOID(co_await services_.store.Call(
      "create_task", [&record, &initial](store::Store& store) { return store.CreateTask(record, initial); }));
  TACIT_CO_TRY_VOID(co_await AddRunner(record));
  services_.log.Info("task_created", {{"task", id.str()},
                                      {"parameters", spec.model.ParameterCount()},
                                      {"rounds", spec.rounds},
                                      {"cohort_size", spec.cohort.size}});
  TACIT_CO_TRY(TaskRunner* const runner, Find(id));
  co_return runner->View();
}

Result<void> Coordinator::CheckNew(const task::TaskSpec& spec) const {
  if (runners_.contains(spec.id))
    return Fail(ErrorCode::kConflict, "a task named '" + spec.id.str() + "' exists already");
  const std::uint64_t enrolled = devices_.Counts().active;
  if (spec.privacy.delta && enrolled > 0 && spec.privacy.delta->value() * static_cast<double>(enrolled) >= 1) {
    return Fail(ErrorCode::kInvalidArgument,
                "[privacy] delta must be below 1/" + std::to_string(enrolled) +
                    " because that many devices are enrolled: at a larger delta, publishing one device's data outright "
                    "would count as private");
  }
  TACIT_TRY_VOID(CheckAlone(spec));
  return CheckFits(spec);
}

// A device that a coin did not choose would turn to another task at once, and be seen there.
Result<void> Coordinator::CheckAlone(const task::TaskSpec& spec) const {
  if (spec.privacy.coin && AnyActive(&TaskRunner::active)) {
    return Fail(
        ErrorCode::kConflict,
        "a task with sampling \"checkin_coin\" must be the only active one: a device that its coin did not choose "
        "would be seen in another task; stop the others, or give it a server of its own");
  }
  if (AnyActive(&TaskRunner::CohortIsSecret)) {
    return Fail(
        ErrorCode::kConflict,
        "a task with sampling \"checkin_coin\" is active, and must stay the only one: a device that its coin did "
        "not choose would be seen in this task; stop it first, or use a server of its own");
  }
  return {};
}

Result<void> Coordinator::CheckFits(const task::TaskSpec& spec) const {
  if (spec.model.ParameterCount() > services_.max_parameters) {
    return Fail(ErrorCode::kInvalidArgument, "the model has " + std::to_string(spec.model.ParameterCount()) +
                                                 " parameters; this server takes at most [limits] max_parameters = " +
                                                 std::to_string(services_.max_parameters));
  }
  if (spec.deployment && spec.model.ParameterCount() > services_.max_deployed_parameters) {
    return Fail(ErrorCode::kInvalidArgument, "the model has " + std::to_string(spec.model.ParameterCount()) +
                                                 " parameters; [limits] bundle_memory of this server makes bundles of "
                                                 "at most " +
                                                 std::to_string(services_.max_deployed_parameters) +
                                                 ": leave [deployment] out, or have that raised");
  }
  std::uint64_t needed = MemoryOf(spec) + creating_;
  for (const auto& [id, runner] : runners_) {
    if (runner->active()) needed += MemoryOf(runner->spec());
  }
  if (needed > services_.task_memory) {
    return Fail(ErrorCode::kInvalidArgument, "with this task all active tasks would need " + std::to_string(needed) +
                                                 " bytes; [limits] task_memory of this server is " +
                                                 std::to_string(services_.task_memory));
  }
  return {};
}

net::Task<Result<TaskView>> Coordinator::StopTask(TaskId id, std::string reason) {
  return OnControl<TaskView>([this, id, reason] { return StopTaskOnControl(id, reason); });
}

net::Task<Result<TaskView>> Coordinator::StopTaskOnControl(TaskId id, std::string reason) {
  TACIT_CO_TRY(TaskRunner* const runner, Find(id));
  TACIT_CO_TRY_VOID(co_await runner->StopTask(std::move(reason)));
  co_return runner->View();
}

net::Task<Result<dp::Adjustment>> Coordinator::AdjustTask(TaskId id, AdjustOrder order) {
  return OnControl<dp::Adjustment>([this, id, order] { return AdjustOnControl(id, order); });
}

net::Task<Result<dp::Adjustment>> Coordinator::AdjustOnControl(TaskId id, AdjustOrder order) {
  TACIT_CO_TRY(TaskRunner* const runner, Find(id));
  co_return co_await runner->Adjust(order);
}

net::Task<std::vector<TaskView>> Coordinator::Tasks() {
  const auto ask = [this] {
    std::vector<TaskView> views;
    for (const auto& [id, runner] : runners_) views.push_back(runner->View());
    return views;
  };
  co_return co_await net::CallOn(services_.control, ask, net::Handing::kPosted);
}

net::Task<Result<TaskView>> Coordinator::Task(TaskId id) {
  const auto ask = [this, &id]() -> Result<TaskView> {
    TACIT_TRY(TaskRunner* const runner, Find(id));
    return runner->View();
  };
  co_return co_await net::CallOn(services_.control, ask, net::Handing::kPosted);
}

net::Task<Result<PrivacyMoment>> Coordinator::MomentOf(TaskId id) {
  const auto ask = [this, &id]() -> Result<PrivacyMoment> {
    TACIT_TRY(const TaskRunner* const runner, Find(id));
    return runner->Moment();
  };
  co_return co_await net::CallOn(services_.control, ask);
}

net::Task<Result<dp::BudgetLedger>> Coordinator::LedgerOf(TaskId id) {
  const auto ask = [this, &id]() -> Result<dp::BudgetLedger> {
    TACIT_TRY(const TaskRunner* const runner, Find(id));
    if (runner->ledger()) return *runner->ledger();
    return Fail(ErrorCode::kNotFound, "task " + id.str() + " has no privacy ledger");
  };
  co_return co_await net::CallOn(services_.control, ask, net::Handing::kPosted);
}

}  // namespace tacit::coordinator
