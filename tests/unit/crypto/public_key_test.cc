#include "common/crypto/public_key.h"

#include <cstddef>
#include <utility>

#include <gtest/gtest.h>

#include "tests/support/matchers.h"
#include "tests/support/token_signer.h"

namespace tacit::crypto {
namespace {

using tacit::testing::IsErrorSaying;
using tacit::testing::IsOk;
using tacit::testing::TokenSigner;

// Made once: it takes longer than all that is done with it.
const TokenSigner& RsaSigner() {
  static const TokenSigner signer = TokenSigner::Rsa();
  return signer;
}

Result<PublicKey> RsaKey(const TokenSigner& signer) {
  const Bytes modulus = signer.Number("n");
  const Bytes exponent = signer.Number("e");
  return PublicKey::FromRsa({.modulus = modulus, .exponent = exponent});
}

Result<PublicKey> PointKey(const TokenSigner& signer) {
  const Bytes x = signer.Number("x");
  const Bytes y = signer.Number("y");
  return PublicKey::FromP256({.x = x, .y = y});
}

TEST(PublicKey, VerifiesWhatItsOwnerSignedAndNothingElse) {
  const TokenSigner point = TokenSigner::P256();
  for (const auto& [signer, key] : {std::pair(RsaSigner(), RsaKey(RsaSigner())), std::pair(point, PointKey(point))}) {
    ASSERT_THAT(key, IsOk());
    EXPECT_EQ(NameOf(key->signature()), signer.algorithm());
    const Bytes signature = signer.Sign("message");
    EXPECT_TRUE(key->Verify(AsBytes("message"), signature));
    EXPECT_FALSE(key->Verify(AsBytes("messagf"), signature));
    for (const std::size_t at : {std::size_t{0}, signature.size() / 2, signature.size() - 1}) {
      Bytes other = signature;
      other[at] ^= 1U;
      EXPECT_FALSE(key->Verify(AsBytes("message"), other)) << at;
    }
    Bytes longer = signature;
    longer.push_back(0);
    EXPECT_FALSE(key->Verify(AsBytes("message"), longer));
    EXPECT_FALSE(key->Verify(AsBytes("message"), ByteSpan(signature).first(signature.size() - 1)));
    EXPECT_FALSE(key->Verify(AsBytes("message"), {}));
    EXPECT_FALSE(key->Verify(AsBytes("message"), Bytes(signature.size(), 0)));
    EXPECT_TRUE(key->Verify(AsBytes("message"), signature)) << "what failed before leaves nothing behind";
  }
}

TEST(PublicKey, TakesAnotherKeysSignatureForNone) {
  const auto key = PointKey(TokenSigner::P256());
  EXPECT_FALSE(key->Verify(AsBytes("message"), TokenSigner::P256().Sign("message")));
  EXPECT_FALSE(key->Verify(AsBytes("message"), RsaSigner().Sign("message")));
}

TEST(PublicKey, RefusesRsaKeysThatAreTooSmallTooLargeOrOdd) {
  EXPECT_THAT(RsaKey(TokenSigner::Rsa(1024)), IsErrorSaying(ErrorCode::kInvalidArgument, "not one of 1024"));
  const Bytes exponent = {1, 0, 1};
  const auto with_modulus = [&](const Bytes& modulus) {
    return PublicKey::FromRsa({.modulus = modulus, .exponent = exponent});
  };
  EXPECT_THAT(with_modulus(Bytes(1025, 0xff)), IsErrorSaying(ErrorCode::kInvalidArgument, "not one of 8200"));
  EXPECT_THAT(with_modulus(Bytes(1026, 0xff)), IsErrorSaying(ErrorCode::kInvalidArgument, "larger than 8192 bits"));
  EXPECT_THAT(with_modulus({}), IsErrorSaying(ErrorCode::kInvalidArgument, "not one of 0"));
  Bytes even = RsaSigner().Number("n");
  even.back() &= 0xfeU;
  EXPECT_THAT(with_modulus(even), IsErrorSaying(ErrorCode::kInvalidArgument, "an odd modulus"));
  const Bytes modulus = RsaSigner().Number("n");
  for (const Bytes& bad : {Bytes{}, Bytes{3}, Bytes{1, 0, 0}, Bytes(9, 0xff)}) {
    EXPECT_THAT(PublicKey::FromRsa({.modulus = modulus, .exponent = bad}),
                IsErrorSaying(ErrorCode::kInvalidArgument, "exponent"));
  }
  Bytes padded = modulus;
  padded.insert(padded.begin(), 0);
  EXPECT_THAT(with_modulus(padded), IsOk()) << "as some libraries write it";
}

TEST(PublicKey, RefusesWhatIsNoPointOfTheCurve) {
  const TokenSigner signer = TokenSigner::P256();
  const Bytes x = signer.Number("x");
  Bytes y = signer.Number("y");
  const auto make = [](const Bytes& a, const Bytes& b) { return PublicKey::FromP256({.x = a, .y = b}); };
  EXPECT_THAT(make(x, y), IsOk());
  EXPECT_THAT(make(x, Bytes(31, 1)), IsErrorSaying(ErrorCode::kInvalidArgument, "32 bytes"));
  EXPECT_THAT(make(Bytes(33, 1), y), IsErrorSaying(ErrorCode::kInvalidArgument, "32 bytes"));
  y.back() ^= 1U;
  EXPECT_THAT(make(x, y), IsErrorSaying(ErrorCode::kInvalidArgument, "not a point"));
  EXPECT_THAT(make(Bytes(32, 0), Bytes(32, 0)), IsErrorSaying(ErrorCode::kInvalidArgument, "not a point"));
  EXPECT_THAT(make(Bytes(32, 0xff), y), IsErrorSaying(ErrorCode::kInvalidArgument, "not a point"));
}

}  // namespace
}  // namespace tacit::crypto
