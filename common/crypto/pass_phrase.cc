#include "common/crypto/pass_phrase.h"

#include <array>

#include <openssl/evp.h>

#include "common/base/check.h"

namespace tacit::crypto {
namespace {

constexpr int kIterations = 600'000;

}  // namespace

SecretKey KeyFromPassPhrase(ByteSpan pass_phrase, const PassPhraseSalt& salt) {
  TACIT_CHECK(pass_phrase.size() <= 0xffff, "callers bound what they read");
  std::array<std::uint8_t, SecretKey::kSize> bytes{};
  const int done = PKCS5_PBKDF2_HMAC(reinterpret_cast<const char*>(pass_phrase.data()),
                                     static_cast<int>(pass_phrase.size()), salt.data(), static_cast<int>(salt.size()),
                                     kIterations, EVP_sha256(), static_cast<int>(bytes.size()), bytes.data());
  TACIT_CHECK(done == 1, "PBKDF2 of bytes in memory");
  auto key = SecretKey::FromBytes(bytes);
  Zeroise(bytes);
  TACIT_CHECK(key.has_value(), "it has the size of a key");
  return *std::move(key);
}

}  // namespace tacit::crypto
