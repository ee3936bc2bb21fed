#include "common/crypto/public_key.h"

#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <utility>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/param_build.h>

#include "common/crypto/openssl.h"

namespace tacit::crypto {
namespace {

using BignumPtr = std::unique_ptr<BIGNUM, OsslDeleter<BN_free>>;
using ParamBuilderPtr = std::unique_ptr<OSSL_PARAM_BLD, OsslDeleter<OSSL_PARAM_BLD_free>>;
using ParamsPtr = std::unique_ptr<OSSL_PARAM, OsslDeleter<OSSL_PARAM_free>>;
using PkeyContextPtr = std::unique_ptr<EVP_PKEY_CTX, OsslDeleter<EVP_PKEY_CTX_free>>;
using DigestContextPtr = std::unique_ptr<EVP_MD_CTX, OsslDeleter<EVP_MD_CTX_free>>;
using EcdsaSignaturePtr = std::unique_ptr<ECDSA_SIG, OsslDeleter<ECDSA_SIG_free>>;

constexpr int kFewestModulusBits = 2048;
constexpr int kMostModulusBits = 8192;
// With the zero in front that some libraries write.
constexpr std::size_t kMostModulusBytes = kMostModulusBits / 8 + 1;
constexpr std::size_t kMostExponentBytes = 8;
constexpr int kFewestExponentBits = 17;  // of 65537, the smallest odd number that has so many
constexpr std::size_t kCoordinateBytes = 32;
constexpr unsigned char kUncompressed = 4;  // SEC 1, section 2.3.3

BignumPtr NumberOf(ByteSpan bytes) {
  BignumPtr number(BN_bin2bn(bytes.data(), static_cast<int>(bytes.size()), nullptr));
  TACIT_CHECK(number != nullptr, "memory for a small object");
  return number;
}

ParamBuilderPtr NewParams() {
  ParamBuilderPtr builder(OSSL_PARAM_BLD_new());
  TACIT_CHECK(builder != nullptr, "memory for a small object");
  return builder;
}

// Null where the numbers are no key of that kind.
PkeyPtr MakeKey(const char* kind, OSSL_PARAM_BLD* builder) {
  const ParamsPtr params(OSSL_PARAM_BLD_to_param(builder));
  const PkeyContextPtr context(EVP_PKEY_CTX_new_from_name(nullptr, kind, nullptr));
  EVP_PKEY* key = nullptr;
  if (params != nullptr && context != nullptr && EVP_PKEY_fromdata_init(context.get()) == 1)
    EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, params.get());
  return PkeyPtr(key);
}

bool IsGood(EVP_PKEY* key) {
  const PkeyContextPtr context(EVP_PKEY_CTX_new(key, nullptr));
  return context != nullptr && EVP_PKEY_public_check(context.get()) == 1;
}

// OpenSSL takes ECDSA signatures as X.509 has them, tokens have two numbers of a fixed size. Empty where these are
// none. Source: RFC 7518, section 3.4.
Bytes DerOf(ByteSpan signature) {
  if (signature.size() != 2 * kCoordinateBytes) return {};
  const EcdsaSignaturePtr pair(ECDSA_SIG_new());
  // The pair owns its numbers.
  TACIT_CHECK(pair != nullptr && ECDSA_SIG_set0(pair.get(), NumberOf(signature.first(kCoordinateBytes)).release(),
                                                NumberOf(signature.last(kCoordinateBytes)).release()) == 1,
              "memory for a small object");
  unsigned char* der = nullptr;
  const int size = i2d_ECDSA_SIG(pair.get(), &der);
  TACIT_CHECK(size > 0, "two numbers can be written");
  Bytes bytes(der, der + size);
  OPENSSL_free(der);
  return bytes;
}

}  // namespace

Result<PkeyPtr> ReadP256Point(std::span<const std::uint8_t, 65> point) {
  ERR_clear_error();
  const ParamBuilderPtr builder = NewParams();
  TACIT_CHECK(
      OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0) == 1 &&
          OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size()) == 1,
      "memory for a small object");
  PkeyPtr key = MakeKey("EC", builder.get());
  // OpenSSL also takes the hybrid form, in which the same point has other bytes.
  if (point.front() != kUncompressed || key == nullptr || !IsGood(key.get()))
    return OpenSslFailure(ErrorCode::kInvalidArgument, "not a point on the curve P-256");
  return key;
}

std::string_view NameOf(TokenSignature signature) {
  return signature == TokenSignature::kRs256 ? "RS256" : "ES256";
}

PublicKey::PublicKey(evp_pkey_st* owned, TokenSignature signature)
    : key_(owned, [](evp_pkey_st* key) { EVP_PKEY_free(key); }), signature_(signature) {}

Result<PublicKey> PublicKey::FromRsa(const RsaNumbers& numbers) {
  if (numbers.modulus.size() > kMostModulusBytes || numbers.exponent.size() > kMostExponentBytes)
    return Fail(ErrorCode::kInvalidArgument, "an RSA key that is larger than 8192 bits, or its exponent than 8 bytes");
  const BignumPtr modulus = NumberOf(numbers.modulus);
  const BignumPtr exponent = NumberOf(numbers.exponent);
  const int bits = BN_num_bits(modulus.get());
  if (bits < kFewestModulusBits || bits > kMostModulusBits || BN_is_odd(modulus.get()) == 0) {
    return Fail(ErrorCode::kInvalidArgument,
                "an RSA key must have an odd modulus of 2048 to 8192 bits, not one of " + std::to_string(bits));
  }
  if (BN_num_bits(exponent.get()) < kFewestExponentBits || BN_is_odd(exponent.get()) == 0)
    return Fail(ErrorCode::kInvalidArgument, "the exponent of an RSA key must be odd and at least 65537");
  ERR_clear_error();
  const ParamBuilderPtr builder = NewParams();
  TACIT_CHECK(OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, modulus.get()) == 1 &&
                  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, exponent.get()) == 1,
              "memory for a small object");
  PkeyPtr key = MakeKey("RSA", builder.get());
  if (key == nullptr) return OpenSslFailure(ErrorCode::kInvalidArgument, "not an RSA key");
  return PublicKey(key.release(), TokenSignature::kRs256);
}

Result<PublicKey> PublicKey::FromP256(const Point& point) {
  if (point.x.size() != kCoordinateBytes || point.y.size() != kCoordinateBytes)
    return Fail(ErrorCode::kInvalidArgument, "the coordinates of a P-256 key must have 32 bytes each");
  std::array<unsigned char, 1 + 2 * kCoordinateBytes> octets{kUncompressed};
  std::ranges::copy(point.x, octets.begin() + 1);
  std::ranges::copy(point.y, octets.begin() + 1 + kCoordinateBytes);
  TACIT_TRY(PkeyPtr key, ReadP256Point(octets));
  return PublicKey(key.release(), TokenSignature::kEs256);
}

bool PublicKey::Verify(ByteSpan message, ByteSpan signature) const {
  const Bytes der = signature_ == TokenSignature::kEs256 ? DerOf(signature) : Bytes();
  if (signature_ == TokenSignature::kEs256) signature = der;
  if (signature.empty()) return false;
  const DigestContextPtr context(EVP_MD_CTX_new());
  TACIT_CHECK(context != nullptr, "memory for a small object");
  ERR_clear_error();
  const bool good =
      EVP_DigestVerifyInit(context.get(), nullptr, EVP_sha256(), nullptr, key_.get()) == 1 &&
      EVP_DigestVerify(context.get(), signature.data(), signature.size(), message.data(), message.size()) == 1;
  ERR_clear_error();  // a wrong signature leaves a reason there
  return good;
}

}  // namespace tacit::crypto
