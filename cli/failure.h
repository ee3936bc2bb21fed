#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <utility>

#include "common/base/result.h"

namespace tacit::cli {

/// What `tacit` ends with: part of its interface, listed in --help.
enum class ExitCode : std::uint8_t {
  kOk = 0,
  kRefused = 1,  ///< The server, or a rule of this command, said no.
  kUsage = 2,    ///< The command line, or a file it names, is wrong.
  kConnect = 3,  ///< No connection, or one side does not believe the other's certificate.
  kTimeOut = 4,
  kInternal = 5,  ///< A fault of Tacit.
  kBudget = 6,    ///< The privacy budget does not allow it.
  kViolated = 7,  ///< An audit found a mechanism that breaks its promise.
  kProblem = 8,   ///< The doctor found a problem.
};

/// Why a command failed, and the next command to try.
struct Failure {
  ExitCode exit = ExitCode::kInternal;
  Error error;
  std::string hint;
};

template <typename T>
using Outcome = std::expected<T, Failure>;

/// What the server answered with an error maps to.
ExitCode ExitCodeOfProblem(ErrorCode code);
/// What the way to the server fails with maps to.
ExitCode ExitCodeOfTransport(ErrorCode code);

/// A wrong argument, or a file that cannot be used.
std::unexpected<Failure> UsageFailure(std::string message, std::string hint);
std::unexpected<Failure> UsageFailure(const Error& error, std::string hint);

}  // namespace tacit::cli

// A declaration cannot stand in parentheses.
// NOLINTBEGIN(bugprone-macro-parentheses)
/// `TACIT_CLI_TRY(auto x, F());` as TACIT_TRY, for functions that return an Outcome.
#define TACIT_CLI_TRY(declaration, expression) \
  TACIT_CLI_TRY_(declaration, expression, TACIT_RESULT_NAME_(outcome_, __LINE__))
#define TACIT_CLI_TRY_(declaration, expression, name)         \
  auto name = (expression);                                   \
  if (!name) return std::unexpected(std::move(name).error()); \
  declaration = *std::move(name)
// NOLINTEND(bugprone-macro-parentheses)

/// Returns the failure of an Outcome<void>, or of one whose value is not wanted, or goes on.
#define TACIT_CLI_TRY_VOID(expression)                                                                \
  do {                                                                                                \
    if (auto outcome_ = (expression); !outcome_) return std::unexpected(std::move(outcome_).error()); \
  } while (false)
