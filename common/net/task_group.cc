#include "common/net/task_group.h"

#include <exception>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace tacit::net {
namespace {

struct Running {
  asio::cancellation_signal signal;
  bool cancelled = false;
};

std::string WhatOf(const std::exception_ptr& exception) {
  try {
    std::rethrow_exception(exception);
  } catch (const std::exception& caught) {
    return caught.what();
  } catch (...) {
    return "an exception of a type without text";
  }
}

// A task must not run in the middle of whoever spawns it, which co_spawn on its own thread would do.
Task<void> FromTheQueue(asio::any_io_executor executor, Task<void> task) {
  co_await asio::post(executor, asio::use_awaitable);
  co_await std::move(task);
}

}  // namespace

struct TaskGroup::State {
  asio::any_io_executor executor;
  TaskGroupOptions options;
  std::unordered_map<Ticket, std::unique_ptr<Running>> running;
  std::unordered_set<asio::steady_timer*> joiners;
  Ticket last_ticket = 0;
  bool closed = false;

  void Cancel(Running& task) {
    task.cancelled = true;
    task.signal.emit(asio::cancellation_type::terminal);
  }

  void CancelAll() {
    closed = true;
    for (auto& [ticket, task] : running) Cancel(*task);
  }

  void Finish(Ticket ticket, const std::exception_ptr& exception) {
    const auto found = running.find(ticket);
    if (found == running.end()) return;
    // A cancelled task ends by throwing out of its wait: that is no defect.
    if (exception && !found->second->cancelled && options.on_exception) options.on_exception(WhatOf(exception));
    running.erase(found);
    if (!running.empty()) return;
    for (asio::steady_timer* joiner : joiners) joiner->cancel();
  }
};

TaskGroup::TaskGroup(asio::any_io_executor executor, TaskGroupOptions options)
    : state_(std::make_shared<State>(State{std::move(executor), std::move(options), {}, {}, 0, false})) {}

// Posted, since the last owner may be on any thread, and a cancellation signal may be used on its own only.
TaskGroup::~TaskGroup() {
  asio::post(state_->executor, [state = state_] { state->CancelAll(); });
}

Result<TaskGroup::Ticket> TaskGroup::Spawn(Task<void> task) {
  if (state_->closed) return Fail(ErrorCode::kUnavailable, "the task group is closed");
  if (state_->running.size() >= state_->options.max_tasks) {
    return Fail(ErrorCode::kUnavailable,
                "already " + std::to_string(state_->options.max_tasks) + " tasks in the group, the limit");
  }
  const Ticket ticket = ++state_->last_ticket;
  Running& entry = *state_->running.emplace(ticket, std::make_unique<Running>()).first->second;
  // Finished by a separate post: the signal must outlive the coroutine whose slot it holds, and here it is still on the
  // stack.
  auto finish = [state = state_, ticket](const std::exception_ptr& exception) {
    asio::post(state->executor, [state, ticket, exception] { state->Finish(ticket, exception); });
  };
  asio::co_spawn(state_->executor, FromTheQueue(state_->executor, std::move(task)),
                 asio::bind_cancellation_slot(entry.signal.slot(), std::move(finish)));
  return ticket;
}

void TaskGroup::Cancel(Ticket ticket) {
  const auto found = state_->running.find(ticket);
  if (found != state_->running.end()) state_->Cancel(*found->second);
}

void TaskGroup::CancelAll() {
  state_->CancelAll();
}

Task<void> TaskGroup::JoinAll() {
  const std::shared_ptr<State> state = state_;
  asio::steady_timer until_empty(state->executor, asio::steady_timer::time_point::max());
  struct Registration {
    State& state;
    asio::steady_timer& timer;
    ~Registration() { state.joiners.erase(&timer); }
  } const registration{*state, until_empty};
  state->joiners.insert(&until_empty);
  if (!state->running.empty()) co_await until_empty.async_wait(asio::as_tuple(asio::use_awaitable));
}

std::size_t TaskGroup::size() const {
  return state_->running.size();
}

}  // namespace tacit::net
