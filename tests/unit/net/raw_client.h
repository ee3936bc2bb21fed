#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <string>
#include <string_view>

#include "common/base/check.h"

namespace tacit::net::testing {

/// A TCP socket to 127.0.0.1 that sends exactly what it is told, to say what no HTTP client would.
class RawClient {
 public:
  explicit RawClient(const std::string& port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(std::stoi(port)));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int connected = ::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address);
    TACIT_CHECK(connected == 0, "the test server accepts");
    const timeval patience{10, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  }
  ~RawClient() { Close(); }
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  /// False when the server has closed.
  bool Send(std::string_view text) {
    while (!text.empty()) {
      const ssize_t sent = ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      text.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }
  /// Reads until `text` has come `count` times, or the server closes, and returns all that came.
  std::string ReadUntil(std::string_view text, int count = 1) {
    std::string all;
    while (Count(all, text) < count) {
      char part[4096];
      const ssize_t got = ::recv(fd_, part, sizeof part, 0);
      if (got <= 0) break;
      all.append(part, static_cast<std::size_t>(got));
    }
    return all;
  }
  std::string ReadAll() { return ReadUntil(std::string_view("\0never\0", 7)); }
  /// Whether the server has ended the connection, without a byte before.
  bool IsClosed() {
    char byte = 0;
    return ::recv(fd_, &byte, 1, 0) == 0;
  }
  bool HasInput(int milliseconds) {
    pollfd watched{fd_, POLLIN, 0};
    return ::poll(&watched, 1, milliseconds) > 0;
  }
  [[nodiscard]] int fd() const { return fd_; }
  /// Ends the connection with a reset, as a machine that lost power seems to.
  void Reset() {
    const linger now{1, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    Close();
  }
  void Close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }

 private:
  static int Count(std::string_view all, std::string_view text) {
    int count = 0;
    for (std::size_t at = all.find(text); at != std::string_view::npos; at = all.find(text, at + 1)) ++count;
    return count;
  }
  int fd_;
};

}  // namespace tacit::net::testing
