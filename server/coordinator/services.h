#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <string_view>
#include <type_traits>
#include <utility>

#include "common/base/clock.h"
#include "common/base/ids.h"
#include "common/base/keystream.h"
#include "common/base/log.h"
#include "common/crypto/secret.h"
#include "common/net/compute_pool.h"
#include "common/net/executor.h"
#include "common/net/task_group.h"
#include "common/net/wake_up.h"
#include "server/metrics/metrics.h"
#include "server/round/story.h"
#include "server/store/store.h"

namespace tacit::coordinator {

/// How many partial sums a round keeps on the disk, at least 2: before a commit that would make one more, they are
/// merged into one. While that is written the disk holds one more file than this. Each has at most 8 bytes for each
/// parameter and 4 for as long as its entries fit 32 bits, so that a round has at most 9 files and 72 bytes for each
/// parameter, and as a rule half of that.
inline constexpr std::size_t kMostPartials = 8;

/// The store behind the one thread that may call it. Every call is timed.
/// Threads: `Call` from any.
class StoreThread {
 public:
  StoreThread(net::asio::any_io_executor executor, store::Store& store, metrics::Metrics& metrics)
      : executor_(std::move(executor)), store_(store), metrics_(metrics) {}

  /// Runs `f(store)` on the store's thread; `operation` is the metric's label.
  template <typename F>
  net::Task<std::invoke_result_t<F, store::Store&>> Call(std::string_view operation, F f) {
    co_return co_await net::CallOn(executor_, Timed<F>{std::move(f), store_, metrics_, operation});
  }

 private:
  static metrics::StoreResult ResultOf(ErrorCode code) {
    const bool could_not =
        code == ErrorCode::kUnavailable || code == ErrorCode::kDataLoss || code == ErrorCode::kInternal;
    return could_not ? metrics::StoreResult::kError : metrics::StoreResult::kRefused;
  }

  // A class and not a lambda: it outlives the expression that makes it, inside the coroutine frame.
  template <typename F>
  struct Timed {
    F f;
    store::Store& store;
    metrics::Metrics& metrics;
    std::string_view operation;

    auto operator()() {
      const auto start = std::chrono::steady_clock::now();
      auto result = f(store);
      const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
      metrics.StoreOperation(operation, result ? metrics::StoreResult::kOk : ResultOf(result.error().code),
                             took.count());
      return result;
    }
  };

  net::asio::any_io_executor executor_;
  store::Store& store_;
  metrics::Metrics& metrics_;
};

/// Makes the stream that one round's noise is drawn from. The server takes `secret`, which is derived from the key
/// that the round got from the operating system and that is destroyed with it: a draw that a crash made again is the
/// same draw, bit for bit. Only a test takes something else.
using NoiseSourceFactory = std::function<std::unique_ptr<Keystream>(const RoundKey&, crypto::SecretKey secret)>;
/// What the server takes.
std::unique_ptr<Keystream> NoiseOfSecret(const RoundKey& round, const crypto::SecretKey& secret);

/// What every part of the coordinator works with. All of it outlives the coordinator.
struct Services {
  net::asio::any_io_executor control;  ///< Owns all round state: runs one step at a time.
  StoreThread& store;
  net::ComputePool& compute;
  net::TaskGroup& background;
  const Clock& clock;
  Logger& log;
  metrics::Metrics& metrics;
  NoiseSourceFactory noise_source;
  Millis long_poll{};
  std::uint64_t upload_memory = 0;   ///< Bytes that all updates on their way in together may take.
  std::uint64_t task_memory = 0;     ///< Bytes that all active tasks together may take.
  std::uint64_t max_parameters = 0;  ///< Of one task's model.
  /// Of one that devices get to use.
  std::uint64_t max_deployed_parameters = std::numeric_limits<std::uint64_t>::max();
  std::size_t most_partials = kMostPartials;  ///< Only a test takes another number.
  Millis ack_patience{60'000};                ///< For how long an upload waits to be durable; as that.
  /// Told of each round that has ended, under `control`: it neither waits nor fails. Empty: nobody is.
  std::function<void(const round::Story&)> on_round_ended = {};
};

}  // namespace tacit::coordinator
