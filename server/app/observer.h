#pragma once

#include <string_view>

#include "common/base/log.h"
#include "common/net/http_server.h"
#include "server/metrics/metrics.h"

namespace tacit::app {

/// Turns what happens on connections into metrics and log events. Threads: any.
class ConnectionObserver final : public net::ServerObserver {
 public:
  ConnectionObserver(metrics::Metrics& metrics, Logger& log) : metrics_(metrics), log_(log) {}

  void OnConnectionOpened(std::string_view listener) override;
  void OnConnectionClosed(std::string_view listener) override;
  void OnConnectionRefused(std::string_view listener, std::string_view reason, std::string_view address) override;
  void OnHandshake(std::string_view listener, std::string_view kind) override;
  void OnHandshakeFailed(std::string_view listener, std::string_view reason, std::string_view address,
                         std::string_view detail) override;
  void OnRequest(const net::RequestRecord& record) override;
  void OnHandlerException(std::string_view listener, std::string_view route, std::string_view what) override;

 private:
  metrics::Metrics& metrics_;
  Logger& log_;
};

}  // namespace tacit::app
