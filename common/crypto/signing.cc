#include "common/crypto/signing.h"

#include <memory>

#include <openssl/pem.h>

#include "common/crypto/digest.h"
#include "common/crypto/openssl.h"

namespace tacit::crypto {
namespace {

using SignatureContextPtr = std::unique_ptr<EVP_MD_CTX, OsslDeleter<EVP_MD_CTX_free>>;

SignatureContextPtr NewSignatureContext() {
  SignatureContextPtr context(EVP_MD_CTX_new());
  TACIT_CHECK(context != nullptr, "memory for a small object");
  return context;
}

// Any 32 bytes make a key; those that are no point of the curve verify nothing.
PkeyPtr KeyOf(const Ed25519PublicKey& raw) {
  PkeyPtr key(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, raw.data(), raw.size()));
  TACIT_CHECK(key != nullptr, "Ed25519 is part of OpenSSL's default provider");
  return key;
}

Result<Ed25519PublicKey> RawKeyOf(const EVP_PKEY* key) {
  Ed25519PublicKey raw{};
  std::size_t size = raw.size();
  if (EVP_PKEY_get_base_id(key) != EVP_PKEY_ED25519)
    return Fail(ErrorCode::kInvalidArgument, "a key that signs models must be of Ed25519");
  TACIT_CHECK(EVP_PKEY_get_raw_public_key(key, raw.data(), &size) == 1 && size == raw.size(),
              "a key that was parsed or generated has a public half");
  return raw;
}

}  // namespace

std::string KeyIdOf(const Ed25519PublicKey& key) {
  return ToHex(Sha256(key));
}

bool Verify(const Ed25519PublicKey& key, ByteSpan message, ByteSpan signature) {
  if (signature.size() != Ed25519Signature{}.size()) return false;
  const PkeyPtr native = KeyOf(key);
  const SignatureContextPtr context = NewSignatureContext();
  const bool good =
      EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, native.get()) == 1 &&
      EVP_DigestVerify(context.get(), signature.data(), signature.size(), message.data(), message.size()) == 1;
  ERR_clear_error();  // a wrong signature leaves a reason there
  return good;
}

Result<Ed25519PublicKey> ReadEd25519PublicPem(std::string_view pem) {
  ERR_clear_error();
  const BioPtr bio = ReadBio(pem);
  const PkeyPtr key(PEM_read_bio_PUBKEY(bio.get(), nullptr, NoPassPhrase, nullptr));
  if (key == nullptr) return OpenSslFailure(ErrorCode::kMalformed, "not a public key in PEM");
  return RawKeyOf(key.get());
}

std::string ToPem(const Ed25519PublicKey& key) {
  constexpr bool kPublic = false;
  const BioPtr bio = WriteBio(kPublic);
  TACIT_CHECK(PEM_write_bio_PUBKEY(bio.get(), KeyOf(key).get()) == 1, "memory for a small object");
  return TextOf(bio.get());
}

Result<SigningKey> SigningKey::Generate() {
  TACIT_TRY(PrivateKey key, PrivateKey::GenerateEd25519());
  TACIT_TRY(const Ed25519PublicKey raw, RawKeyOf(key.native()));
  return SigningKey(std::move(key), raw);
}

Result<SigningKey> SigningKey::FromPem(std::string_view pem) {
  TACIT_TRY(PrivateKey key, PrivateKey::FromPem(pem));
  TACIT_TRY(const Ed25519PublicKey raw, RawKeyOf(key.native()));
  return SigningKey(std::move(key), raw);
}

Ed25519Signature SigningKey::Sign(ByteSpan message) const {
  const SignatureContextPtr context = NewSignatureContext();
  Ed25519Signature signature{};
  std::size_t size = signature.size();
  const bool done = EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key_.native()) == 1 &&
                    EVP_DigestSign(context.get(), signature.data(), &size, message.data(), message.size()) == 1 &&
                    size == signature.size();
  TACIT_CHECK(done, "an Ed25519 key signs any message");
  return signature;
}

}  // namespace tacit::crypto
