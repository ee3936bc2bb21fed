#include "common/crypto/key_signature.h"

#include <algorithm>

#include <openssl/rsa.h>

#include "common/crypto/openssl.h"

namespace tacit::crypto {
namespace {

using MessageContextPtr = std::unique_ptr<EVP_MD_CTX, OsslDeleter<EVP_MD_CTX_free>>;

constexpr int kPssSaltBytes = 32;
constexpr int kP256Bits = 256;

MessageContextPtr NewMessageContext() {
  MessageContextPtr context(EVP_MD_CTX_new());
  TACIT_CHECK(context != nullptr, "memory for a small object");
  return context;
}

// As long as the key's own strength; Ed25519 has its own.
const EVP_MD* DigestFor(const EVP_PKEY* key) {
  if (EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519) return nullptr;
  const bool large_curve = EVP_PKEY_get_base_id(key) == EVP_PKEY_EC && EVP_PKEY_get_bits(key) > kP256Bits;
  return large_curve ? EVP_sha384() : EVP_sha256();
}

bool SetPadding(const EVP_PKEY* key, EVP_PKEY_CTX* context) {
  if (EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA) return true;
  return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) == 1 &&
         EVP_PKEY_CTX_set_rsa_pss_saltlen(context, kPssSaltBytes) == 1;
}

Bytes DerOfPublic(EVP_PKEY* key) {
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(key, &der);
  TACIT_CHECK(size > 0, "a key that was parsed or generated has a public half");
  Bytes bytes(der, der + size);
  OPENSSL_free(der);
  return bytes;
}

}  // namespace

Bytes PublicKeyDer(const PrivateKey& key) {
  return DerOfPublic(key.native());
}

Result<Bytes> SignWith(const PrivateKey& key, ByteSpan message) {
  ERR_clear_error();
  const MessageContextPtr context = NewMessageContext();
  EVP_PKEY_CTX* of_key = nullptr;  // the context's own
  std::size_t size = 0;
  const bool begun = EVP_DigestSignInit(context.get(), &of_key, DigestFor(key.native()), nullptr, key.native()) == 1 &&
                     SetPadding(key.native(), of_key) &&
                     EVP_DigestSign(context.get(), nullptr, &size, message.data(), message.size()) == 1;
  Bytes signature(size);
  if (!begun || EVP_DigestSign(context.get(), signature.data(), &size, message.data(), message.size()) != 1)
    return OpenSslFailure(ErrorCode::kInternal, "cannot sign");
  signature.resize(size);  // of ECDSA known only now
  return signature;
}

KeyVerifier::KeyVerifier(evp_pkey_st* owned) : key_(owned, [](evp_pkey_st* key) { EVP_PKEY_free(key); }) {}

Result<KeyVerifier> KeyVerifier::FromDer(ByteSpan subject_public_key_info) {
  ERR_clear_error();
  const unsigned char* at = subject_public_key_info.data();
  PkeyPtr key(d2i_PUBKEY(nullptr, &at, static_cast<long>(subject_public_key_info.size())));
  if (key == nullptr) return OpenSslFailure(ErrorCode::kInvalidArgument, "not a public key in DER");
  // Also for what OpenSSL reads but would write in another way: a key has one text.
  const Bytes again = DerOfPublic(key.get());
  if (!std::ranges::equal(again, subject_public_key_info))
    return Fail(ErrorCode::kInvalidArgument, "a public key in DER with something that does not belong to it");
  TACIT_TRY_VOID(CheckAcceptableKey(key.get()));
  return KeyVerifier(key.release());
}

Digest256 KeyVerifier::PublicKeySha256() const {
  return PublicKeyDigest(key_.get());
}

bool KeyVerifier::Verify(ByteSpan message, ByteSpan signature) const {
  if (signature.empty()) return false;
  ERR_clear_error();
  const MessageContextPtr context = NewMessageContext();
  EVP_PKEY_CTX* of_key = nullptr;  // the context's own
  const bool good =
      EVP_DigestVerifyInit(context.get(), &of_key, DigestFor(key_.get()), nullptr, key_.get()) == 1 &&
      SetPadding(key_.get(), of_key) &&
      EVP_DigestVerify(context.get(), signature.data(), signature.size(), message.data(), message.size()) == 1;
  ERR_clear_error();  // a wrong signature leaves a reason there
  return good;
}

}  // namespace tacit::crypto
