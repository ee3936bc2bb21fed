#include "common/net/wake_up.h"

#include <mutex>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "common/base/check.h"
#include "common/net/timeline.h"

namespace tacit::net {

struct WakeUp::State {
  std::mutex mutex;
  bool woken = false;                    // guarded by mutex
  asio::steady_timer* waiter = nullptr;  // guarded by mutex; used on its own executor only
};

WakeUp::WakeUp() : state_(std::make_shared<State>()) {}
WakeUp::~WakeUp() = default;

Task<bool> WakeUp::WaitUntil(SteadyTime deadline) {
  const std::shared_ptr<State> state = state_;
  const asio::any_io_executor executor = co_await asio::this_coro::executor;
  internal::Timeline* const simulated = internal::Timeline::Of(executor);
  asio::steady_timer timer(executor, simulated == nullptr ? SteadyPoint(deadline) : SteadyPoint::max());
  // Also taken back when the coroutine is destroyed where it waits.
  struct Registration {
    State& state;
    ~Registration() {
      const std::scoped_lock lock(state.mutex);
      state.waiter = nullptr;
    }
  };
  {
    const std::scoped_lock lock(state->mutex);
    TACIT_CHECK(state->waiter == nullptr, "one coroutine at a time waits at a WakeUp");
    if (std::exchange(state->woken, false)) co_return true;
    state->waiter = &timer;
  }
  const Registration registration{*state};
  const internal::Timeline::Wait wait(simulated, deadline, timer);
  co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
  const std::scoped_lock lock(state->mutex);
  co_return std::exchange(state->woken, false);
}

void WakeUp::Wake() {
  const std::scoped_lock lock(state_->mutex);
  state_->woken = true;
  if (state_->waiter == nullptr) return;
  asio::post(state_->waiter->get_executor(), [state = state_] {
    const std::scoped_lock inner(state->mutex);
    // The waiter may have left, and another come, since: cancelling by what is registered now is right for both.
    if (state->woken && state->waiter != nullptr) state->waiter->cancel();
  });
}

}  // namespace tacit::net
