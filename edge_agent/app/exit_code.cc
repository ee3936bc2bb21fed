#include "edge_agent/app/exit_code.h"

namespace tacit::agent {

ExitCode ExitCodeOf(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
    case ErrorCode::kMalformed:
    case ErrorCode::kNotFound:
    case ErrorCode::kTooLarge:
      return ExitCode::kUsage;
    case ErrorCode::kUnavailable:
    case ErrorCode::kUnauthenticated:
      return ExitCode::kConnect;
    case ErrorCode::kDeadlineExceeded:
      return ExitCode::kTimeOut;
    case ErrorCode::kInternal:
      return ExitCode::kInternal;
    default:
      return ExitCode::kRefused;
  }
}

}  // namespace tacit::agent
