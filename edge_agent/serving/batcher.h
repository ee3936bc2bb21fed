#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/base/result.h"
#include "edge_agent/inference/engine.h"
#include "edge_agent/serving/served_model.h"

namespace tacit::serving {

struct BatchLimits {
  std::size_t max_rows = 32;  ///< Of requests that are run as one; a request with more is run alone.
  Millis max_delay{0};        ///< How long one waits for others; 0: only what came while the worker was busy.
};

/// What a request gets of the answer to a batch. Threads: as its answer's owner, which several share.
struct BatchedAnswer {
  std::shared_ptr<const worker::Answer> whole;
  std::vector<ByteSpan> outputs;  ///< The request's rows of each output.
  std::size_t first_row = 0;      ///< Of the request in the whole.
  std::size_t rows = 0;
};

/// Runs requests that wait at the same time as one, so that the worker is asked once for all of them: each gets the
/// rows that it would have got alone. Threads: any. Add puts a request into the queue; Finish, on a thread that may
/// wait, runs what is at the front of it.
class Batcher {
 public:
  /// One request. Shape: `inputs` as the signature of `version` says.
  struct Job {
    std::string version;  ///< Of the model that it was checked against: others are not run with it.
    std::size_t rows = 0;
    Digest128 asker{};  ///< Who asks, for detectors.
    std::vector<AlignedBuffer> inputs;
    SteadyPoint deadline = SteadyPoint::max();

   private:
    friend class Batcher;
    bool taken_ = false;
    std::optional<Result<BatchedAnswer>> answer_;
  };

  /// `model` outlives it.
  Batcher(BatchLimits limits, ServedModel& model) : limits_(limits), model_(model) {}

  void Add(std::shared_ptr<Job> job);
  /// The answer of a job that was added. Once for each job. Errors: as ServedModel::Infer.
  Result<BatchedAnswer> Finish(const std::shared_ptr<Job>& job);
  /// For a job whose Finish nobody will call.
  void Withdraw(const std::shared_ptr<Job>& job);

 private:
  using Jobs = std::vector<std::shared_ptr<Job>>;
  void AwaitOthers(std::unique_lock<std::mutex>& lock, SteadyPoint deadline);
  Jobs TakeBatch(const std::shared_ptr<Job>& first);
  void Run(const Jobs& jobs);
  [[nodiscard]] Result<worker::Answer> Ask(const Jobs& jobs, std::size_t rows) const;

  const BatchLimits limits_;
  ServedModel& model_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::shared_ptr<Job>> queue_;  // guarded by mutex_
};

}  // namespace tacit::serving
