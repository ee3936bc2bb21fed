#include "benchmarks/load/process.h"

#include <time.h>

#include <fstream>
#include <string>

namespace tacit::load {
namespace {

std::string PathOf(pid_t process, const char* file) {
  return "/proc/" + std::to_string(process) + '/' + file;
}

std::unexpected<Error> NoProcess(pid_t process) {
  return Fail(ErrorCode::kNotFound, "there is no process " + std::to_string(process));
}

}  // namespace

Result<double> CpuSeconds(pid_t process) {
  clockid_t clock{};
  timespec time{};
  if (clock_getcpuclockid(process, &clock) != 0 || clock_gettime(clock, &time) != 0) return NoProcess(process);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

Result<ResidentMemory> MemoryOf(pid_t process) {
  std::ifstream status(PathOf(process, "status"));
  if (!status) return NoProcess(process);
  ResidentMemory memory;
  for (std::string name; status >> name;) {
    std::uint64_t kib = 0;
    if (name == "VmRSS:" && status >> kib) memory.now = kib * 1024;
    if (name == "VmHWM:" && status >> kib) memory.peak = kib * 1024;
  }
  return memory;
}

// Source: proc(5), /proc/pid/clear_refs.
Result<void> ForgetPeak(pid_t process) {
  std::ofstream file(PathOf(process, "clear_refs"));
  if (!file) return NoProcess(process);
  file << "5" << std::flush;
  if (!file) return Fail(ErrorCode::kPermissionDenied, "the peak of " + std::to_string(process) + " stays as it is");
  return {};
}

}  // namespace tacit::load
