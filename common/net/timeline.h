#pragma once

#include <map>

#include <boost/asio/execution_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "common/base/clock.h"
#include "common/net/executor.h"

namespace tacit::net::internal {

/// Who waits on simulated time, and until when: a service of the context whose time it is. Threads: the context's one.
class Timeline final : public asio::execution_context::service {
 public:
  using key_type = Timeline;  // by which a context finds it

  explicit Timeline(asio::execution_context& context) : asio::execution_context::service(context) {}
  void shutdown() override {}

  /// That of the executor's context, or null where time is real.
  static Timeline* Of(const asio::any_io_executor& executor);

  /// Ends the wait at `timer` when simulated time has come to `deadline`, for as long as this lives. Does nothing
  /// without a timeline.
  class Wait {
   public:
    Wait(Timeline* timeline, SteadyTime deadline, asio::steady_timer& timer);
    ~Wait();
    Wait(const Wait&) = delete;
    Wait& operator=(const Wait&) = delete;

   private:
    Timeline* timeline_;
    std::multimap<SteadyTime, asio::steady_timer*>::iterator place_;
  };

  [[nodiscard]] SteadyTime now() const { return now_; }
  /// Lets time go on to when the first wait ends, and ends all that do by then. False where nobody waits.
  bool Advance();

 private:
  // Later than anything that is measured back from it.
  static constexpr SteadyTime kStart{std::chrono::hours(24 * 365)};

  SteadyTime now_ = kStart;
  std::multimap<SteadyTime, asio::steady_timer*> waits_;
};

}  // namespace tacit::net::internal
