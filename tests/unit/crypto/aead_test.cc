#include "common/crypto/aead.h"

#include <algorithm>
#include <string_view>

#include <gtest/gtest.h>

#include "tests/support/matchers.h"

namespace tacit::crypto {
namespace {

using ::tacit::testing::IsError;
using ::tacit::testing::IsOk;

constexpr Aead::Nonce kNonce{0, 0, 0, 0, 7};

Aead AeadWithKeyOf(std::uint8_t byte, AeadKind kind = AeadKind::kAes256Gcm) {
  return Aead(kind, *SecretKey::FromBytes(Bytes(SecretKey::kSize, byte)));
}

// Test cases 2 and 14 of the GCM specification (McGrew, Viega 2005): zero key, zero nonce, one zero block.
TEST(Aead, SealsThePublishedVectors) {
  struct Vector {
    AeadKind kind;
    std::string_view sealed;
  };
  for (const auto& [kind, expected] : {
           Vector{AeadKind::kAes128Gcm, "0388dace60b6a392f328c2b971b2fe78ab6e47d42cec13bdf53a67b21257bddf"},
           Vector{AeadKind::kAes256Gcm, "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"},
       }) {
    Bytes sealed(32);
    AeadWithKeyOf(0, kind).Seal({.nonce = {}, .associated = {}}, Bytes(16, 0), sealed);
    EXPECT_EQ(ToHex(sealed), expected);
  }
}

TEST(Aead, OpensInPlaceWhatItSealedInPlace) {
  for (const AeadKind kind : {AeadKind::kAes128Gcm, AeadKind::kAes256Gcm, AeadKind::kChaCha20Poly1305}) {
    Aead aead = AeadWithKeyOf(3, kind);
    for (const std::size_t size : {0UL, 1UL, 16UL, 70'000UL}) {
      Bytes bytes(size + Aead::kTagSize, 42);
      const std::span<std::uint8_t> plaintext = std::span(bytes).first(size);
      aead.Seal({.nonce = kNonce, .associated = AsBytes("chunk 0")}, plaintext, bytes);
      EXPECT_THAT(aead.Open({.nonce = kNonce, .associated = AsBytes("chunk 0")}, bytes, plaintext), IsOk());
      EXPECT_TRUE(std::ranges::all_of(plaintext, [](std::uint8_t byte) { return byte == 42; }));
    }
  }
}

TEST(Aead, LeavesNothingWhereAMessageDoesNotOpen) {
  Aead aead = AeadWithKeyOf(3);
  const Aead::Context context{.nonce = kNonce, .associated = AsBytes("chunk 0")};
  Bytes sealed(100 + Aead::kTagSize);
  aead.Seal(context, Bytes(100, 42), sealed);
  Bytes opened(100, 1);
  for (std::uint8_t& byte : sealed) {
    byte ^= 1U;
    std::ranges::fill(opened, std::uint8_t{1});
    EXPECT_THAT(aead.Open(context, sealed, opened), IsError(ErrorCode::kDataLoss));
    EXPECT_EQ(opened, Bytes(100, 0));
    byte ^= 1U;
  }
  EXPECT_THAT(aead.Open({.nonce = {}, .associated = context.associated}, sealed, opened),
              IsError(ErrorCode::kDataLoss));
  EXPECT_THAT(aead.Open({.nonce = kNonce, .associated = {}}, sealed, opened), IsError(ErrorCode::kDataLoss));
  EXPECT_THAT(AeadWithKeyOf(4).Open(context, sealed, opened), IsError(ErrorCode::kDataLoss));
  EXPECT_THAT(aead.Open(context, sealed, opened), IsOk()) << "a failure spoils nothing";
  EXPECT_EQ(opened, Bytes(100, 42));
}

}  // namespace
}  // namespace tacit::crypto
