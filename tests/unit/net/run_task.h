#pragma once

#include <chrono>
#include <exception>
#include <optional>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include "common/base/check.h"
#include "common/net/executor.h"

namespace tacit::net::testing {

/// Runs a coroutine on a context of its own, on this thread, and returns what it returned.
template <typename T>
T RunTask(Task<T> task) {
  asio::io_context context(1);
  std::optional<T> value;
  asio::co_spawn(context, std::move(task), [&](const std::exception_ptr& exception, T result) {
    if (exception) std::rethrow_exception(exception);
    value = std::move(result);
  });
  context.run_for(std::chrono::seconds(20));
  TACIT_CHECK(value.has_value(), "a test's coroutine ends in time");
  return *std::move(value);
}

}  // namespace tacit::net::testing
