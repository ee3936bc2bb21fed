#include "common/net/https_client.h"

#include <algorithm>
#include <array>
#include <utility>

#include <openssl/crypto.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include "common/crypto/certificate.h"
#include "common/crypto/digest.h"
#include "common/net/client_connection.h"
#include "common/net/http_head.h"

namespace tacit::net {
namespace {

constexpr std::size_t kMaxHeadBytes = 32 * 1024;
constexpr int kMaxInterimAnswers = 8;
constexpr std::string_view kPemEnd = "-----END CERTIFICATE-----";

bool IsIdempotent(std::string_view method) {
  constexpr std::array<std::string_view, 5> kIdempotent = {"GET", "HEAD", "PUT", "DELETE", "OPTIONS"};
  return std::ranges::find(kIdempotent, method) != kIdempotent.end();
}

bool CarriesBody(std::string_view method) {
  return method == "PUT" || method == "POST" || method == "PATCH";
}

std::string HostHeader(const Endpoint& server) {
  const bool bare_ipv6 = server.host.find(':') != std::string::npos;
  return (bare_ipv6 ? "[" + server.host + "]" : server.host) + ":" + std::to_string(server.port);
}

std::string HeadText(const ClientRequest& request, const Endpoint& server) {
  std::uint64_t size = 0;
  for (const ByteSpan part : request.body) size += part.size();
  std::string head = request.method + ' ' + request.target + " HTTP/1.1\r\nHost: " + HostHeader(server) + "\r\n";
  if (size > 0 || CarriesBody(request.method)) head += "Content-Length: " + std::to_string(size) + "\r\n";
  for (const auto& [name, value] : request.headers) head += name + ": " + value + "\r\n";
  return head + "\r\n";
}

// What the client is about to send must be what the server will read: the server's own parser is the judge.
Result<void> CheckHead(std::string_view head) {
  const auto parsed = ParseRequestHead(head);
  if (parsed) return {};
  return Fail(ErrorCode::kInvalidArgument, "not a request that can be sent: " + parsed.error().message);
}

// The certificates of a PEM text, each as one string.
std::vector<std::string_view> SplitPem(std::string_view pem) {
  std::vector<std::string_view> certificates;
  for (std::size_t end = pem.find(kPemEnd); end != std::string_view::npos; end = pem.find(kPemEnd)) {
    certificates.push_back(pem.substr(0, end + kPemEnd.size()));
    pem.remove_prefix(end + kPemEnd.size());
  }
  return certificates;
}

Result<SslContextPtr> MakeContext(ClientOptions& options, ServerProof proof) {
  TACIT_TRY(SslContextPtr context, NewTlsContext(TlsSession::Role::kClient));
  if (proof == ServerProof::kRequired) {
    if (auto trusted = TrustOnly(context.get(), options.ca_pem); !trusted) return Annotate(trusted.error(), "the CA");
    VerifyPeer(context.get(), SSL_VERIFY_PEER);
  }
  if (options.client_certificate_pem.empty()) return context;
  const auto used = UseIdentity(context.get(), options.client_certificate_pem, options.client_key_pem);
  OPENSSL_cleanse(options.client_key_pem.data(), options.client_key_pem.size());
  options.client_key_pem.clear();
  if (!used) return Annotate(used.error(), "the client certificate");
  return context;
}

}  // namespace

std::optional<std::string_view> ClientResponse::Header(std::string_view lower_case_name) const {
  for (const auto& [name, value] : headers) {
    if (name == lower_case_name) return value;
  }
  return std::nullopt;
}

class HttpsClient::Impl {
 public:
  static Result<std::unique_ptr<Impl>> Create(ClientOptions options, ServerProof proof);
  Result<ClientResponse> Send(const ClientRequest& request);
  Result<void> Connect(SteadyPoint deadline);
  void Disconnect();
  [[nodiscard]] SSL* native() const { return connection_->native(); }
  void Cancel() { cancel_.Signal(); }

 private:
  Impl(ClientOptions options, ServerProof proof, SslContextPtr context, CancelEvent cancel)
      : options_(std::move(options)), proof_(proof), context_(std::move(context)), cancel_(std::move(cancel)) {}

  Result<ClientResponse> Exchange(const ClientRequest& request, std::string_view head, const ExchangeLimits& limits);
  Result<ResponseHead> ReadHead(const ExchangeLimits& limits);
  Result<ResponseHead> ReadFinalHead(const ExchangeLimits& limits);
  Result<Bytes> ReadBody(const ResponseHead& head, const ClientRequest& request, const ExchangeLimits& limits);
  Result<Bytes> ReadExactly(std::size_t size, const ClientRequest& request, const ExchangeLimits& limits);
  Result<Bytes> ReadToEnd(std::size_t limit, const ExchangeLimits& limits);
  [[nodiscard]] std::unexpected<Error> Malformed(std::string_view what) const;

  ClientOptions options_;
  ServerProof proof_;
  SslContextPtr context_;
  CancelEvent cancel_;
  std::unique_ptr<ClientConnection> connection_;  // after cancel_, which it watches
  KeptSession session_;                           // of the last connection: of this server and this context
  Bytes input_;                                   // what came behind the last head
};

Result<std::unique_ptr<HttpsClient::Impl>> HttpsClient::Impl::Create(ClientOptions options, ServerProof proof) {
  if (options.server.host.empty() || options.server.port == 0) {
    return Fail(ErrorCode::kInvalidArgument, "the server's host and port must be named");
  }
  if (options.ca_fingerprint) TACIT_TRY_VOID(FindByFingerprint(options.ca_pem, *options.ca_fingerprint));
  TACIT_TRY(SslContextPtr context, MakeContext(options, proof));
  TACIT_TRY(CancelEvent cancel, CancelEvent::Create());
  return std::unique_ptr<Impl>(new Impl(std::move(options), proof, std::move(context), std::move(cancel)));
}

std::unexpected<Error> HttpsClient::Impl::Malformed(std::string_view what) const {
  return Fail(ErrorCode::kMalformed,
              "the server at " + HostHeader(options_.server) + " did not answer in HTTP: " + std::string(what));
}

Result<void> HttpsClient::Impl::Connect(SteadyPoint deadline) {
  Disconnect();
  input_.clear();
  deadline = std::min(deadline, std::chrono::steady_clock::now() + options_.connect_timeout);
  TACIT_TRY(connection_, ClientConnection::Open({.server = options_.server,
                                                 .context = context_.get(),
                                                 .proof = proof_,
                                                 .deadline = deadline,
                                                 .session = &session_},
                                                cancel_));
  return {};
}

void HttpsClient::Impl::Disconnect() {
  if (!connection_) return;
  session_ = connection_->TakeSession();
  connection_.reset();
}

Result<ClientResponse> HttpsClient::Impl::Send(const ClientRequest& request) {
  const std::string head = HeadText(request, options_.server);
  TACIT_TRY_VOID(CheckHead(head));
  if (cancel_.signalled()) return Fail(ErrorCode::kUnavailable, "cancelled");
  const bool limited = request.timeout > Millis(0);
  const SteadyPoint deadline = limited ? std::chrono::steady_clock::now() + request.timeout : SteadyPoint::max();
  // With a limit of its own, a request may wait for its answer's first byte as long as that: the server may be
  // thinking, or holding a long poll.
  const ExchangeLimits limits{deadline, options_.io_timeout, limited ? kNoLimit : options_.io_timeout};
  if (connection_ && !connection_->IsIdle()) Disconnect();
  const bool reused = connection_ != nullptr;
  if (!reused) TACIT_TRY_VOID(Connect(limits.deadline));
  auto response = Exchange(request, head, limits);
  // The server may have closed the idle connection in the moment that the request took to reach it.
  const bool may_resend = request.resend == ClientRequest::Resend::kIfIdempotent && IsIdempotent(request.method);
  const bool again = !response && reused && connection_->peer_left() && !connection_->answered() && may_resend;
  if (again) {
    TACIT_TRY_VOID(Connect(limits.deadline));
    response = Exchange(request, head, limits);
  }
  if (!response) Disconnect();
  return response;
}

Result<ClientResponse> HttpsClient::Impl::Exchange(const ClientRequest& request, std::string_view head,
                                                   const ExchangeLimits& limits) {
  std::vector<ByteSpan> parts = {AsBytes(head)};
  parts.insert(parts.end(), request.body.begin(), request.body.end());
  TACIT_TRY_VOID(connection_->Send(parts, limits));
  TACIT_TRY(ResponseHead answer, ReadFinalHead(limits));
  TACIT_TRY(Bytes body, ReadBody(answer, request, limits));
  const bool reusable = answer.keep_alive && connection_->sent_all() && !connection_->peer_left() && input_.empty();
  if (!reusable) Disconnect();
  return ClientResponse{answer.status, std::move(answer.headers), std::move(body)};
}

Result<ResponseHead> HttpsClient::Impl::ReadHead(const ExchangeLimits& limits) {
  std::size_t searched = 0;
  for (;;) {
    const auto end = FindHeadEnd(AsText(input_), searched);
    if (!end) return Malformed(end.error().message);
    if (*end > 0) {
      auto head = ParseResponseHead(AsText(input_).substr(0, *end));
      input_.erase(input_.begin(), input_.begin() + static_cast<std::ptrdiff_t>(*end));
      if (!head) return Malformed(head.error().message);
      return *std::move(head);
    }
    searched = input_.size();
    if (searched >= kMaxHeadBytes) return Malformed("a head of more than 32 KiB");
    const ExchangeLimits waiting{limits.deadline, searched == 0 ? limits.answer_timeout : limits.io_timeout, kNoLimit};
    input_.resize(kMaxHeadBytes);
    const auto got = connection_->ReadSome(std::span(input_).subspan(searched), waiting);
    input_.resize(searched + got.value_or(0));
    if (!got) return std::unexpected(got.error());
    if (*got == 0) {
      return Fail(ErrorCode::kUnavailable,
                  "the server at " + HostHeader(options_.server) + " closed the connection before it answered");
    }
  }
}

Result<ResponseHead> HttpsClient::Impl::ReadFinalHead(const ExchangeLimits& limits) {
  for (int interim = 0; interim < kMaxInterimAnswers; ++interim) {
    TACIT_TRY(ResponseHead head, ReadHead(limits));
    if (head.status >= 200) return head;
  }
  return Malformed("too many interim answers");
}

Result<Bytes> HttpsClient::Impl::ReadBody(const ResponseHead& head, const ClientRequest& request,
                                          const ExchangeLimits& limits) {
  if (request.method == "HEAD" || head.status == 204 || head.status == 304) return Bytes();
  if (head.Header("transfer-encoding")) return Malformed("a Transfer-Encoding, which is not understood here");
  if (!head.content_length) return ReadToEnd(request.max_response_bytes, limits);
  if (*head.content_length > request.max_response_bytes) {
    return Fail(ErrorCode::kTooLarge, "the answer has " + std::to_string(*head.content_length) +
                                          " bytes, more than the " + std::to_string(request.max_response_bytes) +
                                          " that are accepted");
  }
  return ReadExactly(static_cast<std::size_t>(*head.content_length), request, limits);
}

Result<Bytes> HttpsClient::Impl::ReadExactly(std::size_t size, const ClientRequest& request,
                                             const ExchangeLimits& limits) {
  Bytes body(size);
  std::size_t filled = std::min(size, input_.size());
  std::copy_n(input_.begin(), filled, body.begin());
  input_.erase(input_.begin(), input_.begin() + static_cast<std::ptrdiff_t>(filled));
  const auto tell = [&] {
    if (request.on_progress) request.on_progress({filled, size});
  };
  tell();
  while (filled < size) {
    TACIT_TRY(const std::size_t got, connection_->ReadSome(std::span(body).subspan(filled), limits));
    if (got == 0) {
      return Fail(ErrorCode::kUnavailable,
                  "the answer was cut off after " + std::to_string(filled) + " of " + std::to_string(size) + " bytes");
    }
    filled += got;
    tell();
  }
  return body;
}

Result<Bytes> HttpsClient::Impl::ReadToEnd(std::size_t limit, const ExchangeLimits& limits) {
  Bytes body = std::exchange(input_, {});
  for (;;) {
    if (body.size() > limit) {
      return Fail(ErrorCode::kTooLarge,
                  "the answer has more than the " + std::to_string(limit) + " bytes that are accepted");
    }
    std::array<std::uint8_t, kRecordBytes> part;
    TACIT_TRY(const std::size_t got, connection_->ReadSome(part, limits));
    if (got == 0) return body;
    body.insert(body.end(), part.begin(), part.begin() + static_cast<std::ptrdiff_t>(got));
  }
}

Result<HttpsClient> HttpsClient::Create(ClientOptions options) {
  TACIT_TRY(auto impl, Impl::Create(std::move(options), ServerProof::kRequired));
  return HttpsClient(std::move(impl));
}

HttpsClient::HttpsClient(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpsClient::~HttpsClient() = default;
HttpsClient::HttpsClient(HttpsClient&&) noexcept = default;
HttpsClient& HttpsClient::operator=(HttpsClient&&) noexcept = default;

Result<std::vector<std::string>> FetchUnverifiedChain(const Endpoint& server, Millis timeout) {
  ClientOptions options;
  options.server = server;
  TACIT_TRY(const auto client, HttpsClient::Impl::Create(std::move(options), ServerProof::kNone));
  TACIT_TRY_VOID(client->Connect(std::chrono::steady_clock::now() + timeout));
  std::vector<std::string> chain;
  const STACK_OF(X509)* certificates = SSL_get_peer_cert_chain(client->native());
  for (int i = 0; i < sk_X509_num(certificates); ++i) {
    chain.push_back(crypto::Certificate::FromNative(sk_X509_value(certificates, i)).ToPem());
  }
  return chain;
}

Result<ClientResponse> FetchUnverified(const Endpoint& server, std::string_view target, std::size_t max_response_bytes,
                                       Millis timeout) {
  ClientOptions options;
  options.server = server;
  TACIT_TRY(const auto client, HttpsClient::Impl::Create(std::move(options), ServerProof::kNone));
  ClientRequest request;
  request.target = target;
  request.headers = {{"Connection", "close"}};
  request.max_response_bytes = max_response_bytes;
  request.timeout = timeout;
  return client->Send(request);
}

Result<std::string> FindByFingerprint(std::string_view pem, const Digest256& fingerprint) {
  std::string seen;
  for (const std::string_view one : SplitPem(pem)) {
    TACIT_TRY(const auto certificate, crypto::Certificate::FromPem(one));
    if (crypto::ConstantTimeEqual(certificate.Fingerprint(), fingerprint)) return certificate.ToPem();
    seen += (seen.empty() ? "" : ", ") + crypto::FormatFingerprint(certificate.Fingerprint());
  }
  return Fail(ErrorCode::kUnauthenticated, "no certificate has the fingerprint " +
                                               crypto::FormatFingerprint(fingerprint) +
                                               (seen.empty() ? ": there is none at all" : "; there is " + seen));
}

Result<ClientResponse> HttpsClient::Send(const ClientRequest& request) {
  return impl_->Send(request);
}
void HttpsClient::Cancel() {
  impl_->Cancel();
}

}  // namespace tacit::net
