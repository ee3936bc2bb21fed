#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>

#include "common/base/keystream.h"
#include "common/base/random.h"
#include "common/crypto/secret.h"

struct evp_cipher_ctx_st;

namespace tacit::crypto {

/// Bits from the operating system (getrandom): for keys, nonces and tokens. Fetched in blocks, and each byte is
/// overwritten here once it was given out. Threads: one. Not to be carried across fork(): parent and child would give
/// out the same buffered bits.
class OsRandom final : public BitSource {
 public:
  OsRandom() = default;
  ~OsRandom() override;
  OsRandom(const OsRandom&) = delete;
  OsRandom& operator=(const OsRandom&) = delete;
  void Fill(std::span<std::uint8_t> out) override;

 private:
  std::array<std::uint8_t, 1024> buffer_{};
  std::size_t left_ = 0;
};

/// AES-128 in counter mode, by position, under the first half of a key: noise for a mechanism. Block n of Fill is AES
/// of n as a big-endian number of 128 bits; what MoreFor gives is AES of 2^64 + word. The key is overwritten at the
/// end. Privacy: secret as long as the key is; whoever knows the key can subtract the noise. Threads: one. Cost: about
/// 0.2 ns a byte with AES instructions. Source: NIST SP 800-38A, section 6.5.
class AesKeystream final : public Keystream {
 public:
  explicit AesKeystream(const SecretKey& key);
  ~AesKeystream() override;
  AesKeystream(const AesKeystream&) = delete;
  AesKeystream& operator=(const AesKeystream&) = delete;
  void Fill(std::uint64_t first, std::span<std::uint8_t> out) override;
  Block MoreFor(std::uint64_t word) override;
  [[nodiscard]] const Block* AesKey() const override { return &key_; }

 private:
  struct ContextDeleter {
    void operator()(evp_cipher_ctx_st* context) const;
  };
  void FillAt(std::uint64_t high, std::uint64_t low, std::span<std::uint8_t> out);

  Block key_{};
  std::unique_ptr<evp_cipher_ctx_st, ContextDeleter> context_;
};

}  // namespace tacit::crypto
