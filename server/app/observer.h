#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/net/http_server.h"
#include "server/metrics/metrics.h"

namespace tacit::app {

/// Turns what happens on connections into metrics and log events. Threads: any.
class ConnectionObserver final : public net::ServerObserver {
 public:
  ConnectionObserver(metrics::Metrics& metrics, const Clock& clock, Logger& log)
      : metrics_(metrics), clock_(clock), log_(log) {}

  void OnConnectionOpened(std::string_view listener) override;
  void OnConnectionClosed(std::string_view listener) override;
  void OnConnectionRefused(std::string_view listener, std::string_view reason, std::string_view address) override;
  void OnHandshake(std::string_view listener, std::string_view kind) override;
  void OnHandshakeFailed(std::string_view listener, std::string_view reason, std::string_view address,
                         std::string_view detail) override;
  void OnRequest(const net::RequestRecord& record) override;
  void OnHandlerException(std::string_view listener, std::string_view route, std::string_view what) override;

 private:
  // Of one listener's refusals for one reason.
  struct Refusals {
    SteadyTime next_line{};
    std::uint64_t untold = 0;
  };

  metrics::Metrics& metrics_;
  const Clock& clock_;
  Logger& log_;
  std::mutex mutex_;
  std::map<std::pair<std::string, std::string>, Refusals> refusals_;  // guarded by mutex_
};

}  // namespace tacit::app
