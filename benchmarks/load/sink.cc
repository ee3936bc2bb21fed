#include "benchmarks/load/sink.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "common/base/bytes.h"

namespace tacit::load {
namespace {

constexpr std::string_view kAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
constexpr std::size_t kHeadRoom = 4096;

SSL_CTX* ServerContext(const std::filesystem::path& directory) {
  const std::filesystem::path pki = directory / "pki";
  SSL_CTX* context = SSL_CTX_new(TLS_server_method());
  const bool good = context != nullptr && SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) == 1 &&
                    SSL_CTX_use_certificate_chain_file(context, (pki / "server.crt").c_str()) == 1 &&
                    SSL_CTX_use_PrivateKey_file(context, (pki / "server.key").c_str(), SSL_FILETYPE_PEM) == 1 &&
                    SSL_CTX_load_verify_locations(context, (pki / "ca.crt").c_str(), nullptr) == 1;
  if (!good) return nullptr;
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
  SSL_CTX_set_num_tickets(context, 0);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  return context;
}

int Listen(std::uint16_t& port) {
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  const bool good = listener >= 0 && ::bind(listener, reinterpret_cast<const sockaddr*>(&address), size) == 0 &&
                    ::listen(listener, SOMAXCONN) == 0 &&
                    ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) == 0;
  port = ntohs(address.sin_port);
  return good ? listener : -1;
}

std::optional<std::size_t> ContentLength(std::string_view head) {
  constexpr std::string_view kName = "\r\nContent-Length: ";
  const std::size_t at = head.find(kName);
  if (at == std::string_view::npos) return std::nullopt;
  std::size_t length = 0;
  std::from_chars(head.data() + at + kName.size(), head.data() + head.size(), length);
  return length;
}

class Peer {
 public:
  Peer(SSL_CTX* context, int socket) : socket_(socket), ssl_(SSL_new(context)) {
    SSL_set_fd(ssl_, socket);
    SSL_set_accept_state(ssl_);
  }
  ~Peer() {
    SSL_free(ssl_);
    ::close(socket_);
  }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  // False when the connection has ended.
  bool Advance(std::span<std::uint8_t> body) {
    for (;;) {
      const bool in_body = left_ > 0;
      const std::span<std::uint8_t> room =
          in_body ? body.subspan(at_, std::min(left_, body.size() - at_)) : std::span(head_room_);
      const int got = SSL_read(ssl_, room.data(), static_cast<int>(std::min(room.size(), kStep)));
      if (got <= 0) {
        const int error = SSL_get_error(ssl_, got);
        ERR_clear_error();
        return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
      }
      Take(static_cast<std::size_t>(got), in_body);
    }
  }

 private:
  static constexpr std::size_t kStep = std::size_t{16} * 1024;

  void Take(std::size_t got, bool in_body) {
    if (in_body) {
      left_ -= std::min(left_, got);
      at_ += got;
    } else {
      head_.append(reinterpret_cast<const char*>(head_room_.data()), got);
      const std::size_t end = head_.find("\r\n\r\n");
      if (end == std::string::npos) return;
      const std::size_t with_head = head_.size() - end - 4;
      left_ = ContentLength(head_).value_or(0) - with_head;
      head_.clear();
      at_ = 0;
    }
    if (left_ == 0) SSL_write(ssl_, kAnswer.data(), static_cast<int>(kAnswer.size()));
  }

  int socket_;
  SSL* ssl_;
  std::array<std::uint8_t, kHeadRoom> head_room_{};
  std::string head_;
  std::size_t left_ = 0;
  std::size_t at_ = 0;
};

[[noreturn]] void Serve(SSL_CTX* context, int listener, std::size_t largest_body) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  std::vector<std::uint8_t> body(largest_body + kHeadRoom, 1);
  const int epoll = ::epoll_create1(EPOLL_CLOEXEC);
  epoll_event accepting{.events = EPOLLIN, .data = {.ptr = nullptr}};
  ::epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &accepting);
  std::array<epoll_event, 256> events{};
  for (;;) {
    const int count = ::epoll_wait(epoll, events.data(), static_cast<int>(events.size()), -1);
    for (int i = 0; i < count; ++i) {
      auto* peer = static_cast<Peer*>(events.at(static_cast<std::size_t>(i)).data.ptr);
      if (peer != nullptr) {
        if (!peer->Advance(body)) delete peer;
        continue;
      }
      for (int socket = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC); socket >= 0;
           socket = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)) {
        epoll_event reading{.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data = {.ptr = new Peer(context, socket)}};
        ::epoll_ctl(epoll, EPOLL_CTL_ADD, socket, &reading);
      }
    }
  }
}

}  // namespace

Result<Sink> Sink::Start(const Options& options) {
  SSL_CTX* context = ServerContext(options.directory);
  std::uint16_t port = 0;
  const int listener = Listen(port);
  if (context == nullptr || listener < 0) return Fail(ErrorCode::kUnavailable, "the reference server cannot start");
  const pid_t child = ::fork();
  if (child < 0) return Fail(ErrorCode::kUnavailable, "no second process");
  if (child == 0) Serve(context, listener, std::max(options.largest_body, std::size_t{1} << 20U));
  ::close(listener);
  SSL_CTX_free(context);
  return Sink(child, port);
}

Sink::Sink(Sink&& other) noexcept : process_(std::exchange(other.process_, -1)), port_(other.port_) {}

Sink::~Sink() {
  if (process_ <= 0) return;
  ::kill(process_, SIGKILL);
  ::waitpid(process_, nullptr, 0);
}

}  // namespace tacit::load
