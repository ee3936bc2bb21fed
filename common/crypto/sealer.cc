#include "common/crypto/sealer.h"

#include <algorithm>
#include <array>

#include "common/crypto/openssl.h"
#include "common/crypto/random.h"

namespace tacit::crypto {
namespace {

constexpr std::size_t kNonceSize = 12;
constexpr std::size_t kTagSize = 16;
constexpr std::uint64_t kLargestPlaintext = (std::uint64_t{1} << 36U) - 32;  // NIST SP 800-38D, section 5.2.1.1

constexpr int kEncrypt = 1;
constexpr int kDecrypt = 0;

// Feeds `in` through; `out` is null for bytes that are only authenticated. EVP sizes are int, hence the steps.
bool Update(EVP_CIPHER_CTX* context, std::uint8_t* out, ByteSpan in) {
  while (!in.empty()) {
    const std::size_t step = std::min(in.size(), kLargestStep);
    int written = 0;
    if (EVP_CipherUpdate(context, out, &written, in.data(), static_cast<int>(step)) != 1) return false;
    if (out != nullptr) out += step;
    in = in.subspan(step);
  }
  return true;
}

CipherContextPtr Start(const SecretKey& key, ByteSpan nonce, int direction) {
  CipherContextPtr context(EVP_CIPHER_CTX_new());
  const bool ready = context != nullptr && EVP_CipherInit_ex(context.get(), EVP_aes_256_gcm(), nullptr,
                                                             key.bytes().data(), nonce.data(), direction) == 1;
  TACIT_CHECK(ready, "AES-256-GCM with a 96-bit nonce is part of OpenSSL's default provider");
  return context;
}

bool Finish(EVP_CIPHER_CTX* context) {
  std::array<std::uint8_t, kTagSize> none{};
  int written = 0;
  return EVP_CipherFinal_ex(context, none.data(), &written) == 1;
}

bool Tag(EVP_CIPHER_CTX* context, int command, std::uint8_t* tag) {
  return EVP_CIPHER_CTX_ctrl(context, command, static_cast<int>(kTagSize), tag) == 1;
}

}  // namespace

Result<Aes256GcmSealer> Aes256GcmSealer::Create(SecretKey key) {
  return Aes256GcmSealer(std::move(key));
}

Result<void> Aes256GcmSealer::Seal(std::size_t plaintext, const Writer& write, ByteSpan context,
                                   std::span<std::uint8_t> sealed) const {
  if (plaintext > kLargestPlaintext) return Fail(ErrorCode::kTooLarge, "more than AES-GCM may seal at once (64 GiB)");
  TACIT_CHECK(sealed.size() == SealedSize(plaintext), "callers make the room that SealedSize names");
  const std::span<std::uint8_t> nonce = sealed.subspan(plaintext, kNonceSize);
  OsRandom().Fill(nonce);
  const CipherContextPtr cipher = Start(key_, nonce, kEncrypt);
  bool good = Update(cipher.get(), nullptr, context);
  for (std::size_t at = 0; at < plaintext; at += kBlock) {
    const std::span<std::uint8_t> block = sealed.subspan(at, std::min(kBlock, plaintext - at));
    write(at, block);
    // What could not be sealed must not stay in clear.
    good = good && Update(cipher.get(), block.data(), block);
    if (!good) Zeroise(block);
  }
  good = good && Finish(cipher.get()) && Tag(cipher.get(), EVP_CTRL_AEAD_GET_TAG, sealed.last(kTagSize).data());
  if (!good) return OpenSslFailure(ErrorCode::kInternal, "AES-GCM could not seal");
  return {};
}

Result<void> Aes256GcmSealer::Open(ByteSpan sealed, ByteSpan context, const Reader& read) const {
  if (sealed.size() < kOverhead)
    return Fail(ErrorCode::kDataLoss, "sealed bytes were cut: shorter than their nonce and tag");
  const ByteSpan ciphertext = sealed.first(sealed.size() - kOverhead);
  const ByteSpan nonce = sealed.subspan(ciphertext.size(), kNonceSize);
  std::array<std::uint8_t, kTagSize> tag{};
  std::ranges::copy(sealed.last(kTagSize), tag.begin());

  AlignedBuffer plaintext(std::min(kBlock, ciphertext.size()));
  const CipherContextPtr cipher = Start(key_, nonce, kDecrypt);
  bool good = Update(cipher.get(), nullptr, context);
  for (std::size_t at = 0; good && at < ciphertext.size(); at += kBlock) {
    const ByteSpan block = ciphertext.subspan(at, std::min(kBlock, ciphertext.size() - at));
    good = Update(cipher.get(), plaintext.data(), block);
    if (good) read(at, ByteSpan(plaintext.bytes()).first(block.size()));
  }
  Zeroise(plaintext.bytes());
  good = good && Tag(cipher.get(), EVP_CTRL_AEAD_SET_TAG, tag.data()) && Finish(cipher.get());
  if (good) return {};
  ERR_clear_error();
  return Fail(ErrorCode::kDataLoss, "sealed bytes do not open: changed, or sealed under another key or context");
}

}  // namespace tacit::crypto
