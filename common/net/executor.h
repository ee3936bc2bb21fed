#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include "common/base/check.h"
#include "common/base/result.h"

namespace tacit::net {

namespace asio = boost::asio;

/// A coroutine of the server. Parameters are values, or references whose owner awaits the task.
template <typename T>
using Task = asio::awaitable<T>;

/// The I/O threads: one single-threaded io_context each, so that what lives on one executor needs no lock.
/// Whatever holds one of the executors (servers, groups, compute pools) must be destroyed before this object.
class IoThreads {
 public:
  /// Errors: kInvalidArgument unless 1 <= threads <= 256.
  static Result<std::unique_ptr<IoThreads>> Create(std::size_t threads);
  ~IoThreads();
  IoThreads(const IoThreads&) = delete;
  IoThreads& operator=(const IoThreads&) = delete;

  /// The executor of thread `index`, 0 <= index < size(). Threads: any.
  [[nodiscard]] asio::any_io_executor executor(std::size_t index) const;
  /// What is handed to it runs one at a time: at once on the thread that hands it over where nothing of it runs, else
  /// later on thread `index`, as does what is posted. For work that is shorter than a hop between threads. Each call
  /// makes another. Threads: any.
  [[nodiscard]] asio::any_io_executor shared_executor(std::size_t index) const;
  [[nodiscard]] std::size_t size() const;

  /// Starts the threads; they run until StopAndJoin. Called once.
  void Start();

  /// Stops the threads where they stand, joins them and destroys every coroutine that is still suspended on one, so
  /// none outlives this call. A graceful end comes before it (HttpServer::Drain, TaskGroup::JoinAll). May be called
  /// twice. Threads: not one of these.
  void StopAndJoin() { StopAndJoin({this}); }
  /// The same for groups whose coroutines wait for one another: nothing is destroyed before all are joined, and what
  /// one holds of another is handed back and destroyed as well. Null is skipped.
  static void StopAndJoin(std::initializer_list<IoThreads*> groups);

 private:
  class Impl;
  explicit IoThreads(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// Whether work may run here and now, where its executor allows that.
enum class Handing : std::uint8_t {
  kAtOnce,
  kPosted,  ///< For work that takes longer than a hop between threads.
};

namespace internal {

/// A plain function without its type, to keep Asio's heavy headers out of this one.
class Work {
 public:
  virtual void Run() noexcept = 0;

 protected:
  ~Work() = default;
};

/// Runs `work` on `executor` and comes back to the caller's own executor.
Task<void> RunOn(asio::any_io_executor executor, Work& work, Handing handing);

/// Calls a function and keeps its value, or the exception it threw, for another thread to take.
template <typename F>
class Call final : public Work {
 public:
  using Value = std::invoke_result_t<F&>;
  explicit Call(F function) : function_(std::move(function)) {}

  void Run() noexcept override {
    try {
      if constexpr (std::is_void_v<Value>) {
        function_();
      } else {
        value_.emplace(function_());
      }
    } catch (...) {
      exception_ = std::current_exception();
    }
  }
  [[nodiscard]] const std::exception_ptr& exception() const { return exception_; }
  Value Take() {
    if constexpr (!std::is_void_v<Value>) {
      TACIT_CHECK(value_, "a value is taken once, after the function ran without an exception");
      return *std::move(value_);
    }
  }

 private:
  F function_;
  std::optional<std::conditional_t<std::is_void_v<Value>, std::monostate, Value>> value_;
  std::exception_ptr exception_;
};

}  // namespace internal

/// Runs the plain function `f` on `executor` and resumes the caller on its own executor with the value; an exception of
/// `f` comes out of the `co_await`. Once it is handed over, `f` runs to its end whatever happens to the caller, so it
/// may refer to what the awaiting coroutine owns. Cost: two hops between threads, unless it can run here at once.
template <typename F>
Task<std::invoke_result_t<F&>> CallOn(asio::any_io_executor executor, F f, Handing handing = Handing::kAtOnce) {
  internal::Call<F> call(std::move(f));
  co_await internal::RunOn(std::move(executor), call, handing);
  if (call.exception()) std::rethrow_exception(call.exception());
  co_return call.Take();
}

/// Runs `f` on `executor`: before this returns where it can run here at once, later otherwise. `f` throws nothing. What
/// is handed to a thread that is stopped first is destroyed without being run.
void HandTo(const asio::any_io_executor& executor, std::function<void()> f);

}  // namespace tacit::net
