#include "common/crypto/signing.h"

#include <algorithm>
#include <string>

#include <gtest/gtest.h>

#include "tests/support/matchers.h"

namespace tacit::crypto {
namespace {

using ::tacit::testing::IsError;
using ::tacit::testing::IsErrorSaying;
using ::tacit::testing::IsOk;

// RFC 8032, section 7.1, test 3; the private key as openssl writes it.
constexpr std::string_view kPem =
    "-----BEGIN PRIVATE KEY-----\n"
    "MC4CAQAwBQYDK2VwBCIEIMWqjfQ/n4N77bdELzHct7Fm04U1B28JS4XOOi4LRFj3\n"
    "-----END PRIVATE KEY-----\n";
constexpr std::string_view kPublicKey = "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025";
constexpr std::string_view kSignatureOfAf82 =
    "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
    "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a";

TEST(SigningKey, SignsAsThePublishedVectorSays) {
  const auto key = SigningKey::FromPem(kPem);
  ASSERT_THAT(key, IsOk());
  EXPECT_EQ(ToHex(key->public_key()), kPublicKey);
  EXPECT_EQ(ToHex(key->Sign(*ParseHex("af82"))), kSignatureOfAf82);
  EXPECT_TRUE(Verify(key->public_key(), *ParseHex("af82"), *ParseHex(kSignatureOfAf82)));
}

TEST(SigningKey, IsNamedByTheDigestOfItsPublicHalf) {
  const auto key = SigningKey::FromPem(kPem);
  ASSERT_THAT(key, IsOk());
  EXPECT_EQ(key->key_id(), "dac073e0123bdea59dd9b3bda9cf6037f63aca82627d7abcd5c4ac29dd74003e");
  EXPECT_EQ(key->key_id(), KeyIdOf(key->public_key()));
}

TEST(SigningKey, RoundTripsThroughPem) {
  const auto key = SigningKey::Generate();
  ASSERT_THAT(key, IsOk());
  const auto pem = key->ToPem();
  ASSERT_THAT(pem, IsOk());
  const auto again = SigningKey::FromPem(*pem);
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(again->public_key(), key->public_key());
  const auto read = ReadEd25519PublicPem(ToPem(key->public_key()));
  ASSERT_THAT(read, IsOk());
  EXPECT_EQ(*read, key->public_key());
  EXPECT_NE(SigningKey::Generate()->public_key(), key->public_key());
}

TEST(SigningKey, RefusesKeysOfOtherKinds) {
  const std::string pem = *PrivateKey::GenerateP256()->ToPem();
  EXPECT_THAT(SigningKey::FromPem(pem), IsErrorSaying(ErrorCode::kInvalidArgument, "must be of Ed25519"));
  EXPECT_THAT(SigningKey::FromPem("no key"), IsError(ErrorCode::kMalformed));
  EXPECT_THAT(ReadEd25519PublicPem("no key"), IsError(ErrorCode::kMalformed));
  EXPECT_THAT(ReadEd25519PublicPem(kPem), IsError(ErrorCode::kMalformed));
}

TEST(VerifyEd25519, RefusesAnotherMessageKeyOrSignature) {
  const auto key = SigningKey::FromPem(kPem);
  ASSERT_THAT(key, IsOk());
  const ByteSpan message = AsBytes("model 7");
  Ed25519Signature signature = key->Sign(message);
  EXPECT_TRUE(Verify(key->public_key(), message, signature));
  EXPECT_FALSE(Verify(key->public_key(), AsBytes("model 8"), signature));
  EXPECT_FALSE(Verify(SigningKey::Generate()->public_key(), message, signature));
  EXPECT_FALSE(Verify(Ed25519PublicKey{2}, message, signature)) << "no point of the curve";
  EXPECT_FALSE(Verify(key->public_key(), message, {}));
  EXPECT_FALSE(Verify(key->public_key(), message, ByteSpan(signature).first(63)));
  for (std::uint8_t& byte : signature) {
    byte ^= 1U;
    EXPECT_FALSE(Verify(key->public_key(), message, signature));
    byte ^= 1U;
  }
}

}  // namespace
}  // namespace tacit::crypto
