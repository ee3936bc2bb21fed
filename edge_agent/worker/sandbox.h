#pragma once

#include <sys/types.h>

#include <cstddef>

#include "edge_agent/protect/kernel.h"
#include "edge_agent/protect/protections.h"

namespace tacit::worker {

struct SandboxOptions {
  pid_t agent = 0;                ///< Its parent.
  std::size_t memory = 0;         ///< The largest file in memory: the limit of one ProtectedMemory.
  std::size_t address_space = 0;  ///< Bytes; 0: not limited (a sanitizer reserves terabytes).
};

/// Gives away, for good, whatever a worker needs no more once it runs: root, files, network, signals, new processes,
/// executable memory and every system call that is not on the list of CallFilter. A call that is refused later ends the
/// process; its number stands on file descriptor 2, its exit code is kRefusedExit. Libraries that open files when they
/// are first used must have been used before. Returns what holds and what does not.
/// Threads: the process has no other.
protect::Protections EnterSandbox(protect::Kernel& kernel, const SandboxOptions& options);

}  // namespace tacit::worker
