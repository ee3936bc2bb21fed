#pragma once

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "server/coordinator/device_registry.h"
#include "server/coordinator/services.h"
#include "server/coordinator/task_runner.h"
#include "server/coordinator/views.h"

namespace tacit::coordinator {

/// All tasks of a server: the place where devices' and operators' requests meet the rounds.
/// Threads: every public method from any thread; the work happens under `services.control`, one step at a time, and the
/// caller is resumed on its own executor.
class Coordinator {
 public:
  explicit Coordinator(Services services);
  ~Coordinator();
  Coordinator(const Coordinator&) = delete;
  Coordinator& operator=(const Coordinator&) = delete;

  /// Takes every task up from the store where it stood, then lets time pass.
  /// Errors: kDataLoss, naming the task, when stored state contradicts itself: then nothing runs.
  net::Task<Result<void>> Start();

  /// Starts no new step and returns when those under way have ended. What is not acknowledged by then never will be;
  /// what is, is durable.
  net::Task<void> Stop();

  // --- Devices ---

  /// A lease, or after `query->wait` the reason why there is none. Errors: kPermissionDenied; kNotFound for a named
  /// task that does not exist.
  net::Task<Result<CheckInReply>> CheckIn(std::shared_ptr<const CheckInQuery> query);
  /// The bytes of a model that some task takes updates for, float32 little-endian: all that a device ever needs.
  /// Errors: kGone for any other digest.
  net::Task<Result<SharedBytes>> CurrentModel(Digest256 digest);
  /// See TaskRunner.
  net::Task<Result<UploadPlan>> PlanUpload(RoundKey round, DeviceId device);
  net::Task<Result<void>> Submit(Submission submission);
  /// Whether the refusal may be logged with the device's name: not where a coin hides who came.
  net::Task<bool> ReportRefused(RoundKey round, DeviceId device, ErrorCode code);
  /// Whether an active task hides who comes: then nothing else may show when a device was here.
  net::Task<bool> AnyCohortIsSecret();
  /// After how long this device may ask again, on the connection that it has: `least`, and its place among all devices,
  /// which may have been answered in the same moment.
  [[nodiscard]] Millis RetryAfter(const DeviceId& device, Millis least) const;
  /// What the device has spent on each task it ever took part in.
  net::Task<std::vector<DeviceSpendView>> SpendOf(DeviceId device);

  // --- Operators ---

  /// To be called once the store has a device as revoked: from now on it is refused, in the middle of a long poll too.
  net::Task<void> DeviceRevoked(DeviceId device);

  /// Errors: kConflict when the name is taken; kInvalidArgument when delta is not below 1 / enrolled devices,
  /// or the server has no room for it.
  net::Task<Result<TaskView>> CreateTask(task::TaskSpec spec, std::string toml);
  /// Whether CreateTask would take it now, as far as can be told without making it. Errors: those of CreateTask.
  net::Task<Result<void>> CheckTask(const task::TaskSpec& spec);
  /// See TaskRunner. Errors: kNotFound too.
  net::Task<Result<TaskView>> StopTask(TaskId id, std::string reason);

  /// As TaskRunner::Adjust. Errors: kNotFound for no such task.
  net::Task<Result<dp::Adjustment>> AdjustTask(TaskId id, AdjustOrder order);
  net::Task<std::vector<TaskView>> Tasks();
  /// Errors: kNotFound.
  net::Task<Result<TaskView>> Task(TaskId id);
  /// Errors: kNotFound.
  net::Task<Result<PrivacyMoment>> MomentOf(TaskId id);
  /// A copy, to reckon with: nothing can be made durable by it. Errors: kNotFound, also for a task without one.
  net::Task<Result<dp::BudgetLedger>> LedgerOf(TaskId id);

  [[nodiscard]] DeviceRegistry& devices() { return devices_; }
  [[nodiscard]] StoreThread& store() { return services_.store; }

 private:
  /// Runs a coroutine under `services.control` to its end and brings its result back to the caller's executor, even
  /// when the caller gives up meanwhile.
  template <typename T>
  net::Task<Result<T>> OnControl(std::function<net::Task<Result<T>>()> start);

  net::Task<Result<void>> StartOnControl();
  net::Task<Result<CheckInReply>> CheckInOnControl(std::shared_ptr<const CheckInQuery> query);
  net::Task<Result<TaskView>> CreateTaskOnControl(task::TaskSpec spec, std::string toml);
  net::Task<Result<TaskView>> StopTaskOnControl(TaskId id, std::string reason);
  net::Task<Result<dp::Adjustment>> AdjustOnControl(TaskId id, AdjustOrder order);
  net::Task<Result<void>> AddRunner(store::TaskRecord record);
  net::Task<void> LetTimePass();
  net::Task<void> FlushSightings();
  /// `lines` are of the tasks in which the device lacks nothing but a place.
  CheckInReply AskRunners(const CheckInQuery& query, std::vector<TaskRunner::Line*>& lines);
  [[nodiscard]] CheckInReply Paced(CheckInReply reply, const DeviceId& device) const;
  [[nodiscard]] bool AnyActive(bool (TaskRunner::*is)() const) const;
  /// What speaks against a new task beside those there are, all of it that is known in memory.
  [[nodiscard]] Result<void> CheckNew(const task::TaskSpec& spec) const;
  /// Whether no coin would show by what its devices do in another task.
  [[nodiscard]] Result<void> CheckAlone(const task::TaskSpec& spec) const;
  /// Whether the sums cannot overflow and the task fits the server's memory.
  [[nodiscard]] Result<void> CheckFits(const task::TaskSpec& spec) const;
  Result<TaskRunner*> Find(const TaskId& id);
  void SubmitOnControl(const std::shared_ptr<PendingUpload>& upload);
  TaskRunner& RunnerOf(const PendingUpload& upload);
  void WakeWaiters();

  Services services_;
  DeviceRegistry devices_;
  std::map<TaskId, std::unique_ptr<TaskRunner>> runners_;
  std::uint64_t creating_ = 0;       // bytes of tasks that are being created
  std::list<net::WakeUp*> waiters_;  // in the order of their coming
  net::WakeUp clock_wake_;
  bool stopping_ = false;
};

}  // namespace tacit::coordinator
