#pragma once

#include <sys/types.h>

#include <cstdint>

#include "common/base/result.h"

namespace tacit::load {

/// User and system time of a process and its threads. Units: seconds. Errors: kNotFound without the process.
Result<double> CpuSeconds(pid_t process);

struct ResidentMemory {
  std::uint64_t now = 0;   ///< Bytes.
  std::uint64_t peak = 0;  ///< Bytes, since the process began or ForgetPeak.
};

/// Errors: kNotFound without the process.
Result<ResidentMemory> MemoryOf(pid_t process);

/// Errors: kNotFound without the process; kPermissionDenied when it is another user's.
Result<void> ForgetPeak(pid_t process);

}  // namespace tacit::load
