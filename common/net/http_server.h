#pragma once

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/net/executor.h"
#include "common/net/http.h"
#include "common/net/tls.h"

namespace tacit::net {

/// Why a handshake failed: the closed set behind a metric label.
inline constexpr std::array<std::string_view, 11> kHandshakeFailures = {
    "no_certificate",    ///< None was shown where one is required.
    "unknown_ca",        ///< Signed by another CA.
    "expired",           ///< The client's certificate has ended.
    "not_yet_valid",     ///< The client's certificate has not begun: most often a wrong clock.
    "bad_certificate",   ///< Any other fault of the client's certificate.
    "protocol_version",  ///< The client offers nothing newer than TLS 1.2.
    "not_tls",           ///< The bytes are not TLS at all (plain HTTP, a scanner).
    "client_refused",    ///< The client refused this server: most often it trusts another CA.
    "timeout",           ///< Not finished within the time limit.
    "reset",             ///< The client went away.
    "other"};

/// How a handshake that succeeded got to know the client: the closed set behind a metric label.
inline constexpr std::array<std::string_view, 2> kHandshakeKinds = {
    "full",      ///< By certificates and signatures.
    "resumed"};  ///< By the secret of a session in which it had proved them.

/// Why a connection was closed before a byte was read.
inline constexpr std::array<std::string_view, 4> kConnectionRefusals = {
    "max_connections", "max_connections_per_source", "failed_handshakes_per_source", "handshakes_per_source"};

/// One answered request, for metrics and the access log.
struct RequestRecord {
  std::string_view listener;
  std::string_view route;      ///< As the router set it; empty when no route matched.
  std::string_view method;     ///< One of the standard methods, or "other": safe as a label.
  int status = 0;              ///< 499 when the client went away before it could be answered.
  double seconds = 0;          ///< From the head's last byte to the answer's last byte handed to the kernel.
  std::uint64_t bytes_in = 0;  ///< Of head and body, but for the digits of the body's length.
  std::uint64_t bytes_out = 0;
};

/// Told what happens on a server's connections. Threads: called from every I/O thread; must be quick and never throw.
class ServerObserver {
 public:
  virtual ~ServerObserver() = default;
  virtual void OnConnectionOpened(std::string_view listener) = 0;
  virtual void OnConnectionClosed(std::string_view listener) = 0;
  /// `reason` is one of kConnectionRefusals. Neither Opened nor Closed is called for it.
  virtual void OnConnectionRefused(std::string_view listener, std::string_view reason, std::string_view address) = 0;
  /// `kind` is one of kHandshakeKinds. Not called for plain TCP.
  virtual void OnHandshake(std::string_view listener, std::string_view kind) = 0;
  /// `reason` is one of kHandshakeFailures; `detail` is the TLS library's text, for a log only.
  virtual void OnHandshakeFailed(std::string_view listener, std::string_view reason, std::string_view address,
                                 std::string_view detail) = 0;
  virtual void OnRequest(const RequestRecord& record) = 0;
  /// A handler let an exception out: a defect of ours.
  virtual void OnHandlerException(std::string_view listener, std::string_view route, std::string_view what) = 0;
};

struct ListenerOptions {
  std::string name;                 ///< For metrics and logs: "agents", "api", ...
  std::string address = "0.0.0.0";  ///< An IP address, IPv4 or IPv6.
  std::uint16_t port = 0;           ///< 0 takes any free port.
  /// A Unix domain socket in place of address and port, where it is not empty. What an earlier process left there, and
  /// nobody listens at, is replaced; it is removed when no more connections are accepted.
  std::filesystem::path unix_path = {};
  mode_t unix_mode = 0660;                ///< Of that socket: who may write to it may connect.
  std::shared_ptr<TlsServerContext> tls;  ///< Plain HTTP when null.
  std::size_t max_connections = 1024;
  /// One source is an IPv4 address, an IPv6 /64, or a user of a Unix domain socket. Of all connections it may have a
  /// quarter, and 64 at least, in handshakes: so who never finishes one leaves room for others.
  std::size_t max_connections_per_source = 1024;
  /// TLS handshakes of one source that may fail in a minute. One that is under way counts as failed until it has
  /// succeeded, so that about as many can be under way at once; one that succeeds costs nothing. Whoever is over it is
  /// closed at once.
  std::uint32_t failed_handshakes_per_minute_per_source = 10'000;
  Millis handshake_timeout{10'000};  ///< For the whole handshake.
  Millis header_timeout{10'000};     ///< From a request's first byte to the end of its head.
  Millis idle_timeout{120'000};      ///< From the handshake or an answer to the next request's first byte.
  Millis progress_timeout{30'000};   ///< A read or write that moves no byte for so long ends the connection.
  /// A body, either way, that is slower on average than this, after one progress_timeout of grace, is cut off.
  std::uint64_t min_bytes_per_second = 1024;
  std::size_t max_header_bytes = 16 * 1024;
};

/// One listener: takes its port when it is made, and from Serve on accepts, does the TLS handshake, reads requests one
/// after the other and runs the handler for each. Connections are spread over the I/O threads in turn and stay on
/// theirs. A client whose certificate ends while its connection is kept alive gets 401 for its next request, and the
/// connection is closed. Threads: every method from any thread that is not an I/O thread. The handler and the observer
/// must live until Drain has returned 0, or IoThreads::StopAndJoin has returned.
class HttpServer {
 public:
  /// Binds. Who connects before Serve waits.
  /// Errors: kInvalidArgument for options out of range, kUnavailable when the address cannot be bound (it says why).
  static Result<std::unique_ptr<HttpServer>> Create(IoThreads& threads, ListenerOptions options,
                                                    ServerObserver& observer);
  /// As Drain with a deadline that has passed.
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  /// Begins to accept as soon as the threads run. Called once.
  void Serve(Handler handler);

  /// The port that was bound; 0 of a Unix domain socket.
  [[nodiscard]] std::uint16_t port() const;
  [[nodiscard]] std::size_t connections() const;

  /// Closes the listening socket; connections go on. May be called twice.
  void StopAccepting();

  /// Stops accepting, closes idle connections now and the others after the answer they are at, and waits for that. What
  /// is left at `deadline` is cancelled. Returns how many connections had to be cut; blocks a few seconds longer at
  /// most, for handlers that cannot be cancelled.
  std::size_t Drain(SteadyTime deadline);

  /// Cuts, without waiting, every connection whose peer `matches`, and forgets their sessions: what makes a revocation
  /// take effect at once.
  /// `matches` runs on the I/O threads.
  void ClosePeers(std::function<bool(const PeerIdentity&)> matches);

  /// The most memory that this listener's connections can hold, handlers and the sessions of `tls` not counted: what a
  /// start-up check adds up.
  static std::uint64_t WorstCaseBytes(const ListenerOptions& options);

 private:
  struct State;
  explicit HttpServer(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace tacit::net
