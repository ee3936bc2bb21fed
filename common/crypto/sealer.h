#pragma once

#include "common/base/sealer.h"
#include "common/crypto/secret.h"

namespace tacit::crypto {

/// AES-256-GCM with a fresh random nonce for every Seal; sealed bytes are nonce (12), ciphertext, tag (16).
/// One key seals at most 2^32 times: beyond, the chance of a repeated random nonce passes 2^-32 (NIST SP 800-38D,
/// section 8.3). Threads: any.
class Aes256GcmSealer final : public Sealer {
 public:
  static constexpr std::size_t kOverhead = 12 + 16;

  static Result<Aes256GcmSealer> Create(SecretKey key);

  /// Errors: kTooLarge over 64 GiB - 32, which is what one nonce may cover.
  Result<Bytes> Seal(ByteSpan plaintext, ByteSpan context) const override;
  Result<Bytes> Open(ByteSpan sealed, ByteSpan context) const override;

 private:
  explicit Aes256GcmSealer(SecretKey key) : key_(std::move(key)) {}
  SecretKey key_;
};

}  // namespace tacit::crypto
