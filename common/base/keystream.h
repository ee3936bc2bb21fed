#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace tacit {

/// Uniform bits by position: the same whoever asks, in whatever order and pieces, so that noise does not depend on how
/// a release was cut into parts. Fit for noise when the implementation says so (`crypto::AesKeystream` is).
/// Threads: any, each with an object of its own.
class Keystream {
 public:
  using Block = std::array<std::uint8_t, 16>;

  virtual ~Keystream() = default;
  /// The blocks `first`, `first` + 1, ... of the stream, one behind the other; whole blocks only.
  virtual void Fill(std::uint64_t first, std::span<std::uint8_t> out) = 0;
  /// Bits of their own for the word of this number, asked for when that word alone could not decide.
  virtual Block MoreFor(std::uint64_t word) = 0;
  /// The key, when the stream is AES-128 of the position as a big-endian number of 128 bits, for kernels that make the
  /// same blocks themselves; null when it is something else.
  [[nodiscard]] virtual const Block* AesKey() const { return nullptr; }
};

}  // namespace tacit
