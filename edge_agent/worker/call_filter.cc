#include "edge_agent/worker/call_filter.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <cstddef>
#include <cstdint>

#include "edge_agent/protect/kernel.h"

namespace tacit::worker {
namespace {

#if defined(__x86_64__)
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#else
#error "the numbers of system calls of this architecture are not known here"
#endif

// The agent's socket and its own last words; memory; the bundle, which is open already; time; the end.
constexpr long kAllowed[] = {
    SYS_read,         SYS_write,          SYS_readv,       SYS_writev,          SYS_pread64,      SYS_lseek,
    SYS_close,        SYS_recvmsg,        SYS_sendmsg,     SYS_ppoll,           SYS_brk,          SYS_munmap,
    SYS_mremap,       SYS_madvise,        SYS_mlock,       SYS_memfd_create,    SYS_ftruncate,    SYS_futex,
    SYS_getrandom,    SYS_clock_gettime,  SYS_getpid,      SYS_gettid,          SYS_exit,         SYS_exit_group,
    SYS_rt_sigreturn, SYS_rt_sigprocmask, SYS_sched_yield, SYS_restart_syscall, SYS_memfd_secret, protect::kCallMseal,
#ifdef __x86_64__
    SYS_poll,
#endif
};

sock_filter Load(std::size_t offset) {
  return BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<std::uint32_t>(offset));
}
sock_filter Return(std::uint32_t action) {
  return BPF_STMT(BPF_RET | BPF_K, action);
}
sock_filter Jump(unsigned comparison, std::uint32_t value, std::uint8_t if_true, std::uint8_t if_false) {
  return BPF_JUMP(static_cast<std::uint16_t>(BPF_JMP | comparison | BPF_K), value, if_true, if_false);
}

// The lower half of an argument: both architectures are little-endian, and every value asked for fits into it.
sock_filter LoadArgument(std::size_t index) {
  return Load(offsetof(seccomp_data, args) + index * sizeof(std::uint64_t));
}

void AllowWhere(std::vector<sock_filter>& program, long number, std::size_t argument, sock_filter condition) {
  program.push_back(Jump(BPF_JEQ, static_cast<std::uint32_t>(number), 0, 4));
  program.push_back(LoadArgument(argument));
  program.push_back(condition);
  program.push_back(Return(SECCOMP_RET_ALLOW));
  program.push_back(Return(SECCOMP_RET_TRAP));
}

}  // namespace

std::vector<sock_filter> CallFilter(pid_t self) {
  std::vector<sock_filter> program = {Load(offsetof(seccomp_data, arch)), Jump(BPF_JEQ, kArchitecture, 1, 0),
                                      Return(SECCOMP_RET_KILL_PROCESS), Load(offsetof(seccomp_data, nr))};
#ifdef __x86_64__
  constexpr std::uint32_t kX32 = 0x40000000;
  program.push_back(Jump(BPF_JGE, kX32, 0, 1));
  program.push_back(Return(SECCOMP_RET_KILL_PROCESS));
#endif
  for (const long number : kAllowed) {
    program.push_back(Jump(BPF_JEQ, static_cast<std::uint32_t>(number), 0, 1));
    program.push_back(Return(SECCOMP_RET_ALLOW));
  }
  const sock_filter not_executable = Jump(BPF_JSET, PROT_EXEC, 1, 0);
  AllowWhere(program, SYS_mmap, 2, not_executable);
  AllowWhere(program, SYS_mprotect, 2, not_executable);
  AllowWhere(program, SYS_tgkill, 0, Jump(BPF_JEQ, static_cast<std::uint32_t>(self), 0, 1));
  program.push_back(Return(SECCOMP_RET_TRAP));
  return program;
}

}  // namespace tacit::worker
