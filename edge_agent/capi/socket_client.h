#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/base/owned_fd.h"
#include "common/base/result.h"

namespace tacit::capi {

struct SocketAnswer {
  int status = 0;
  std::size_t json_size = 0;  ///< Of the body: what Inference-Header-Content-Length says, else all of it.
  Bytes body;
};

/// Reads the head of an answer of Tacit's server, up to its blank line; `size` is the body's. Bounded by its caller.
struct AnswerHead {
  int status = 0;
  std::size_t size = 0;
  std::size_t json_size = 0;
};
/// Errors: kMalformed for what no agent writes.
Result<AnswerHead> ParseAnswerHead(std::string_view head);

/// HTTP/1.1 over one kept-alive Unix domain socket, as little of it as an agent's answers need. Threads: one at a time.
class SocketClient {
 public:
  SocketClient(std::string path, Millis timeout) : path_(std::move(path)), timeout_(timeout) {}

  /// `head` is the request's, without its blank line and Content-Length. Errors: kUnavailable, kDeadlineExceeded;
  /// kMalformed; kTooLarge for an answer over `limit` bytes. After each the next call connects again.
  Result<SocketAnswer> Send(const std::string& head, const std::vector<ByteSpan>& body, std::size_t limit);

 private:
  Result<void> Connect();
  Result<void> Write(ByteSpan bytes);
  Result<SocketAnswer> Read(std::size_t limit);
  Result<std::size_t> ReadSome(std::span<std::uint8_t> into);
  Result<SocketAnswer> Exchange(const std::string& head, const std::vector<ByteSpan>& body, std::size_t limit);

  std::string path_;
  Millis timeout_;
  OwnedFd socket_;
};

}  // namespace tacit::capi
