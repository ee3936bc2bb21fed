#pragma once

#include <cstdint>

#include "common/base/result.h"

namespace tacit::agent {

/// What `tacit-agent` ends with: part of its interface, listed in --help; the same numbers as those of `tacit`.
enum class ExitCode : std::uint8_t {
  kOk = 0,       ///< Done, or stopped by SIGTERM or SIGINT.
  kRefused = 1,  ///< The server, or the state of this device, said no.
  kUsage = 2,    ///< The command line, or a file it names, cannot be used.
  kConnect = 3,  ///< No connection, or one side does not believe the other's certificate.
  kTimeOut = 4,
  kInternal = 5,  ///< A fault of Tacit.
};

ExitCode ExitCodeOf(ErrorCode code);

}  // namespace tacit::agent
