#include "common/crypto/secret.h"

#include <algorithm>

#include <openssl/crypto.h>

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
