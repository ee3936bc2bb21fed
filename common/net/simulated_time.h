#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/net/executor.h"
#include "common/net/run_blocking.h"

namespace tacit::net {

/// An executor whose work runs when it is told to, on time of its own: what runs takes no time, and where nothing is
/// left to run, time goes on at once to when the first of those who wait at a WakeUp there wants to go on. So a server
/// that waits for hours does so in no time, and the same work is done in the same order, always.
/// Threads: one, also of all that runs on the executor.
class SimulatedTime {
 public:
  explicit SimulatedTime(WallTime start);
  /// What is still suspended is destroyed: whatever it refers to must be there.
  ~SimulatedTime();
  SimulatedTime(const SimulatedTime&) = delete;
  SimulatedTime& operator=(const SimulatedTime&) = delete;

  [[nodiscard]] asio::any_io_executor executor() const;
  [[nodiscard]] const Clock& clock() const;

  /// Runs what there is to run and lets time go on until `done`, which is asked whenever nothing is left to run. False
  /// where nobody waits for anything any more.
  bool RunUntil(const std::function<bool()>& done);

  /// Runs a coroutine to its end; an exception of it comes out here. It must come to an end.
  template <typename T>
  T Run(Task<T> task) {
    std::optional<T> slot;
    RunToEnd(internal::StoreInto(std::move(task), slot));
    return std::move(Present(slot, "the coroutine has ended"));
  }
  void Run(Task<void> task) { RunToEnd(std::move(task)); }

  /// Destroys what is still suspended, as at the end, while what it refers to is there.
  void DestroySuspended();

 private:
  void RunToEnd(Task<void> task);

  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tacit::net
