#include "common/crypto/random.h"

#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "common/base/check.h"
#include "common/crypto/openssl.h"

namespace tacit::crypto {
namespace {

void FillFromSystem(std::span<std::uint8_t> out) {
  while (!out.empty()) {
    const ssize_t got = ::getrandom(out.data(), out.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    // Going on without randomness would make keys and noise that an attacker can guess.
    TACIT_CHECK(got > 0, "Linux has getrandom since 3.17");
    out = out.subspan(static_cast<std::size_t>(got));
  }
}

// Gives the last `left` bytes of `buffer` out, as far as they go; what was given out is overwritten, so that a later
// look into this memory finds none of it. Returns what of `out` is still to fill.
std::span<std::uint8_t> TakeBuffered(std::span<std::uint8_t> buffer, std::size_t& left, std::span<std::uint8_t> out) {
  const std::span<std::uint8_t> taken = buffer.last(left).first(std::min(left, out.size()));
  std::ranges::copy(taken, out.begin());
  Zeroise(taken);
  left -= taken.size();
  return out.subspan(taken.size());
}

}  // namespace

OsRandom::~OsRandom() {
  Zeroise(buffer_);
}

void OsRandom::Fill(std::span<std::uint8_t> out) {
  out = TakeBuffered(buffer_, left_, out);
  if (out.size() >= buffer_.size()) return FillFromSystem(out);
  if (out.empty()) return;
  FillFromSystem(buffer_);
  left_ = buffer_.size();
  TakeBuffered(buffer_, left_, out);
}

void AesKeystream::ContextDeleter::operator()(evp_cipher_ctx_st* context) const {
  EVP_CIPHER_CTX_free(context);
}

AesKeystream::AesKeystream(const SecretKey& key) : context_(EVP_CIPHER_CTX_new()) {
  std::ranges::copy(key.bytes().first(key_.size()), key_.begin());
  const Block first{};
  const int ready = context_ == nullptr
                        ? 0
                        : EVP_EncryptInit_ex(context_.get(), EVP_aes_128_ctr(), nullptr, key_.data(), first.data());
  TACIT_CHECK(ready == 1, "AES-128-CTR is part of OpenSSL's default provider");
}

AesKeystream::~AesKeystream() {
  Zeroise(key_);
}

void AesKeystream::FillAt(std::uint64_t high, std::uint64_t low, std::span<std::uint8_t> out) {
  Block counter{};
  for (std::size_t i = 0; i < 8; ++i) {
    counter[7 - i] = static_cast<std::uint8_t>(high >> (8 * i));
    counter[15 - i] = static_cast<std::uint8_t>(low >> (8 * i));
  }
  const int ready = EVP_EncryptInit_ex(context_.get(), nullptr, nullptr, nullptr, counter.data());
  TACIT_CHECK(ready == 1, "a counter can be set at any time");
  // In counter mode the ciphertext of zeros is the keystream.
  std::memset(out.data(), 0, out.size());
  while (!out.empty()) {
    const std::size_t step = std::min(out.size(), kLargestStep);
    int written = 0;
    const int done = EVP_EncryptUpdate(context_.get(), out.data(), &written, out.data(), static_cast<int>(step));
    TACIT_CHECK(done == 1 && static_cast<std::size_t>(written) == step, "a stream cipher cannot run short");
    out = out.subspan(step);
  }
}

void AesKeystream::Fill(std::uint64_t first, std::span<std::uint8_t> out) {
  FillAt(0, first, out);
}

Keystream::Block AesKeystream::MoreFor(std::uint64_t word) {
  Block block;
  FillAt(1, word, block);
  return block;
}

}  // namespace tacit::crypto
