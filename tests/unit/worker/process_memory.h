#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/bytes.h"
#include "common/base/owned_fd.h"

namespace tacit::worker::testing {

struct ReadMemory {
  std::size_t bytes = 0;
  std::size_t unreadable = 0;  ///< Windows that are mapped and may be read by the process itself, but not by us.
};

/// What a debugger or a core dump would get of a process: all that is mapped, as far as it may be read, in windows that
/// overlap by 28 bytes, so that each 32 at a multiple of 4 are in one of them.
inline ReadMemory ReadProcess(pid_t pid, const std::function<void(ByteSpan)>& look) {
  constexpr std::size_t kOverlap = 28;
  const std::string directory = "/proc/" + std::to_string(pid);
  const OwnedFd memory(::open((directory + "/mem").c_str(), O_RDONLY | O_CLOEXEC));
  std::ifstream maps(directory + "/maps");
  ReadMemory result;
  Bytes window(std::size_t{1} << 16U);
  for (std::string line; std::getline(maps, line);) {
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
    char readable = '-';
    if (std::sscanf(line.c_str(), "%" SCNx64 "-%" SCNx64 " %c", &begin, &end, &readable) != 3) continue;
    if (readable != 'r') continue;
    for (std::uint64_t at = begin; at + kOverlap < end; at += window.size() - kOverlap) {
      const std::size_t size = std::min<std::uint64_t>(window.size(), end - at);
      const ssize_t got = ::pread(memory.get(), window.data(), size, static_cast<off_t>(at));
      if (got > 0) look(ByteSpan(window).first(static_cast<std::size_t>(got)));
      if (got > 0) result.bytes += static_cast<std::size_t>(got);
      if (got != static_cast<ssize_t>(size)) ++result.unreadable;
    }
  }
  return result;
}

/// A process that this one started with `argument` on its command line.
inline std::optional<pid_t> ChildNamed(std::string_view argument) {
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    std::ifstream status(entry.path() / "status");
    const std::string text((std::istreambuf_iterator<char>(status)), {});
    if (text.find("\nPPid:\t" + std::to_string(::getpid()) + "\n") == std::string::npos) continue;
    std::ifstream command(entry.path() / "cmdline");
    const std::string line((std::istreambuf_iterator<char>(command)), {});
    if (line.find(argument) != std::string::npos) return std::stoi(name);
  }
  return std::nullopt;
}

}  // namespace tacit::worker::testing
