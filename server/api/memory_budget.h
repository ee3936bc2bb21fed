#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <utility>

namespace tacit::api {

/// Admits what takes memory by its size: together it never holds more than the limit, whatever clients do.
/// Threads: any. Must outlive its shares.
class MemoryBudget {
 public:
  explicit MemoryBudget(std::uint64_t limit) : limit_(limit) {}

  /// A part of the budget that is given back when it ends.
  class Share {
   public:
    Share(MemoryBudget& owner, std::uint64_t bytes) : owner_(&owner), bytes_(bytes) {}
    Share(Share&& other) noexcept : owner_(std::exchange(other.owner_, nullptr)), bytes_(other.bytes_) {}
    Share& operator=(Share&&) = delete;
    Share(const Share&) = delete;
    Share& operator=(const Share&) = delete;
    ~Share() {
      if (owner_ != nullptr) owner_->used_ -= bytes_;
    }

   private:
    MemoryBudget* owner_;
    std::uint64_t bytes_;
  };

  /// Nothing when `bytes` more do not fit now.
  std::optional<Share> TryTake(std::uint64_t bytes) {
    if (bytes > limit_) return std::nullopt;
    const std::uint64_t before = used_.fetch_add(bytes);
    if (before + bytes > limit_) {
      used_ -= bytes;
      return std::nullopt;
    }
    return std::optional<Share>(std::in_place, *this, bytes);
  }

  [[nodiscard]] std::uint64_t used() const { return used_; }
  [[nodiscard]] std::uint64_t limit() const { return limit_; }

 private:
  const std::uint64_t limit_;
  std::atomic<std::uint64_t> used_ = 0;
};

}  // namespace tacit::api
