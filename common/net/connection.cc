#include "common/net/connection.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>

#include "common/net/http_server.h"
#include "common/net/session_cache.h"

namespace tacit::net {
namespace {

using Kind = IoStep::Kind;

// About a quarter of a millisecond of work before other connections of the thread get their turn.
constexpr std::size_t kBytesPerTurn = 256 * 1024;
constexpr SteadySpan kLingerTime = std::chrono::seconds(2);
constexpr std::size_t kLingerBytes = 4 * 1024 * 1024;
constexpr SteadySpan kBetweenLooks = std::chrono::milliseconds(100);
constexpr int kLooksForPeer = 20;

// recv or send on a plain socket, in the words of a TLS step.
IoStep StepOf(ssize_t moved, Kind wanted) {
  if (moved > 0) return {Kind::kMoved, static_cast<std::size_t>(moved)};
  if (moved == 0) return {Kind::kEnd, 0};
  const bool again = errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
  return {again ? wanted : Kind::kFailed, 0};
}

IoFault FaultOf(WaitEnd end) {
  return end == WaitEnd::kTimedOut ? IoFault::kTimedOut : IoFault::kStopped;
}

// Throws away what has arrived. False when nothing more will come.
bool Discard(int socket, std::size_t& budget) {
  std::array<std::uint8_t, kRecordBytes> scratch;
  while (budget > 0) {
    const ssize_t got = ::recv(socket, scratch.data(), std::min(scratch.size(), budget), MSG_DONTWAIT);
    if (got < 0) return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
    if (got == 0) return false;
    budget -= static_cast<std::size_t>(got);
  }
  return false;
}

HandshakeFault DescribeHandshake(const TlsFault& fault) {
  const CertificateFault& certificate = fault.certificate;
  if (certificate.x509_error == 0) return {HandshakeFailureReason(fault), fault.text};
  return {HandshakeFailureReason(fault), DescribeCertificateFault(certificate) + ": " + certificate.subject};
}

}  // namespace

SteadyPoint TransferPace::NextDeadline(SteadyPoint now) const {
  // A TLS record is handed over whole, so the average may lag by one.
  const std::uint64_t milliseconds =
      (moved_ + kRecordBytes) * 1000 / std::max<std::uint64_t>(limits_.min_bytes_per_second, 1);
  const SteadySpan allowed = limits_.progress_timeout + Millis(static_cast<std::int64_t>(milliseconds));
  return now + std::min<SteadySpan>(limits_.progress_timeout, allowed - waited_);
}

Connection::Connection(StreamSocket socket, PeerIdentity peer)
    : socket_(std::move(socket)), peer_(std::move(peer)), timer_(socket_.get_executor()) {}

void Connection::Arm(SteadyPoint deadline) {
  expired_ = false;
  deadline_ = deadline;
  if (deadline < timer_at_) StartTimer();
}

void Connection::StartTimer() {
  timer_at_ = deadline_;
  timer_.expires_at(deadline_);
  timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
    const auto self = weak.lock();
    if (self && !error) self->OnTimer();
  });
}

void Connection::OnTimer() {
  timer_at_ = SteadyPoint::max();
  if (deadline_ == SteadyPoint::max()) return;
  if (deadline_ > std::chrono::steady_clock::now()) return StartTimer();
  expired_ = true;
  deadline_ = SteadyPoint::max();
  boost::system::error_code ignored;
  socket_.cancel(ignored);
}

Task<WaitEnd> Connection::Wait(IoStep::Kind wanted, SteadyPoint deadline) {
  if (aborted_) co_return WaitEnd::kStopped;
  moved_without_waiting_ = 0;
  Arm(deadline);
  const auto type = wanted == Kind::kWantWrite ? asio::socket_base::wait_write : asio::socket_base::wait_read;
  const auto [error] = co_await socket_.async_wait(type, kNoThrow);
  deadline_ = SteadyPoint::max();
  if (!error) co_return WaitEnd::kReady;
  co_return expired_ ? WaitEnd::kTimedOut : WaitEnd::kStopped;
}

Task<WaitEnd> Connection::WaitIdle(SteadyPoint deadline) {
  if (retired_) co_return WaitEnd::kStopped;
  // Here, and not after every record: while a body comes, taking and giving back costs a tenth of decrypting.
  if (tls_) tls_->ReleaseBuffers();
  interruptible_ = true;
  const WaitEnd end = co_await Wait(Kind::kWantRead, deadline);
  interruptible_ = false;
  co_return end;
}

Task<std::expected<std::string_view, HandshakeFault>> Connection::Handshake(std::shared_ptr<ssl_ctx_st> context,
                                                                            Millis timeout) {
  boost::system::error_code ignored;
  socket_.native_non_blocking(true, ignored);
  // A Unix domain socket has no such option, and no need of it.
  socket_.set_option(asio::ip::tcp::no_delay(true), ignored);
  if (!context) co_return std::string_view();
  auto session = TlsSession::Create(context.get(), socket_.native_handle(), TlsSession::Role::kServer);
  if (!session) co_return std::unexpected(HandshakeFault{"other", session.error().message});
  tls_.emplace(*std::move(session));
  const SteadyPoint deadline = std::chrono::steady_clock::now() + timeout;
  for (;;) {
    const IoStep step = tls_->Handshake();
    if (step.kind == Kind::kMoved) break;
    if (step.kind == Kind::kEnd) co_return std::unexpected(HandshakeFault{"reset", "closed within the handshake"});
    if (step.kind == Kind::kFailed) co_return std::unexpected(DescribeHandshake(tls_->fault()));
    interruptible_ = true;
    const WaitEnd end = retired_ ? WaitEnd::kStopped : co_await Wait(step.kind, deadline);
    interruptible_ = false;
    if (end == WaitEnd::kTimedOut) co_return std::unexpected(HandshakeFault{"timeout", "not finished in time"});
    if (end == WaitEnd::kStopped) co_return std::unexpected(HandshakeFault{"other", "the server is stopping"});
  }
  tls_->ReadAhead();
  peer_ = IdentityOf(*tls_, std::move(peer_.address));
  if (SessionCache* const sessions = SessionCache::Of(context.get()); sessions != nullptr) sessions->Keep(*tls_, peer_);
  co_return kHandshakeKinds[tls_->resumed() ? 1 : 0];
}

IoStep Connection::TryRead(std::span<std::uint8_t> out) {
  if (tls_) return tls_->Read(out);
  return StepOf(::recv(socket_.native_handle(), out.data(), out.size(), 0), Kind::kWantRead);
}

IoStep Connection::TryWrite(ByteSpan bytes) {
  if (tls_) return tls_->Write(bytes);
  return StepOf(::send(socket_.native_handle(), bytes.data(), bytes.size(), MSG_NOSIGNAL), Kind::kWantWrite);
}

Task<std::expected<std::size_t, IoFault>> Connection::ReadSome(std::span<std::uint8_t> out, SteadyPoint deadline) {
  for (;;) {
    if (aborted_) co_return std::unexpected(IoFault::kStopped);
    const IoStep step = TryRead(out);
    if (step.kind == Kind::kMoved) co_return step.bytes;
    if (step.kind == Kind::kEnd) co_return std::unexpected(IoFault::kClosed);
    if (step.kind == Kind::kFailed) co_return std::unexpected(IoFault::kBroken);
    const WaitEnd end = co_await Wait(step.kind, deadline);
    if (end != WaitEnd::kReady) co_return std::unexpected(FaultOf(end));
  }
}

Task<std::expected<void, IoFault>> Connection::WaitPaced(IoStep::Kind wanted, TransferPace& pace) {
  const SteadyPoint began = std::chrono::steady_clock::now();
  const WaitEnd end = co_await Wait(wanted, pace.NextDeadline(began));
  pace.Waited(std::chrono::steady_clock::now() - began);
  if (end != WaitEnd::kReady) co_return std::unexpected(FaultOf(end));
  co_return std::expected<void, IoFault>();
}

// A peer that is faster than this thread would otherwise keep it to itself.
Task<void> Connection::GiveWay() {
  moved_without_waiting_ = 0;
  co_await asio::post(socket_.get_executor(), asio::use_awaitable);
}

template <typename Rest>
Task<std::expected<void, IoFault>> Connection::MoveAll(IoStep (Connection::*try_once)(Rest), Rest rest,
                                                       TransferPace& pace) {
  while (!rest.empty()) {
    if (aborted_) co_return std::unexpected(IoFault::kStopped);
    const IoStep step = (this->*try_once)(rest);
    if (step.kind == Kind::kMoved) {
      pace.Moved(step.bytes);
      rest = rest.subspan(step.bytes);
      moved_without_waiting_ += step.bytes;
      if (moved_without_waiting_ >= kBytesPerTurn) co_await GiveWay();
      continue;
    }
    if (step.kind == Kind::kEnd || step.kind == Kind::kFailed) co_return std::unexpected(IoFault::kBroken);
    const auto ready = co_await WaitPaced(step.kind, pace);
    if (!ready) co_return ready;
  }
  co_return std::expected<void, IoFault>();
}

Task<std::expected<void, IoFault>> Connection::ReadAll(std::span<std::uint8_t> out, TransferPace& pace) {
  return MoveAll(&Connection::TryRead, out, pace);
}

Task<std::expected<void, IoFault>> Connection::WriteAll(ByteSpan bytes, TransferPace& pace) {
  return MoveAll(&Connection::TryWrite, bytes, pace);
}

struct Connection::PeerWatch {
  std::function<void()> left;
  asio::steady_timer again;
  int looks = 0;
  bool ended = false;
};

std::shared_ptr<void> Connection::WatchPeer(std::function<void()> left) {
  // Who watches is held up: for a long poll, mostly.
  if (tls_) tls_->ReleaseBuffers();
  const auto self = shared_from_this();
  auto watch = std::make_shared<PeerWatch>(std::move(left), asio::steady_timer(socket_.get_executor()));
  socket_.async_wait(asio::socket_base::wait_read, [self, watch](const boost::system::error_code& error) {
    if (!error) self->LookForPeer(watch);
  });
  return {watch.get(), [self, watch](PeerWatch*) {
            watch->ended = true;
            watch->again.cancel();
            boost::system::error_code ignored;
            if (!self->aborted_) self->socket_.cancel(ignored);
          }};
}

// What came can be the goodbye of TLS, whose end of the stream follows, or the next request of a client that does not
// wait for answers: then there is nothing to see, and after a while nobody looks any more.
void Connection::LookForPeer(const std::shared_ptr<PeerWatch>& watch) {
  if (watch->ended || aborted_) return;
  pollfd state{.fd = socket_.native_handle(), .events = POLLRDHUP, .revents = 0};
  if (::poll(&state, 1, 0) == 1) return watch->left();
  if (++watch->looks > kLooksForPeer) return;
  watch->again.expires_after(kBetweenLooks);
  watch->again.async_wait([self = shared_from_this(), watch](const boost::system::error_code& error) {
    if (!error) self->LookForPeer(watch);
  });
}

Task<void> Connection::Linger() {
  const SteadyPoint deadline = std::chrono::steady_clock::now() + kLingerTime;
  std::size_t budget = kLingerBytes;
  while (Discard(socket_.native_handle(), budget)) {
    if (co_await WaitIdle(deadline) != WaitEnd::kReady) co_return;
  }
}

Task<void> Connection::Close(Goodbye goodbye) {
  if (aborted_) co_return;
  if (tls_) tls_->SendCloseNotify();
  boost::system::error_code ignored;
  socket_.shutdown(asio::socket_base::shutdown_send, ignored);
  if (goodbye == Goodbye::kLinger) co_await Linger();
  CloseSocket();
}

void Connection::CloseSocket() {
  boost::system::error_code ignored;
  socket_.close(ignored);
  timer_.cancel();
  aborted_ = true;
}

void Connection::Retire() {
  retired_ = true;
  boost::system::error_code ignored;
  if (interruptible_) socket_.cancel(ignored);
}

void Connection::Abort() {
  if (!aborted_) CloseSocket();
}

}  // namespace tacit::net
