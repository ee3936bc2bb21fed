#include "common/net/reach.h"

#include <netdb.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <ctime>
#include <memory>
#include <string>

#include "common/net/client_connection.h"

namespace tacit::net {
namespace {

std::unexpected<Error> SystemFailure(std::string_view doing, const Endpoint& endpoint) {
  const int error = errno;
  const bool late = error == EAGAIN || error == EINPROGRESS;
  const ErrorCode code = late              ? ErrorCode::kDeadlineExceeded
                         : error == EACCES ? ErrorCode::kPermissionDenied
                                           : ErrorCode::kUnavailable;
  return Fail(code, std::string(doing) + " " + endpoint.host + " port " + std::to_string(endpoint.port) + ": " +
                        (late ? "timed out" : std::strerror(error)));
}

Result<Addresses> AddressesOf(const Endpoint& endpoint) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  if (::getaddrinfo(endpoint.host.c_str(), std::to_string(endpoint.port).c_str(), &hints, &found) != 0)
    return Fail(ErrorCode::kInvalidArgument, "'" + endpoint.host + "' is not an IP address");
  return Addresses(found);
}

OwnedFd SocketFor(const addrinfo& address) {
  return OwnedFd(::socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

// On Linux what bounds a write bounds a connect, too.
void SetTimeout(const OwnedFd& socket, Millis timeout) {
  const timeval limit{.tv_sec = timeout.count() / 1000, .tv_usec = timeout.count() % 1000 * 1000};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
}

// `HTTP/1.1 200`, with which every answer begins.
constexpr std::size_t kStatusEnd = 12;

Result<int> ParseStatus(std::string_view head) {
  int status = 0;
  const bool is_http = head.starts_with("HTTP/1.") && head.size() == kStatusEnd;
  const std::string_view digits = is_http ? head.substr(kStatusEnd - 3) : "";
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), status);
  if (!is_http || error != std::errc() || end != digits.data() + digits.size())
    return Fail(ErrorCode::kMalformed, "what answers there does not speak HTTP");
  return status;
}

}  // namespace

Result<void> TryListen(const Endpoint& address) {
  TACIT_TRY(const Addresses found, AddressesOf(address));
  const OwnedFd socket = SocketFor(*found);
  const int on = 1;
  // As the server does: connections of one that has just ended are not in its way.
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const bool free = socket.get() >= 0 && ::bind(socket.get(), found->ai_addr, found->ai_addrlen) == 0 &&
                    ::listen(socket.get(), 1) == 0;
  if (!free) return SystemFailure("cannot listen at", address);
  return {};
}

Result<int> PlainStatus(const Endpoint& server, std::string_view target, Millis timeout) {
  TACIT_TRY(const Addresses found, AddressesOf(server));
  const OwnedFd socket = SocketFor(*found);
  SetTimeout(socket, timeout);
  if (socket.get() < 0 || ::connect(socket.get(), found->ai_addr, found->ai_addrlen) != 0)
    return SystemFailure("cannot connect to", server);
  const std::string request =
      "GET " + std::string(target) + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
  if (::send(socket.get(), request.data(), request.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(request.size()))
    return SystemFailure("cannot ask", server);
  std::array<char, kStatusEnd> head{};
  const ssize_t got = ::recv(socket.get(), head.data(), head.size(), MSG_WAITALL);
  if (got < 0) return SystemFailure("no answer from", server);
  return ParseStatus({head.data(), static_cast<std::size_t>(got)});
}

Result<WallTime> ParseHttpDate(std::string_view text) {
  std::tm time{};
  const std::string terminated(text);
  const char* end = ::strptime(terminated.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &time);
  if (end == nullptr || *end != '\0') return Fail(ErrorCode::kMalformed, "a Date header that is no date");
  return WallTime(std::chrono::seconds(::timegm(&time)));
}

}  // namespace tacit::net
