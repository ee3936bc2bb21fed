#pragma once

#include <sys/types.h>

#include "edge_agent/protect/kernel.h"
#include "edge_agent/protect/protections.h"

namespace tacit::protect {

/// What every process of an agent does first, before it has read a key: it cannot be traced or dumped by its own user,
/// leaves no core file, gains no rights, and makes no code. Not undone by anything but the end of the process.
Protections HardenProcess(Kernel& kernel);

/// Gives the rights of root away: the user and group `nobody`, no other group, no capability. Without them already, it
/// does nothing and records nothing. Call it before HardenProcess and DieWithAgent, both of which a change of user
/// undoes. Source: credentials(7), prctl(2).
Protections LeaveRoot(Kernel& kernel);

/// Has the kernel kill this process when the thread of `agent` that started it ends. When `agent` has ended already,
/// kDiesWithAgent does not hold (ESRCH).
Protections DieWithAgent(Kernel& kernel, pid_t agent);

/// Lets this process lock as many bytes as its hard limit allows, as root all of them; memfd_secret and mlock count
/// against it. Call it before LeaveRoot.
void RaiseLockLimit(Kernel& kernel);

}  // namespace tacit::protect
