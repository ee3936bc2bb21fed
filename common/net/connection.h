#pragma once

#include <chrono>
#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/net/executor.h"
#include "common/net/tls_session.h"

// One accepted socket of a server. Private to common/net.
namespace tacit::net {

/// Completes a wait with its error as a value.
inline constexpr asio::as_tuple_t<asio::use_awaitable_t<>> kNoThrow;

/// Of TCP, or a Unix domain socket.
using StreamSocket = asio::generic::stream_protocol::socket;

struct PaceLimits {
  Millis progress_timeout;
  std::uint64_t min_bytes_per_second;
};

/// How long a transfer may still wait for its peer: never longer than `progress_timeout` for the next byte, and in all
/// no longer than its bytes take at the least rate, one `progress_timeout` of grace added. Only waiting for the peer
/// counts, so a busy server cannot make its clients look slow. Threads: pure value.
class TransferPace {
 public:
  explicit TransferPace(PaceLimits limits) : limits_(limits) {}
  void Moved(std::size_t bytes) { moved_ += bytes; }
  void Waited(SteadySpan span) { waited_ += span; }
  [[nodiscard]] SteadyPoint NextDeadline(SteadyPoint now) const;

 private:
  PaceLimits limits_;
  std::uint64_t moved_ = 0;
  SteadySpan waited_{};
};

enum class WaitEnd : std::uint8_t {
  kReady,
  kTimedOut,
  kStopped,  ///< The connection was retired or aborted.
};

/// Why moving bytes ended.
enum class IoFault : std::uint8_t {
  kClosed,    ///< The peer ended the stream in good order.
  kBroken,    ///< The peer went away, or broke the TLS protocol.
  kTimedOut,  ///< The peer was too slow.
  kStopped,   ///< This server is ending the connection.
};

struct HandshakeFault {
  std::string_view reason;  ///< One of kHandshakeFailures.
  std::string detail;
};

/// A socket with or without TLS on it, and one timer for all its deadlines.
/// Threads: the socket's executor only; held by shared_ptr because its timer's callback may come late.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  /// `peer` is what is known before a handshake.
  Connection(StreamSocket socket, PeerIdentity peer);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// The server's side of the handshake, and the peer's identity: of a resumed session from the certificate that was
  /// proved in it, by the same code. One of kHandshakeKinds; empty for plain TCP (`context` null), where there is
  /// nothing to do.
  Task<std::expected<std::string_view, HandshakeFault>> Handshake(std::shared_ptr<ssl_ctx_st> context, Millis timeout);

  /// Waits for the first byte of something new; what Retire ends at once.
  Task<WaitEnd> WaitIdle(SteadyPoint deadline);
  /// Whether bytes can be read although the socket shows none.
  [[nodiscard]] bool HasPending() const { return tls_ && tls_->HasPending(); }

  /// At least one byte, or why not.
  Task<std::expected<std::size_t, IoFault>> ReadSome(std::span<std::uint8_t> out, SteadyPoint deadline);
  /// All of `out`, decrypted straight into it.
  Task<std::expected<void, IoFault>> ReadAll(std::span<std::uint8_t> out, TransferPace& pace);
  Task<std::expected<void, IoFault>> WriteAll(ByteSpan bytes, TransferPace& pace);

  /// Calls `left` once when the peer ends the connection, until the handle that is returned ends. Nothing may be read
  /// or written meanwhile.
  std::shared_ptr<void> WatchPeer(std::function<void()> left);

  /// Says goodbye and closes; `linger` reads on for a moment, so that the peer gets what was sent last and no reset.
  enum class Goodbye : std::uint8_t { kAtOnce, kLinger };
  Task<void> Close(Goodbye goodbye);

  /// No new request after the present one: ends an idle wait, a handshake and a linger.
  void Retire();
  /// Closes the socket under whatever is going on.
  void Abort();
  [[nodiscard]] bool retired() const { return retired_; }
  [[nodiscard]] bool aborted() const { return aborted_; }

  [[nodiscard]] const PeerIdentity& peer() const { return peer_; }

 private:
  IoStep TryRead(std::span<std::uint8_t> out);
  IoStep TryWrite(ByteSpan bytes);
  Task<WaitEnd> Wait(IoStep::Kind wanted, SteadyPoint deadline);
  /// Moves all of `rest`, a turn at a time, by whichever of TryRead and TryWrite is given.
  template <typename Rest>
  Task<std::expected<void, IoFault>> MoveAll(IoStep (Connection::*try_once)(Rest), Rest rest, TransferPace& pace);
  Task<std::expected<void, IoFault>> WaitPaced(IoStep::Kind wanted, TransferPace& pace);
  Task<void> GiveWay();
  Task<void> Linger();
  void CloseSocket();

  struct PeerWatch;
  void LookForPeer(const std::shared_ptr<PeerWatch>& watch);

  void Arm(SteadyPoint deadline);
  void StartTimer();
  void OnTimer();

  StreamSocket socket_;
  std::optional<TlsSession> tls_;
  PeerIdentity peer_;

  // The timer is left running when a wait ends early and looks again when it fires: most waits never touch it.
  asio::steady_timer timer_;
  SteadyPoint deadline_ = SteadyPoint::max();
  SteadyPoint timer_at_ = SteadyPoint::max();  // max: not running
  bool expired_ = false;

  std::size_t moved_without_waiting_ = 0;  // over all reads and writes, however small each is
  bool interruptible_ = false;
  bool retired_ = false;
  bool aborted_ = false;
};

}  // namespace tacit::net
