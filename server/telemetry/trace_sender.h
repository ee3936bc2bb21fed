#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/result.h"
#include "common/web/web_client.h"
#include "server/metrics/metrics.h"
#include "server/round/story.h"
#include "server/telemetry/retry.h"

namespace tacit::telemetry {

struct TraceSenderOptions {
  std::string endpoint;  ///< Of the collector; `/v1/traces` is added.
  web::WebOptions web;
  std::vector<web::WebHeader> headers;
  std::size_t most_waiting = 256;  ///< Rounds; of more the oldest are dropped.
  RetryLimits retry;
  Millis patience{300'000};  ///< For how long a request that may pass later is made again.
};

/// Sends traces of rounds to an OpenTelemetry collector from a thread of its own: no round ever waits for it. What it
/// cannot send in time, or has no room for, it drops and counts.
class TraceSender {
 public:
  /// Errors: those of WebClient::Create; kInvalidArgument for the endpoint.
  static Result<std::unique_ptr<TraceSender>> Create(TraceSenderOptions options, metrics::Metrics& metrics,
                                                     Logger& log);
  ~TraceSender();
  TraceSender(const TraceSender&) = delete;
  TraceSender& operator=(const TraceSender&) = delete;

  /// Threads: any.
  void Offer(round::Story story);

  /// Takes no more, gives what is left one attempt and `grace` in all, and ends. Can be repeated.
  void Stop(Millis grace);

 private:
  TraceSender(TraceSenderOptions options, web::WebClient client, metrics::Metrics& metrics, Logger& log);
  void Run(const std::stop_token& stop);
  std::vector<round::Story> NextBatch(const std::stop_token& stop);
  void Deliver(const std::vector<round::Story>& batch, const std::stop_token& stop);
  Attempt Post(const web::WebRequest& request, std::uint64_t spans, const std::stop_token& stop);
  bool PauseUnlessStopped(Millis pause, const std::stop_token& stop);
  void Drop(std::uint64_t spans, std::string_view reason);

  const TraceSenderOptions options_;
  const web::WebClient client_;
  metrics::Metrics& metrics_;
  Logger& log_;
  Backoff backoff_;  // of the thread

  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::deque<round::Story> waiting_;  // guarded by mutex_, as the next two
  bool stopping_ = false;
  bool ended_ = false;
  std::jthread thread_;  // last: it uses all the rest
};

}  // namespace tacit::telemetry
