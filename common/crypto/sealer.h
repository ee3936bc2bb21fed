#pragma once

#include "common/base/sealer.h"
#include "common/crypto/secret.h"

namespace tacit::crypto {

/// AES-256-GCM with a fresh random nonce for every Seal; sealed bytes are ciphertext, nonce (12), tag (16), so that
/// what is sealed in place begins where the memory does. One key seals at most 2^32 times: beyond, the chance of a
/// repeated random nonce passes 2^-32 (NIST SP 800-38D, section 8.3). Threads: any.
class Aes256GcmSealer final : public Sealer {
 public:
  static constexpr std::size_t kOverhead = 12 + 16;

  static Result<Aes256GcmSealer> Create(SecretKey key);

  using Sealer::Open;
  using Sealer::Seal;
  [[nodiscard]] std::size_t SealedSize(std::size_t plaintext) const override { return plaintext + kOverhead; }
  /// Errors: kTooLarge over 64 GiB - 32, which is what one nonce may cover.
  Result<void> Seal(std::size_t plaintext, const Writer& write, ByteSpan context,
                    std::span<std::uint8_t> sealed) const override;
  Result<void> Open(ByteSpan sealed, ByteSpan context, const Reader& read) const override;

 private:
  explicit Aes256GcmSealer(SecretKey key) : key_(std::move(key)) {}
  SecretKey key_;
};

}  // namespace tacit::crypto
