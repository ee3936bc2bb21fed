#pragma once

#include <cstddef>
#include <cstring>
#include <expected>
#include <string>

#include "common/base/bytes.h"
#include "common/base/result.h"

// How the two sides of a channel read each other's bytes. Private to edge_agent/worker.
namespace tacit::worker {

inline std::unexpected<Error> Malformed(const char* what) {
  return Fail(ErrorCode::kMalformed, std::string("between agent and worker: ") + what);
}

/// Reads fields off the front; what is missing makes all of it malformed.
class Fields {
 public:
  explicit Fields(ByteSpan bytes) : left_(bytes) {}

  template <typename T>
  T Number() {
    T value{};
    const ByteSpan bytes = Raw(sizeof value);
    if (!bytes.empty()) std::memcpy(&value, bytes.data(), sizeof value);
    return value;
  }
  ByteSpan Raw(std::size_t size) {
    if (size > left_.size()) {
      short_ = true;
      left_ = {};
    }
    if (short_) return {};
    const ByteSpan taken = left_.first(size);
    left_ = left_.subspan(size);
    return taken;
  }
  [[nodiscard]] bool good() const { return !short_; }
  [[nodiscard]] bool at_end() const { return !short_ && left_.empty(); }

 private:
  ByteSpan left_;
  bool short_ = false;
};

}  // namespace tacit::worker
