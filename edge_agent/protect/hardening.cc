#include "edge_agent/protect/hardening.h"

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>

namespace tacit::protect {
namespace {

constexpr std::uint64_t kNobody = 65534;

long SetLimit(Kernel& kernel, int resource, rlimit limit) {
  return kernel.Call(SYS_prlimit64, 0, static_cast<std::uint64_t>(resource), Argument(&limit));
}

}  // namespace

Protections HardenProcess(Kernel& kernel) {
  Protections protections;
  protections.RecordCall(Measure::kNotDumpable, kernel.Call(SYS_prctl, PR_SET_DUMPABLE, 0));
  protections.RecordCall(Measure::kNoCoreFile, SetLimit(kernel, RLIMIT_CORE, {0, 0}));
  protections.RecordCall(Measure::kNoNewPrivileges, kernel.Call(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1));
  protections.RecordCall(Measure::kNoWriteExecute, kernel.Call(SYS_prctl, kPrctlSetMdwe, kMdweRefuseExecGain));
  return protections;
}

Protections LeaveRoot(Kernel& kernel) {
  Protections protections;
  if (::geteuid() != 0) return protections;
  long answer = kernel.Call(SYS_setgroups, 0, 0);
  if (answer >= 0) answer = kernel.Call(SYS_setresgid, kNobody, kNobody, kNobody);
  if (answer >= 0) answer = kernel.Call(SYS_setresuid, kNobody, kNobody, kNobody);
  protections.RecordCall(Measure::kOwnUser, answer);
  return protections;
}

Protections DieWithAgent(Kernel& kernel, pid_t agent) {
  Protections protections;
  protections.RecordCall(Measure::kDiesWithAgent, kernel.Call(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL));
  // It may have ended between the start of this process and the call.
  if (::getppid() != agent) protections.Record(Measure::kDiesWithAgent, ESRCH);
  return protections;
}

void RaiseLockLimit(Kernel& kernel) {
  if (SetLimit(kernel, RLIMIT_MEMLOCK, {RLIM_INFINITY, RLIM_INFINITY}) >= 0) return;
  rlimit limit{};
  if (::getrlimit(RLIMIT_MEMLOCK, &limit) != 0) return;
  SetLimit(kernel, RLIMIT_MEMLOCK, {limit.rlim_max, limit.rlim_max});
}

}  // namespace tacit::protect
