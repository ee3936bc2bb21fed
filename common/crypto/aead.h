#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>

#include "common/base/bytes.h"
#include "common/crypto/secret.h"

struct evp_cipher_ctx_st;

namespace tacit::crypto {

/// Authenticated ciphers with a 96-bit nonce and a 128-bit tag, by their number in HPKE.
/// Source: RFC 9180, section 7.3; NIST SP 800-38D; RFC 8439, section 2.8.
enum class AeadKind : std::uint16_t {
  kAes128Gcm = 1,
  kAes256Gcm = 2,
  kChaCha20Poly1305 = 3,
};

/// One key of an authenticated cipher, for formats that say themselves what the nonce of each message is. Whoever seals
/// two messages under one nonce gives away both and the right to forge: where no format rules that out, use
/// Aes256GcmSealer. Threads: one at a time.
class Aead {
 public:
  static constexpr std::size_t kTagSize = 16;
  using Nonce = std::array<std::uint8_t, 12>;

  /// AES-128 takes the first half of `key`.
  Aead(AeadKind kind, const SecretKey& key);

  /// What is authenticated with a message, and that no other message of the key has the nonce of.
  struct Context {
    const Nonce& nonce;
    ByteSpan associated;
  };
  /// Writes ciphertext and tag: `sealed` is longer than `plaintext` by kTagSize, and may begin where that does. At most
  /// 1 GiB at once.
  void Seal(const Context& context, ByteSpan plaintext, std::span<std::uint8_t> sealed);
  /// Writes the plaintext; `plaintext` is shorter than `sealed` by kTagSize, and holds zeros when this fails.
  /// Errors: kDataLoss where the bytes, the nonce or what is associated are not those that were sealed.
  Result<void> Open(const Context& context, ByteSpan sealed, std::span<std::uint8_t> plaintext);

 private:
  struct ContextDeleter {
    void operator()(evp_cipher_ctx_st* context) const;
  };
  std::unique_ptr<evp_cipher_ctx_st, ContextDeleter> context_;
};

}  // namespace tacit::crypto
