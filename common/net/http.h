#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/net/executor.h"
#include "common/net/http_head.h"
#include "common/net/tls.h"

namespace tacit::net {

/// Where the bytes of a request's body come from: a connection, or memory in a test of a handler.
class BodySource {
 public:
  virtual ~BodySource() = default;
  /// Fills all of `out` with the next bytes. Never asked for more than the announced length.
  virtual Task<Result<void>> Read(std::span<std::uint8_t> out) = 0;
  /// As HttpRequest::WatchPeer; nothing where there is no connection.
  virtual std::shared_ptr<void> WatchPeer(std::function<void()> /*left*/) { return nullptr; }
  /// As HttpRequest::CountBodyAs.
  virtual void CountBodyAs(std::uint64_t /*bytes*/) {}
};

/// A body that is in memory already, for tests of handlers.
class BytesBody final : public BodySource {
 public:
  explicit BytesBody(Bytes bytes) : bytes_(std::move(bytes)) {}
  Task<Result<void>> Read(std::span<std::uint8_t> out) override;

 private:
  Bytes bytes_;
  std::size_t position_ = 0;
};

/// One request, given to a handler by reference for as long as its task runs. Threads: the connection's.
class HttpRequest {
 public:
  /// `body` must outlive the request.
  HttpRequest(RequestHead head, PeerIdentity peer, BodySource& body);

  [[nodiscard]] const RequestHead& head() const { return head_; }
  [[nodiscard]] const std::string& method() const { return head_.method; }
  /// As sent, without the query, syntax checked, escapes not decoded.
  [[nodiscard]] const std::string& path() const { return head_.path; }
  /// The decoded query parameter of this name, or nothing.
  [[nodiscard]] std::optional<std::string_view> Query(std::string_view name) const;
  [[nodiscard]] const std::vector<std::pair<std::string, std::string>>& query() const { return head_.query; }
  /// The first header of this name, in any case, or nothing.
  [[nodiscard]] std::optional<std::string_view> Header(std::string_view name) const;
  /// Nothing when the request has no body at all.
  [[nodiscard]] std::optional<std::uint64_t> content_length() const { return head_.content_length; }
  [[nodiscard]] const PeerIdentity& peer() const { return peer_; }

  /// Body bytes that have not been read yet. What a handler leaves is thrown away, or the connection closed.
  [[nodiscard]] std::uint64_t body_left() const { return body_left_; }

  /// Fills all of `out` with the next body bytes, decrypted straight into it; the first call answers `Expect:
  /// 100-continue`. Errors: kMalformed when fewer bytes are left (then none is read); kUnavailable when the client went
  /// away; kDeadlineExceeded when it was too slow.
  Task<Result<void>> Read(std::span<std::uint8_t> out);

  /// The rest of the body. Errors: kTooLarge, before memory is taken, when more than `limit` bytes are left; as Read.
  Task<Result<Bytes>> ReadBody(std::size_t limit);

  /// Calls `left`, on the connection's thread, when the client ends the connection while its answer is still held back;
  /// until the handle that is returned ends. For long polls: nothing is read meanwhile.
  [[nodiscard]] std::shared_ptr<void> WatchPeer(std::function<void()> left) { return body_.WatchPeer(std::move(left)); }

  /// In metrics and logs the body has this many bytes: where its true length is nobody's business.
  void CountBodyAs(std::uint64_t bytes) { body_.CountBodyAs(bytes); }

  /// The route's pattern ("/v1/tasks/{task}"), set by a router: a label for metrics that no caller can make up.
  void SetRoute(std::string_view route) { route_ = route; }
  [[nodiscard]] const std::string& route() const { return route_; }

  /// After how long the client may come back, where the answer says that it should.
  void SetRetryAfter(Millis after) { retry_after_ = after; }
  [[nodiscard]] Millis retry_after() const { return retry_after_; }

 private:
  RequestHead head_;
  PeerIdentity peer_;
  BodySource& body_;
  std::uint64_t body_left_;
  std::string route_;
  Millis retry_after_{2'000};
};

/// The connection, to an answer that is written while it goes on. Threads: the connection's.
class ResponseStream {
 public:
  virtual ~ResponseStream() = default;
  /// False when the client is gone, or takes nothing: then nothing can be written any more.
  virtual Task<bool> Write(std::string_view part) = 0;
  /// Waits. False, at once, when the answer should end: the client left or sent something else, or the server stops.
  virtual Task<bool> Pause(Millis time) = 0;
};

/// What a handler answers. Content-Length, Date and Connection are added when it is written; the body of an answer to
/// HEAD is not sent, only its length.
struct HttpResponse {
  int status = 200;
  std::string content_type;  ///< Left out when empty.
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  /// Sent instead of `body` when set, without being copied: `length` bytes from `offset`.
  SharedBytes shared_body;
  std::size_t offset = 0;
  std::size_t length = 0;
  /// Set: writes the body, which has no length then and ends with the connection (RFC 9112, section 6.3). It runs
  /// while the request still lives, as a handler does.
  std::function<Task<void>(ResponseStream&)> stream;
  bool close = false;  ///< Close the connection after this answer.
};

/// An error as `application/problem+json`; `instance` is the path it happened at. Source: RFC 9457.
/// Privacy: the message of the error goes to the caller: keep it free of other people's names.
HttpResponse Problem(const Error& error, std::string_view instance);

/// The same for an HTTP status that no `ErrorCode` has (405, 431, ...): its problem type is `about:blank`.
HttpResponse StatusProblem(int status, std::string_view detail, std::string_view instance);

/// The standard phrase of a status ("Not Found").
std::string_view ReasonPhrase(int status);

/// The strong entity tag of a body, with its quotes.
std::string TagOf(std::string_view body);

/// Whether the caller's If-Match, where it sent one, is met by what has this tag. Source: RFC 9110, section 13.1.1.
bool MeetsIfMatch(const HttpRequest& request, std::string_view quoted_tag);

/// Gives an answer to GET or HEAD the strong entity tag of its body, and makes it 304 for a client that has those
/// bytes.
void TagBody(const HttpRequest& request, HttpResponse& response);

/// Answers GET and HEAD for immutable bytes: 200, 206 for one range (If-Range honoured), 304 when the caller has it
/// already, 416 for a range outside. `etag` is the tag without its quotes and must name exactly these bytes. Several
/// ranges at once are answered with the whole, as RFC 9110 section 14.2 allows.
HttpResponse ServeBytes(const HttpRequest& request, SharedBytes bytes, std::string_view content_type,
                        std::string_view etag);

/// Runs on the connection's I/O thread and moves elsewhere for work over about 100 us (CallOn, ComputePool). It bounds
/// its own waits. An exception that leaves it is answered with 500 and told to the observer.
using Handler = std::function<Task<HttpResponse>(HttpRequest&)>;

}  // namespace tacit::net
