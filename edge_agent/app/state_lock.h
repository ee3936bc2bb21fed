#pragma once

#include <filesystem>
#include <utility>

#include "common/base/clock.h"
#include "common/base/result.h"

namespace tacit::agent {

/// Keeps a second agent off a state directory, until it is destroyed or its process ends in whatever way.
class StateLock {
 public:
  /// Waits up to `patience` for an agent that is just ending. Errors: kConflict when another one runs; kNotFound
  /// without the directory.
  static Result<StateLock> Take(const std::filesystem::path& state_directory, Millis patience = Millis(2000));
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
