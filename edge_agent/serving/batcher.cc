#include "edge_agent/serving/batcher.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <utility>

#include "common/base/check.h"

namespace tacit::serving {
namespace {

// The rows of one input of all jobs, one behind the other.
AlignedBuffer Together(const std::vector<std::shared_ptr<Batcher::Job>>& jobs, std::size_t input) {
  std::size_t size = 0;
  for (const auto& job : jobs) size += job->inputs[input].size();
  AlignedBuffer all(size);
  std::size_t at = 0;
  for (const auto& job : jobs) {
    const AlignedBuffer& part = job->inputs[input];
    if (part.size() > 0) std::memcpy(all.data() + at, part.data(), part.size());
    at += part.size();
  }
  return all;
}

// The rows from `begin` on of every output.
std::vector<ByteSpan> RowsOf(const worker::Answer& answer, std::size_t begin, std::size_t rows) {
  std::vector<ByteSpan> outputs;
  for (const ByteSpan output : answer.outputs) {
    const std::size_t row = output.size() / answer.rows;
    outputs.push_back(output.subspan(begin * row, rows * row));
  }
  return outputs;
}

}  // namespace

void Batcher::Add(std::shared_ptr<Job> job) {
  const std::scoped_lock lock(mutex_);
  queue_.push_back(std::move(job));
  changed_.notify_all();
}

void Batcher::Withdraw(const std::shared_ptr<Job>& job) {
  const std::scoped_lock lock(mutex_);
  std::erase(queue_, job);
}

// Until as many rows wait as one batch takes.
void Batcher::AwaitOthers(std::unique_lock<std::mutex>& lock, SteadyPoint deadline) {
  if (limits_.max_delay <= Millis(0)) return;
  const SteadyPoint until = std::min(deadline, std::chrono::steady_clock::now() + limits_.max_delay);
  changed_.wait_until(lock, until, [this] {
    std::size_t rows = 0;
    for (const auto& job : queue_) rows += job->rows;
    return rows >= limits_.max_rows;
  });
}

// The first, and those behind it that fit: in the order in which they came.
Batcher::Jobs Batcher::TakeBatch(const std::shared_ptr<Job>& first) {
  Jobs batch = {first};
  std::size_t rows = first->rows;
  for (const auto& job : queue_) {
    if (job == first || job->version != first->version) continue;
    if (rows + job->rows > limits_.max_rows) break;
    batch.push_back(job);
    rows += job->rows;
  }
  for (const auto& job : batch) job->taken_ = true;
  std::erase_if(queue_, [](const auto& job) { return job->taken_; });
  return batch;
}

Result<worker::Answer> Batcher::Ask(const Jobs& jobs, std::size_t rows) const {
  SteadyPoint deadline = SteadyPoint::max();
  for (const auto& job : jobs) deadline = std::min(deadline, job->deadline);
  std::vector<detect::Asker> askers;
  for (const auto& job : jobs) askers.push_back({.identity = job->asker, .rows = job->rows});
  std::vector<AlignedBuffer> together;
  std::vector<ByteSpan> inputs;
  for (std::size_t i = 0; i < jobs.front()->inputs.size(); ++i) {
    if (jobs.size() > 1) together.push_back(Together(jobs, i));
    inputs.push_back(jobs.size() > 1 ? std::as_const(together.back()).bytes()
                                     : std::as_const(jobs.front()->inputs[i]).bytes());
  }
  return model_.Infer(rows, inputs, askers, deadline);
}

void Batcher::Run(const Jobs& jobs) {
  std::size_t rows = 0;
  for (const auto& job : jobs) rows += job->rows;
  auto answer = Ask(jobs, rows);
  const std::scoped_lock lock(mutex_);
  if (!answer) {
    for (const auto& job : jobs) job->answer_.emplace(std::unexpected(answer.error()));
  } else {
    const auto whole = std::make_shared<const worker::Answer>(*std::move(answer));
    std::size_t begin = 0;
    for (const auto& job : jobs) {
      job->answer_.emplace(BatchedAnswer{
          .whole = whole, .outputs = RowsOf(*whole, begin, job->rows), .first_row = begin, .rows = job->rows});
      begin += job->rows;
    }
  }
  changed_.notify_all();
}

Result<BatchedAnswer> Batcher::Finish(const std::shared_ptr<Job>& job) {
  std::unique_lock lock(mutex_);
  if (!job->taken_) AwaitOthers(lock, job->deadline);
  // Meanwhile another thread may have taken it along.
  if (!job->taken_) {
    const Jobs batch = TakeBatch(job);
    lock.unlock();
    Run(batch);
    lock.lock();
  }
  changed_.wait(lock, [&] { return job->answer_.has_value(); });
  return std::move(Present(job->answer_, "it was waited for"));
}

}  // namespace tacit::serving
