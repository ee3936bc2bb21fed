#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "common/base/random.h"

namespace tacit::dp {

/// Uniform words taken from a `BitSource` a page at a time. Whoever reads noise bits can subtract the noise, so the
/// page is overwritten as it is used and when the reader ends.
/// Threads: one. The source must outlive it and must be fit for noise.
class RandomWords {
 public:
  explicit RandomWords(BitSource& source) : source_(source) {}
  ~RandomWords();
  RandomWords(const RandomWords&) = delete;
  RandomWords& operator=(const RandomWords&) = delete;

  [[nodiscard]] std::uint32_t Next32() {
    if (next_ == words_.size()) Refill();
    const std::uint32_t word = words_[next_];
    words_[next_++] = 0;
    return word;
  }

  /// Uniform in [0, bound), exactly; bound > 0.
  /// Source: Lemire 2019, "Fast random integer generation in an interval", algorithm 5.
  [[nodiscard]] std::uint32_t Below(std::uint32_t bound) {
    std::uint64_t product = std::uint64_t{Next32()} * bound;
    if (static_cast<std::uint32_t>(product) < bound) [[unlikely]] {
      const std::uint32_t reject_below = (0U - bound) % bound;
      while (static_cast<std::uint32_t>(product) < reject_below) product = std::uint64_t{Next32()} * bound;
    }
    return static_cast<std::uint32_t>(product >> 32U);
  }

 private:
  void Refill();

  static constexpr std::size_t kWords = 2048;
  BitSource& source_;
  std::array<std::uint32_t, kWords> words_{};
  std::size_t next_ = kWords;
};

}  // namespace tacit::dp
