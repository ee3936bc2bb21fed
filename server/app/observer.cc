#include "server/app/observer.h"

namespace tacit::app {
namespace {

// A flood must not become one of the log.
constexpr Millis kBetweenRefusalLines{10'000};

}  // namespace

void ConnectionObserver::OnConnectionOpened(std::string_view listener) {
  metrics_.ConnectionOpened(listener);
}

void ConnectionObserver::OnConnectionClosed(std::string_view listener) {
  metrics_.ConnectionClosed(listener);
}

void ConnectionObserver::OnConnectionRefused(std::string_view listener, std::string_view reason,
                                             std::string_view address) {
  metrics_.ConnectionRefused(listener, reason);
  std::uint64_t refused = 0;
  {
    const SteadyTime now = clock_.SteadyNow();
    const std::scoped_lock lock(mutex_);
    Refusals& of_kind = refusals_[{std::string(listener), std::string(reason)}];
    ++of_kind.untold;
    if (now < of_kind.next_line) return;
    of_kind.next_line = now + kBetweenRefusalLines;
    refused = std::exchange(of_kind.untold, 0);
  }
  log_.Warn("connection_refused",
            {{"listener", listener}, {"reason", reason}, {"address", address}, {"refused", refused}});
}

void ConnectionObserver::OnHandshake(std::string_view listener, std::string_view kind) {
  metrics_.Handshake(listener, kind);
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
  if (!log_.Writes(level)) return;
  log_.Write(level, "request",
             {{"listener", record.listener},
              {"method", record.method},
              {"route", record.route},
              {"status", record.status},
              {"seconds", record.seconds},
              {"bytes_in", static_cast<std::int64_t>(record.bytes_in)}});
}

void ConnectionObserver::OnHandlerException(std::string_view listener, std::string_view route, std::string_view what) {
  metrics_.Exception("handler");
  log_.Error("handler_exception", {{"listener", listener}, {"route", route}, {"what", what}});
}

}  // namespace tacit::app
