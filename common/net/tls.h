#pragma once

#include <cstdint>
#include <memory>
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
  /// The peer's IP address as text, IPv4 also when it came through an IPv6 socket.
  std::string address;
};

/// What the handshake demands of the client. A certificate that is shown is always checked against the client CA.
enum class ClientAuth : std::uint8_t { kNone, kOptional, kRequired };

struct TlsServerOptions {
  std::string certificate_chain_path;  ///< PEM, leaf first.
  std::string private_key_path;        ///< PEM, without a passphrase.
  std::string client_ca_path;          ///< PEM, one or more roots; empty only with ClientAuth::kNone.
  ClientAuth client_auth = ClientAuth::kRequired;
};

/// Whether somebody who believes nothing but `client_ca_path` can believe the chain, at `now`, and its key fits: what
/// loading it does not ask. Errors: those of TlsServerContext::Create; kUnauthenticated.
Result<void> CheckServerChain(const TlsServerOptions& options, WallTime now);

/// The server's half of TLS 1.3: AES-128-GCM first, no tickets and no session cache (every connection proves its
/// certificate anew), ALPN `http/1.1`. Threads: any.
class TlsServerContext {
 public:
  /// Reads the files and checks that the key belongs to the certificate.
  /// Errors: kNotFound or kInvalidArgument, naming the file and what is wrong with it.
  static Result<std::shared_ptr<TlsServerContext>> Create(TlsServerOptions options);
  ~TlsServerContext();
  TlsServerContext(const TlsServerContext&) = delete;
  TlsServerContext& operator=(const TlsServerContext&) = delete;

  /// Reads the same files again for the connections that come from now on. On an error the old ones stay in use.
  Result<void> Reload();

  /// Shared with the connections that were made with it. For common/net only.
  [[nodiscard]] std::shared_ptr<ssl_ctx_st> native() const;

 private:
  struct State;
  explicit TlsServerContext(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace tacit::net
