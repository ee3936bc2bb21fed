#include "common/net/http_session.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <exception>
#include <utility>

#include "common/base/check.h"

namespace tacit::net {
namespace {

// What a handler left unread is worth reading only when it is cheaper than a new handshake.
constexpr std::uint64_t kMaxSkippedBody = 64 * 1024;
// nginx's number for a client that went away before it could be answered.
constexpr int kClientLeft = 499;

constexpr std::string_view kCertificateEnded =
    "the client certificate of this connection has ended; renew it and connect again";

constexpr std::string_view kNoText = "an exception of a type without text";

std::string_view MethodLabel(std::string_view method) {
  constexpr std::array<std::string_view, 7> kKnown = {"GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", "PATCH"};
  const auto* known = std::ranges::find(kKnown, method);
  return known == kKnown.end() ? "other" : *known;
}

// Source: RFC 9110, section 5.6.7. Not strftime, whose names follow the locale.
std::string HttpDate(std::time_t time) {
  constexpr std::array kDays = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  constexpr std::array kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  std::tm utc{};
  gmtime_r(&time, &utc);
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%s, %02d %s %04d %02d:%02d:%02d GMT",
                kDays.at(static_cast<std::size_t>(utc.tm_wday)), utc.tm_mday,
                kMonths.at(static_cast<std::size_t>(utc.tm_mon)), utc.tm_year + 1900, utc.tm_hour, utc.tm_min,
                utc.tm_sec);
  return text.data();
}

// A value that carried a line end would let its author write headers of their own.
std::string OneLine(std::string_view value) {
  std::string line(value);
  for (char& c : line) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  return line;
}

ByteSpan BodyOf(const HttpResponse& response) {
  if (!response.shared_body) return AsBytes(response.body);
  const ByteSpan all = response.shared_body.bytes;
  TACIT_CHECK(response.offset <= all.size() && response.length <= all.size() - response.offset,
              "a response's range lies within its bytes");
  return all.subspan(response.offset, response.length);
}

bool HasBody(int status) {
  return status >= 200 && status != 204 && status != 304;
}

enum class Persistence : std::uint8_t { kKeepAlive, kClose };

std::string HeadText(const HttpResponse& response, std::size_t body_size, Persistence persistence) {
  std::string head = "HTTP/1.1 " + std::to_string(response.status) + ' ' + std::string(ReasonPhrase(response.status));
  head += "\r\nDate: " + HttpDate(std::time(nullptr)) + "\r\n";
  if (HasBody(response.status) && !response.stream) head += "Content-Length: " + std::to_string(body_size) + "\r\n";
  if (!response.content_type.empty()) head += "Content-Type: " + OneLine(response.content_type) + "\r\n";
  if (persistence == Persistence::kClose) head += "Connection: close\r\n";
  for (const auto& [name, value] : response.headers) head += OneLine(name) + ": " + OneLine(value) + "\r\n";
  return head + "\r\n";
}

HttpResponse AllowEverything() {
  HttpResponse response;
  response.status = 204;
  response.headers = {{"Allow", "GET, HEAD, PUT, POST, DELETE, OPTIONS"}};
  return response;
}

// Bytes that came with a head and belong to its body or to the next request. Holds no memory while a connection idles.
class InputBuffer {
 public:
  explicit InputBuffer(std::size_t capacity) : capacity_(capacity) {}

  [[nodiscard]] std::string_view text() const {
    return bytes_ ? AsText({bytes_.get() + begin_, end_ - begin_}) : std::string_view();
  }
  [[nodiscard]] std::size_t size() const { return end_ - begin_; }
  [[nodiscard]] bool full() const { return size() == capacity_; }

  void Consume(std::size_t count) {
    begin_ += count;
    if (begin_ == end_) begin_ = end_ = 0;
  }
  // Moves bytes to the front of `out` and returns how many.
  std::size_t Take(std::span<std::uint8_t> out) {
    const std::size_t count = std::min(out.size(), size());
    if (count > 0) std::memcpy(out.data(), bytes_.get() + begin_, count);
    Consume(count);
    return count;
  }
  // Where to put more.
  std::span<std::uint8_t> Free() {
    if (!bytes_) bytes_ = std::make_unique_for_overwrite<std::uint8_t[]>(capacity_);
    if (begin_ > 0) {
      std::memmove(bytes_.get(), bytes_.get() + begin_, size());
      end_ -= begin_;
      begin_ = 0;
    }
    return {bytes_.get() + end_, capacity_ - end_};
  }
  void Filled(std::size_t count) { end_ += count; }
  void Release() {
    if (size() == 0) bytes_.reset();
  }

 private:
  std::size_t capacity_;
  std::unique_ptr<std::uint8_t[]> bytes_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

// No further request: silently, or after telling the client what was wrong with what it sent.
struct HeadEnd {
  std::optional<HeadFault> answer;
};

class Session final : public BodySource, public ResponseStream {
 public:
  Session(std::shared_ptr<Connection> connection, SessionEnvironment environment)
      : connection_(std::move(connection)),
        environment_(environment),
        input_(environment.options.max_header_bytes),
        body_pace_(Pace()) {}

  Task<void> Run();
  Task<Result<void>> Read(std::span<std::uint8_t> out) override;
  std::shared_ptr<void> WatchPeer(std::function<void()> left) override {
    return connection_->WatchPeer(std::move(left));
  }
  void CountBodyAs(std::uint64_t bytes) override { counted_in_ = counted_head_ + bytes; }
  Task<bool> Write(std::string_view part) override;
  Task<bool> Pause(Millis time) override;

 private:
  [[nodiscard]] TransferPace Pace() const {
    return TransferPace({environment_.options.progress_timeout, environment_.options.min_bytes_per_second});
  }
  Task<bool> RequestBegins();
  Task<std::expected<RequestHead, HeadEnd>> NextHead();
  std::expected<RequestHead, HeadEnd> TakeHead(std::size_t size);
  HeadEnd EndOf(IoFault fault) const;
  Task<bool> Exchange(RequestHead head);
  Task<HttpResponse> Answer(HttpRequest& request);
  Task<bool> Stream(const HttpResponse& response, std::string_view route);
  void TellException(std::string_view route, std::string_view what) const;
  [[nodiscard]] bool CanStay(const HttpResponse& response, std::uint64_t body_left) const;
  Task<bool> SkipBody(std::uint64_t left);
  Task<bool> Send(const HttpResponse& response, Persistence persistence);
  Task<void> Refuse(const HeadFault& fault);
  [[nodiscard]] bool CertificateHasEnded() const;
  Task<std::expected<void, IoFault>> ReadBody(std::span<std::uint8_t> out);
  void Record(std::string_view route, std::string_view method, int status);

  std::shared_ptr<Connection> connection_;
  SessionEnvironment environment_;
  InputBuffer input_;

  // Of the request under way.
  bool is_head_ = false;
  bool keep_alive_ = false;
  bool continue_awaited_ = false;
  std::optional<IoFault> body_fault_;
  TransferPace body_pace_;
  SteadyPoint began_{};
  std::uint64_t bytes_in_ = 0;
  std::uint64_t bytes_out_ = 0;
  std::uint64_t counted_head_ = 0;
  std::optional<std::uint64_t> counted_in_;
};

Task<bool> Session::RequestBegins() {
  if (input_.size() > 0 || connection_->HasPending()) co_return true;
  input_.Release();
  const auto deadline = std::chrono::steady_clock::now() + environment_.options.idle_timeout;
  co_return co_await connection_->WaitIdle(deadline) == WaitEnd::kReady;
}

HeadEnd Session::EndOf(IoFault fault) const {
  if (fault != IoFault::kTimedOut || input_.size() == 0) return {};
  return {HeadFault{408, "the request's head did not arrive in time"}};
}

std::expected<RequestHead, HeadEnd> Session::TakeHead(std::size_t size) {
  began_ = std::chrono::steady_clock::now();
  bytes_in_ = size;
  bytes_out_ = 0;
  auto head = ParseRequestHead(input_.text().substr(0, size));
  input_.Consume(size);
  if (!head) return std::unexpected(HeadEnd{std::move(head).error()});
  // A length that is nobody's business would show in its digits, also of a request that is refused before its handler
  // knows that it is.
  bytes_in_ -= head->Header("content-length").value_or("").size();
  counted_head_ = bytes_in_;
  return *std::move(head);
}

Task<std::expected<RequestHead, HeadEnd>> Session::NextHead() {
  if (!co_await RequestBegins()) co_return std::unexpected(HeadEnd{});
  const auto deadline = std::chrono::steady_clock::now() + environment_.options.header_timeout;
  std::size_t searched = 0;
  bool skipped = false;
  for (;;) {
    // One empty line before a request is tolerated. Source: RFC 9112, section 2.2.
    if (!skipped && input_.text().starts_with("\r\n")) {
      input_.Consume(2);
      skipped = true;
      searched = 0;
    }
    const auto end = FindHeadEnd(input_.text(), searched);
    if (!end) co_return std::unexpected(HeadEnd{end.error()});
    if (*end > 0) co_return TakeHead(*end);
    if (input_.full()) {
      co_return std::unexpected(
          HeadEnd{HeadFault{431, "the request's head has more than " + std::to_string(input_.size()) + " bytes"}});
    }
    searched = input_.size();
    const auto got = co_await connection_->ReadSome(input_.Free(), deadline);
    if (!got) co_return std::unexpected(EndOf(got.error()));
    input_.Filled(*got);
  }
}

Task<std::expected<void, IoFault>> Session::ReadBody(std::span<std::uint8_t> out) {
  if (body_fault_) co_return std::unexpected(*body_fault_);
  if (std::exchange(continue_awaited_, false) && input_.size() == 0) {
    TransferPace pace = Pace();
    const auto sent = co_await connection_->WriteAll(AsBytes("HTTP/1.1 100 Continue\r\n\r\n"), pace);
    if (!sent) co_return sent;
  }
  const std::size_t buffered = input_.Take(out);
  // A long poll may hold its answer back for long.
  input_.Release();
  const auto read = co_await connection_->ReadAll(out.subspan(buffered), body_pace_);
  if (read) bytes_in_ += out.size();
  co_return read;
}

Task<Result<void>> Session::Read(std::span<std::uint8_t> out) {
  const auto read = co_await ReadBody(out);
  if (read) co_return Result<void>();
  body_fault_ = read.error();
  switch (read.error()) {
    case IoFault::kTimedOut:
      co_return Fail(ErrorCode::kDeadlineExceeded, "the body came too slowly and was given up");
    case IoFault::kStopped:
      co_return Fail(ErrorCode::kUnavailable, "the server is stopping");
    case IoFault::kClosed:
    case IoFault::kBroken:
      break;
  }
  co_return Fail(ErrorCode::kUnavailable, "the client went away before the end of the body");
}

// A cut connection makes its handler's waits throw: that is no defect.
void Session::TellException(std::string_view route, std::string_view what) const {
  if (!connection_->aborted()) environment_.observer.OnHandlerException(environment_.options.name, route, what);
}

Task<HttpResponse> Session::Answer(HttpRequest& request) {
  if (request.path() == "*") co_return AllowEverything();
  try {
    co_return co_await environment_.handler(request);
  } catch (const std::exception& caught) {
    TellException(request.route(), caught.what());
  } catch (...) {
    TellException(request.route(), kNoText);
  }
  co_return Problem({ErrorCode::kInternal, "the request could not be answered; the server's log says why"},
                    request.path());
}

bool Session::CanStay(const HttpResponse& response, std::uint64_t body_left) const {
  if (!keep_alive_ || response.close || response.stream || body_fault_ || connection_->retired()) return false;
  // A client that still waits for "100 Continue" may send its body or not: the next byte could be either.
  return body_left == 0 || (!continue_awaited_ && body_left <= kMaxSkippedBody);
}

Task<bool> Session::Send(const HttpResponse& response, Persistence persistence) {
  const ByteSpan body = BodyOf(response);
  std::string head = HeadText(response, body.size(), persistence);
  const bool with_body = HasBody(response.status) && !is_head_;
  const bool together = with_body && head.size() + body.size() <= kRecordBytes;
  if (together) head += AsText(body);
  TransferPace pace = Pace();
  if (!co_await connection_->WriteAll(AsBytes(head), pace)) co_return false;
  if (with_body && !together && !co_await connection_->WriteAll(body, pace)) co_return false;
  bytes_out_ = head.size() + (with_body && !together ? body.size() : 0);
  co_return true;
}

Task<bool> Session::Write(std::string_view part) {
  TransferPace pace = Pace();
  const bool sent = (co_await connection_->WriteAll(AsBytes(part), pace)).has_value();
  if (sent) bytes_out_ += part.size();
  co_return sent;
}

Task<bool> Session::Pause(Millis time) {
  if (input_.size() > 0 || connection_->HasPending()) co_return false;
  co_return co_await connection_->WaitIdle(std::chrono::steady_clock::now() + time) == WaitEnd::kTimedOut;
}

// The head has been sent.
Task<bool> Session::Stream(const HttpResponse& response, std::string_view route) {
  input_.Release();
  try {
    co_await response.stream(*this);
    co_return true;
  } catch (const std::exception& caught) {
    TellException(route, caught.what());
  } catch (...) {
    TellException(route, kNoText);
  }
  co_return false;
}

Task<bool> Session::SkipBody(std::uint64_t left) {
  std::array<std::uint8_t, 4096> scratch;
  while (left > 0) {
    const std::span<std::uint8_t> part(scratch.data(),
                                       static_cast<std::size_t>(std::min<std::uint64_t>(left, scratch.size())));
    if (!co_await ReadBody(part)) co_return false;
    left -= part.size();
  }
  co_return true;
}

void Session::Record(std::string_view route, std::string_view method, int status) {
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - began_;
  environment_.observer.OnRequest({environment_.options.name, route, MethodLabel(method), status, seconds.count(),
                                   counted_in_.value_or(bytes_in_), bytes_out_});
}

// True when the connection can take another request.
Task<bool> Session::Exchange(RequestHead head) {
  is_head_ = head.method == "HEAD";
  keep_alive_ = head.keep_alive;
  continue_awaited_ = head.expects_continue;
  body_fault_.reset();
  body_pace_ = Pace();
  HttpRequest request(std::move(head), connection_->peer(), *this);
  const HttpResponse response = co_await Answer(request);
  const bool unreachable = connection_->aborted() || (body_fault_ && *body_fault_ != IoFault::kTimedOut);
  if (unreachable) {
    Record(request.route(), request.method(), kClientLeft);
    co_return false;
  }
  const bool stays = CanStay(response, request.body_left());
  bool sent = co_await Send(response, stays ? Persistence::kKeepAlive : Persistence::kClose);
  if (sent && response.stream && !is_head_) sent = co_await Stream(response, request.route());
  Record(request.route(), request.method(), sent ? response.status : kClientLeft);
  co_return sent&& stays&& co_await SkipBody(request.body_left());
}

Task<void> Session::Refuse(const HeadFault& fault) {
  if (bytes_in_ == 0) began_ = std::chrono::steady_clock::now();
  is_head_ = false;
  const bool sent = co_await Send(StatusProblem(fault.status, fault.message, ""), Persistence::kClose);
  Record("", "", sent ? fault.status : kClientLeft);
}

// The handshake looked at the dates once; a kept-alive connection must not carry a certificate beyond its end.
bool Session::CertificateHasEnded() const {
  const PeerIdentity& peer = connection_->peer();
  return !peer.certificate_sha256.empty() && std::chrono::system_clock::now() > peer.not_after;
}

Task<void> Session::Run() {
  auto goodbye = Connection::Goodbye::kAtOnce;
  while (!connection_->retired()) {
    bytes_in_ = 0;
    counted_in_.reset();
    auto head = co_await NextHead();
    if (head && CertificateHasEnded()) head = std::unexpected(HeadEnd{HeadFault{401, std::string(kCertificateEnded)}});
    if (head) {
      if (co_await Exchange(*std::move(head))) continue;
      goodbye = Connection::Goodbye::kLinger;
      break;
    }
    const std::optional<HeadFault>& answer = head.error().answer;
    if (answer) {
      co_await Refuse(*answer);
      goodbye = Connection::Goodbye::kLinger;
    }
    break;
  }
  co_await connection_->Close(goodbye);
}

}  // namespace

Task<bool> ShakeHands(std::shared_ptr<Connection> connection, SessionEnvironment environment) {
  const ListenerOptions& options = environment.options;
  auto context = options.tls ? options.tls->native() : nullptr;
  const auto handshake = co_await connection->Handshake(std::move(context), options.handshake_timeout);
  if (handshake) {
    if (!handshake->empty()) environment.observer.OnHandshake(options.name, *handshake);
    co_return true;
  }
  if (!connection->retired()) {
    environment.observer.OnHandshakeFailed(options.name, handshake.error().reason, connection->peer().address,
                                           handshake.error().detail);
  }
  // The client is to read the alert that says why, not a reset; there is none where nothing came in time.
  const bool silent = handshake.error().reason == "timeout";
  co_await connection->Close(silent ? Connection::Goodbye::kAtOnce : Connection::Goodbye::kLinger);
  co_return false;
}

Task<void> ServeRequests(std::shared_ptr<Connection> connection, SessionEnvironment environment) {
  Session session(std::move(connection), environment);
  co_await session.Run();
}

}  // namespace tacit::net
