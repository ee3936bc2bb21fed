#include "common/crypto/soft_agreement_key.h"

#include <array>
#include <memory>
#include <string_view>

#include <openssl/core_names.h>
#include <openssl/ec.h>

#include "common/crypto/openssl.h"

namespace tacit::crypto {
namespace {

using Pkcs8Ptr = std::unique_ptr<PKCS8_PRIV_KEY_INFO, OsslDeleter<PKCS8_PRIV_KEY_INFO_free>>;
using AgreementContextPtr = std::unique_ptr<EVP_PKEY_CTX, OsslDeleter<EVP_PKEY_CTX_free>>;

// Over what a P-256 key takes, with room for the attributes that other programs write.
constexpr std::size_t kLongestPkcs8 = 4096;

bool IsP256(EVP_PKEY* key) {
  std::array<char, 64> group{};
  if (EVP_PKEY_get_base_id(key) != EVP_PKEY_EC) return false;
  if (EVP_PKEY_get_group_name(key, group.data(), group.size(), nullptr) != 1) return false;
  const std::string_view name = group.data();
  return name == "prime256v1" || name == "P-256";
}

// Whether the private half is in range, and the public half is its multiple of the generator.
bool IsPair(EVP_PKEY* key) {
  const AgreementContextPtr context(EVP_PKEY_CTX_new(key, nullptr));
  return context != nullptr && EVP_PKEY_check(context.get()) == 1;
}

P256Point PointOf(EVP_PKEY* key) {
  P256Point point{};
  std::size_t size = 0;
  // A key keeps the form of point that it was read with, which may be the compressed one.
  const bool done =
      EVP_PKEY_set_utf8_string_param(key, OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT, "uncompressed") == 1 &&
      EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size(), &size) == 1;
  TACIT_CHECK(done && size == point.size(), "a checked key has a public point");
  return point;
}

}  // namespace

void SoftAgreementKey::KeyDeleter::operator()(evp_pkey_st* key) const {
  EVP_PKEY_free(key);  // clears the private number
}

Result<SoftAgreementKey> SoftAgreementKey::Generate() {
  PkeyPtr key(EVP_EC_gen("P-256"));
  if (key == nullptr) return OpenSslFailure(ErrorCode::kInternal, "cannot generate a P-256 key");
  const P256Point point = PointOf(key.get());
  return SoftAgreementKey(key.release(), point);
}

Result<SoftAgreementKey> SoftAgreementKey::FromPkcs8(ByteSpan der) {
  if (der.size() > kLongestPkcs8) return Fail(ErrorCode::kMalformed, "more bytes than a P-256 key in PKCS #8 has");
  ERR_clear_error();
  const unsigned char* at = der.data();
  const Pkcs8Ptr pkcs8(d2i_PKCS8_PRIV_KEY_INFO(nullptr, &at, static_cast<long>(der.size())));
  if (pkcs8 == nullptr || at != der.data() + der.size())
    return OpenSslFailure(ErrorCode::kMalformed, "not one unencrypted private key in PKCS #8");
  PkeyPtr key(EVP_PKCS82PKEY(pkcs8.get()));
  if (key == nullptr) return OpenSslFailure(ErrorCode::kMalformed, "not a private key in PKCS #8");
  if (!IsP256(key.get()) || !IsPair(key.get()))
    return OpenSslFailure(ErrorCode::kInvalidArgument, "a key to agree with must be a good one of P-256");
  const P256Point point = PointOf(key.get());
  return SoftAgreementKey(key.release(), point);
}

Bytes SoftAgreementKey::ToPkcs8() const {
  const Pkcs8Ptr pkcs8(EVP_PKEY2PKCS8(key_.get()));
  const int size = pkcs8 == nullptr ? 0 : i2d_PKCS8_PRIV_KEY_INFO(pkcs8.get(), nullptr);
  TACIT_CHECK(size > 0, "a key that was parsed or generated can be written");
  Bytes der(static_cast<std::size_t>(size));
  unsigned char* at = der.data();
  TACIT_CHECK(i2d_PKCS8_PRIV_KEY_INFO(pkcs8.get(), &at) == size, "as long as it said");
  return der;
}

Result<SecretKey> SoftAgreementKey::Agree(const P256Point& peer) {
  TACIT_TRY(const PkeyPtr other, ReadP256Point(peer));
  const AgreementContextPtr context(EVP_PKEY_CTX_new(key_.get(), nullptr));
  std::array<std::uint8_t, SecretKey::kSize> shared{};
  std::size_t size = shared.size();
  const bool done = context != nullptr && EVP_PKEY_derive_init(context.get()) == 1 &&
                    EVP_PKEY_derive_set_peer(context.get(), other.get()) == 1 &&
                    EVP_PKEY_derive(context.get(), shared.data(), &size) == 1 && size == shared.size();
  auto secret = SecretKey::FromBytes(shared);
  Zeroise(shared);
  if (!done) return OpenSslFailure(ErrorCode::kInvalidArgument, "no secret can be agreed on with this point");
  return secret;
}

}  // namespace tacit::crypto
