#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/base/owned_fd.h"
#include "common/base/result.h"
#include "edge_agent/protect/protections.h"
#include "edge_agent/worker/messages.h"
#include "edge_agent/worker/worker_process.h"

namespace tacit::worker {

/// One version of a model. Threads: the supervisor's, one at a time.
class ModelSource {
 public:
  virtual ~ModelSource() = default;
  struct Opened {
    OwnedFd file;   ///< Read-only, encrypted.
    Bytes opening;  ///< What OpenModel needs, such as the key of its contents; overwritten when it was sent.
    /// When the model may be used no more, and its worker overwrites it: the end of a lease.
    std::optional<SteadyPoint> until = {};
  };
  /// Asked at each start of a worker, so that no key waits in the agent's memory for one.
  virtual Result<Opened> Open() = 0;
  /// For events and logs.
  [[nodiscard]] virtual std::string version() const = 0;
};

enum class EventKind : std::uint8_t {
  kServing,      ///< A version serves; `detail`: what does not hold of its protections, or nothing.
  kRefused,      ///< A version could not be loaded or failed its test; what served before goes on.
  kEnded,        ///< A worker that served ended; `ending` says why. Another is started after `retry`.
  kExpired,      ///< The time was over in which the model may be used; nothing serves until the next Serve.
  kStartFailed,  ///< It could not be started again; the next attempt is after `retry`.
};
/// Stable, `snake_case`.
std::string_view NameOf(EventKind kind);

struct Event {
  EventKind kind = EventKind::kServing;
  std::string version;
  std::string detail;  ///< Printable.
  std::optional<Ending> ending = {};
  Millis retry{0};
};

/// Units: milliseconds.
struct SupervisorOptions {
  WorkerProcessOptions process;
  Millis load_deadline{60'000};
  Millis health_interval{5'000};  ///< Between two questions to a worker that nobody else asks anything.
  Millis health_deadline{5'000};
  /// After a worker ended: doubled each time, until one has served for `longest_backoff`.
  Millis first_backoff{100};
  Millis longest_backoff{30'000};
  /// What must hold, or a worker is refused.
  std::vector<protect::Measure> required = {};
  /// Called on the supervisor's thread; must not wait for the supervisor.
  std::function<void(const Event&)> on_event = [](const Event&) {};
};

/// What a model's detectors say of rows that it answered, and what their owner wants done about it.
struct Judged {
  LoadedDetectors detectors;
  detect::Judgement judgement;
};

/// The outputs of a model, in memory that they are a part of.
struct Answer {
  AlignedBuffer memory;
  std::size_t rows = 0;
  std::vector<ByteSpan> outputs;
  std::string version;                ///< Of the model that gave it.
  std::optional<Judged> judged = {};  ///< Of a model that has detectors, where it was said who asks.
};

struct SupervisorStatus {
  bool serving = false;
  std::string version;               ///< Of the model that serves, or that would if a worker could be started.
  std::optional<Loaded> model = {};  ///< Of the worker that serves.
  std::uint64_t watch_passes = 0;
  std::uint64_t restarts = 0;
  std::uint64_t endings = 0;          ///< Workers that ended unasked.
  std::uint64_t changed_weights = 0;  ///< Of them, because weights had changed.
  std::uint64_t refused_calls = 0;    ///< Of them, because of a system call that is not allowed.
};

/// Keeps a worker running that answers for one version of a model, and swaps it for another version's.
///
/// Threads: any may ask. A thread of its own starts, watches and ends workers, so that the thread whose end would kill
/// them is there as long as they are. A question is asked on the thread that asks it, one after the other.
class Supervisor {
 public:
  explicit Supervisor(SupervisorOptions options);
  /// Ends the worker, which overwrites its memory first. Nobody may be asking any more.
  ~Supervisor();
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  /// Starts a worker for `source`, has it load and tests it on a row of zeros, while what served goes on; only then do
  /// questions go to it, and the old worker ends with the question that it is at. Returns when that is decided.
  /// Errors: of the source, the worker, or the test; the version that served before still does.
  Result<void> Serve(std::shared_ptr<ModelSource> source);

  /// Shape: one span for each input of the signature, of `rows` rows. Errors: as inference::Engine::Run; kUnavailable
  /// while no worker serves; kDeadlineExceeded, after which a worker that was at the question has been killed.
  Result<Answer> Infer(std::size_t rows, std::span<const ByteSpan> inputs, SteadyPoint deadline) {
    return Infer(rows, inputs, {}, deadline);
  }
  /// The same, and what detectors say of the rows, where the model has some. Shape: `askers` have `rows` rows together,
  /// in their order; none of them: nothing is judged.
  Result<Answer> Infer(std::size_t rows, std::span<const ByteSpan> inputs, std::span<const detect::Asker> askers,
                       SteadyPoint deadline);
  /// As Infer, of inference::Engine::InputGradient: its answer has one output, the gradient.
  Result<Answer> Gradient(std::span<const float> input, std::span<const std::uint32_t> classes, SteadyPoint deadline);

  [[nodiscard]] SupervisorStatus status() const;

 private:
  class Keeper;
  std::unique_ptr<Keeper> keeper_;
};

}  // namespace tacit::worker
