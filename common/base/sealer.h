#pragma once

#include <cstddef>
#include <functional>
#include <span>

#include "common/base/bytes.h"

namespace tacit {

/// Turns bytes into authenticated ciphertext and back; lets pure code be stored at rest without ever showing itself in
/// clear. Implemented by `crypto::Aes256GcmSealer`.
class Sealer {
 public:
  /// The bytes that are sealed at once; a multiple of every vector's width.
  static constexpr std::size_t kBlock = std::size_t{32} * 1024;
  /// Writes the plaintext's bytes from `at` on, for as long as `block` is: one block after another, kBlock bytes each
  /// but the last, all of them also when a seal fails on the way.
  using Writer = std::function<void(std::size_t at, std::span<std::uint8_t> block)>;

  virtual ~Sealer() = default;
  /// How long `plaintext` bytes are when they are sealed.
  [[nodiscard]] virtual std::size_t SealedSize(std::size_t plaintext) const = 0;
  /// Seals `plaintext` bytes in the place where `write` puts them, so that they stand in memory once, and never whole
  /// in clear. `context` is authenticated with the ciphertext and must be given again to open it. `sealed` is as long
  /// as SealedSize says.
  virtual Result<void> Seal(std::size_t plaintext, const Writer& write, ByteSpan context,
                            std::span<std::uint8_t> sealed) const = 0;
  /// Gets the plaintext's bytes from `at` on, in blocks as a Writer gives them, each for the time of the call.
  using Reader = std::function<void(std::size_t at, ByteSpan block)>;
  /// Opens block by block, so that the plaintext never stands whole in memory. Whether the bytes are what was sealed is
  /// known only at the end: what `read` did with them must be undone when this fails.
  /// Errors: kDataLoss when the bytes were changed, cut, or sealed under another key or context.
  virtual Result<void> Open(ByteSpan sealed, ByteSpan context, const Reader& read) const = 0;

  /// Seals bytes that are there already.
  Result<Bytes> Seal(ByteSpan plaintext, ByteSpan context) const;
  /// All of the plaintext. Errors: as Open.
  Result<Bytes> Open(ByteSpan sealed, ByteSpan context) const;
};

}  // namespace tacit
