#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/web/web_url.h"

namespace tacit::web {

struct WebLimits {
  Millis connect{10'000};  ///< Finding the address, TCP and TLS together.
  Millis whole{30'000};    ///< From the beginning to the answer's last byte.
  std::size_t max_body_bytes = std::size_t{1024} * 1024;
};

struct WebHeader {
  std::string name;
  std::string value;
};

/// Whether a header is one, and stays one on the wire: a value with a line end in it would be two.
/// Source: RFC 9110, sections 5.5 and 5.6.2.
bool CanBeSent(const WebHeader& header);

enum class WebMethod : std::uint8_t { kGet, kPost, kPut };

struct WebRequest {
  WebMethod method = WebMethod::kGet;
  std::string url;
  std::vector<WebHeader> headers;
  std::vector<ByteSpan> body;  ///< Sent one after the other; borrowed until Ask returns. Nothing with kGet.
};

struct WebResponse {
  int status = 0;
  std::string body;
  std::vector<WebHeader> headers;                   ///< Names in lower case.
  std::optional<std::chrono::seconds> retry_after;  ///< What a Retry-After header asks for, as a span from now.
  /// The first of that name.
  [[nodiscard]] std::optional<std::string_view> Header(std::string_view lower_case_name) const;
};

struct WebOptions {
  /// PEM of the only roots that are trusted; empty: the system's.
  std::filesystem::path ca_file;
  std::string user_agent = "tacit";
  WebLimits limits;
  PlainHttp plain_http = PlainHttp::kRefused;
};

/// Asks other people's servers over HTTP/1.1, one connection a request. Threads: any, at once.
class WebClient {
 public:
  /// Reads the CA file. Errors: those of reading it; kInvalidArgument when no certificate is in it, or for limits that
  /// are none.
  static Result<WebClient> Create(const WebOptions& options);

  /// Sends one request and reads the whole answer, of any status but a redirection. Blocks; `stop` ends it at once.
  /// Errors: kInvalidArgument for a URL or a header that cannot be sent, and for a redirection (the URL is not where
  ///   the server is); kUnavailable (unreachable, cut off, stopped); kDeadlineExceeded; kUnauthenticated when the
  ///   server's certificate is not believed; kTooLarge; kMalformed (not HTTP). Each names the URL's origin.
  /// Privacy: no error and no log has a header, a path or a query in it.
  Result<WebResponse> Ask(const WebRequest& request, const std::stop_token& stop) const;

 private:
  WebClient(WebOptions options, Bytes ca_pem) : options_(std::move(options)), ca_pem_(std::move(ca_pem)) {}

  WebOptions options_;
  Bytes ca_pem_;  // empty: the system's
};

}  // namespace tacit::web
