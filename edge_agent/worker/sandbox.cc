#include "edge_agent/worker/sandbox.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdint>
#include <cstring>

#include "common/base/owned_fd.h"
#include "edge_agent/protect/hardening.h"
#include "edge_agent/worker/call_filter.h"
#include "edge_agent/worker/ending.h"

namespace tacit::worker {
namespace {

using protect::Argument;
using protect::Kernel;
using protect::Measure;
using protect::Protections;

// Standard input to error, the socket, a bundle, two files in memory of each kind, and some to spare.
constexpr rlim_t kMostDescriptors = 16;

// Of Linux 6.12; the headers of Debian 12 have the first field only. Source: Linux, include/uapi/linux/landlock.h.
struct Ruleset {
  std::uint64_t files = 0;
  std::uint64_t network = 0;
  std::uint64_t scoped = 0;
};
constexpr std::uint64_t kTcpBindAndConnect = 3;
constexpr std::uint64_t kAbstractSocketsAndSignals = 3;
constexpr std::uint64_t kLandlockVersion = 1;
constexpr long kNetworkAbi = 4;
constexpr long kScopeAbi = 6;

// The rights that an ABI knows, of which none is given. Source: Linux, Documentation/userspace-api/landlock.rst.
std::uint64_t FileRights(long abi) {
  constexpr unsigned kRightsByAbi[] = {0, 13, 14, 15, 15, 16};
  return (1ULL << kRightsByAbi[std::min<long>(abi, std::ssize(kRightsByAbi) - 1)]) - 1;
}

std::size_t RulesetSize(long abi) {
  if (abi < kNetworkAbi) return sizeof(std::uint64_t);
  return abi < kScopeAbi ? 2 * sizeof(std::uint64_t) : sizeof(Ruleset);
}

// No rule is added, so nothing that is handled is allowed.
Protections LeaveFilesAndNetwork(Kernel& kernel) {
  Protections protections;
  const long abi = kernel.Call(SYS_landlock_create_ruleset, 0, 0, kLandlockVersion);
  long answer = abi;
  if (abi > 0) {
    const Ruleset ruleset{
        .files = FileRights(abi), .network = kTcpBindAndConnect, .scoped = kAbstractSocketsAndSignals};
    answer = kernel.Call(SYS_landlock_create_ruleset, Argument(&ruleset), RulesetSize(abi), 0);
    if (answer >= 0) {
      const OwnedFd fd(static_cast<int>(answer));
      answer = kernel.Call(SYS_landlock_restrict_self, static_cast<std::uint64_t>(fd.get()), 0);
    }
  }
  const auto since = [&](long first) { return answer >= 0 && abi < first ? -EOPNOTSUPP : answer; };
  protections.RecordCall(Measure::kNoFiles, answer);
  protections.RecordCall(Measure::kNoNetwork, since(kNetworkAbi));
  protections.RecordCall(Measure::kScopedSignals, since(kScopeAbi));
  return protections;
}

Protections SetLimits(Kernel& kernel, const SandboxOptions& options) {
  struct Limit {
    int resource;
    rlim_t most;
  };
  const Limit limits[] = {
      {RLIMIT_NOFILE, kMostDescriptors},
      {RLIMIT_NPROC, 0},
      {RLIMIT_MSGQUEUE, 0},
      // Also of files in memory, so it cannot be 0; of others it has none that can be written.
      {RLIMIT_FSIZE, options.memory},
      {RLIMIT_AS, options.address_space == 0 ? RLIM_INFINITY : options.address_space},
  };
  Protections protections;
  for (const Limit& limit : limits) {
    const rlimit value{limit.most, limit.most};
    const long answer = kernel.Call(SYS_prlimit64, 0, static_cast<std::uint64_t>(limit.resource), Argument(&value));
    protections.RecordCall(Measure::kLimits, answer);
  }
  return protections;
}

// Runs in a process that tried something forbidden: no more than two calls, both on the list.
void OnRefusedCall(int /*signal*/, siginfo_t* info, void* /*context*/) {
  std::array<char, 40> words{};
  std::memcpy(words.data(), kRefusedWords.data(), kRefusedWords.size());
  char* const digits = words.data() + kRefusedWords.size();
  char* end = std::to_chars(digits, words.data() + words.size() - 1, info->si_syscall).ptr;
  *end++ = '\n';
  [[maybe_unused]] const ssize_t written =
      ::write(STDERR_FILENO, words.data(), static_cast<std::size_t>(end - words.data()));
  ::_exit(kRefusedExit);
}

Protections LeaveCalls(Kernel& kernel) {
  struct sigaction action{};
  action.sa_sigaction = OnRefusedCall;
  action.sa_flags = SA_SIGINFO;
  ::sigaction(SIGSYS, &action, nullptr);
  std::vector<sock_filter> filter = CallFilter(::getpid());
  const sock_fprog program{.len = static_cast<unsigned short>(filter.size()), .filter = filter.data()};
  Protections protections;
  protections.RecordCall(Measure::kFewCalls, kernel.Call(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, Argument(&program)));
  return protections;
}

}  // namespace

Protections EnterSandbox(Kernel& kernel, const SandboxOptions& options) {
  protect::RaiseLockLimit(kernel);
  Protections protections = protect::LeaveRoot(kernel);
  protections.Add(protect::HardenProcess(kernel));
  protections.Add(protect::DieWithAgent(kernel, options.agent));
  protections.Add(SetLimits(kernel, options));
  protections.Add(LeaveFilesAndNetwork(kernel));
  protections.Add(LeaveCalls(kernel));
  return protections;
}

}  // namespace tacit::worker
