#include "common/crypto/soft_agreement_key.h"

#include <algorithm>

#include <gtest/gtest.h>
#include <openssl/evp.h>

#include "common/crypto/openssl.h"
#include "tests/support/matchers.h"

namespace tacit::crypto {
namespace {

using ::tacit::testing::IsError;
using ::tacit::testing::IsErrorSaying;
using ::tacit::testing::IsOk;

P256Point PointFromHex(std::string_view hex) {
  const Bytes bytes = *ParseHex(hex);
  P256Point point{};
  std::ranges::copy(bytes, point.begin());
  return point;
}

// NIST CAVP, KAS ECC CDH primitive test vectors (SP 800-56A), P-256, COUNT = 0, the private key as PKCS #8.
constexpr std::string_view kOwnPkcs8 =
    "3041020100301306072a8648ce3d020106082a8648ce3d030107042730250201010420"
    "7d7dc5f71eb29ddaf80d6214632eeae03d9058af1fb6d22ed80badb62bc1a534";
constexpr std::string_view kOwnPoint =
    "04ead218590119e8876b29146ff89ca61770c4edbbf97d38ce385ed281d8a6b230"
    "28af61281fd35e2fa7002523acc85a429cb06ee6648325389f59edfce1405141";
constexpr std::string_view kPeerPoint =
    "04700c48f77f56584c5cc632ca65640db91b6bacce3a4df6b42ce7cc838833d287"
    "db71e509e3fd9b060ddb20ba5c51dcc5948d46fbf640dfe0441782cab85fa4ac";
constexpr std::string_view kShared = "46fc62106420ff012e54a434fbdd2d25ccc5852060561e68040dd7778997bd7b";

TEST(SoftAgreementKey, AgreesAsThePublishedVectorSays) {
  auto key = SoftAgreementKey::FromPkcs8(*ParseHex(kOwnPkcs8));
  ASSERT_THAT(key, IsOk());
  EXPECT_EQ(key->public_key(), PointFromHex(kOwnPoint));
  const auto shared = key->Agree(PointFromHex(kPeerPoint));
  ASSERT_THAT(shared, IsOk());
  EXPECT_EQ(ToHex(shared->bytes()), kShared);
}

TEST(SoftAgreementKey, AgreesWithItselfAfterItWasWrittenAndRead) {
  auto one = SoftAgreementKey::Generate();
  auto other = SoftAgreementKey::Generate();
  ASSERT_THAT(one, IsOk());
  ASSERT_THAT(other, IsOk());
  EXPECT_NE(one->public_key(), other->public_key());
  auto again = SoftAgreementKey::FromPkcs8(one->ToPkcs8());
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(again->public_key(), one->public_key());
  EXPECT_TRUE(std::ranges::equal(again->Agree(other->public_key())->bytes(), other->Agree(one->public_key())->bytes()));
}

TEST(SoftAgreementKey, RefusesAPeerThatIsNoPointOfTheCurve) {
  auto key = SoftAgreementKey::Generate();
  ASSERT_THAT(key, IsOk());
  const P256Point good = PointFromHex(kPeerPoint);
  EXPECT_THAT(key->Agree(good), IsOk());
  P256Point off = good;
  off.back() ^= 1U;
  EXPECT_THAT(key->Agree(off), IsErrorSaying(ErrorCode::kInvalidArgument, "not a point"));
  EXPECT_THAT(key->Agree(P256Point{}), IsError(ErrorCode::kInvalidArgument));
  EXPECT_THAT(key->Agree(P256Point{4}), IsError(ErrorCode::kInvalidArgument));
  P256Point hybrid = good;
  hybrid.front() = static_cast<std::uint8_t>(6 + (good.back() & 1U));
  EXPECT_THAT(key->Agree(hybrid), IsError(ErrorCode::kInvalidArgument));
}

Bytes Pkcs8Of(const char* kind, const char* curve) {
  const PkeyPtr key(curve == nullptr ? EVP_PKEY_Q_keygen(nullptr, nullptr, kind)
                                     : EVP_PKEY_Q_keygen(nullptr, nullptr, kind, curve));
  PKCS8_PRIV_KEY_INFO* info = EVP_PKEY2PKCS8(key.get());
  unsigned char* der = nullptr;
  const int size = i2d_PKCS8_PRIV_KEY_INFO(info, &der);
  Bytes bytes(der, der + size);
  OPENSSL_free(der);
  PKCS8_PRIV_KEY_INFO_free(info);
  return bytes;
}

TEST(SoftAgreementKey, RefusesKeysOfOtherKinds) {
  EXPECT_THAT(SoftAgreementKey::FromPkcs8(Pkcs8Of("EC", "P-256")), IsOk());
  EXPECT_THAT(SoftAgreementKey::FromPkcs8(Pkcs8Of("EC", "P-384")), IsError(ErrorCode::kInvalidArgument));
  EXPECT_THAT(SoftAgreementKey::FromPkcs8(Pkcs8Of("X25519", nullptr)), IsError(ErrorCode::kInvalidArgument));
}

TEST(SoftAgreementKey, RefusesBytesThatAreNotOneKey) {
  const Bytes der = SoftAgreementKey::Generate()->ToPkcs8();
  for (std::size_t size = 0; size < der.size(); ++size)
    EXPECT_THAT(SoftAgreementKey::FromPkcs8(ByteSpan(der).first(size)), IsError(ErrorCode::kMalformed)) << size;
  Bytes longer = der;
  longer.push_back(0);
  EXPECT_THAT(SoftAgreementKey::FromPkcs8(longer), IsError(ErrorCode::kMalformed));
  EXPECT_THAT(SoftAgreementKey::FromPkcs8(Bytes(100'000, 0x30)), IsError(ErrorCode::kMalformed));
}

TEST(SoftAgreementKey, RefusesHalvesThatDoNotBelongTogether) {
  Bytes der = SoftAgreementKey::Generate()->ToPkcs8();
  const P256Point other = SoftAgreementKey::Generate()->public_key();
  // The point stands at the end.
  std::ranges::copy(other, der.end() - static_cast<std::ptrdiff_t>(other.size()));
  EXPECT_THAT(SoftAgreementKey::FromPkcs8(der), IsErrorSaying(ErrorCode::kInvalidArgument, "a good one of P-256"));
}

}  // namespace
}  // namespace tacit::crypto
