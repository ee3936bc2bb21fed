#include "common/net/tls_session.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include <climits>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "common/base/check.h"
#include "common/crypto/certificate.h"

namespace tacit::net {

// What OpenSSL calls back.
struct TlsCallbacks {
  static TlsSession::State& StateOf(BIO* bio) { return *static_cast<TlsSession::State*>(BIO_get_data(bio)); }

  static int Read(BIO* bio, char* out, std::size_t size, std::size_t* moved) {
    TlsSession::State& state = StateOf(bio);
    BIO_clear_retry_flags(bio);
    const ssize_t got = ::recv(state.socket, out, size, 0);
    if (got > 0) {
      *moved = static_cast<std::size_t>(got);
      return 1;
    }
    if (got == 0) {
      state.at_end = true;
      return 0;
    }
    return NotMoved(state, bio, BIO_FLAGS_READ);
  }

  static int Write(BIO* bio, const char* bytes, std::size_t size, std::size_t* moved) {
    TlsSession::State& state = StateOf(bio);
    BIO_clear_retry_flags(bio);
    const ssize_t sent = ::send(state.socket, bytes, size, MSG_NOSIGNAL);
    if (sent >= 0) {
      *moved = static_cast<std::size_t>(sent);
      return 1;
    }
    return NotMoved(state, bio, BIO_FLAGS_WRITE);
  }

  static int NotMoved(TlsSession::State& state, BIO* bio, int direction) {
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) {
      BIO_set_flags(bio, direction | BIO_FLAGS_SHOULD_RETRY);
    } else {
      state.system_error = errno;
    }
    return -1;
  }

  static long Control(BIO* bio, int command, long, void*) {
    if (command == BIO_CTRL_FLUSH) return 1;
    if (command == BIO_CTRL_EOF) return StateOf(bio).at_end ? 1 : 0;
    return 0;
  }

  static int Begin(BIO* bio) {
    BIO_set_init(bio, 1);
    return 1;
  }

  static int Verify(int preverified, X509_STORE_CTX* store);
};

namespace {

struct BioMethodDeleter {
  void operator()(BIO_METHOD* method) const { BIO_meth_free(method); }
};
struct BioDeleter {
  void operator()(BIO* bio) const { BIO_free(bio); }
};
struct X509Deleter {
  void operator()(X509* certificate) const { X509_free(certificate); }
};
using BioPtr = std::unique_ptr<BIO, BioDeleter>;
using X509Ptr = std::unique_ptr<X509, X509Deleter>;

// AES-128-GCM first: its record layer is a sixth faster than AES-256-GCM and two thirds faster than ChaCha20.
constexpr const char* kCipherSuites = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
constexpr const char* kGroups = "X25519:P-256:P-384";
constexpr int kMaxCertificateDepth = 4;
constexpr long kMaxPeerChainBytes = 32 * 1024;

BIO_METHOD* SocketMethod() {
  static const std::unique_ptr<BIO_METHOD, BioMethodDeleter> method = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "tacit socket");
    TACIT_CHECK(made != nullptr, "memory for a small object");
    BIO_meth_set_read_ex(made, TlsCallbacks::Read);
    BIO_meth_set_write_ex(made, TlsCallbacks::Write);
    BIO_meth_set_ctrl(made, TlsCallbacks::Control);
    BIO_meth_set_create(made, TlsCallbacks::Begin);
    return std::unique_ptr<BIO_METHOD, BioMethodDeleter>(made);
  }();
  return method.get();
}

int NoPassPhrase(char*, int, int, void*) {
  return -1;
}

Result<BioPtr> ReadBio(std::string_view pem) {
  if (pem.size() > INT_MAX) return Fail(ErrorCode::kInvalidArgument, "too many bytes to be a certificate");
  BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  if (!bio) return Fail(ErrorCode::kUnavailable, "no memory to read a certificate");
  return bio;
}

Result<std::vector<X509Ptr>> ReadCertificates(std::string_view pem) {
  TACIT_TRY(const BioPtr bio, ReadBio(pem));
  std::vector<X509Ptr> certificates;
  while (X509* next = PEM_read_bio_X509(bio.get(), nullptr, NoPassPhrase, nullptr)) certificates.emplace_back(next);
  const int reason = ERR_GET_REASON(ERR_peek_last_error());
  const std::string text = TakeTlsErrorText();
  if (certificates.empty()) return Fail(ErrorCode::kInvalidArgument, "holds no PEM certificate");
  // The loop ends where no further PEM block begins; anything else is a damaged block.
  if (reason != PEM_R_NO_START_LINE) return Fail(ErrorCode::kInvalidArgument, "holds a damaged certificate: " + text);
  return certificates;
}

Result<void> UseKey(SSL_CTX* context, std::string_view key_pem) {
  TACIT_TRY(const BioPtr bio, ReadBio(key_pem));
  struct KeyDeleter {
    void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  };
  const std::unique_ptr<EVP_PKEY, KeyDeleter> key(PEM_read_bio_PrivateKey(bio.get(), nullptr, NoPassPhrase, nullptr));
  if (!key) {
    return Fail(ErrorCode::kInvalidArgument, "the private key is not an unencrypted PEM key: " + TakeTlsErrorText());
  }
  if (SSL_CTX_use_PrivateKey(context, key.get()) != 1) {
    return Fail(ErrorCode::kInvalidArgument,
                "the private key does not belong to the certificate: " + TakeTlsErrorText());
  }
  return {};
}

std::string AddressText(const ASN1_OCTET_STRING* address) {
  const int size = ASN1_STRING_length(address);
  std::array<char, INET6_ADDRSTRLEN> text{};
  const int family = size == 4 ? AF_INET : AF_INET6;
  if (size != 4 && size != 16) return "?";
  return inet_ntop(family, ASN1_STRING_get0_data(address), text.data(), text.size()) == nullptr ? "?" : text.data();
}

std::string SubjectNames(const X509* certificate) {
  struct NamesDeleter {
    void operator()(GENERAL_NAMES* names) const { GENERAL_NAMES_free(names); }
  };
  const std::unique_ptr<GENERAL_NAMES, NamesDeleter> names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  std::string text;
  for (int i = 0; names && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    std::string one;
    if (name->type == GEN_DNS)
      one = AsText(
          {ASN1_STRING_get0_data(name->d.dNSName), static_cast<std::size_t>(ASN1_STRING_length(name->d.dNSName))});
    if (name->type == GEN_IPADD) one = AddressText(name->d.iPAddress);
    if (!one.empty()) text += (text.empty() ? "" : ", ") + one;
  }
  return text;
}

std::string CommonNameOf(const X509_NAME* name) {
  const int at = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
  if (at < 0) return "a nameless authority";
  const ASN1_STRING* value = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at));
  return std::string(AsText({ASN1_STRING_get0_data(value), static_cast<std::size_t>(ASN1_STRING_length(value))}));
}

int SelectHttp11(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* offered,
                 unsigned offered_size, void*) {
  // Static, because OpenSSL keeps a pointer into it.
  static constexpr std::array<unsigned char, 9> kHttp11 = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};
  unsigned char* selected = nullptr;
  const int chosen = SSL_select_next_proto(&selected, out_size, kHttp11.data(), kHttp11.size(), offered, offered_size);
  *out = selected;
  return chosen == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

}  // namespace

// Runs for every fault in a chain, and never changes the verdict.
int TlsCallbacks::Verify(int preverified, X509_STORE_CTX* store) {
  if (preverified == 1) return 1;
  const auto* ssl = static_cast<const SSL*>(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
  CertificateFault& fault = static_cast<TlsSession::State*>(SSL_get_app_data(ssl))->fault.certificate;
  fault.x509_error = X509_STORE_CTX_get_error(store);
  X509* leaf = X509_STORE_CTX_get0_cert(store);
  if (leaf == nullptr) return 0;
  const crypto::Certificate certificate = crypto::Certificate::FromNative(leaf);
  fault.subject = certificate.SpiffeUri().value_or(certificate.CommonName());
  fault.issuer = CommonNameOf(X509_get_issuer_name(leaf));
  fault.names = SubjectNames(leaf);
  fault.not_before = certificate.NotBefore();
  fault.not_after = certificate.NotAfter();
  return 0;
}

std::string TakeTlsErrorText() {
  const unsigned long code = ERR_peek_last_error();
  ERR_clear_error();
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  return reason == nullptr ? "no reason given" : reason;
}

Result<TlsSession> TlsSession::Create(SSL_CTX* context, int socket, Role role) {
  ERR_clear_error();
  auto state = std::make_unique<State>();
  state->socket = socket;
  SslPtr ssl(SSL_new(context));
  BioPtr bio(BIO_new(SocketMethod()));
  if (!ssl || !bio) return Fail(ErrorCode::kUnavailable, "no memory for a TLS session");
  BIO_set_data(bio.get(), state.get());
  SSL_set_app_data(ssl.get(), state.get());
  BIO_up_ref(bio.get());
  SSL_set0_rbio(ssl.get(), bio.get());
  SSL_set0_wbio(ssl.get(), bio.release());
  if (role == Role::kServer) {
    SSL_set_accept_state(ssl.get());
  } else {
    SSL_set_connect_state(ssl.get());
  }
  return TlsSession(std::move(state), std::move(ssl));
}

void TlsSession::NoteOffered(SSL* ssl, WallTime ends_at) {
  static_cast<State*>(SSL_get_app_data(ssl))->offered_end = ends_at;
}

std::optional<WallTime> TlsSession::ProofEnd() const {
  const STACK_OF(X509)* verified = SSL_get0_verified_chain(ssl_.get());
  std::optional<WallTime> end;
  for (int i = 0; i < sk_X509_num(verified); ++i) {
    const WallTime ends = crypto::Certificate::FromNative(sk_X509_value(verified, i)).NotAfter();
    end = std::min(end.value_or(ends), ends);
  }
  return end;
}

// A stale error in the thread's queue would be taken for one of this session.
void TlsSession::Prepare() {
  if (ERR_peek_error() != 0) ERR_clear_error();
  state_->system_error = 0;
}

void TlsSession::RecordFault(int ssl_error) {
  TlsFault& fault = state_->fault;
  const unsigned long code = ERR_peek_last_error();
  fault.system_error = state_->system_error;
  fault.reason = ssl_error == SSL_ERROR_SSL && !ERR_SYSTEM_ERROR(code) ? ERR_GET_REASON(code) : 0;
  fault.peer_left = fault.reason == SSL_R_UNEXPECTED_EOF_WHILE_READING || fault.system_error == ECONNRESET ||
                    fault.system_error == EPIPE || (fault.reason == 0 && state_->at_end);
  fault.text = fault.system_error != 0 ? std::strerror(fault.system_error) : TakeTlsErrorText();
  ERR_clear_error();
}

IoStep TlsSession::Step(int result, std::size_t bytes) {
  if (result == 1) return {IoStep::Kind::kMoved, bytes};
  const int error = SSL_get_error(ssl_.get(), result);
  if (error == SSL_ERROR_WANT_READ) return {IoStep::Kind::kWantRead, 0};
  if (error == SSL_ERROR_WANT_WRITE) return {IoStep::Kind::kWantWrite, 0};
  if (error == SSL_ERROR_ZERO_RETURN) return {IoStep::Kind::kEnd, 0};
  RecordFault(error);
  return {IoStep::Kind::kFailed, 0};
}

IoStep TlsSession::Handshake() {
  Prepare();
  return Step(SSL_do_handshake(ssl_.get()), 0);
}

IoStep TlsSession::Read(std::span<std::uint8_t> out) {
  Prepare();
  std::size_t bytes = 0;
  const int result = SSL_read_ex(ssl_.get(), out.data(), out.size(), &bytes);
  return Step(result, bytes);
}

IoStep TlsSession::Write(ByteSpan bytes) {
  Prepare();
  std::size_t written = 0;
  const int result = SSL_write_ex(ssl_.get(), bytes.data(), bytes.size(), &written);
  return Step(result, written);
}

void TlsSession::SendCloseNotify() {
  if (SSL_in_init(ssl_.get()) != 0) return;
  Prepare();
  SSL_shutdown(ssl_.get());
  ERR_clear_error();
}

Result<SslContextPtr> NewTlsContext(TlsSession::Role role) {
  ERR_clear_error();
  const bool server = role == TlsSession::Role::kServer;
  SslContextPtr context(SSL_CTX_new(server ? TLS_server_method() : TLS_client_method()));
  if (!context) return Fail(ErrorCode::kInternal, "the TLS library does not start: " + TakeTlsErrorText());
  SSL_CTX* raw = context.get();
  const bool set = SSL_CTX_set_min_proto_version(raw, TLS1_3_VERSION) == 1 &&
                   SSL_CTX_set_max_proto_version(raw, TLS1_3_VERSION) == 1 &&
                   SSL_CTX_set_ciphersuites(raw, kCipherSuites) == 1 && SSL_CTX_set1_groups_list(raw, kGroups) == 1 &&
                   SSL_CTX_set_num_tickets(raw, 0) == 1;
  if (!set) return Fail(ErrorCode::kInternal, "the TLS library refuses its settings: " + TakeTlsErrorText());
  // No session is resumed, nor anything sent before the handshake's end, unless a SessionCache is attached; and then
  // still nothing is sent early: what is early can be replayed.
  SSL_CTX_set_session_cache_mode(raw, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_options(
      raw, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  // What is sent of a chain is what its file holds: OpenSSL would look for the rest among the roots at every handshake,
  // and the other side would have to read a root that it trusts already, or does not.
  SSL_CTX_set_mode(raw, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_NO_AUTO_CHAIN);
  SSL_CTX_set_max_cert_list(raw, kMaxPeerChainBytes);
  SSL_CTX_set_verify_depth(raw, kMaxCertificateDepth);
  SSL_CTX_set_default_passwd_cb(raw, NoPassPhrase);
  if (server) SSL_CTX_set_alpn_select_cb(raw, SelectHttp11, nullptr);
  return context;
}

Result<void> UseIdentity(SSL_CTX* context, std::string_view chain_pem, std::string_view key_pem) {
  ERR_clear_error();
  TACIT_TRY(std::vector<X509Ptr> chain, ReadCertificates(chain_pem));
  if (SSL_CTX_use_certificate(context, chain.front().get()) != 1) {
    return Fail(ErrorCode::kInvalidArgument, "holds a certificate that TLS cannot use: " + TakeTlsErrorText());
  }
  for (std::size_t i = 1; i < chain.size(); ++i) SSL_CTX_add1_chain_cert(context, chain[i].get());
  return UseKey(context, key_pem);
}

Result<void> TrustOnly(SSL_CTX* context, std::string_view pem) {
  ERR_clear_error();
  TACIT_TRY(const std::vector<X509Ptr> roots, ReadCertificates(pem));
  X509_STORE* store = SSL_CTX_get_cert_store(context);
  for (const X509Ptr& root : roots) {
    // What the library works out of a certificate when it first looks at it, it works out here: the first look of two
    // handshakes on two threads would be at the same time.
    if (X509_check_purpose(root.get(), -1, 0) != 1 || X509_STORE_add_cert(store, root.get()) != 1) {
      return Fail(ErrorCode::kInvalidArgument, "holds a root that TLS cannot use: " + TakeTlsErrorText());
    }
    // The hint by which a client with several certificates chooses.
    SSL_CTX_add_client_CA(context, root.get());
  }
  return {};
}

void VerifyPeer(SSL_CTX* context, int mode) {
  SSL_CTX_set_verify(context, mode, TlsCallbacks::Verify);
}

bool IsFromAnotherCa(const CertificateFault& fault) {
  switch (fault.x509_error) {
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
      return true;
    default:
      return false;
  }
}

std::string_view HandshakeFailureReason(const TlsFault& fault) {
  switch (fault.reason) {
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
      return "no_certificate";
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_VERSION_TOO_LOW:
    case SSL_R_NO_PROTOCOLS_AVAILABLE:
    case SSL_R_WRONG_SSL_VERSION:
      return "protocol_version";
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_BAD_RECORD_TYPE:
      return "not_tls";
    case SSL_R_CERTIFICATE_VERIFY_FAILED:
      break;
    default:
      // OpenSSL numbers the alerts of the peer from this base.
      if (fault.reason >= SSL_AD_REASON_OFFSET) return "client_refused";
      return fault.peer_left ? "reset" : "other";
  }
  switch (fault.certificate.x509_error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return "expired";
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return "not_yet_valid";
    default:
      return IsFromAnotherCa(fault.certificate) ? "unknown_ca" : "bad_certificate";
  }
}

std::string DescribeCertificateFault(const CertificateFault& fault) {
  return X509_verify_cert_error_string(fault.x509_error);
}

PeerIdentity IdentityOf(const TlsSession& session, std::string address) {
  PeerIdentity identity;
  identity.address = std::move(address);
  X509* peer = SSL_get0_peer_certificate(session.native());
  if (peer == nullptr) return identity;
  const crypto::Certificate certificate = crypto::Certificate::FromNative(peer);
  identity.spiffe_uri = certificate.SpiffeUri().value_or("");
  identity.certificate_sha256 = ToHex(certificate.Fingerprint());
  identity.public_key_sha256 = certificate.PublicKeySha256();
  identity.not_after = certificate.NotAfter();
  return identity;
}

}  // namespace tacit::net
