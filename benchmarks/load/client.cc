#include "benchmarks/load/client.h"

#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <utility>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "common/base/check.h"

namespace tacit::load {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t kWriteStep = std::size_t{64} * 1024;
constexpr std::size_t kDripped = std::size_t{64} * 1024;
constexpr std::size_t kDripStep = 1024;
constexpr milliseconds kDripPause{5};

struct BioDeleter {
  void operator()(BIO* bio) const { BIO_free(bio); }
};
std::unique_ptr<BIO, BioDeleter> Over(const std::string& text) {
  return std::unique_ptr<BIO, BioDeleter>(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

void UseIdentity(SSL* ssl, const Identity& identity) {
  X509* certificate = PEM_read_bio_X509(Over(identity.certificate_pem).get(), nullptr, nullptr, nullptr);
  EVP_PKEY* key = PEM_read_bio_PrivateKey(Over(identity.key_pem).get(), nullptr, nullptr, nullptr);
  const bool used = SSL_use_certificate(ssl, certificate) == 1 && SSL_use_PrivateKey(ssl, key) == 1;
  X509_free(certificate);
  EVP_PKEY_free(key);
  TACIT_CHECK(used, "the fleet's file holds what PrepareFleet wrote");
}

/// The number of a header, or nothing.
std::optional<std::size_t> HeaderNumber(std::string_view head, std::string_view name) {
  const std::size_t at = head.find(name);
  if (at == std::string_view::npos) return std::nullopt;
  std::size_t number = 0;
  const char* begin = head.data() + at + name.size();
  if (std::from_chars(begin, head.data() + head.size(), number).ec != std::errc()) return std::nullopt;
  return number;
}

int StatusOf(std::string_view head) {
  int status = 0;
  constexpr std::size_t kAt = std::string_view("HTTP/1.1 ").size();
  if (head.size() > kAt) std::from_chars(head.data() + kAt, head.data() + head.size(), status);
  return status;
}

}  // namespace

// ---- Loop ----

Loop::Loop() : epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
  TACIT_CHECK(epoll_ >= 0, "a process may have an epoll");
}

Loop::~Loop() {
  ::close(epoll_);
}

void Loop::At(SteadyTime time, std::function<void()> f) {
  timers_.push({time, timers_made_++, std::make_shared<std::function<void()>>(std::move(f))});
}

void Loop::RunTimers() {
  while (!timers_.empty() && timers_.top().time <= Now()) {
    const auto f = timers_.top().f;
    timers_.pop();
    (*f)();
  }
}

int Loop::PatienceMs(SteadyTime deadline) const {
  const SteadyTime until = timers_.empty() ? deadline : std::min(deadline, timers_.top().time);
  const auto left = std::chrono::ceil<milliseconds>(until - Now()).count();
  return static_cast<int>(std::clamp<std::int64_t>(left, 0, 1000));
}

bool Loop::RunUntil(SteadyTime deadline) {
  stopped_ = false;
  std::array<epoll_event, 256> events{};
  while (!stopped_ && Now() < deadline) {
    const int count = ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), PatienceMs(deadline));
    for (int i = 0; i < count; ++i) static_cast<Client*>(events.at(static_cast<std::size_t>(i)).data.ptr)->Advance();
    RunTimers();
  }
  return stopped_;
}

// ---- Client ----

Result<SslContext> ClientContext(const std::string& ca_pem) {
  SslContext context(SSL_CTX_new(TLS_client_method()));
  X509* ca = PEM_read_bio_X509(Over(ca_pem).get(), nullptr, nullptr, nullptr);
  if (context == nullptr || ca == nullptr) return Fail(ErrorCode::kMalformed, "the CA's certificate does not parse");
  X509_STORE_add_cert(SSL_CTX_get_cert_store(context.get()), ca);
  X509_free(ca);
  SSL_CTX_set_min_proto_version(context.get(), TLS1_3_VERSION);
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set_mode(context.get(),
                   SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS |
                       SSL_MODE_NO_AUTO_CHAIN);  // as an agent: the root is not sent
  return context;
}

Client::Client(Loop& loop, Options options, std::size_t index) : loop_(loop), options_(options), index_(index) {}

Client::~Client() {
  Cut();
}

void Client::Cut() {
  if (ssl_ != nullptr) SSL_free(std::exchange(ssl_, nullptr));
  if (socket_ >= 0) ::close(std::exchange(socket_, -1));
  state_ = State::kClosed;
  received_.clear();
}

void Client::Send(Request request, OnAnswer on_answer) {
  TACIT_CHECK(!on_answer_, "one request at a time");
  request_ = std::move(request);
  sent_ = 0;
  on_answer_ = std::move(on_answer);
  if (state_ == State::kIdle) state_ = State::kWriting;
  // From the loop, so that no answer comes from within.
  loop_.At(Now(), [this] { Advance(); });
}

void Client::Connect(OnAnswer on_answer) {
  TACIT_CHECK(!on_answer_, "one request at a time");
  request_.reset();
  on_answer_ = std::move(on_answer);
  loop_.At(Now(), [this] { Advance(); });
}

void Client::Open() {
  socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  TACIT_CHECK(socket_ >= 0, "as many files as clients may be open: ulimit -n");
  const int on = 1;
  ::setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  ::connect(socket_, reinterpret_cast<const sockaddr*>(&options_.server), sizeof options_.server);
  ssl_ = SSL_new(options_.context);
  UseIdentity(ssl_, *options_.identity);
  SSL_set_fd(ssl_, socket_);
  SSL_set_connect_state(ssl_);
  state_ = State::kConnecting;
  epoll_event event{.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data = {.ptr = this}};
  ::epoll_ctl(loop_.epoll_, EPOLL_CTL_ADD, socket_, &event);
}

void Client::Advance() {
  if (state_ == State::kClosed && !on_answer_) return;
  if (state_ == State::kClosed) Open();
  while (Step()) {
  }
}

// False when the socket has to be waited for, or nothing is to be done.
bool Client::Step() {
  switch (state_) {
    case State::kClosed:
      return false;
    case State::kConnecting:
      return FinishConnect();
    case State::kShaking:
      return Shake();
    case State::kWriting:
      return Write();
    case State::kReading:
    case State::kIdle:
      return Read();
  }
  return false;
}

bool Client::FinishConnect() {
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(socket_, SOL_SOCKET, SO_ERROR, &error, &size);
  sockaddr_in peer{};
  socklen_t peer_size = sizeof peer;
  if (error == 0 && ::getpeername(socket_, reinterpret_cast<sockaddr*>(&peer), &peer_size) != 0) return false;
  if (error != 0) {
    Finish({});
    return false;
  }
  state_ = State::kShaking;
  return true;
}

bool Client::Shake() {
  const int done = SSL_do_handshake(ssl_);
  if (done != 1) return Wants(done);
  state_ = request_ ? State::kWriting : State::kIdle;
  if (!request_) {
    const OnAnswer on_answer = std::exchange(on_answer_, nullptr);
    on_answer(*this, {.status = 200, .body = {}});
  }
  return true;
}

// What may be sent now; empty when all is sent.
ByteSpan Client::Unsent() const {
  const ByteSpan head = AsBytes(request_->head);
  if (sent_ < head.size()) return head.subspan(sent_);
  const std::size_t at = sent_ - head.size();
  const ByteSpan rest = request_->body.subspan(at);
  const bool drips = request_->mischief == Mischief::kDrip && at < kDripped;
  return rest.first(std::min(rest.size(), drips ? kDripStep : kWriteStep));
}

bool Client::Write() {
  const ByteSpan part = Unsent();
  if (part.empty()) {
    state_ = State::kReading;
    return true;
  }
  if (request_->mischief == Mischief::kAbort && sent_ > request_->head.size() + request_->body.size() / 2) {
    Finish({});
    return false;
  }
  const bool drips = request_->mischief == Mischief::kDrip && part.size() == kDripStep;
  if (drips && Now() < not_before_) {
    loop_.At(not_before_, [this] { Advance(); });
    return false;
  }
  if (drips) not_before_ = Now() + kDripPause;
  std::size_t written = 0;
  const int done = SSL_write_ex(ssl_, part.data(), part.size(), &written);
  if (done != 1) {
    // A server that refuses a body answers before it has all of it.
    const int error = SSL_get_error(ssl_, done);
    if (error == SSL_ERROR_WANT_WRITE || error == SSL_ERROR_WANT_READ) return Read();
    ERR_clear_error();
    state_ = State::kReading;
    return true;
  }
  sent_ += written;
  return true;
}

bool Client::Read() {
  std::array<char, 4096> part;
  const int got = SSL_read(ssl_, part.data(), static_cast<int>(part.size()));
  if (got <= 0) return Wants(got);
  received_.append(part.data(), static_cast<std::size_t>(got));
  Parse();
  return state_ != State::kClosed;
}

void Client::Parse() {
  constexpr std::string_view kHeadEnd = "\r\n\r\n";
  const std::size_t end = received_.find(kHeadEnd);
  if (end == std::string::npos || !on_answer_) return;
  const std::string_view head = std::string_view(received_).substr(0, end + 2);
  const std::size_t length = HeaderNumber(head, "\r\nContent-Length: ").value_or(0);
  if (received_.size() < end + kHeadEnd.size() + length) return;
  Answer answer{.status = StatusOf(head),
                .body = received_.substr(end + kHeadEnd.size(), length),
                .retry_after = milliseconds(1000 * HeaderNumber(head, "\r\nRetry-After: ").value_or(0))};
  const bool closes = head.contains("Connection: close") || sent_ < request_->head.size() + request_->body.size();
  received_.clear();
  state_ = State::kIdle;
  if (closes) Cut();
  const OnAnswer on_answer = std::exchange(on_answer_, nullptr);
  on_answer(*this, answer);
}

void Client::Finish(const Answer& answer) {
  Cut();
  if (const OnAnswer on_answer = std::exchange(on_answer_, nullptr)) on_answer(*this, answer);
}

// After a call that did not succeed: false, and when it never will, the end of the request too.
bool Client::Wants(int result) {
  const int error = SSL_get_error(ssl_, result);
  if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) return false;
  ERR_clear_error();
  Finish({});
  return false;
}

}  // namespace tacit::load
