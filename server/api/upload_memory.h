#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <utility>

#include "common/base/bytes.h"

namespace tacit::api {

/// Admits uploads by their announced bytes: together they never hold more than the limit, whatever clients do.
/// Threads: any. Must outlive its buffers.
class UploadMemory {
 public:
  explicit UploadMemory(std::uint64_t limit) : limit_(limit) {}

  /// An aligned buffer that gives its share back when it ends.
  class Buffer {
   public:
    Buffer(UploadMemory& owner, std::size_t size) : owner_(&owner), share_(size), memory_(size) {}
    Buffer(Buffer&& other) noexcept
        : owner_(std::exchange(other.owner_, nullptr)), share_(other.share_), memory_(std::move(other.memory_)) {}
    Buffer& operator=(Buffer&&) = delete;
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    ~Buffer() {
      if (owner_ != nullptr) owner_->used_ -= share_;
    }
    /// May be moved from: the share is held until this object ends.
    [[nodiscard]] AlignedBuffer& memory() { return memory_; }

   private:
    UploadMemory* owner_;
    std::size_t share_;
    AlignedBuffer memory_;
  };

  /// Nothing when `size` more bytes do not fit now.
  std::optional<Buffer> TryTake(std::size_t size) {
    if (size > limit_) return std::nullopt;
    const std::uint64_t before = used_.fetch_add(size);
    if (before + size > limit_) {
      used_ -= size;
      return std::nullopt;
    }
    return std::optional<Buffer>(std::in_place, *this, size);
  }

  [[nodiscard]] std::uint64_t used() const { return used_; }
  [[nodiscard]] std::uint64_t limit() const { return limit_; }

 private:
  const std::uint64_t limit_;
  std::atomic<std::uint64_t> used_ = 0;
};

}  // namespace tacit::api
