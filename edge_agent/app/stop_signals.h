#pragma once

#include <stop_token>
#include <thread>

namespace tacit::agent {

/// Turns SIGTERM and SIGINT into a stop request; a second signal ends the process at once. Made in `main` before any
/// other thread, since it blocks the signals for all that start after it.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  [[nodiscard]] std::stop_token token() const { return requested_.get_token(); }

 private:
  std::stop_source requested_;
  std::jthread waiter_;
};

}  // namespace tacit::agent
