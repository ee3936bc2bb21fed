#include "common/net/client_connection.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include <openssl/x509v3.h>

#include "common/base/host.h"

namespace tacit::net {
namespace {

using Kind = IoStep::Kind;

std::string Name(const Endpoint& server) {
  const bool bare_ipv6 = server.host.find(':') != std::string::npos;
  return (bare_ipv6 ? "[" + server.host + "]" : server.host) + ":" + std::to_string(server.port);
}

std::string The(const Endpoint& server) {
  return "the server at " + Name(server);
}

Result<Addresses> Resolve(const Endpoint& server) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* found = nullptr;
  // "localhost" is this machine, whatever hosts files and name servers say or lack (RFC 6761, section 6.3); no name at
  // all is the resolver's word for that.
  const char* const name = server.host == "localhost" ? nullptr : server.host.c_str();
  const int error = getaddrinfo(name, std::to_string(server.port).c_str(), &hints, &found);
  if (error != 0) {
    const char* why = error == EAI_SYSTEM ? std::strerror(errno) : gai_strerror(error);
    return Fail(ErrorCode::kUnavailable, "cannot resolve the server's name '" + server.host + "': " + why);
  }
  return Addresses(found);
}

// Waits until one of `events` happens on `fd`, and returns which; an error when cancelled or late.
Result<short> WaitFor(int fd, short events, const CancelEvent& cancel, SteadyPoint deadline) {
  for (;;) {
    std::array<pollfd, 2> watched = {pollfd{fd, events, 0}, pollfd{cancel.fd(), POLLIN, 0}};
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    const int timeout = static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 1'000'000));
    const int ready = ::poll(watched.data(), watched.size(), timeout);
    if (ready < 0 && errno != EINTR) return Fail(ErrorCode::kUnavailable, std::string("poll: ") + std::strerror(errno));
    if (watched[1].revents != 0) return Fail(ErrorCode::kUnavailable, "cancelled");
    if (ready > 0) return watched[0].revents;
    if (std::chrono::steady_clock::now() >= deadline) return Fail(ErrorCode::kDeadlineExceeded, "timed out");
  }
}

Result<OwnedFd> ConnectTo(const addrinfo& address, const CancelEvent& cancel, SteadyPoint deadline) {
  const auto failed = [](int error) { return Fail(ErrorCode::kUnavailable, std::strerror(error)); };
  OwnedFd socket(::socket(address.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (socket.get() < 0) return failed(errno);
  const int on = 1;
  ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  // Finds, in minutes, that the server's machine is gone from under a long poll.
  ::setsockopt(socket.get(), SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  if (::connect(socket.get(), address.ai_addr, address.ai_addrlen) == 0) return socket;
  if (errno != EINPROGRESS) return failed(errno);
  TACIT_TRY_VOID(WaitFor(socket.get(), POLLOUT, cancel, deadline));
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) return failed(error);
  return socket;
}

Result<OwnedFd> ConnectToAny(const Endpoint& server, const CancelEvent& cancel, SteadyPoint deadline) {
  TACIT_TRY(const Addresses addresses, Resolve(server));
  Error last{ErrorCode::kUnavailable, "it has no address"};
  for (const addrinfo* address = addresses.get(); address != nullptr; address = address->ai_next) {
    auto socket = ConnectTo(*address, cancel, deadline);
    if (socket) return socket;
    last = std::move(socket).error();
    if (cancel.signalled()) break;
  }
  return Annotate(last, "cannot connect to " + Name(server));
}

bool ExpectName(SSL* ssl, const std::string& host, ServerProof proof) {
  const bool is_address = IsAddress(host);
  if (!is_address && SSL_set_tlsext_host_name(ssl, host.c_str()) != 1) return false;
  if (proof == ServerProof::kNone) return true;
  // Names stand in the subject alternative name only; a common name or a partial wildcard is none.
  SSL_set_hostflags(ssl, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  X509_VERIFY_PARAM* expected = SSL_get0_param(ssl);
  return is_address ? X509_VERIFY_PARAM_set1_ip_asc(expected, host.c_str()) == 1
                    : SSL_set1_host(ssl, host.c_str()) == 1;
}

Error DescribeServerCertificate(const CertificateFault& fault, const Endpoint& server) {
  std::string why;
  switch (fault.x509_error) {
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      why = "presented a certificate for '" + fault.names + "', not for '" + server.host + "'";
      break;
    case X509_V_ERR_CERT_HAS_EXPIRED:
      why = "presented a certificate that ended at " + FormatRfc3339(fault.not_after) + " by this machine's clock";
      break;
    case X509_V_ERR_CERT_NOT_YET_VALID:
      why = "presented a certificate that begins at " + FormatRfc3339(fault.not_before) +
            ": is this machine's clock right?";
      break;
    default:
      why = IsFromAnotherCa(fault)
                ? "presented a certificate from another CA than the one trusted here (its issuer calls itself '" +
                      fault.issuer + "')"
                : "presented a certificate that was refused: " + DescribeCertificateFault(fault);
  }
  return {ErrorCode::kUnauthenticated, The(server) + ' ' + why};
}

// An alert, as the server said it. Source: RFC 8446, section 6.2.
Error DescribeAlert(int alert, const std::string& text, const Endpoint& server) {
  switch (alert) {
    case SSL_AD_CERTIFICATE_REQUIRED:
      return {ErrorCode::kUnauthenticated, The(server) + " requires a client certificate, and none was shown"};
    case SSL_AD_CERTIFICATE_EXPIRED:
      return {ErrorCode::kUnauthenticated,
              The(server) + " refused this client's certificate: it has ended by the server's clock"};
    case SSL_AD_UNKNOWN_CA:
      return {ErrorCode::kUnauthenticated, The(server) + " refused this client's certificate: it is from another CA"};
    case SSL_AD_CERTIFICATE_REVOKED:
    case SSL_AD_CERTIFICATE_UNKNOWN:
    case SSL_AD_BAD_CERTIFICATE:
    case SSL_AD_UNSUPPORTED_CERTIFICATE:
    case SSL_AD_ACCESS_DENIED:
      return {ErrorCode::kUnauthenticated, The(server) + " refused this client's certificate (" + text +
                                               "): a wrong clock, or not a client's certificate"};
    case SSL_AD_PROTOCOL_VERSION:
      return {ErrorCode::kUnavailable, The(server) + " does not speak TLS 1.3"};
    default:
      return {ErrorCode::kUnavailable, The(server) + " broke off: " + text};
  }
}

}  // namespace

void AddressesDeleter::operator()(addrinfo* addresses) const {
  freeaddrinfo(addresses);
}

Result<CancelEvent> CancelEvent::Create() {
  OwnedFd fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (fd.get() < 0) return Fail(ErrorCode::kUnavailable, std::string("eventfd: ") + std::strerror(errno));
  return CancelEvent(std::move(fd));
}

void CancelEvent::Signal() {
  const std::uint64_t one = 1;
  // It fails only when it is signalled many times over already.
  [[maybe_unused]] const ssize_t written = ::write(fd_.get(), &one, sizeof one);
}

bool CancelEvent::signalled() const {
  pollfd watched{fd_.get(), POLLIN, 0};
  return ::poll(&watched, 1, 0) > 0;
}

ClientConnection::ClientConnection(Endpoint server, OwnedFd socket, TlsSession tls, const CancelEvent& cancel)
    : server_(std::move(server)), socket_(std::move(socket)), cancel_(cancel), tls_(std::move(tls)) {}

ClientConnection::~ClientConnection() {
  if (!peer_left_) tls_.SendCloseNotify();
}

// A network that broke the connection says nothing against the session; OpenSSL spoils it unless it believes that this
// side has said goodbye. What broke the protocol has spoilt it already. Source: RFC 4346, section 7.2.1.
KeptSession ClientConnection::TakeSession() {
  KeptSession kept{.session = SslSessionPtr(SSL_get1_session(tls_.native())), .believed_until = believed_until_};
  const bool fresh = kept.session && kept.session != offered_.session;
  if (!fresh || SSL_SESSION_is_resumable(kept.session.get()) == 0 || believed_until_ == WallTime()) return {};
  if (peer_left_) SSL_set_shutdown(tls_.native(), SSL_SENT_SHUTDOWN);
  return kept;
}

Result<std::unique_ptr<ClientConnection>> ClientConnection::Open(const ConnectOptions& options,
                                                                 const CancelEvent& cancel) {
  TACIT_TRY(OwnedFd socket, ConnectToAny(options.server, cancel, options.deadline));
  TACIT_TRY(TlsSession tls, TlsSession::Create(options.context, socket.get(), TlsSession::Role::kClient));
  std::unique_ptr<ClientConnection> connection(
      new ClientConnection(options.server, std::move(socket), std::move(tls), cancel));
  TACIT_TRY_VOID(connection->Handshake(options));
  return connection;
}

Result<void> ClientConnection::Handshake(const ConnectOptions& options) {
  if (!ExpectName(tls_.native(), server_.host, options.proof)) {
    return Fail(ErrorCode::kInvalidArgument, "'" + server_.host + "' is not a host name or an IP address");
  }
  if (options.session != nullptr) offered_ = std::exchange(*options.session, {});
  if (offered_.session && std::chrono::system_clock::now() < offered_.believed_until)
    SSL_set_session(tls_.native(), offered_.session.get());
  const ExchangeLimits limits{options.deadline, kNoLimit, kNoLimit};
  for (;;) {
    const IoStep step = tls_.Handshake();
    if (step.kind == Kind::kMoved) break;
    if (step.kind == Kind::kFailed || step.kind == Kind::kEnd) return Failed();
    TACIT_TRY_VOID(Wait(step.kind == Kind::kWantWrite ? POLLOUT : POLLIN, limits));
  }
  in_handshake_ = false;
  believed_until_ = BelievedUntil(options.proof);
  return {};
}

// A session that is resumed shows no certificate: it is as good as the ones that were shown when it began.
WallTime ClientConnection::BelievedUntil(ServerProof proof) const {
  if (proof == ServerProof::kNone) return {};
  if (tls_.resumed()) return offered_.believed_until;
  return tls_.ProofEnd().value_or(WallTime());
}

Result<short> ClientConnection::Wait(short events, const ExchangeLimits& limits) {
  const SteadyPoint now = std::chrono::steady_clock::now();
  const bool io_first = limits.deadline - now > limits.io_timeout;
  const auto ready = WaitFor(socket_.get(), events, cancel_, io_first ? now + limits.io_timeout : limits.deadline);
  if (ready || ready.error().code != ErrorCode::kDeadlineExceeded) return ready;
  const std::string what = in_handshake_ ? " did not finish the TLS handshake in time"
                           : io_first    ? " moved no byte for " + std::to_string(limits.io_timeout.count()) + " ms"
                                         : " did not answer in time";
  return Fail(ErrorCode::kDeadlineExceeded, The(server_) + what);
}

Error ClientConnection::Describe(const TlsFault& fault) const {
  if (fault.reason == SSL_R_CERTIFICATE_VERIFY_FAILED) return DescribeServerCertificate(fault.certificate, server_);
  if (fault.reason >= SSL_AD_REASON_OFFSET)
    return DescribeAlert(fault.reason - SSL_AD_REASON_OFFSET, fault.text, server_);
  if (HandshakeFailureReason(fault) == "not_tls") {
    return {ErrorCode::kUnavailable, The(server_) + " does not answer with TLS: is this the right port?"};
  }
  if (HandshakeFailureReason(fault) == "protocol_version") {
    return {ErrorCode::kUnavailable, The(server_) + " does not speak TLS 1.3"};
  }
  const std::string when = in_handshake_ ? " during the TLS handshake" : " before the end of its answer";
  if (fault.peer_left) return {ErrorCode::kUnavailable, The(server_) + " closed the connection" + when};
  return {ErrorCode::kUnavailable, "the connection to " + Name(server_) + " failed: " + fault.text};
}

std::unexpected<Error> ClientConnection::Failed() {
  TlsFault fault = tls_.fault();
  // An end in good order is as unexpected, where something was still to come, as a reset.
  if (fault.reason == 0 && fault.system_error == 0) fault.peer_left = true;
  peer_left_ = fault.peer_left;
  return std::unexpected(Describe(fault));
}

bool ClientConnection::TakeEarlyAnswer() {
  if (!early_.empty()) return true;
  early_.resize(kRecordBytes);
  const IoStep step = tls_.Read(early_);
  early_.resize(step.kind == Kind::kMoved ? step.bytes : 0);
  if (step.kind == Kind::kMoved) answered_ = true;
  return step.kind == Kind::kMoved;
}

// A server that will read no more has often said why before it closed: an answer, or an alert.
Result<void> ClientConnection::AfterFailedWrite() {
  const TlsFault fault = tls_.fault();
  if (TakeEarlyAnswer()) return {};
  if (tls_.fault().reason >= SSL_AD_REASON_OFFSET) return Failed();
  peer_left_ = fault.peer_left;
  return std::unexpected(Describe(fault));
}

Result<void> ClientConnection::SendPiece(ByteSpan piece, const ExchangeLimits& limits) {
  while (!piece.empty()) {
    const IoStep step = tls_.Write(piece);
    if (step.kind == Kind::kMoved) {
      piece = piece.subspan(step.bytes);
      continue;
    }
    sent_all_ = false;
    if (step.kind == Kind::kFailed || step.kind == Kind::kEnd) return AfterFailedWrite();
    TACIT_TRY(const short ready,
              Wait(static_cast<short>(POLLIN | (step.kind == Kind::kWantWrite ? POLLOUT : 0)), limits));
    if ((ready & POLLIN) != 0 && TakeEarlyAnswer()) return {};
    sent_all_ = true;
  }
  return {};
}

Result<void> ClientConnection::Send(std::span<const ByteSpan> parts, const ExchangeLimits& limits) {
  answered_ = false;
  sent_all_ = true;
  Bytes record;
  record.reserve(kRecordBytes);
  for (ByteSpan part : parts) {
    while (!part.empty()) {
      const std::size_t count = std::min(part.size(), kRecordBytes - record.size());
      record.insert(record.end(), part.begin(), part.begin() + static_cast<std::ptrdiff_t>(count));
      part = part.subspan(count);
      if (record.size() < kRecordBytes) continue;
      TACIT_TRY_VOID(SendPiece(record, limits));
      if (answered_) return {};
      record.clear();
    }
  }
  return SendPiece(record, limits);
}

Result<std::size_t> ClientConnection::ReadSome(std::span<std::uint8_t> out, const ExchangeLimits& limits) {
  if (!early_.empty()) {
    const std::size_t count = std::min(out.size(), early_.size());
    std::memcpy(out.data(), early_.data(), count);
    early_.erase(early_.begin(), early_.begin() + static_cast<std::ptrdiff_t>(count));
    return count;
  }
  for (;;) {
    const IoStep step = tls_.Read(out);
    if (step.kind == Kind::kMoved) {
      answered_ = true;
      return step.bytes;
    }
    if (step.kind == Kind::kEnd) {
      peer_left_ = true;
      return std::size_t{0};
    }
    if (step.kind == Kind::kFailed) return Failed();
    TACIT_TRY_VOID(Wait(step.kind == Kind::kWantWrite ? POLLOUT : POLLIN, limits));
  }
}

bool ClientConnection::IsIdle() {
  std::array<std::uint8_t, 1> unasked;
  return early_.empty() && tls_.Read(unasked).kind == Kind::kWantRead;
}

}  // namespace tacit::net
