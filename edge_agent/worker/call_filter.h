#pragma once

#include <sys/types.h>

#include <vector>

struct sock_filter;  // of <linux/filter.h>

namespace tacit::worker {

/// The program that the kernel asks about every system call of a worker: a list of what is allowed. Mapped memory is
/// never executable, and the only process that gets a signal is `self`, which ends by one where a check fails. A call
/// that is not on the list raises SIGSYS; one of another architecture (on x86-64 also of the x32 kind) ends the process
/// at once, because its numbers mean other calls. Source: Linux, Documentation/userspace-api/seccomp_filter.rst.
std::vector<sock_filter> CallFilter(pid_t self);

}  // namespace tacit::worker
