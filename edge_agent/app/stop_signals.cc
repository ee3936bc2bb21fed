#include "edge_agent/app/stop_signals.h"

#include <pthread.h>
#include <unistd.h>

#include <csignal>
#include <ctime>

namespace tacit::agent {
namespace {

constexpr timespec kLookForTheEnd{.tv_sec = 0, .tv_nsec = 100'000'000};

sigset_t StopSet() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  return set;
}

void WaitForSignals(const std::stop_token& end, std::stop_source& requested) {
  const sigset_t set = StopSet();
  while (!end.stop_requested()) {
    const int signal = sigtimedwait(&set, nullptr, &kLookForTheEnd);
    if (signal < 0) continue;
    if (requested.stop_requested()) ::_exit(128 + signal);
    requested.request_stop();
  }
}

}  // namespace

StopSignals::StopSignals() {
  const sigset_t set = StopSet();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  waiter_ = std::jthread([this](const std::stop_token& end) { WaitForSignals(end, requested_); });
}

StopSignals::~StopSignals() = default;

}  // namespace tacit::agent
