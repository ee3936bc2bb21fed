#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

#include "common/base/result.h"
#include "common/net/executor.h"

namespace tacit::net {

struct TaskGroupOptions {
  std::size_t max_tasks = 0;
  /// Told what an exception that left a task said: a defect to log, never a reason to stop. May be empty.
  std::function<void(std::string_view what)> on_exception;
};

/// The only way to start a coroutine that nobody awaits: counted, bounded, and stoppable as a whole.
/// Threads: everything, except construction and destruction, on `executor`'s thread. Tasks that still run when the
/// group is destroyed are cancelled; their frames must not need the group.
class TaskGroup {
 public:
  using Ticket = std::uint64_t;

  TaskGroup(asio::any_io_executor executor, TaskGroupOptions options);
  ~TaskGroup();
  TaskGroup(const TaskGroup&) = delete;
  TaskGroup& operator=(const TaskGroup&) = delete;

  /// Starts `task` on the group's executor, never before this call has returned. Errors: kUnavailable when `max_tasks`
  /// run already, or after CancelAll.
  Result<Ticket> Spawn(Task<void> task);

  /// Makes the pending wait of one task fail, and every later `co_await` of it throw `operation_aborted`.
  /// A CallOn or a job of a ComputePool is finished first. Does nothing for a task that has ended.
  void Cancel(Ticket ticket);
  /// Cancels every task and refuses new ones.
  void CancelAll();

  /// Waits until no task is left. Cancel first, or they may take their time.
  Task<void> JoinAll();

  [[nodiscard]] std::size_t size() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace tacit::net
