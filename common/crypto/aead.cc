#include "common/crypto/aead.h"

#include <algorithm>

#include "common/crypto/openssl.h"

namespace tacit::crypto {
namespace {

constexpr int kSealing = 1;
constexpr int kOpening = 0;

const EVP_CIPHER* CipherOf(AeadKind kind) {
  switch (kind) {
    case AeadKind::kAes128Gcm:
      return EVP_aes_128_gcm();
    case AeadKind::kAes256Gcm:
      return EVP_aes_256_gcm();
    case AeadKind::kChaCha20Poly1305:
      return EVP_chacha20_poly1305();
  }
  TACIT_CHECK(false, "all kinds are above");
}

// Begins a message: the key stays, so that its schedule is computed once.
void Begin(EVP_CIPHER_CTX* cipher, const Aead::Context& context, int direction) {
  int written = 0;
  const ByteSpan associated = context.associated;
  TACIT_CHECK(associated.size() <= kLargestStep, "callers associate small things");
  const bool ready = EVP_CipherInit_ex(cipher, nullptr, nullptr, nullptr, context.nonce.data(), direction) == 1 &&
                     (associated.empty() || EVP_CipherUpdate(cipher, nullptr, &written, associated.data(),
                                                             static_cast<int>(associated.size())) == 1);
  TACIT_CHECK(ready, "a message can begin at any time");
}

bool Pass(EVP_CIPHER_CTX* cipher, ByteSpan in, std::uint8_t* out) {
  TACIT_CHECK(in.size() <= kLargestStep, "callers seal in parts that are small");
  int written = 0;
  return in.empty() || EVP_CipherUpdate(cipher, out, &written, in.data(), static_cast<int>(in.size())) == 1;
}

bool End(EVP_CIPHER_CTX* cipher) {
  std::array<std::uint8_t, Aead::kTagSize> none{};
  int written = 0;
  return EVP_CipherFinal_ex(cipher, none.data(), &written) == 1;
}

}  // namespace

void Aead::ContextDeleter::operator()(evp_cipher_ctx_st* context) const {
  EVP_CIPHER_CTX_free(context);
}

Aead::Aead(AeadKind kind, const SecretKey& key) : context_(EVP_CIPHER_CTX_new()) {
  const EVP_CIPHER* cipher = CipherOf(kind);
  TACIT_CHECK(static_cast<std::size_t>(EVP_CIPHER_get_key_length(cipher)) <= key.bytes().size(),
              "no kind has a longer key");
  const bool ready = context_ != nullptr &&
                     EVP_CipherInit_ex(context_.get(), cipher, nullptr, key.bytes().data(), nullptr, kSealing) == 1;
  TACIT_CHECK(ready, "these ciphers are part of OpenSSL's default provider");
}

void Aead::Seal(const Context& context, ByteSpan plaintext, std::span<std::uint8_t> sealed) {
  TACIT_CHECK(sealed.size() == plaintext.size() + kTagSize, "callers make room for the tag");
  Begin(context_.get(), context, kSealing);
  const bool done = Pass(context_.get(), plaintext, sealed.data()) && End(context_.get()) &&
                    EVP_CIPHER_CTX_ctrl(context_.get(), EVP_CTRL_AEAD_GET_TAG, static_cast<int>(kTagSize),
                                        sealed.last(kTagSize).data()) == 1;
  TACIT_CHECK(done, "bytes in memory can be sealed");
}

Result<void> Aead::Open(const Context& context, ByteSpan sealed, std::span<std::uint8_t> plaintext) {
  TACIT_CHECK(sealed.size() == plaintext.size() + kTagSize, "callers know how long the plaintext is");
  std::array<std::uint8_t, kTagSize> tag{};
  std::ranges::copy(sealed.last(kTagSize), tag.begin());
  Begin(context_.get(), context, kOpening);
  const bool good =
      Pass(context_.get(), sealed.first(plaintext.size()), plaintext.data()) &&
      EVP_CIPHER_CTX_ctrl(context_.get(), EVP_CTRL_AEAD_SET_TAG, static_cast<int>(kTagSize), tag.data()) == 1 &&
      End(context_.get());
  if (good) return {};
  Zeroise(plaintext);
  ERR_clear_error();
  return Fail(ErrorCode::kDataLoss, "sealed bytes do not open: changed, or sealed under another key or context");
}

}  // namespace tacit::crypto
