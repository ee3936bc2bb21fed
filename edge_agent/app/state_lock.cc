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

constexpr int kTries = 20;
constexpr std::chrono::milliseconds kBetweenTries{100};

}  // namespace

Result<StateLock> StateLock::Take(const std::filesystem::path& state_directory) {
  const std::filesystem::path path = state_directory / "agent.lock";
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (descriptor < 0) {
    return Fail(ErrorCode::kNotFound, path.string() + ": cannot be opened: " + std::generic_category().message(errno));
  }
  StateLock lock(descriptor);
  for (int i = 0; i < kTries; ++i) {
    if (::flock(descriptor, LOCK_EX | LOCK_NB) == 0) return lock;
    std::this_thread::sleep_for(kBetweenTries);
  }
  return Fail(ErrorCode::kConflict, state_directory.string() + ": another tacit-agent runs with this state directory");
}

StateLock::~StateLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

}  // namespace tacit::agent
