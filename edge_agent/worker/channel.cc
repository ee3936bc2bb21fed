#include "edge_agent/worker/channel.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace tacit::worker {
namespace {

constexpr std::size_t kMostParts = 64;

std::unexpected<Error> Gone(const char* what) {
  return Fail(ErrorCode::kUnavailable, std::string("the other side of a worker's socket is gone: ") + what);
}
std::unexpected<Error> GoneBy(int system_error) {
  return Gone(std::generic_category().message(system_error).c_str());
}

// A message with room for one descriptor beside it.
struct Descriptor {
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> bytes{};
};

void Attach(msghdr& message, Descriptor& room, int file) {
  message.msg_control = room.bytes.data();
  message.msg_controllen = room.bytes.size();
  cmsghdr* const header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(header), &file, sizeof file);
}

OwnedFd Detach(msghdr& message) {
  const cmsghdr* const header = CMSG_FIRSTHDR(&message);
  if (header == nullptr || header->cmsg_type != SCM_RIGHTS || header->cmsg_len != CMSG_LEN(sizeof(int))) return {};
  int file = -1;
  std::memcpy(&file, CMSG_DATA(header), sizeof file);
  return OwnedFd(file);
}

// Takes what was sent off the front of the parts.
void Advance(std::span<iovec>& parts, std::size_t sent) {
  while (!parts.empty() && sent >= parts.front().iov_len) {
    sent -= parts.front().iov_len;
    parts = parts.subspan(1);
  }
  if (parts.empty()) return;
  parts.front().iov_base = static_cast<std::uint8_t*>(parts.front().iov_base) + sent;
  parts.front().iov_len -= sent;
}

}  // namespace

Result<void> Channel::Await(short events, SteadyPoint deadline) const {
  for (;;) {
    const auto left = deadline - std::chrono::steady_clock::now();
    const auto wait = std::clamp<long long>(std::chrono::ceil<Millis>(left).count(), 0, 3'600'000);
    pollfd watched{.fd = socket_.get(), .events = events, .revents = 0};
    const int ready = ::poll(&watched, 1, static_cast<int>(wait));
    if (ready > 0) return {};
    if (ready < 0 && errno != EINTR) return GoneBy(errno);
    if (std::chrono::steady_clock::now() >= deadline) {
      return Fail(ErrorCode::kDeadlineExceeded, "the other side of a worker's socket did not answer in time");
    }
  }
}

bool Channel::Wait(SteadyPoint deadline) const {
  const auto ready = Await(POLLIN, deadline);
  return ready || ready.error().code != ErrorCode::kDeadlineExceeded;
}

Result<void> Channel::Send(const Outgoing& frame, SteadyPoint deadline) {
  std::size_t size = 0;
  for (const ByteSpan part : frame.body) size += part.size();
  if (size > body_limit_) {
    return Fail(ErrorCode::kTooLarge, "a frame of " + std::to_string(size) + " bytes is over the limit of " +
                                          std::to_string(body_limit_) + " between agent and worker");
  }
  FrameHeader header = EncodeHeader({.size = size, .kind = frame.kind, .id = frame.id});
  std::vector<iovec> vectors = {{.iov_base = header.data(), .iov_len = header.size()}};
  for (const ByteSpan part : frame.body) {
    if (!part.empty()) vectors.push_back({const_cast<std::uint8_t*>(part.data()), part.size()});
  }
  std::span<iovec> left = vectors;
  Descriptor room;
  int file = frame.file;
  while (!left.empty()) {
    msghdr message{};
    message.msg_iov = left.data();
    message.msg_iovlen = std::min(left.size(), kMostParts);
    if (file >= 0) Attach(message, room, file);
    // MSG_DONTWAIT in each call, because a worker may not call fcntl.
    const ssize_t sent = ::sendmsg(socket_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) {
      file = -1;
      Advance(left, static_cast<std::size_t>(sent));
    } else if (errno == EAGAIN) {
      TACIT_TRY_VOID(Await(POLLOUT, deadline));
    } else if (errno != EINTR) {
      return GoneBy(errno);
    }
  }
  return {};
}

Result<void> Channel::Fill(std::span<std::uint8_t> into, OwnedFd* file, SteadyPoint deadline) {
  while (!into.empty()) {
    iovec vector{.iov_base = into.data(), .iov_len = into.size()};
    Descriptor room;
    msghdr message{};
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    if (file != nullptr) {
      message.msg_control = room.bytes.data();
      message.msg_controllen = room.bytes.size();
    }
    const ssize_t received = ::recvmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (received == 0) return Gone("it has closed");
    if (received > 0) {
      if (file != nullptr && !*file) *file = Detach(message);
      into = into.subspan(static_cast<std::size_t>(received));
    } else if (errno == EAGAIN) {
      TACIT_TRY_VOID(Await(POLLIN, deadline));
    } else if (errno != EINTR) {
      return GoneBy(errno);
    }
  }
  return {};
}

Result<Frame> Channel::Receive(SteadyPoint deadline) {
  FrameHeader bytes{};
  Frame frame;
  TACIT_TRY_VOID(Fill(bytes, &frame.file, deadline));
  TACIT_TRY(const Header header, ParseHeader(bytes));
  if (header.size > body_limit_) {
    return Fail(ErrorCode::kTooLarge, "a frame of " + std::to_string(header.size) + " bytes is over the limit of " +
                                          std::to_string(body_limit_) + " between agent and worker");
  }
  frame.kind = header.kind;
  frame.id = header.id;
  frame.body = AlignedBuffer(header.size);
  TACIT_TRY_VOID(Fill(frame.body.bytes(), nullptr, deadline));
  return frame;
}

}  // namespace tacit::worker
