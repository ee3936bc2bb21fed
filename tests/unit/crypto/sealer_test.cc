#include "common/crypto/sealer.h"

#include <algorithm>
#include <string>

#include <gtest/gtest.h>

#include "tests/support/matchers.h"

namespace tacit::crypto {
namespace {

using ::tacit::testing::IsError;
using ::tacit::testing::IsOk;

Aes256GcmSealer SealerWithKeyOf(std::uint8_t byte) {
  return *Aes256GcmSealer::Create(*SecretKey::FromBytes(Bytes(SecretKey::kSize, byte)));
}

const ByteSpan kContext = AsBytes("round 3 of har");

TEST(Aes256GcmSealer, OpensWhatItSealed) {
  const Aes256GcmSealer sealer = SealerWithKeyOf(1);
  for (const std::size_t size : {0UL, 1UL, 16UL, 100'000UL}) {
    const Bytes plaintext(size, 42);
    const auto sealed = sealer.Seal(plaintext, kContext);
    ASSERT_THAT(sealed, IsOk());
    EXPECT_EQ(sealed->size(), size + Aes256GcmSealer::kOverhead);
    const auto opened = sealer.Open(*sealed, kContext);
    ASSERT_THAT(opened, IsOk());
    EXPECT_EQ(*opened, plaintext);
  }
}

// Test case 14 of the GCM specification: zero key, zero nonce, one zero block.
TEST(Aes256GcmSealer, OpensThePublishedVector) {
  const Bytes sealed = *ParseHex(
      "cea7403d4d606b6e074ec5d3baf39d18"
      "000000000000000000000000"
      "d0d1c8a799996bf0265b98b5d48ab919");
  const auto opened = SealerWithKeyOf(0).Open(sealed, {});
  ASSERT_THAT(opened, IsOk());
  EXPECT_EQ(*opened, Bytes(16, 0));
}

TEST(Aes256GcmSealer, RefusesAChangeOfAnyByte) {
  const Aes256GcmSealer sealer = SealerWithKeyOf(1);
  Bytes sealed = *sealer.Seal(AsBytes("a partial sum"), kContext);
  for (std::uint8_t& byte : sealed) {
    byte ^= 1U;
    EXPECT_THAT(sealer.Open(sealed, kContext), IsError(ErrorCode::kDataLoss));
    byte ^= 1U;
  }
  EXPECT_THAT(sealer.Open(sealed, kContext), IsOk());
}

TEST(Aes256GcmSealer, RefusesEveryCut) {
  const Aes256GcmSealer sealer = SealerWithKeyOf(1);
  const Bytes sealed = *sealer.Seal(AsBytes("a partial sum"), kContext);
  for (std::size_t size = 0; size < sealed.size(); ++size) {
    EXPECT_THAT(sealer.Open(ByteSpan(sealed).first(size), kContext), IsError(ErrorCode::kDataLoss)) << size;
  }
}

TEST(Aes256GcmSealer, RefusesAnotherContextAndAnotherKey) {
  const Bytes sealed = *SealerWithKeyOf(1).Seal(AsBytes("a partial sum"), kContext);
  EXPECT_THAT(SealerWithKeyOf(1).Open(sealed, AsBytes("round 4 of har")), IsError(ErrorCode::kDataLoss));
  EXPECT_THAT(SealerWithKeyOf(1).Open(sealed, {}), IsError(ErrorCode::kDataLoss));
  EXPECT_THAT(SealerWithKeyOf(2).Open(sealed, kContext), IsError(ErrorCode::kDataLoss));
}

TEST(Aes256GcmSealer, SealsTheSameBytesDifferentlyEachTime) {
  const Aes256GcmSealer sealer = SealerWithKeyOf(1);
  const Bytes first = *sealer.Seal(AsBytes("same"), kContext);
  const Bytes second = *sealer.Seal(AsBytes("same"), kContext);
  EXPECT_FALSE(std::ranges::equal(ByteSpan(first).subspan(4, 12), ByteSpan(second).subspan(4, 12))) << "the nonce";
  EXPECT_NE(first, second);
}

}  // namespace
}  // namespace tacit::crypto
