#include "common/net/executor.h"

#include <pthread.h>
#include <signal.h>

#include <string>
#include <thread>
#include <vector>

#include <boost/asio/associated_executor.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "common/base/check.h"

namespace tacit::net {
namespace {

constexpr std::size_t kMaxThreads = 256;
// Coroutines of one context may be held by an operation queued on another; the second pass takes what the first handed
// back.
constexpr int kDestructionPasses = 2;

class Context final : public asio::io_context {
 public:
  Context() : asio::io_context(1) {}
  // Destroys what is suspended here, while the other contexts and the objects that coroutines refer to are still alive.
  void DestroySuspended() { shutdown(); }
};

struct IoThread {
  Context context;
  asio::executor_work_guard<asio::io_context::executor_type> keep_running{context.get_executor()};
  std::thread thread;
};

/// Runs on the caller's thread whatever is not posted; else, and in its properties, as the executor inside.
template <typename Inside>
class CallersThread {
 public:
  explicit CallersThread(Inside inside) : inside_(std::move(inside)) {}

  template <typename Property>
  auto query(const Property& property) const -> decltype(asio::query(std::declval<const Inside&>(), property)) {
    return asio::query(inside_, property);
  }
  template <typename Property>
  auto require(const Property& property) const
      -> CallersThread<std::decay_t<decltype(asio::require(std::declval<const Inside&>(), property))>> {
    return CallersThread<std::decay_t<decltype(asio::require(inside_, property))>>(asio::require(inside_, property));
  }
  template <typename F>
  void execute(F&& f) const {
    if (asio::query(inside_, asio::execution::blocking) == asio::execution::blocking.never) {
      inside_.execute(std::forward<F>(f));
    } else {
      std::decay_t<F> here(std::forward<F>(f));
      here();
    }
  }
  bool operator==(const CallersThread&) const noexcept = default;

 private:
  Inside inside_;
};

// Signals are for the main thread, which waits for them.
class AllSignalsBlocked {
 public:
  AllSignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~AllSignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  AllSignalsBlocked(const AllSignalsBlocked&) = delete;
  AllSignalsBlocked& operator=(const AllSignalsBlocked&) = delete;

 private:
  sigset_t before_{};
};

}  // namespace

class IoThreads::Impl {
 public:
  explicit Impl(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) threads_.push_back(std::make_unique<IoThread>());
  }

  [[nodiscard]] IoThread& at(std::size_t index) {
    TACIT_CHECK(index < threads_.size(), "an I/O thread is asked for by an index below size()");
    return *threads_[index];
  }
  [[nodiscard]] std::size_t size() const { return threads_.size(); }

  void Start() {
    TACIT_CHECK(!started_, "I/O threads are started once");
    started_ = true;
    const AllSignalsBlocked blocked;
    for (std::size_t i = 0; i < threads_.size(); ++i) {
      IoThread& io = *threads_[i];
      io.thread = std::thread([&io] { io.context.run(); });
      pthread_setname_np(io.thread.native_handle(), ("tacit-io-" + std::to_string(i)).c_str());
    }
  }

  void Join() {
    for (auto& io : threads_) io->context.stop();
    for (auto& io : threads_) {
      if (io->thread.joinable()) io->thread.join();
    }
  }

  void DestroySuspended() {
    for (auto& io : threads_) io->context.DestroySuspended();
  }

 private:
  std::vector<std::unique_ptr<IoThread>> threads_;
  bool started_ = false;
};

Result<std::unique_ptr<IoThreads>> IoThreads::Create(std::size_t threads) {
  if (threads == 0 || threads > kMaxThreads) {
    return Fail(ErrorCode::kInvalidArgument, "the number of I/O threads must be 1 to " + std::to_string(kMaxThreads) +
                                                 ", not " + std::to_string(threads));
  }
  return std::unique_ptr<IoThreads>(new IoThreads(std::make_unique<Impl>(threads)));
}

IoThreads::IoThreads(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
IoThreads::~IoThreads() {
  StopAndJoin();
}

asio::any_io_executor IoThreads::executor(std::size_t index) const {
  return impl_->at(index).context.get_executor();
}
asio::any_io_executor IoThreads::shared_executor(std::size_t index) const {
  return asio::make_strand(CallersThread(impl_->at(index).context.get_executor()));
}
std::size_t IoThreads::size() const {
  return impl_->size();
}
void IoThreads::Start() {
  impl_->Start();
}
void IoThreads::StopAndJoin(std::initializer_list<IoThreads*> groups) {
  for (IoThreads* group : groups)
    if (group != nullptr) group->impl_->Join();
  for (int pass = 0; pass < kDestructionPasses; ++pass)
    for (IoThreads* group : groups)
      if (group != nullptr) group->impl_->DestroySuspended();
}

namespace internal {

Task<void> RunOn(asio::any_io_executor executor, Work& work, Handing handing) {
  auto start = [&work, &executor, handing](auto handler) {
    auto run = [&work, handler = std::move(handler)]() mutable {
      work.Run();
      const asio::any_io_executor home = asio::get_associated_executor(handler);
      asio::post(home, std::move(handler));
    };
    if (handing == Handing::kPosted) {
      asio::post(executor, std::move(run));
    } else {
      asio::dispatch(executor, std::move(run));
    }
  };
  co_await asio::async_initiate<const asio::use_awaitable_t<>, void()>(start, asio::use_awaitable);
}

}  // namespace internal

void HandTo(const asio::any_io_executor& executor, std::function<void()> f) {
  asio::dispatch(executor, std::move(f));
}

}  // namespace tacit::net
