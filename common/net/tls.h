#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/base/result.h"

struct ssl_ctx_st;  // OpenSSL's SSL_CTX, so that no OpenSSL header is needed to hold one.

namespace tacit::net {

/// Who is at the other end of a connection: what the handshake proved, and nothing the peer merely said.
struct PeerIdentity {
  /// The certificate's only URI name when it is a `spiffe://` one, else empty.
  std::string spiffe_uri;
  /// SHA-256 of the certificate's DER, lower-case hexadecimal; empty when no certificate was shown.
  std::string certificate_sha256;
  /// SHA-256 of the SubjectPublicKeyInfo in DER: the key that the handshake was signed with. Zero when none was shown.
  Digest256 public_key_sha256{};
  /// When the certificate ends; the epoch when none was shown.
  WallTime not_after{};
  /// The peer's IP address as text, IPv4 also when it came through an IPv6 socket; "unix" of a Unix domain socket.
  std::string address;
  /// Of a Unix domain socket: the effective user that connected, as the kernel says (SO_PEERCRED, unix(7)).
  std::optional<std::uint32_t> unix_user = {};
};

/// What the handshake demands of the client. A certificate that is shown is always checked against the client CA.
enum class ClientAuth : std::uint8_t { kNone, kOptional, kRequired };

/// Of the sessions that a listener keeps for its clients to resume. Units: bytes.
struct SessionLimits {
  Millis lifetime{0};           ///< Since the client's certificate was last proved; 0: none is resumed.
  std::uint64_t max_bytes = 0;  ///< All together.
};

struct TlsServerOptions {
  std::string certificate_chain_path;  ///< PEM, leaf first.
  std::string private_key_path;        ///< PEM, without a passphrase.
  std::string client_ca_path;          ///< PEM, one or more roots; empty only with ClientAuth::kNone.
  ClientAuth client_auth = ClientAuth::kRequired;
  SessionLimits sessions{};  ///< Of this context and no other; of clients that showed a certificate.
};

/// Whether somebody who believes nothing but `client_ca_path` can believe the chain, at `now`, and its key fits: what
/// loading it does not ask. Errors: those of TlsServerContext::Create; kUnauthenticated.
Result<void> CheckServerChain(const TlsServerOptions& options, WallTime now);

/// The server's half of TLS 1.3: AES-128-GCM first, ALPN `http/1.1`. A client resumes a session only within `sessions`,
/// only as long as the certificates hold that were shown in it, and with what they said of it; no data is taken before
/// the handshake has ended. Threads: any.
class TlsServerContext {
 public:
  /// Reads the files and checks that the key belongs to the certificate.
  /// Errors: kNotFound or kInvalidArgument, naming the file and what is wrong with it.
  static Result<std::shared_ptr<TlsServerContext>> Create(TlsServerOptions options);
  ~TlsServerContext();
  TlsServerContext(const TlsServerContext&) = delete;
  TlsServerContext& operator=(const TlsServerContext&) = delete;

  /// Reads the same files again for the connections that come from now on, none of which resumes a session from
  /// before. On an error the old ones stay in use.
  Result<void> Reload();

  /// Forgets the sessions of the clients that `matches`: they have to prove their certificate again.
  void ForgetSessions(const std::function<bool(const PeerIdentity&)>& matches);

  /// Shared with the connections that were made with it. For common/net only.
  [[nodiscard]] std::shared_ptr<ssl_ctx_st> native() const;

 private:
  struct State;
  explicit TlsServerContext(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace tacit::net
