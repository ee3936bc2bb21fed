#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/result.h"

namespace tacit {

using Bytes = std::vector<std::uint8_t>;
using ByteSpan = std::span<const std::uint8_t>;

/// Bytes that several hold at once, wherever they are: in memory, or in a file that is mapped.
struct SharedBytes {
  std::shared_ptr<const void> owner;  ///< Null for none.
  ByteSpan bytes;

  /// Takes `bytes` over.
  static SharedBytes Of(std::vector<std::uint8_t> bytes) {
    auto owner = std::make_shared<const Bytes>(std::move(bytes));
    const ByteSpan span = *owner;
    return {std::move(owner), span};
  }
  explicit operator bool() const { return owner != nullptr; }
};

inline ByteSpan AsBytes(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}
inline std::string_view AsText(ByteSpan bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
/// The bytes of an array of plain numbers, in host order (all supported hosts are little-endian).
template <typename T>
ByteSpan AsBytes(std::span<const T> values) {
  return {reinterpret_cast<const std::uint8_t*>(values.data()), values.size_bytes()};
}

std::string ToHex(ByteSpan bytes);

/// Errors: kMalformed for an odd length or a character that is not a hexadecimal digit.
Result<Bytes> ParseHex(std::string_view text);

/// Base64 for URLs without padding, and only as an encoder writes it: the same bytes have no second text.
/// Errors: kMalformed. Source: RFC 4648, section 5, with the strictness of section 3.5; RFC 7515, section 2.
Result<Bytes> ParseBase64Url(std::string_view text);

/// Base64 with padding, in one text for the same bytes. Errors: kMalformed. Source: RFC 4648, section 4.
std::string ToBase64(ByteSpan bytes);
Result<Bytes> ParseBase64(std::string_view text);

/// A 32-byte digest (SHA-256).
using Digest256 = std::array<std::uint8_t, 32>;
/// A 16-byte digest (XXH3-128, canonical big-endian form): finds accidents, not attackers; TLS authenticates.
using Digest128 = std::array<std::uint8_t, 16>;

/// XXH3-128 of `bytes`. Source: xxHash 0.8 specification.
Digest128 Xxh3(ByteSpan bytes);

/// Streaming XXH3-128.
class Xxh3Stream {
 public:
  Xxh3Stream();
  ~Xxh3Stream();
  Xxh3Stream(Xxh3Stream&&) noexcept;
  Xxh3Stream& operator=(Xxh3Stream&&) noexcept;
  void Update(ByteSpan bytes);
  [[nodiscard]] Digest128 Finish() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Where the memory of some buffers goes when they end.
class BufferOwner {
 public:
  virtual void TakeBack(std::uint8_t* memory, std::size_t size) noexcept = 0;

 protected:
  ~BufferOwner() = default;
};

/// Uninitialised memory at a 64-byte address, for payloads that kernels read: a misaligned body costs a factor of 2.7
/// there.
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(std::size_t size);
  /// Memory of somebody who takes it back, and who outlives the buffer.
  AlignedBuffer(std::uint8_t* memory, std::size_t size, BufferOwner& owner)
      : data_(memory), size_(size), owner_(&owner) {}
  AlignedBuffer(AlignedBuffer&& other) noexcept;
  AlignedBuffer& operator=(AlignedBuffer&& other) noexcept;
  ~AlignedBuffer();
  AlignedBuffer(const AlignedBuffer&) = delete;
  AlignedBuffer& operator=(const AlignedBuffer&) = delete;

  /// Leaves the memory to its owner, who does not hear of it any more. Shape: it is somebody's.
  std::uint8_t* Release();

  [[nodiscard]] std::uint8_t* data() { return data_; }
  [[nodiscard]] const std::uint8_t* data() const { return data_; }
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] std::span<std::uint8_t> bytes() { return {data_, size_}; }
  [[nodiscard]] ByteSpan bytes() const { return {data_, size_}; }

  /// The first `size` bytes: of fresh memory where this is smaller, which is lost then.
  std::span<std::uint8_t> AtLeast(std::size_t size);

  /// The buffer seen as numbers; a trailing part smaller than one number is left out.
  template <typename T>
  [[nodiscard]] std::span<T> As() {
    return {reinterpret_cast<T*>(data_), size_ / sizeof(T)};
  }
  template <typename T>
  [[nodiscard]] std::span<const T> As() const {
    return {reinterpret_cast<const T*>(data_), size_ / sizeof(T)};
  }

 private:
  std::uint8_t* data_ = nullptr;
  std::size_t size_ = 0;
  BufferOwner* owner_ = nullptr;  // null: the heap
};

/// Appends fixed-width little-endian fields: the form that digests and seals are computed over.
class ByteWriter {
 public:
  ByteWriter& U8(std::uint8_t value);
  ByteWriter& U32(std::uint32_t value);
  ByteWriter& U64(std::uint64_t value);
  ByteWriter& F64(double value);
  /// A length-prefixed string, so that two neighbouring fields cannot be read as two others.
  ByteWriter& Text(std::string_view value);
  ByteWriter& Raw(ByteSpan value);
  [[nodiscard]] const Bytes& bytes() const { return bytes_; }
  [[nodiscard]] Bytes Take() && { return std::move(bytes_); }

 private:
  Bytes bytes_;
};

}  // namespace tacit
