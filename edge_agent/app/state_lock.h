#pragma once

#include <filesystem>
#include <string_view>
#include <utility>

#include "common/base/clock.h"
#include "common/base/result.h"

namespace tacit::agent {

/// Keeps a second agent that does the same off a state directory, until it is destroyed or its process ends in whatever
/// way.
class StateLock {
 public:
  /// `name` is that of a file, one for what may go on beside other things. Waits up to `patience` for an agent that is
  /// just ending. Errors: kConflict when another one runs; kNotFound without the directory.
  static Result<StateLock> Take(const std::filesystem::path& state_directory, Millis patience = Millis(2000),
                                std::string_view name = "agent.lock");
  StateLock(StateLock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  StateLock& operator=(StateLock&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  ~StateLock();

 private:
  explicit StateLock(int descriptor) : descriptor_(descriptor) {}
  int descriptor_;
};

}  // namespace tacit::agent
