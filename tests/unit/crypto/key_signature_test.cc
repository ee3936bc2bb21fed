#include "common/crypto/key_signature.h"

#include <string>

#include <gtest/gtest.h>

#include "common/crypto/digest.h"
#include "tests/support/matchers.h"

namespace tacit::crypto {
namespace {

using ::tacit::testing::IsError;
using ::tacit::testing::IsErrorSaying;
using ::tacit::testing::IsOk;

// By `openssl dgst -sha256 -sign`, over "said".
constexpr std::string_view kTheirKey =
    "3059301306072a8648ce3d020106082a8648ce3d0301070342000493383638d98e52f36b758c4b66165967645b6f1ff1"
    "539c7cb0311e375692c627ba0b61493a79457d84b572d12adeb326455d20d8f715c31f5f7a54ff9928fefa";
constexpr std::string_view kTheirSignature =
    "3045022100b85c4214c499485108e0f61dca33f81e5f5983d8452fcee6d1db2a99c2901f5002206a8c7c9766e721972a"
    "4c37dd22100b706436fd3a8beaa0f6b5071bfe2a1965f4";

KeyVerifier VerifierOf(const PrivateKey& key) {
  return *KeyVerifier::FromDer(PublicKeyDer(key));
}

TEST(KeySignature, IsGoodForItsKeyAndItsMessageAlone) {
  for (const auto& made : {PrivateKey::GenerateP256, PrivateKey::GenerateEd25519}) {
    const PrivateKey key = *made();
    const auto signature = SignWith(key, AsBytes("said"));
    ASSERT_THAT(signature, IsOk());
    const KeyVerifier verifier = VerifierOf(key);
    EXPECT_EQ(verifier.PublicKeySha256(), key.PublicKeySha256());
    EXPECT_EQ(Sha256(PublicKeyDer(key)), key.PublicKeySha256());
    EXPECT_TRUE(verifier.Verify(AsBytes("said"), *signature));
    EXPECT_FALSE(verifier.Verify(AsBytes("sair"), *signature));
    EXPECT_FALSE(VerifierOf(*made()).Verify(AsBytes("said"), *signature)) << "another key of the same kind";
    Bytes changed = *signature;
    changed.back() ^= 1U;
    EXPECT_FALSE(verifier.Verify(AsBytes("said"), changed));
    EXPECT_FALSE(verifier.Verify(AsBytes("said"), ByteSpan(*signature).first(signature->size() - 1)));
    EXPECT_FALSE(verifier.Verify(AsBytes("said"), {}));
  }
}

TEST(KeySignature, IsWhatOtherProgramsWrite) {
  const auto verifier = KeyVerifier::FromDer(*ParseHex(kTheirKey));
  ASSERT_THAT(verifier, IsOk());
  EXPECT_TRUE(verifier->Verify(AsBytes("said"), *ParseHex(kTheirSignature)));
}

TEST(KeySignature, RefusesWhatIsNoKeyOfACertificate) {
  EXPECT_THAT(KeyVerifier::FromDer(AsBytes("no key")), IsError(ErrorCode::kInvalidArgument));
  EXPECT_THAT(KeyVerifier::FromDer({}), IsError(ErrorCode::kInvalidArgument));
  Bytes longer = PublicKeyDer(*PrivateKey::GenerateP256());
  longer.push_back(0);
  EXPECT_THAT(KeyVerifier::FromDer(longer), IsErrorSaying(ErrorCode::kInvalidArgument, "does not belong to it"));
  EXPECT_THAT(KeyVerifier::FromDer(*ParseHex(
                  "3046301006072a8648ce3d020106052b8104001f03320004a7e4b77673cc3ce058ed47ee5c848dd1d4c2ab3cee97b45e"
                  "6206ab4a1fe80f4cc2010504c2d552a685d94d302dd09ac5")),
              IsErrorSaying(ErrorCode::kInvalidArgument, "must be P-256"));
}

}  // namespace
}  // namespace tacit::crypto
