#include "common/net/compute_pool.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <boost/asio/associated_executor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "common/base/check.h"

namespace tacit::net {
namespace {

struct Job {
  internal::Work* work;
  std::move_only_function<void(Result<void>)> done;  // Resumes the caller on its own executor.
};

}  // namespace

namespace internal {

std::unexpected<Error> FailOf(const std::exception_ptr& exception) {
  try {
    std::rethrow_exception(exception);
  } catch (const std::exception& caught) {
    return Fail(ErrorCode::kInternal, std::string("an exception in computed work: ") + caught.what());
  } catch (...) {
    return Fail(ErrorCode::kInternal, "an exception in computed work, of a type without text");
  }
}

}  // namespace internal

class ComputePool::Impl {
 public:
  explicit Impl(asio::any_io_executor executor) : executor_(std::move(executor)) {}
  Impl(std::size_t threads, std::size_t max_queued) : max_queued_(std::max<std::size_t>(max_queued, 1)) {
    for (std::size_t i = 0; i < std::max<std::size_t>(threads, 1); ++i) threads_.emplace_back([this] { Loop(); });
  }

  void Add(Job job) {
    if (executor_) {
      asio::post(executor_, [job = std::move(job)]() mutable { Do(job); });
      return;
    }
    std::unique_lock lock(mutex_);
    if (stopped_ || jobs_.size() >= max_queued_) {
      const std::string_view why = stopped_ ? "the compute pool has stopped" : "the compute pool's queue is full";
      lock.unlock();
      job.done(Fail(ErrorCode::kUnavailable, std::string(why)));
      return;
    }
    jobs_.push_back(std::move(job));
    lock.unlock();
    changed_.notify_one();
  }

  [[nodiscard]] std::size_t queued() const {
    const std::scoped_lock lock(mutex_);
    return jobs_.size();
  }

  void Stop() {
    std::deque<Job> waiting;
    {
      const std::scoped_lock lock(mutex_);
      stopped_ = true;
      waiting.swap(jobs_);
    }
    changed_.notify_all();
    for (Job& job : waiting) job.done(Fail(ErrorCode::kUnavailable, "the compute pool has stopped"));
    for (std::thread& thread : threads_) {
      if (thread.joinable()) thread.join();
    }
  }

 private:
  void Loop() {
    for (;;) {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return stopped_ || !jobs_.empty(); });
      if (jobs_.empty()) return;
      Job job = std::move(jobs_.front());
      jobs_.pop_front();
      lock.unlock();
      Do(job);
    }
  }
  static void Do(Job& job) {
    job.work->Run();
    job.done({});
  }

  const asio::any_io_executor executor_;  // in place of threads
  const std::size_t max_queued_ = 0;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job> jobs_;  // guarded by mutex_
  bool stopped_ = false;  // guarded by mutex_
  std::vector<std::thread> threads_;
};

ComputePool::ComputePool(std::size_t threads, std::size_t max_queued)
    : impl_(std::make_unique<Impl>(threads, max_queued)) {}
ComputePool::ComputePool(asio::any_io_executor executor) : impl_(std::make_unique<Impl>(std::move(executor))) {}
ComputePool::~ComputePool() {
  Stop();
}

std::size_t ComputePool::queued() const {
  return impl_->queued();
}
void ComputePool::Stop() {
  impl_->Stop();
}

Task<Result<void>> ComputePool::Enqueue(internal::Work& work) {
  auto start = [this, &work](auto handler) {
    const asio::any_io_executor home = asio::get_associated_executor(handler);
    impl_->Add({&work, [home, handler = std::move(handler)](Result<void> result) mutable {
                  asio::post(home, [handler = std::move(handler), result = std::move(result)]() mutable {
                    std::move(handler)(std::move(result));
                  });
                }});
  };
  co_return co_await asio::async_initiate<const asio::use_awaitable_t<>, void(Result<void>)>(start,
                                                                                             asio::use_awaitable);
}

}  // namespace tacit::net
