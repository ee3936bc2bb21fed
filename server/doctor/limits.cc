#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>

#include "common/base/files.h"
#include "common/base/text.h"
#include "server/doctor/checks.h"

namespace tacit::doctor {
namespace {

constexpr const char* kLimits = "limits";

std::string InMiB(std::uint64_t bytes) {
  return std::to_string(bytes >> 20U) + " MiB";
}

/// What a container allows; nothing outside of one, or where it allows everything.
std::optional<std::uint64_t> ContainerMemory() {
  constexpr std::size_t kLongestNumber = 4096;
  for (const char* path : {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}) {
    const auto text = ReadFile(path, kLongestNumber);
    if (!text) continue;
    std::string_view digits = AsText(*text);
    while (digits.ends_with('\n')) digits.remove_suffix(1);
    if (const auto bytes = ParseWhole(digits)) return bytes;
  }
  return std::nullopt;
}

std::uint64_t MemoryHere() {
  const auto pages = static_cast<std::uint64_t>(std::max(::sysconf(_SC_PHYS_PAGES), 0L));
  const auto page = static_cast<std::uint64_t>(std::max(::sysconf(_SC_PAGESIZE), 0L));
  return std::min(pages * page, ContainerMemory().value_or(pages * page));
}

Finding CheckMemoryHere(const app::ServerConfig& config) {
  const std::uint64_t here = MemoryHere();
  const std::uint64_t ceiling = config.limits.memory_ceiling;
  const std::string what =
      "limits.memory_ceiling is " + InMiB(ceiling) + ", and this machine (or container) has " + InMiB(here);
  if (ceiling <= here) return Ok(kLimits, what);
  // What can be needed decides whether the system ends the server for it; the ceiling alone promises what is not there.
  const std::uint64_t needed = app::WorstCaseMemory(config).total();
  return {.area = kLimits,
          .verdict = needed > here ? Verdict::kProblem : Verdict::kWarning,
          .what = what + "; the limits together can take " + InMiB(needed),
          .next = "set limits.memory_ceiling to at most " + InMiB(here) + ", then: tacitd --check-config"};
}

Finding CheckOpenFiles(const app::ServerConfig& config) {
  // Raises the limit of this process alone, which ends soon.
  const auto room = app::MakeRoomForFiles(config);
  if (room) {
    return Ok(kLimits, "the system allows whoever runs this the " + std::to_string(app::FilesNeeded(config)) +
                           " open files that all connections need");
  }
  constexpr std::string_view kBeforeAdvice = ". ";
  const std::string& message = room.error().message;
  const std::size_t end = message.find(kBeforeAdvice);
  return {.area = kLimits,
          .verdict = Verdict::kProblem,
          .what = message.substr(0, end),
          .next = end == message.npos ? "ulimit -Hn shows the limit of open files"
                                      : message.substr(end + kBeforeAdvice.size())};
}

}  // namespace

Findings CheckLimits(const app::ServerConfig& config) {
  return {CheckOpenFiles(config), CheckMemoryHere(config)};
}

}  // namespace tacit::doctor
