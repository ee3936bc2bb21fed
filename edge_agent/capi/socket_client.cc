#include "edge_agent/capi/socket_client.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <optional>
#include <system_error>
#include <utility>

#include "common/base/text.h"

namespace tacit::capi {
namespace {

constexpr std::size_t kLongestHead = std::size_t{16} * 1024;
constexpr std::string_view kBlankLine = "\r\n\r\n";
constexpr std::string_view kStatusLine = "HTTP/1.1 ";

std::unexpected<Error> SocketFailure(std::string_view doing, const std::string& path) {
  const bool late = errno == EAGAIN || errno == EWOULDBLOCK;
  return Fail(late ? ErrorCode::kDeadlineExceeded : ErrorCode::kUnavailable,
              std::string(doing) + " " + path + ": " + (late ? "timed out" : std::generic_category().message(errno)));
}

timeval TimeOf(Millis timeout) {
  timeval time{};
  time.tv_sec = timeout.count() / 1000;
  time.tv_usec = (timeout.count() % 1000) * 1000;
  return time;
}

}  // namespace

Result<AnswerHead> ParseAnswerHead(std::string_view head) {
  if (!head.starts_with(kStatusLine) || head.size() < kStatusLine.size() + 3)
    return Fail(ErrorCode::kMalformed, "what answered is no agent");
  const auto status = ParseWhole(head.substr(kStatusLine.size(), 3));
  std::optional<std::uint64_t> size;
  std::optional<std::uint64_t> json_size;
  for (std::size_t at = head.find("\r\n"); at != std::string_view::npos && at + 2 < head.size();) {
    const std::size_t end = std::min(head.find("\r\n", at + 2), head.size());
    const std::string_view line = head.substr(at + 2, end - at - 2);
    const std::size_t colon = std::min(line.find(':'), line.size());
    const std::string name = LowerCase(line.substr(0, colon));
    const std::string_view value = line.substr(std::min(line.find_first_not_of(' ', colon + 1), line.size()));
    if (name == "content-length") size = ParseWhole(value);
    if (name == "inference-header-content-length") json_size = ParseWhole(value);
    at = end;
  }
  if (!status || !size || json_size.value_or(0) > *size)
    return Fail(ErrorCode::kMalformed, "the agent's answer has no length, or one that cannot be");
  return AnswerHead{.status = static_cast<int>(*status),
                    .size = static_cast<std::size_t>(*size),
                    .json_size = static_cast<std::size_t>(json_size.value_or(*size))};
}

Result<void> SocketClient::Connect() {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path_.empty() || path_.size() >= sizeof address.sun_path)
    return Fail(ErrorCode::kInvalidArgument, "the path of a socket must have 1 to 107 bytes");
  std::memcpy(address.sun_path, path_.data(), path_.size());
  OwnedFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const timeval time = TimeOf(timeout_);
  const bool ready = socket && ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time) == 0 &&
                     ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time) == 0 &&
                     ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  if (!ready) return SocketFailure("cannot connect to", path_);
  socket_ = std::move(socket);
  return {};
}

Result<void> SocketClient::Write(ByteSpan bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return SocketFailure("cannot write to", path_);
    bytes = bytes.subspan(static_cast<std::size_t>(sent));
  }
  return {};
}

Result<std::size_t> SocketClient::ReadSome(std::span<std::uint8_t> into) {
  for (;;) {
    const ssize_t got = ::recv(socket_.get(), into.data(), into.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return SocketFailure("cannot read from", path_);
    if (got == 0) return Fail(ErrorCode::kUnavailable, "the agent at " + path_ + " ended the connection");
    return static_cast<std::size_t>(got);
  }
}

Result<SocketAnswer> SocketClient::Read(std::size_t limit) {
  Bytes buffer(kLongestHead);
  std::size_t filled = 0;
  std::size_t end = std::string_view::npos;
  while (end == std::string_view::npos) {
    if (filled == buffer.size()) return Fail(ErrorCode::kMalformed, "the head of the agent's answer is too long");
    TACIT_TRY(const std::size_t got, ReadSome(std::span(buffer).subspan(filled)));
    filled += got;
    end = AsText(buffer).substr(0, filled).find(kBlankLine);
  }
  TACIT_TRY(const AnswerHead head, ParseAnswerHead(AsText(buffer).substr(0, end)));
  const std::size_t begin = end + kBlankLine.size();
  if (head.size > limit) return Fail(ErrorCode::kTooLarge, "the agent's answer is longer than it can be");
  if (filled - begin > head.size) return Fail(ErrorCode::kMalformed, "the agent's answer is longer than it says");
  SocketAnswer answer{.status = head.status, .json_size = head.json_size, .body = Bytes(head.size)};
  std::size_t have = filled - begin;
  std::copy_n(buffer.begin() + static_cast<std::ptrdiff_t>(begin), have, answer.body.begin());
  while (have < answer.body.size()) {
    TACIT_TRY(const std::size_t got, ReadSome(std::span(answer.body).subspan(have)));
    have += got;
  }
  return answer;
}

Result<SocketAnswer> SocketClient::Exchange(const std::string& head, const std::vector<ByteSpan>& body,
                                            std::size_t limit) {
  // One that the agent closed while nobody asked has something to read: its end.
  pollfd state{.fd = socket_.get(), .events = POLLIN, .revents = 0};
  if (!socket_ || ::poll(&state, 1, 0) != 0) TACIT_TRY_VOID(Connect());
  std::size_t size = 0;
  for (const ByteSpan part : body) size += part.size();
  TACIT_TRY_VOID(Write(AsBytes(head + "Host: localhost\r\nContent-Length: " + std::to_string(size) + "\r\n\r\n")));
  for (const ByteSpan part : body) TACIT_TRY_VOID(Write(part));
  return Read(limit);
}

Result<SocketAnswer> SocketClient::Send(const std::string& head, const std::vector<ByteSpan>& body, std::size_t limit) {
  auto answer = Exchange(head, body, limit);
  if (!answer) socket_ = OwnedFd();
  return answer;
}

}  // namespace tacit::capi
