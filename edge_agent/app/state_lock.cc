#include "edge_agent/app/state_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <system_error>
#include <thread>

namespace tacit::agent {
namespace {

constexpr Millis kBetweenTries{50};

std::unexpected<Error> AnotherRuns(const std::filesystem::path& directory) {
  return Fail(ErrorCode::kConflict, directory.string() + ": another tacit-agent runs with this state directory");
}

}  // namespace

Result<StateLock> StateLock::Take(const std::filesystem::path& state_directory, Millis patience,
                                  std::string_view name) {
  const std::filesystem::path path = state_directory / name;
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (descriptor < 0) {
    return Fail(ErrorCode::kNotFound, path.string() + ": cannot be opened: " + std::generic_category().message(errno));
  }
  StateLock lock(descriptor);
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (::flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
    if (std::chrono::steady_clock::now() >= deadline) return AnotherRuns(state_directory);
    std::this_thread::sleep_for(kBetweenTries);
  }
  return lock;
}

StateLock::~StateLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

}  // namespace tacit::agent
