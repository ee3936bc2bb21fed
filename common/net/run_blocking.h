#pragma once

#include <optional>
#include <utility>

#include "common/base/result.h"
#include "common/net/executor.h"

namespace tacit::net {

namespace internal {

/// Starts `task` on `executor` and blocks until it has ended; an exception of it comes out here.
void RunBlockingVoid(const asio::any_io_executor& executor, Task<void> task);

template <typename T>
Task<void> StoreInto(Task<T> task, std::optional<T>& slot) {
  slot.emplace(co_await std::move(task));
}

}  // namespace internal

/// Runs a coroutine to its end from a thread that has none, such as `main`. Threads: not one of the I/O threads, which
/// must be running.
template <typename T>
T RunBlocking(const asio::any_io_executor& executor, Task<T> task) {
  std::optional<T> slot;
  internal::RunBlockingVoid(executor, internal::StoreInto(std::move(task), slot));
  return std::move(Present(slot, "the coroutine has ended"));
}

inline void RunBlocking(const asio::any_io_executor& executor, Task<void> task) {
  internal::RunBlockingVoid(executor, std::move(task));
}

}  // namespace tacit::net
