#include "common/crypto/secret.h"

#include <algorithm>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "common/base/check.h"
#include "common/crypto/random.h"

namespace tacit::crypto {

void Zeroise(std::span<std::uint8_t> bytes) {
  OPENSSL_cleanse(bytes.data(), bytes.size());
}

void Zeroise(std::string& text) {
  // The capacity too: a longer secret may have been there before.
  text.resize(text.capacity());
  OPENSSL_cleanse(text.data(), text.size());
  text.clear();
}

SecretKey SecretKey::Random() {
  SecretKey key;
  OsRandom().Fill(key.key_);
  return key;
}

Result<SecretKey> SecretKey::FromBytes(ByteSpan bytes) {
  if (bytes.size() != kSize) {
    return Fail(ErrorCode::kInvalidArgument, "a key is 32 bytes, not " + std::to_string(bytes.size()));
  }
  SecretKey key;
  std::ranges::copy(bytes, key.key_.begin());
  return key;
}

SecretKey SecretKey::Derive(ByteSpan label) const {
  SecretKey derived;
  unsigned size = 0;
  const auto* done = HMAC(EVP_sha256(), key_.data(), static_cast<int>(key_.size()), label.data(), label.size(),
                          derived.key_.data(), &size);
  TACIT_CHECK(done != nullptr && size == kSize, "HMAC of bytes in memory");
  return derived;
}

SecretKey::SecretKey(SecretKey&& other) noexcept : key_(other.key_) {
  Zeroise(other.key_);
}

SecretKey& SecretKey::operator=(SecretKey&& other) noexcept {
  if (this != &other) {
    key_ = other.key_;
    Zeroise(other.key_);
  }
  return *this;
}

SecretKey::~SecretKey() {
  Zeroise(key_);
}

}  // namespace tacit::crypto
