#include "common/net/simulated_time.h"

#include <algorithm>
#include <exception>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include "common/net/timeline.h"

namespace tacit::net {

namespace internal {

Timeline* Timeline::Of(const asio::any_io_executor& executor) {
  asio::execution_context& context = asio::query(executor, asio::execution::context);
  return asio::has_service<Timeline>(context) ? &asio::use_service<Timeline>(context) : nullptr;
}

Timeline::Wait::Wait(Timeline* timeline, SteadyTime deadline, asio::steady_timer& timer) : timeline_(timeline) {
  if (timeline_ != nullptr) place_ = timeline_->waits_.emplace(deadline, &timer);
}

Timeline::Wait::~Wait() {
  if (timeline_ != nullptr) timeline_->waits_.erase(place_);
}

bool Timeline::Advance() {
  if (waits_.empty()) return false;
  now_ = std::max(now_, waits_.begin()->first);
  const auto end = waits_.upper_bound(now_);
  for (auto wait = waits_.begin(); wait != end; ++wait) wait->second->cancel();
  return true;
}

}  // namespace internal

class SimulatedTime::Impl final : public Clock {
 public:
  explicit Impl(WallTime start)
      : timeline_(asio::make_service<internal::Timeline>(context_)), start_(start), began_(timeline_.now()) {}

  [[nodiscard]] WallTime Now() const override { return start_ + (timeline_.now() - began_); }
  [[nodiscard]] SteadyTime SteadyNow() const override { return timeline_.now(); }

  // shutdown is for classes that are a context.
  struct Context final : asio::io_context {
    Context() : asio::io_context(1) {}
    void DestroySuspended() { shutdown(); }
  };

  Context context_;
  internal::Timeline& timeline_;

 private:
  const WallTime start_;
  const SteadyTime began_;
};

SimulatedTime::SimulatedTime(WallTime start) : impl_(std::make_unique<Impl>(start)) {}
SimulatedTime::~SimulatedTime() {
  DestroySuspended();
}

asio::any_io_executor SimulatedTime::executor() const {
  return impl_->context_.get_executor();
}
const Clock& SimulatedTime::clock() const {
  return *impl_;
}

bool SimulatedTime::RunUntil(const std::function<bool()>& done) {
  for (;;) {
    impl_->context_.restart();
    impl_->context_.poll();
    if (done()) return true;
    if (!impl_->timeline_.Advance()) return false;
  }
}

void SimulatedTime::RunToEnd(Task<void> task) {
  std::optional<std::exception_ptr> ended;
  asio::co_spawn(executor(), std::move(task), [&ended](std::exception_ptr how) { ended = std::move(how); });
  const bool came = RunUntil([&ended] { return ended.has_value(); });
  TACIT_CHECK(came, "a coroutine that is run comes to its end");
  if (const std::exception_ptr& how = Present(ended, "it has ended")) std::rethrow_exception(how);
}

void SimulatedTime::DestroySuspended() {
  // As IoThreads does: one suspended coroutine may hold another.
  for (int pass = 0; pass < 2; ++pass) impl_->context_.DestroySuspended();
}

}  // namespace tacit::net
