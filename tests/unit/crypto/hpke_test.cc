#include "common/crypto/hpke.h"

#include <algorithm>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include "common/crypto/soft_agreement_key.h"
#include "tests/support/matchers.h"

namespace tacit::crypto {
namespace {

using ::tacit::testing::IsError;
using ::tacit::testing::IsOk;

struct HpkeVector {
  std::string_view name;
  AeadKind aead;
  std::string_view ephemeral;  // skEm
  std::string_view recipient;  // skRm
  std::string_view recipient_point;
  std::string_view encapsulated;
  std::string_view ciphertext;
};

// Mode base, DHKEM(P-256, HKDF-SHA256), HKDF-SHA256; of each, the message with sequence number 0. All have the same
// info, aad and plaintext.
constexpr std::string_view kInfo = "4f6465206f6e2061204772656369616e2055726e";
constexpr std::string_view kAad = "436f756e742d30";
constexpr std::string_view kPlaintext = "4265617574792069732074727574682c20747275746820626561757479";
constexpr std::array<HpkeVector, 3> kVectors{{
    {.name = "RFC 9180, appendix A.3.1",
     .aead = AeadKind::kAes128Gcm,
     .ephemeral = "4995788ef4b9d6132b249ce59a77281493eb39af373d236a1fe415cb0c2d7beb",
     .recipient = "f3ce7fdae57e1a310d87f1ebbde6f328be0a99cdbcadf4d6589cf29de4b8ffd2",
     .recipient_point = "04fe8c19ce0905191ebc298a9245792531f26f0cece2460639e8bc39cb7f706a82"
                        "6a779b4cf969b8a0e539c7f62fb3d30ad6aa8f80e30f1d128aafd68a2ce72ea0",
     .encapsulated = "04a92719c6195d5085104f469a8b9814d5838ff72b60501e2c4466e5e67b325ac9"
                     "8536d7b61a1af4b78e5b7f951c0900be863c403ce65c9bfcb9382657222d18c4",
     .ciphertext = "5ad590bb8baa577f8619db35a36311226a896e7342a6d836d8b7bcd2f20b6c7f9076ac232e3ab2523f39513434"},
    {.name = "RFC 9180, appendix A.5.1",
     .aead = AeadKind::kChaCha20Poly1305,
     .ephemeral = "7550253e1147aae48839c1f8af80d2770fb7a4c763afe7d0afa7e0f42a5b3689",
     .recipient = "a4d1c55836aa30f9b3fbb6ac98d338c877c2867dd3a77396d13f68d3ab150d3b",
     .recipient_point = "04a697bffde9405c992883c5c439d6cc358170b51af72812333b015621dc0f40ba"
                        "d9bb726f68a5c013806a790ec716ab8669f84f6b694596c2987cf35baba2a006",
     .encapsulated = "04c07836a0206e04e31d8ae99bfd549380b072a1b1b82e563c935c095827824fc1"
                     "559eac6fb9e3c70cd3193968994e7fe9781aa103f5b50e934b5b2f387e381291",
     .ciphertext = "6469c41c5c81d3aa85432531ecf6460ec945bde1eb428cb2fedf7a29f5a685b4ccb0d057f03ea2952a27bb458b"},
    // Ours. Its ephemeral key is what DeriveKeyPair (section 7.1.3) makes of the ikmE that is published.
    {.name = "the full set of RFC 9180, cfrg/draft-irtf-cfrg-hpke, test-vectors.json",
     .aead = AeadKind::kAes256Gcm,
     .ephemeral = "90345e3a1d116c1dd39ae76d95ab858c142223a63e44f8f85318cfa91a84858e",
     .recipient = "317f915db7bc629c48fe765587897e01e282d3e8445f79f27f65d031a88082b2",
     .recipient_point = "04abc7e49a4c6b3566d77d0304addc6ed0e98512ffccf505e6a8e3eb25c685136f"
                        "853148544876de76c0f2ef99cdc3a05ccf5ded7860c7c021238f9e2073d2356c",
     .encapsulated = "04c06b4f6bebc7bb495cb797ab753f911aff80aefb86fd8b6fcc35525f3ab5f03e"
                     "0b21bd31a86c6048af3cb2d98e0d3bf01da5cc4c39ff5370d331a4f1f7d5a4e0",
     .ciphertext = "58c61a45059d0c5704560e9d88b564a8b63f1364b8d1fcb3c4c6ddc1d291742465e902cd216f8908da49f8f96f"},
}};

// A private number as PKCS #8 (RFC 5208 and RFC 5915), without the public half.
SoftAgreementKey KeyOfNumber(std::string_view hex) {
  return *SoftAgreementKey::FromPkcs8(
      *ParseHex("3041020100301306072a8648ce3d020106082a8648ce3d030107042730250201010420" + std::string(hex)));
}

TEST(Hpke, SealsAndOpensThePublishedVectors) {
  const Bytes info = *ParseHex(kInfo);
  const Bytes aad = *ParseHex(kAad);
  const HpkeBinding binding{.info = info, .aad = aad};
  for (const HpkeVector& vector : kVectors) {
    SCOPED_TRACE(vector.name);
    SoftAgreementKey ephemeral = KeyOfNumber(vector.ephemeral);
    SoftAgreementKey recipient = KeyOfNumber(vector.recipient);
    EXPECT_EQ(ToHex(recipient.public_key()), vector.recipient_point);
    const auto sealed = HpkeSealAs({.aead = vector.aead, .ephemeral = ephemeral}, recipient.public_key(), binding,
                                   *ParseHex(kPlaintext));
    ASSERT_THAT(sealed, IsOk());
    EXPECT_EQ(ToHex(*sealed), std::string(vector.encapsulated) + std::string(vector.ciphertext));
    const auto opened = HpkeOpenAs(vector.aead, recipient, binding, *sealed);
    ASSERT_THAT(opened, IsOk());
    EXPECT_EQ(ToHex(*opened), kPlaintext);
  }
}

class HpkeMessage : public ::testing::Test {
 protected:
  SoftAgreementKey key_ = *SoftAgreementKey::Generate();
  HpkeBinding binding_{.info = AsBytes("a model"), .aad = AsBytes("to pump-3")};
  Bytes plaintext_ = Bytes(32, 7);
};

TEST_F(HpkeMessage, IsOpenedByItsRecipient) {
  const auto sealed = HpkeSeal(key_.public_key(), binding_, plaintext_);
  ASSERT_THAT(sealed, IsOk());
  EXPECT_EQ(sealed->size(), plaintext_.size() + kHpkeOverhead);
  const auto opened = HpkeOpen(key_, binding_, *sealed);
  ASSERT_THAT(opened, IsOk());
  EXPECT_EQ(*opened, plaintext_);
  EXPECT_EQ(*HpkeOpenAs(AeadKind::kAes256Gcm, key_, binding_, *sealed), plaintext_) << "the suite that is documented";
}

TEST_F(HpkeMessage, HasAnEphemeralKeyOfItsOwn) {
  EXPECT_NE(*HpkeSeal(key_.public_key(), binding_, plaintext_), *HpkeSeal(key_.public_key(), binding_, plaintext_));
}

TEST_F(HpkeMessage, IsRefusedByOthersAndUnderAnotherBinding) {
  const Bytes sealed = *HpkeSeal(key_.public_key(), binding_, plaintext_);
  SoftAgreementKey other = *SoftAgreementKey::Generate();
  EXPECT_THAT(HpkeOpen(other, binding_, sealed), IsError(ErrorCode::kDataLoss));
  EXPECT_THAT(HpkeOpen(key_, {.info = AsBytes("a mode"), .aad = binding_.aad}, sealed), IsError(ErrorCode::kDataLoss));
  EXPECT_THAT(HpkeOpen(key_, {.info = binding_.info, .aad = {}}, sealed), IsError(ErrorCode::kDataLoss));
  EXPECT_THAT(HpkeOpenAs(AeadKind::kChaCha20Poly1305, key_, binding_, sealed), IsError(ErrorCode::kDataLoss));
}

TEST_F(HpkeMessage, IsRefusedWithAChangeOfAnyByteAndWithEveryCut) {
  Bytes sealed = *HpkeSeal(key_.public_key(), binding_, plaintext_);
  for (std::size_t at = 0; at < sealed.size(); ++at) {
    sealed[at] ^= 1U;
    const bool of_point = at < key_.public_key().size();
    EXPECT_THAT(HpkeOpen(key_, binding_, sealed),
                IsError(of_point ? ErrorCode::kInvalidArgument : ErrorCode::kDataLoss));
    sealed[at] ^= 1U;
    const auto cut = HpkeOpen(key_, binding_, ByteSpan(sealed).first(at));
    EXPECT_THAT(cut, IsError(at < kHpkeOverhead ? ErrorCode::kMalformed : ErrorCode::kDataLoss));
  }
}

TEST_F(HpkeMessage, IsNotSealedForWhatIsNoPoint) {
  P256Point off = key_.public_key();
  off.back() ^= 1U;
  EXPECT_THAT(HpkeSeal(off, binding_, plaintext_), IsError(ErrorCode::kInvalidArgument));
}

}  // namespace
}  // namespace tacit::crypto
