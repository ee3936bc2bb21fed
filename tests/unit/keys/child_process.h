#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace tacit::testing {

/// A program that runs beside a test, and not longer than it.
class ChildProcess {
 public:
  explicit ChildProcess(const std::vector<std::string>& command);
  ChildProcess(ChildProcess&& other) noexcept : pid_(std::exchange(other.pid_, -1)) {}
  ChildProcess& operator=(ChildProcess&&) = delete;
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;
  ~ChildProcess() { Kill(); }

  /// Ends it at once, as a power cut would.
  void Kill();
  /// Waits for its end, and returns its exit code; -1 where a signal ended it.
  int Wait();

 private:
  pid_t pid_;
};

/// Whether a program is on the PATH.
bool IsInstalled(const std::string& program);

/// What a program prints, which must succeed.
std::string OutputOf(std::vector<std::string> command);

}  // namespace tacit::testing
