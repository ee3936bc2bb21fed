#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "common/base/bytes.h"
#include "common/base/owned_fd.h"
#include "common/base/result.h"
#include "common/net/https_client.h"
#include "common/net/tls_session.h"

struct addrinfo;  // of <netdb.h>

// One blocking TLS connection of a client. Private to common/net.
namespace tacit::net {

struct AddressesDeleter {
  void operator()(addrinfo* addresses) const;
};
/// What getaddrinfo found.
using Addresses = std::unique_ptr<addrinfo, AddressesDeleter>;

/// Once signalled, ends every wait of the connections that watch it, for good. Threads: any.
class CancelEvent {
 public:
  static Result<CancelEvent> Create();
  void Signal();
  [[nodiscard]] bool signalled() const;
  [[nodiscard]] int fd() const { return fd_.get(); }

 private:
  explicit CancelEvent(OwnedFd fd) : fd_(std::move(fd)) {}
  OwnedFd fd_;
};

/// As good as for ever, and far from any overflow.
inline constexpr Millis kNoLimit{std::chrono::hours(24 * 365)};

/// What bounds an exchange.
struct ExchangeLimits {
  std::chrono::steady_clock::time_point deadline;  ///< In all.
  Millis io_timeout;                               ///< For the next byte.
  Millis answer_timeout;                           ///< For the answer's first byte.
};

/// Whether the server must prove that it is who it is called.
enum class ServerProof : std::uint8_t { kRequired, kNone };

/// A session that the server may take up in place of certificates. Good only for the server, the roots and the client
/// certificate that it was made with.
struct KeptSession {
  SslSessionPtr session;      ///< Null: none.
  WallTime believed_until{};  ///< When the first certificate ends by which the server proved who it is.
};

struct ConnectOptions {
  Endpoint server;
  SSL_CTX* context = nullptr;
  ServerProof proof = ServerProof::kRequired;
  std::chrono::steady_clock::time_point deadline;
  /// To offer, if it is still believed. Taken once there is a server to offer it to: one that is offered twice tells
  /// whoever looks on that the same client comes again.
  KeptSession* session = nullptr;
};

/// A TCP connection with TLS on it. After an error it is of no further use. Threads: one at a time.
class ClientConnection {
 public:
  /// Connects and shakes hands; a server that does not take the session up proves itself anew. `cancel` is borrowed for
  /// the connection's life.
  static Result<std::unique_ptr<ClientConnection>> Open(const ConnectOptions& options, const CancelEvent& cancel);
  ~ClientConnection();
  ClientConnection(const ClientConnection&) = delete;
  ClientConnection& operator=(const ClientConnection&) = delete;

  /// Sends all of `parts`, in full TLS records; stops, without an error, as soon as an answer begins to arrive.
  Result<void> Send(std::span<const ByteSpan> parts, const ExchangeLimits& limits);
  /// At least one byte; 0 when the server has ended the stream in good order.
  Result<std::size_t> ReadSome(std::span<std::uint8_t> out, const ExchangeLimits& limits);

  /// Whether it can carry another request: nothing has arrived that nobody asked for, and nothing has ended it.
  [[nodiscard]] bool IsIdle();
  /// Whether a byte of an answer to what was last sent has arrived.
  [[nodiscard]] bool answered() const { return answered_; }
  /// Whether the last Send ended before everything was sent.
  [[nodiscard]] bool sent_all() const { return sent_all_; }
  /// Whether the last error was that the server had gone.
  [[nodiscard]] bool peer_left() const { return peer_left_; }
  /// What the next connection may offer in place of this one, which sends nothing more. Empty when the server gave
  /// nothing or did not prove who it is.
  KeptSession TakeSession();
  [[nodiscard]] SSL* native() const { return tls_.native(); }

 private:
  ClientConnection(Endpoint server, OwnedFd socket, TlsSession tls, const CancelEvent& cancel);
  Result<void> Handshake(const ConnectOptions& options);
  [[nodiscard]] WallTime BelievedUntil(ServerProof proof) const;
  Result<void> SendPiece(ByteSpan piece, const ExchangeLimits& limits);
  Result<short> Wait(short events, const ExchangeLimits& limits);
  Result<void> AfterFailedWrite();
  bool TakeEarlyAnswer();
  std::unexpected<Error> Failed();
  [[nodiscard]] Error Describe(const TlsFault& fault) const;

  Endpoint server_;
  OwnedFd socket_;
  const CancelEvent& cancel_;
  TlsSession tls_;
  bool in_handshake_ = true;
  bool answered_ = false;
  bool sent_all_ = true;
  bool peer_left_ = false;
  KeptSession offered_;
  WallTime believed_until_{};  ///< The epoch where the server proved nothing.
  Bytes early_;                ///< Of an answer that came while something was still being sent.
};

}  // namespace tacit::net
