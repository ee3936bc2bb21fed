#pragma once

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <cerrno>
#include <set>
#include <utility>

#include "edge_agent/protect/kernel.h"
#include "edge_agent/protect/protections.h"

namespace tacit::protect::testing {

/// The system's kernel without what some measures need.
class LackingKernel final : public Kernel {
 public:
  explicit LackingKernel(std::set<Measure> lacking) : lacking_(std::move(lacking)) {}

  long Call(long number, std::uint64_t a, std::uint64_t b, std::uint64_t c, std::uint64_t d, std::uint64_t e,
            std::uint64_t f) override {
    if (const int error = Refusal(number, a, b, c)) return -error;
    return system_.Call(number, a, b, c, d, e, f);
  }

 private:
  [[nodiscard]] bool Lacks(Measure measure) const { return lacking_.contains(measure); }
  [[nodiscard]] int Refusal(long number, std::uint64_t a, std::uint64_t b, std::uint64_t c) const {
    switch (number) {
      case SYS_memfd_secret:
        return Lacks(Measure::kSecretPages) ? ENOSYS : 0;
      case SYS_mlock:
        return Lacks(Measure::kLockedPages) ? ENOMEM : 0;
      case kCallMseal:
        return Lacks(Measure::kSealedPages) ? ENOSYS : 0;
      case SYS_madvise:
        return (c == MADV_DONTDUMP && Lacks(Measure::kPagesNotDumped)) ||
                       (c == MADV_DONTFORK && Lacks(Measure::kPagesNotForked))
                   ? EINVAL
                   : 0;
      case SYS_seccomp:
        return Lacks(Measure::kFewCalls) ? EINVAL : 0;
      case SYS_landlock_create_ruleset:
        return Lacks(Measure::kNoFiles) ? EOPNOTSUPP : 0;
      case SYS_setgroups:
        return Lacks(Measure::kOwnUser) ? EPERM : 0;
      case SYS_prlimit64:
        return (b == RLIMIT_CORE && Lacks(Measure::kNoCoreFile)) || (b == RLIMIT_NPROC && Lacks(Measure::kLimits))
                   ? EPERM
                   : 0;
      case SYS_prctl:
        return RefusalOfControl(a);
      default:
        return 0;
    }
  }
  [[nodiscard]] int RefusalOfControl(std::uint64_t option) const {
    const bool refused = (option == PR_SET_DUMPABLE && Lacks(Measure::kNotDumpable)) ||
                         (option == PR_SET_NO_NEW_PRIVS && Lacks(Measure::kNoNewPrivileges)) ||
                         (option == kPrctlSetMdwe && Lacks(Measure::kNoWriteExecute)) ||
                         (option == PR_SET_PDEATHSIG && Lacks(Measure::kDiesWithAgent));
    return refused ? EINVAL : 0;
  }

  SystemKernel system_;
  std::set<Measure> lacking_;
};

}  // namespace tacit::protect::testing
