#pragma once

#include <memory>

#include "common/base/clock.h"
#include "common/net/executor.h"

namespace tacit::net {

/// A latch that one coroutine waits at, for long polls: a Wake before the wait is kept, so none is lost between looking
/// at the state and waiting for it to change. Threads: Wake from any; one waiter at a time.
class WakeUp {
 public:
  WakeUp();
  ~WakeUp();
  WakeUp(const WakeUp&) = delete;
  WakeUp& operator=(const WakeUp&) = delete;

  /// True when woken (the latch is closed again), false when `deadline` passed first.
  Task<bool> WaitUntil(SteadyTime deadline);

  /// Ends the wait under way, or the next one at once. Never blocks for long; holds no reference to the waiter
  /// afterwards.
  void Wake();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace tacit::net
