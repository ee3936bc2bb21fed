#include "tests/simulation/simulated_time.h"

#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>

#include "common/base/check.h"

namespace {

constexpr long long kStart = 1'790'000'000'000'000'000;  // nanoseconds; the same for both clocks

bool g_simulated = false;
long long g_now = kStart;

}  // namespace

// In front of libc's, for this program and for the libraries that it loads.
extern "C" int clock_gettime(clockid_t clock, timespec* time) noexcept {
  if (!g_simulated) return static_cast<int>(::syscall(SYS_clock_gettime, clock, time));
  time->tv_sec = g_now / 1'000'000'000;
  time->tv_nsec = g_now % 1'000'000'000;
  return 0;
}

// A kernel's timer would wait for the kernel's clock. Without one Asio asks the clock whenever it polls.
extern "C" int timerfd_create(int /*clock*/, int /*flags*/) noexcept {
  errno = ENOSYS;
  return -1;
}

namespace tacit::simulation {

SimulatedTime::SimulatedTime() {
  TACIT_CHECK(!g_simulated, "one simulated time at a time");
  g_now = kStart;
  g_simulated = true;
}

SimulatedTime::~SimulatedTime() {
  g_simulated = false;
}

void SimulatedTime::Advance(Millis by) {
  g_now += std::chrono::nanoseconds(by).count();
}

Millis SimulatedTime::SinceStart() const {
  return std::chrono::duration_cast<Millis>(std::chrono::nanoseconds(g_now - kStart));
}

}  // namespace tacit::simulation
