#include "common/crypto/keys.h"

#include <string>

#include <openssl/pem.h>

#include "common/crypto/digest.h"
#include "common/crypto/openssl.h"

namespace tacit::crypto {
namespace {

constexpr int kSmallestRsaBits = 2048;
constexpr int kLargestRsaBits = 8192;

bool IsAcceptableCurve(EVP_PKEY* key) {
  char group[64];
  if (EVP_PKEY_get_group_name(key, group, sizeof group, nullptr) != 1) return false;
  const std::string_view name = group;
  return name == "prime256v1" || name == "P-256" || name == "secp384r1" || name == "P-384";
}

}  // namespace

int NoPassPhrase(char* /*buffer*/, int /*size*/, int /*writing*/, void* /*context*/) {
  return -1;
}

Digest256 PublicKeyDigest(EVP_PKEY* key) {
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(key, &der);
  TACIT_CHECK(size > 0, "a key that was parsed or generated has a public half");
  const Digest256 digest = Sha256({der, static_cast<std::size_t>(size)});
  OPENSSL_free(der);
  return digest;
}

Result<void> CheckAcceptableKey(EVP_PKEY* key) {
  const int kind = EVP_PKEY_get_base_id(key);
  const int bits = EVP_PKEY_get_bits(key);
  const bool acceptable = kind == EVP_PKEY_ED25519 || (kind == EVP_PKEY_EC && IsAcceptableCurve(key)) ||
                          (kind == EVP_PKEY_RSA && bits >= kSmallestRsaBits && bits <= kLargestRsaBits);
  if (acceptable) return {};
  const char* name = EVP_PKEY_get0_type_name(key);
  return Fail(ErrorCode::kInvalidArgument, "a key must be P-256, P-384, Ed25519 or RSA of 2048 to 8192 bits, not " +
                                               std::string(name == nullptr ? "unknown" : name) + " of " +
                                               std::to_string(bits) + " bits");
}

void PrivateKey::KeyDeleter::operator()(evp_pkey_st* key) const {
  EVP_PKEY_free(key);
}

Result<PrivateKey> PrivateKey::GenerateP256() {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  if (key == nullptr) return OpenSslFailure(ErrorCode::kInternal, "cannot generate a P-256 key");
  return PrivateKey(key);
}

Result<PrivateKey> PrivateKey::GenerateEd25519() {
  EVP_PKEY* key = EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519");
  if (key == nullptr) return OpenSslFailure(ErrorCode::kInternal, "cannot generate an Ed25519 key");
  return PrivateKey(key);
}

Result<PrivateKey> PrivateKey::FromPem(std::string_view pem) {
  ERR_clear_error();
  const BioPtr bio = ReadBio(pem);
  PkeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, NoPassPhrase, nullptr));
  if (key == nullptr) return OpenSslFailure(ErrorCode::kMalformed, "not an unencrypted private key in PEM");
  TACIT_TRY_VOID(CheckAcceptableKey(key.get()));
  return PrivateKey(key.release());
}

Result<std::string> PrivateKey::ToPem() const {
  constexpr bool kSecret = true;
  const BioPtr bio = WriteBio(kSecret);
  if (PEM_write_bio_PKCS8PrivateKey(bio.get(), key_.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    return OpenSslFailure(ErrorCode::kInternal, "cannot write a private key as PEM");
  }
  return TextOf(bio.get());
}

Digest256 PrivateKey::PublicKeySha256() const {
  return PublicKeyDigest(key_.get());
}

}  // namespace tacit::crypto
