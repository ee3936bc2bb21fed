#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/base/owned_fd.h"
#include "common/base/result.h"
#include "edge_agent/worker/messages.h"

namespace tacit::worker {

/// One frame as it came in.
struct Frame {
  Kind kind = Kind::kQuit;
  std::uint64_t id = 0;  ///< Chosen by who asks; its answer has the same.
  AlignedBuffer body;
  OwnedFd file;  ///< None but with kLoad.
};

/// What goes out in a frame; its body in parts, so that nobody has to put them together first.
struct Outgoing {
  Kind kind = Kind::kQuit;
  std::uint64_t id = 0;
  std::span<const ByteSpan> body = {};
  int file = -1;  ///< Given to the peer; negative: none.
};

/// Frames over a stream socket between an agent and its worker. Whatever comes out of order ends the conversation:
/// after any error but a deadline that passed before the first byte, the channel is of no use. Threads: one at a time.
class Channel {
 public:
  /// A frame of either side has at most `body_limit` bytes in its body.
  Channel(OwnedFd socket, std::size_t body_limit) : socket_(std::move(socket)), body_limit_(body_limit) {}

  /// Errors: kTooLarge, with nothing sent; kDeadlineExceeded; kUnavailable when the peer is gone.
  Result<void> Send(const Outgoing& frame, SteadyPoint deadline);
  /// Errors: kDeadlineExceeded; kUnavailable when the peer is gone; kMalformed or kTooLarge for what is no frame.
  Result<Frame> Receive(SteadyPoint deadline);
  /// Whether there is something to receive (also the peer's end) before `deadline`.
  [[nodiscard]] bool Wait(SteadyPoint deadline) const;
  [[nodiscard]] std::size_t body_limit() const { return body_limit_; }

 private:
  Result<void> Await(short events, SteadyPoint deadline) const;
  Result<void> Fill(std::span<std::uint8_t> into, OwnedFd* file, SteadyPoint deadline);

  OwnedFd socket_;
  std::size_t body_limit_;
};

}  // namespace tacit::worker
