#pragma once

#include <cstdint>

#include "common/base/result.h"

namespace tacit::keys {

/// A number that only grows, by one at a time, and that nobody can set back. Threads: one at a time.
class MonotonicCounter {
 public:
  virtual ~MonotonicCounter() = default;

  /// Errors: kUnavailable where what keeps it does not answer; kDataLoss where it is not there any more.
  virtual Result<std::uint64_t> Read() = 0;
  /// Durable on return. An error leaves open whether it was increased. Errors: as Read.
  virtual Result<void> Increment() = 0;
};

}  // namespace tacit::keys
