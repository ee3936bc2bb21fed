#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/base/owned_fd.h"
#include "common/base/result.h"
#include "edge_agent/worker/channel.h"
#include "edge_agent/worker/ending.h"

namespace tacit::worker {

/// The descriptor of a worker's end of the socket. Its input and output are /dev/null, its error output is a pipe to
/// the agent, and nothing else is open.
inline constexpr int kWorkerSocket = 3;

/// What a worker is told on its command line, in this order: nothing of it is secret.
struct WorkerNumbers {
  std::size_t agent = 0;           ///< The process that starts it.
  std::size_t memory = 0;          ///< Bytes, of weights and again of what is computed.
  std::size_t frame = 0;           ///< Bytes of the largest frame.
  std::size_t address_space = 0;   ///< Bytes; 0: any.
  std::size_t watch_interval = 0;  ///< Milliseconds between two looks at all weights.

  [[nodiscard]] std::vector<std::string> Encode() const;
  /// Errors: kInvalidArgument.
  static Result<WorkerNumbers> Parse(std::span<const char* const> arguments);
};

struct WorkerProcessOptions {
  std::string program = "/proc/self/exe";  ///< Of the agent, also while its file is being replaced.
  std::vector<std::string> command;        ///< What makes the program a worker: it ends in RunWorker with the rest.
  std::size_t memory_limit = std::size_t{256} * 1024 * 1024;
  std::size_t frame_limit = std::size_t{64} * 1024 * 1024;
  /// Of weights, computation and frames all its address space is made up, but for this: program, libraries, heap.
  std::size_t overhead = std::size_t{256} * 1024 * 1024;
  Millis watch_interval{60'000};
};

/// A worker, as its agent sees it: a program that was started anew, so that it shares neither memory nor the layout of
/// its address space with the agent. Threads: one at a time, but for Kill; the worker is killed when the thread that
/// started it ends.
class WorkerProcess {
 public:
  /// Errors: kUnavailable when no process can be had.
  static Result<std::unique_ptr<WorkerProcess>> Start(const WorkerProcessOptions& options);
  /// Kills it, where it still runs.
  ~WorkerProcess();
  WorkerProcess(const WorkerProcess&) = delete;
  WorkerProcess& operator=(const WorkerProcess&) = delete;

  /// Its first frame: what holds of its sandbox. Errors: as Call.
  Result<State> Greet(SteadyPoint deadline);
  /// Asks and waits for the answer, of kind `answer`; a failure of the worker's comes back as it is. Errors: of the
  /// worker; kUnavailable when it ended, kDeadlineExceeded, kMalformed for what it must not say: after these three it
  /// has been killed, and sound() is false.
  Result<AlignedBuffer> Call(const Outgoing& question, Kind answer, SteadyPoint deadline);
  /// Whether it can be asked any more.
  [[nodiscard]] bool sound() const { return sound_; }

  /// For one whose answers cannot be true: kills it, and asks it nothing more.
  void Distrust();
  /// Kills it, as far as it has not ended. Threads: any, until End or Quit is called.
  void Kill() const;

  /// Has it overwrite its memory and end; kills it when it has not ended by `deadline`.
  Ending Quit(SteadyPoint deadline);
  /// Kills it, and returns what had become of it before.
  Ending End();

  /// Becomes readable when it wrote last words, or ended. ReadWords takes them in, on the thread that calls End.
  [[nodiscard]] int words_fd() const { return words_pipe_.get(); }
  /// False once it has ended.
  bool ReadWords();
  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  WorkerProcess(pid_t pid, OwnedFd socket, OwnedFd words, std::size_t frame_limit)
      : pid_(pid), channel_(std::move(socket), frame_limit), words_pipe_(std::move(words)) {}

  Result<AlignedBuffer> Expect(std::uint64_t id, Kind answer, SteadyPoint deadline);
  void Break(ErrorCode why);
  Ending Reap();

  pid_t pid_;  // 0 once its end was read
  Channel channel_;
  OwnedFd words_pipe_;
  std::string words_;
  std::uint64_t next_id_ = 1;
  bool sound_ = true;
  bool stuck_ = false;
};

}  // namespace tacit::worker
