#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include <openssl/ssl.h>

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "common/net/tls.h"

// TLS on a file descriptor, for both sides. Private to common/net.
namespace tacit::net {

/// The most that one TLS record carries (RFC 8446, section 5.1).
inline constexpr std::size_t kRecordBytes = 16 * 1024;

struct SslDeleter {
  void operator()(SSL* ssl) const { SSL_free(ssl); }
};
using SslPtr = std::unique_ptr<SSL, SslDeleter>;

struct SslContextDeleter {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
using SslContextPtr = std::unique_ptr<SSL_CTX, SslContextDeleter>;

struct SslSessionDeleter {
  void operator()(SSL_SESSION* session) const { SSL_SESSION_free(session); }
};
using SslSessionPtr = std::unique_ptr<SSL_SESSION, SslSessionDeleter>;

/// What came of one try to move bytes on a non-blocking socket.
struct IoStep {
  enum class Kind : std::uint8_t { kMoved, kWantRead, kWantWrite, kEnd, kFailed };
  Kind kind = Kind::kFailed;
  std::size_t bytes = 0;
};

/// Why the other side's certificate was refused; filled in by the check of the chain.
struct CertificateFault {
  int x509_error = 0;
  std::string subject;  ///< The refused certificate's SPIFFE URI, or its common name. Written by the peer.
  std::string issuer;
  std::string names;  ///< The DNS names and IP addresses of its subject alternative name.
  WallTime not_before{};
  WallTime not_after{};
};

/// The last failure of a session, before it is put into words.
struct TlsFault {
  int reason = 0;          ///< OpenSSL's reason code of an error of the protocol, or 0.
  int system_error = 0;    ///< errno of the socket, or 0.
  bool peer_left = false;  ///< The connection ended without a word.
  std::string text;        ///< The library's text.
  CertificateFault certificate;
};

/// One TLS session on a non-blocking socket that somebody else owns. Own BIO rather than SSL_set_fd: it writes with
/// MSG_NOSIGNAL, so a peer that leaves does not raise SIGPIPE.
/// Threads: one at a time.
class TlsSession {
 public:
  enum class Role : std::uint8_t { kServer, kClient };
  /// `socket` is borrowed. Errors: kUnavailable when there is no memory for it.
  static Result<TlsSession> Create(SSL_CTX* context, int socket, Role role);

  IoStep Handshake();
  IoStep Read(std::span<std::uint8_t> out);
  IoStep Write(ByteSpan bytes);
  /// Tries once to send close_notify. The socket stays open.
  void SendCloseNotify();

  /// Gives back the memory for records, where none is under way; the next one takes it again.
  void ReleaseBuffers() { SSL_free_buffers(ssl_.get()); }

  /// From now on the socket is read once for each record, and not once more for its five bytes of header. Not before
  /// the end of the handshake: later versions of OpenSSL (3.2) do not see as pending what they read beyond a change of
  /// keys.
  void ReadAhead() { SSL_set_read_ahead(ssl_.get(), 1); }

  /// Bytes that wait inside the session, for which the socket will not become readable again.
  [[nodiscard]] bool HasPending() const { return SSL_has_pending(ssl_.get()) == 1; }
  /// Whether the handshake took up an earlier session in place of certificates.
  [[nodiscard]] bool resumed() const { return SSL_session_reused(ssl_.get()) != 0; }
  /// Of a resumed one: when what was proved then ends, as NoteOffered was told.
  [[nodiscard]] WallTime offered_end() const { return state_->offered_end; }
  static void NoteOffered(SSL* ssl, WallTime ends_at);
  /// Of a full handshake: when the first certificate of the chain ends by which the other side proved who it is;
  /// nothing when it showed none, or none that was believed.
  [[nodiscard]] std::optional<WallTime> ProofEnd() const;
  [[nodiscard]] SSL* native() const { return ssl_.get(); }
  /// Of the last step that gave kFailed.
  [[nodiscard]] const TlsFault& fault() const { return state_->fault; }

 private:
  // Where the BIO and the certificate check leave what they find; its address is known to OpenSSL.
  struct State {
    int socket = -1;
    bool at_end = false;
    int system_error = 0;
    TlsFault fault;
    WallTime offered_end{};
  };
  friend struct TlsCallbacks;

  TlsSession(std::unique_ptr<State> state, SslPtr ssl) : state_(std::move(state)), ssl_(std::move(ssl)) {}
  void Prepare();
  IoStep Step(int result, std::size_t bytes);
  void RecordFault(int ssl_error);

  std::unique_ptr<State> state_;
  SslPtr ssl_;
};

/// A context for TLS 1.3 only, with the options that both sides share.
Result<SslContextPtr> NewTlsContext(TlsSession::Role role);
/// Errors: kInvalidArgument naming `what` and what is wrong.
Result<void> UseIdentity(SSL_CTX* context, std::string_view chain_pem, std::string_view key_pem);
/// Makes the certificates of `pem` the only roots. Errors: kInvalidArgument.
Result<void> TrustOnly(SSL_CTX* context, std::string_view pem);
/// Demands a certificate of the peer (`mode` is SSL_VERIFY_*), and notes why one is refused.
void VerifyPeer(SSL_CTX* context, int mode);

/// Whether the certificate leads to no root that is trusted here.
bool IsFromAnotherCa(const CertificateFault& fault);
/// One of kHandshakeFailures for a server's failed handshake.
std::string_view HandshakeFailureReason(const TlsFault& fault);
/// What a certificate check's number means.
std::string DescribeCertificateFault(const CertificateFault& fault);

/// What the finished handshake proved.
PeerIdentity IdentityOf(const TlsSession& session, std::string address);

/// Empties OpenSSL's queue of errors and returns the text of the newest.
std::string TakeTlsErrorText();

}  // namespace tacit::net
