#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>

#include "common/base/bytes.h"

namespace tacit::crypto {

/// Overwrites `bytes` in a way that the compiler may not leave out.
void Zeroise(std::span<std::uint8_t> bytes);
void Zeroise(std::string& text);

/// A 256-bit key that exists once: it cannot be copied, and its memory is overwritten when it is moved from or ends.
class SecretKey {
 public:
  static constexpr std::size_t kSize = 32;

  /// From the operating system's generator.
  static SecretKey Random();
  /// Errors: kInvalidArgument unless `bytes` are 32.
  static Result<SecretKey> FromBytes(ByteSpan bytes);

  SecretKey(SecretKey&& other) noexcept;
  SecretKey& operator=(SecretKey&& other) noexcept;
  SecretKey(const SecretKey&) = delete;
  SecretKey& operator=(const SecretKey&) = delete;
  ~SecretKey();

  /// A key for another purpose, from which this one cannot be found: HMAC-SHA-256 of `label` under this key.
  /// Source: NIST SP 800-108r1, section 4.1, with one block and the label as its fixed input.
  [[nodiscard]] SecretKey Derive(ByteSpan label) const;

  [[nodiscard]] ByteSpan bytes() const { return key_; }

 private:
  SecretKey() = default;
  std::array<std::uint8_t, kSize> key_{};
};

}  // namespace tacit::crypto
