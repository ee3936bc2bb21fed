#pragma once

#include <cstddef>
#include <exception>
#include <expected>
#include <memory>
#include <type_traits>
#include <utility>

#include "common/base/result.h"
#include "common/net/executor.h"

namespace tacit::net {

namespace internal {

template <typename T>
struct Flatten {
  using type = Result<T>;
};
template <typename T>
struct Flatten<Result<T>> {
  using type = Result<T>;
};

/// What a caught exception says, as an error of code kInternal.
std::unexpected<Error> FailOf(const std::exception_ptr& exception);

}  // namespace internal

/// A bounded pool of threads for work over about 100 us, so that no I/O thread computes.
/// Threads: Run is a coroutine of any executor; destroyed before the IoThreads whose coroutines wait for it.
class ComputePool {
 public:
  /// `threads` run at once, and at most `max_queued` wait for one; both at least 1.
  ComputePool(std::size_t threads, std::size_t max_queued);
  /// For a simulation: no threads; work is posted to `executor`, whose owner says when it runs.
  explicit ComputePool(asio::any_io_executor executor);
  /// As Stop.
  ~ComputePool();
  ComputePool(const ComputePool&) = delete;
  ComputePool& operator=(const ComputePool&) = delete;

  /// Runs `f` (returning R or Result<R>) on the pool and resumes the caller on its own executor.
  /// Errors: kUnavailable when the queue is full or the pool has stopped (then `f` does not run); kInternal with what
  /// an exception of `f` said; what `f` itself returned. Once accepted, `f` runs to its end whatever happens to the
  /// caller.
  template <typename F>
  Task<typename internal::Flatten<std::invoke_result_t<F&>>::type> Run(F f) {
    internal::Call<F> call(std::move(f));
    TACIT_CO_TRY_VOID(co_await Enqueue(call));
    if (call.exception()) co_return internal::FailOf(call.exception());
    if constexpr (std::is_void_v<std::invoke_result_t<F&>>) {
      co_return Result<void>();
    } else {
      co_return call.Take();
    }
  }

  /// Jobs that wait for a thread. Threads: any.
  [[nodiscard]] std::size_t queued() const;

  /// Lets running jobs finish, fails the waiting ones with kUnavailable and joins the threads. May be called twice.
  /// Threads: not one of the pool's.
  void Stop();

 private:
  class Impl;
  Task<Result<void>> Enqueue(internal::Work& work);
  std::unique_ptr<Impl> impl_;
};

}  // namespace tacit::net
