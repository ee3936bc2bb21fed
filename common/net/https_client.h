#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/base/result.h"

namespace tacit::net {

struct Endpoint {
  std::string host;  ///< A DNS name or an IP address, without brackets.
  std::uint16_t port = 0;
};

struct ClientOptions {
  Endpoint server;
  std::string ca_pem;  ///< The only roots that are trusted; the system's are not.
  /// When set, `ca_pem` must hold a certificate with this SHA-256 (of its DER).
  std::optional<Digest256> ca_fingerprint;
  std::string client_certificate_pem;  ///< Leaf first; empty to show none.
  std::string client_key_pem;
  Millis connect_timeout{10'000};  ///< TCP and TLS together. Name resolution is the system's and has its own limit.
  Millis io_timeout{60'000};  ///< The longest time without a byte moving while a request or an answer is on its way.
};

/// How much of an answer's body has come, of how much. Units: bytes.
struct BodyProgress {
  std::uint64_t received = 0;
  std::uint64_t total = 0;
};

struct ClientRequest {
  std::string method = "GET";
  std::string target = "/";  ///< Path and query, as they go on the wire.
  std::vector<std::pair<std::string, std::string>> headers;
  std::vector<ByteSpan> body;  ///< Sent one after the other; borrowed until Send returns.
  /// What is to become of it when the server closed an idle connection meanwhile: kNever leaves it to the caller, who
  /// may find out first how much of it arrived.
  enum class Resend : std::uint8_t { kIfIdempotent, kNever };
  Resend resend = Resend::kIfIdempotent;
  std::size_t max_response_bytes = 1024 * 1024;
  /// Told as the body of an answer comes that says how large it is. Empty: nobody is.
  std::function<void(const BodyProgress&)> on_progress = {};
  /// For the whole request, and then also for the wait for an answer to begin: a long poll sets it above the time it
  /// asks the server to wait. 0: no limit in all, and `io_timeout` for the answer to begin.
  Millis timeout{0};
};

struct ClientResponse {
  int status = 0;
  /// Names in lower case.
  std::vector<std::pair<std::string, std::string>> headers;
  Bytes body;
  [[nodiscard]] std::optional<std::string_view> Header(std::string_view lower_case_name) const;
};

/// A blocking HTTPS client for one server over one kept-alive connection: TLS 1.3, the server's name checked. Where it
/// has to connect again it offers the session of the connection before, for as long as the server's certificate holds.
/// Light enough for the agent: plain poll(2), no Asio. Threads: one at a time; Cancel from any.
class HttpsClient {
 public:
  /// Checks the certificates and the key; connects with the first Send.
  /// Errors: kInvalidArgument, saying which of the options is unusable and why.
  static Result<HttpsClient> Create(ClientOptions options);
  ~HttpsClient();
  HttpsClient(HttpsClient&&) noexcept;
  HttpsClient& operator=(HttpsClient&&) noexcept;

  /// Sends one request and reads the whole answer, of any status. An idle connection that the server closed meanwhile
  /// is replaced and the request sent again once, when its method is idempotent (GET, HEAD, PUT, DELETE, OPTIONS).
  /// Errors: kUnavailable (unreachable, cut off, cancelled), kDeadlineExceeded, kUnauthenticated (one side does not
  /// believe the other's certificate), kTooLarge (answer over `max_response_bytes`), kMalformed (not HTTP), each in
  /// words for an operator.
  Result<ClientResponse> Send(const ClientRequest& request);

  /// Makes the Send under way, and every later one, fail at once with kUnavailable. Threads: any.
  void Cancel();

 private:
  class Impl;
  friend Result<std::vector<std::string>> FetchUnverifiedChain(const Endpoint& server, Millis timeout);
  friend Result<ClientResponse> FetchUnverified(const Endpoint& server, std::string_view target,
                                                std::size_t max_response_bytes, Millis timeout);
  explicit HttpsClient(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// The certificates that a server presents, leaf first, in PEM, each as one string. Nothing is verified: use it only to
/// look for a CA whose fingerprint the operator was given another way (`join`). Errors: as Send.
Result<std::vector<std::string>> FetchUnverifiedChain(const Endpoint& server, Millis timeout);

/// One GET over a connection whose server is not verified, for a CA certificate that is then compared with a
/// fingerprint. Privacy: send nothing secret this way. Errors: as Send.
Result<ClientResponse> FetchUnverified(const Endpoint& server, std::string_view target, std::size_t max_response_bytes,
                                       Millis timeout);

/// The certificate of `pem` (one or more) whose DER has the SHA-256 `fingerprint`, in PEM.
/// Errors: kUnauthenticated when none has, naming the fingerprints that were seen.
Result<std::string> FindByFingerprint(std::string_view pem, const Digest256& fingerprint);

}  // namespace tacit::net
