#include "server/app/observer.h"

namespace tacit::app {

void ConnectionObserver::OnConnectionOpened(std::string_view listener) {
  metrics_.ConnectionOpened(listener);
}

void ConnectionObserver::OnConnectionClosed(std::string_view listener) {
  metrics_.ConnectionClosed(listener);
}

void ConnectionObserver::OnConnectionRefused(std::string_view listener, std::string_view reason,
                                             std::string_view address) {
  metrics_.ConnectionRefused(listener, reason);
  log_.Debug("connection_refused", {{"listener", listener}, {"reason", reason}, {"address", address}});
}

void ConnectionObserver::OnHandshakeFailed(std::string_view listener, std::string_view reason, std::string_view address,
                                           std::string_view detail) {
  metrics_.HandshakeFailed(listener, reason);
  log_.Warn("handshake_failed", {{"listener", listener}, {"reason", reason}, {"address", address}, {"detail", detail}});
}

void ConnectionObserver::OnRequest(const net::RequestRecord& record) {
  metrics_.Request(record.listener, record.route.empty() ? "unmatched" : record.route, record.status, record.seconds);
  metrics_.BytesIn(record.listener, record.bytes_in);
  const LogLevel level = record.status == 403 || record.status == 401 ? LogLevel::kWarn : LogLevel::kDebug;
  log_.Write(level, "request",
             {{"listener", record.listener},
              {"method", record.method},
              {"route", record.route},
              {"status", record.status},
              {"seconds", record.seconds},
              {"bytes_in", static_cast<std::int64_t>(record.bytes_in)}});
}

void ConnectionObserver::OnHandlerException(std::string_view listener, std::string_view route, std::string_view what) {
  log_.Error("handler_exception", {{"listener", listener}, {"route", route}, {"what", what}});
}

}  // namespace tacit::app
