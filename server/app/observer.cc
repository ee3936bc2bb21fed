#include "server/app/observer.h"

#include <initializer_list>

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
  log_.WarnSparingly("connection_refused", {{"listener", listener}, {"reason", reason}, {"address", address}});
}

void ConnectionObserver::OnHandshake(std::string_view listener, std::string_view kind) {
  metrics_.Handshake(listener, kind);
}

void ConnectionObserver::OnHandshakeFailed(std::string_view listener, std::string_view reason, std::string_view address,
                                           std::string_view detail) {
  metrics_.HandshakeFailed(listener, reason);
  log_.WarnSparingly("handshake_failed",
                     {{"listener", listener}, {"reason", reason}, {"address", address}, {"detail", detail}});
}

void ConnectionObserver::OnRequest(const net::RequestRecord& record) {
  metrics_.Request(record.listener, record.route.empty() ? "unmatched" : record.route, record.status, record.seconds);
  metrics_.BytesIn(record.listener, record.bytes_in);
  const bool turned_away = record.status == 403 || record.status == 401;
  if (!log_.Writes(turned_away ? LogLevel::kWarn : LogLevel::kDebug)) return;
  const std::initializer_list<LogField> fields = {
      {"listener", record.listener}, {"method", record.method},
      {"route", record.route},       {"status", record.status},
      {"seconds", record.seconds},   {"bytes_in", static_cast<std::int64_t>(record.bytes_in)}};
  if (turned_away) {
    log_.WarnSparingly("request", fields);
  } else {
    log_.Debug("request", fields);
  }
}

void ConnectionObserver::OnHandlerException(std::string_view listener, std::string_view route, std::string_view what) {
  metrics_.Exception("handler");
  log_.Error("handler_exception", {{"listener", listener}, {"route", route}, {"what", what}});
}

}  // namespace tacit::app
