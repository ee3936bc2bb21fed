#include "common/crypto/keys.h"

#include <string>

#include <gtest/gtest.h>
#include <openssl/pem.h>

#include "common/crypto/certificate.h"
#include "common/crypto/openssl.h"
#include "tests/support/matchers.h"
#include "tests/unit/crypto/fixtures.h"

namespace tacit::crypto {
namespace {

using tacit::testing::IsError;
using tacit::testing::IsErrorSaying;
using tacit::testing::IsOk;

TEST(PrivateKey, RoundTripsThroughPem) {
  const auto key = PrivateKey::GenerateP256();
  ASSERT_THAT(key, IsOk());
  const auto pem = key->ToPem();
  ASSERT_THAT(pem, IsOk());
  EXPECT_TRUE(pem->starts_with("-----BEGIN PRIVATE KEY-----"));
  const auto again = PrivateKey::FromPem(*pem);
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(again->PublicKeySha256(), key->PublicKeySha256());
}

TEST(PrivateKey, IsBornDifferentEachTime) {
  EXPECT_NE(PrivateKey::GenerateP256()->PublicKeySha256(), PrivateKey::GenerateP256()->PublicKeySha256());
}

/// A key that only a pass phrase opens.
std::string EncryptedKeyPem() {
  const PrivateKey key = *PrivateKey::GenerateP256();
  const BioPtr bio = WriteBio(false);
  EXPECT_EQ(PEM_write_bio_PKCS8PrivateKey(bio.get(), key.native(), EVP_aes_128_cbc(), "phrase", 6, nullptr, nullptr),
            1);
  return TextOf(bio.get());
}

TEST(PrivateKey, RefusesWhatIsNoKeyAndNeverAsksForAPassPhrase) {
  EXPECT_THAT(PrivateKey::FromPem(""), IsError(ErrorCode::kMalformed));
  EXPECT_THAT(PrivateKey::FromPem("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
              IsError(ErrorCode::kMalformed));
  EXPECT_THAT(PrivateKey::FromPem(testing::kWebUriCertificate), IsError(ErrorCode::kMalformed));
  EXPECT_THAT(PrivateKey::FromPem(EncryptedKeyPem()), IsErrorSaying(ErrorCode::kMalformed, "not an unencrypted"));
}

TEST(MakeCsrPem, RefusesANameThatDoesNotFit) {
  const auto key = PrivateKey::GenerateP256();
  EXPECT_THAT(MakeCsrPem(*key, "device"), IsOk());
  EXPECT_THAT(MakeCsrPem(*key, ""), IsError(ErrorCode::kInvalidArgument));
  EXPECT_THAT(MakeCsrPem(*key, std::string(65, 'a')), IsError(ErrorCode::kInvalidArgument));
}

TEST(Fingerprint, ParsesWhatItFormatsAndWhatOtherToolsPrint) {
  Digest256 digest{};
  digest[0] = 0xab;
  digest[31] = 0x01;
  const std::string text = FormatFingerprint(digest);
  EXPECT_TRUE(text.starts_with("sha256:ab00"));
  EXPECT_EQ(*ParseFingerprint(text), digest);
  std::string colons = "sha256:AB";
  for (int i = 0; i < 30; ++i) colons += ":00";
  EXPECT_EQ(*ParseFingerprint(colons + ":01"), digest);
  for (const std::string& bad :
       {std::string(), text.substr(7), text.substr(0, 70), text + "00", "sha1:" + text.substr(7)}) {
    EXPECT_THAT(ParseFingerprint(bad), IsError(ErrorCode::kInvalidArgument)) << bad;
  }
}

}  // namespace
}  // namespace tacit::crypto
