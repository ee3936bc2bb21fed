#include "cli/failure.h"

namespace tacit::cli {

ExitCode ExitCodeOfProblem(ErrorCode code) {
  switch (code) {
    case ErrorCode::kBudgetExhausted:
      return ExitCode::kBudget;
    case ErrorCode::kUnauthenticated:
      return ExitCode::kConnect;
    case ErrorCode::kDeadlineExceeded:
      return ExitCode::kTimeOut;
    case ErrorCode::kInternal:
    case ErrorCode::kDataLoss:
      return ExitCode::kInternal;
    default:
      return ExitCode::kRefused;
  }
}

ExitCode ExitCodeOfTransport(ErrorCode code) {
  switch (code) {
    case ErrorCode::kDeadlineExceeded:
      return ExitCode::kTimeOut;
    // An answer over the limits that this command set is no fault of the way.
    case ErrorCode::kTooLarge:
    case ErrorCode::kInternal:
      return ExitCode::kInternal;
    default:
      return ExitCode::kConnect;
  }
}

std::unexpected<Failure> UsageFailure(std::string message, std::string hint) {
  return UsageFailure(Error{ErrorCode::kInvalidArgument, std::move(message)}, std::move(hint));
}

std::unexpected<Failure> UsageFailure(const Error& error, std::string hint) {
  return std::unexpected(Failure{ExitCode::kUsage, error, std::move(hint)});
}

}  // namespace tacit::cli
