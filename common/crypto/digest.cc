#include "common/crypto/digest.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "common/base/check.h"

namespace tacit::crypto {
namespace {

constexpr const char* kAlwaysThere = "SHA-256 is part of OpenSSL's default provider";

}  // namespace

Digest256 Sha256(ByteSpan bytes) {
  Digest256 digest;
  const int done = EVP_Digest(bytes.data(), bytes.size(), digest.data(), nullptr, EVP_sha256(), nullptr);
  TACIT_CHECK(done == 1, kAlwaysThere);
  return digest;
}

void Sha256Stream::ContextDeleter::operator()(evp_md_ctx_st* context) const {
  EVP_MD_CTX_free(context);
}

Sha256Stream::Sha256Stream() : context_(EVP_MD_CTX_new()) {
  TACIT_CHECK(context_ != nullptr && EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1, kAlwaysThere);
}

void Sha256Stream::Update(ByteSpan bytes) {
  TACIT_CHECK(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1, "not used after Finish");
}

Digest256 Sha256Stream::Finish() {
  Digest256 digest;
  TACIT_CHECK(EVP_DigestFinal_ex(context_.get(), digest.data(), nullptr) == 1, "finished once");
  return digest;
}

bool ConstantTimeEqual(ByteSpan a, ByteSpan b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace tacit::crypto
