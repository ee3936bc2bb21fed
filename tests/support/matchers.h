#pragma once

#include <gmock/gmock.h>

#include "common/base/result.h"

namespace tacit::testing {

/// Passes for a `Result` that holds a value; otherwise shows the error.
MATCHER(IsOk, "is a value") {
  if (arg.has_value()) return true;
  *result_listener << TraitsOf(arg.error().code).name << ": " << arg.error().message;
  return false;
}

/// Passes for a `Result` that failed with `code`.
MATCHER_P(IsError, code, "is the error " + std::string(TraitsOf(code).name)) {
  if (arg.has_value()) {
    *result_listener << "it holds a value";
    return false;
  }
  *result_listener << TraitsOf(arg.error().code).name << ": " << arg.error().message;
  return arg.error().code == code;
}

/// Passes for a `Result` that failed with `code` and a message that contains `part`.
MATCHER_P2(IsErrorSaying, code, part, "is the error " + std::string(TraitsOf(code).name) + " saying '" + part + "'") {
  if (arg.has_value()) {
    *result_listener << "it holds a value";
    return false;
  }
  *result_listener << TraitsOf(arg.error().code).name << ": " << arg.error().message;
  return arg.error().code == code && arg.error().message.find(part) != std::string::npos;
}

}  // namespace tacit::testing
