#include "common/crypto/random.h"

#include <algorithm>
#include <array>
#include <new>
#include <set>
#include <string>

#include <gtest/gtest.h>

#include "tests/support/matchers.h"

namespace tacit::crypto {
namespace {

using testing::IsError;
using testing::IsOk;

SecretKey KeyOf(std::uint8_t byte) {
  return *SecretKey::FromBytes(Bytes(SecretKey::kSize, byte));
}

Bytes Take(BitSource& source, std::size_t size) {
  Bytes bytes(size);
  source.Fill(bytes);
  return bytes;
}

// AES-256 of the counters 0, 1 and 2 under the zero key: test cases 13 and 14 of the GCM specification that NIST
// published (H, E(K, Y0), and the ciphertext of a zero block).
TEST(KeystreamBits, AgreesWithThePublishedBlocksOfTheZeroKey) {
  KeystreamBits keystream(KeyOf(0));
  EXPECT_EQ(ToHex(Take(keystream, 48)),
            "dc95c078a2408989ad48a21492842087"
            "530f8afbc74536b9a963b4f1c4cb738b"
            "cea7403d4d606b6e074ec5d3baf39d18");
}

TEST(KeystreamBits, GivesTheSameStreamHoweverItIsCut) {
  constexpr std::size_t kSize = 100'000;
  KeystreamBits whole(KeyOf(7));
  const Bytes expected = Take(whole, kSize);
  KeystreamBits parts(KeyOf(7));
  Bytes joined;
  // Sizes below, at and over the buffer, not multiples of a block, and nothing at all.
  constexpr std::array<std::size_t, 7> kSteps = {1, 0, 15, 8192, 8191, 17, 20'000};
  for (std::size_t i = 0; joined.size() < kSize; ++i) {
    const Bytes part = Take(parts, std::min(kSteps[i % kSteps.size()], kSize - joined.size()));
    joined.insert(joined.end(), part.begin(), part.end());
  }
  EXPECT_TRUE(joined == expected);
}

TEST(KeystreamBits, DiffersForAnotherKey) {
  KeystreamBits a(KeyOf(1));
  KeystreamBits b(KeyOf(2));
  EXPECT_NE(Take(a, 64), Take(b, 64));
}

TEST(OsRandom, FillsEveryByteAndRepeatsNothing) {
  OsRandom random;
  std::set<Bytes> seen;
  for (int i = 0; i < 1000; ++i) EXPECT_TRUE(seen.insert(Take(random, 16)).second);
  // A byte that is never written would stay 0 in all of 64 draws with chance 2^-512.
  Bytes any(5000, 0);
  for (int i = 0; i < 64; ++i) {
    const Bytes more = Take(random, any.size());
    for (std::size_t j = 0; j < any.size(); ++j) any[j] |= more[j];
  }
  EXPECT_TRUE(std::ranges::none_of(any, [](std::uint8_t byte) { return byte == 0; }));
}

TEST(SecretKey, TakesExactly32Bytes) {
  EXPECT_THAT(SecretKey::FromBytes(Bytes(32, 1)), IsOk());
  EXPECT_THAT(SecretKey::FromBytes(Bytes(31, 1)), IsError(ErrorCode::kInvalidArgument));
  EXPECT_THAT(SecretKey::FromBytes(Bytes(33, 1)), IsError(ErrorCode::kInvalidArgument));
  EXPECT_FALSE(std::ranges::equal(SecretKey::Random().bytes(), SecretKey::Random().bytes()));
}

TEST(SecretKey, LeavesZerosWhereItWasMovedFromAndWhereItEnded) {
  // The key lives in memory that the test owns, so that it may look there afterwards.
  alignas(SecretKey) std::array<std::uint8_t, sizeof(SecretKey)> memory{};
  const auto all_zero = [&] { return std::ranges::all_of(memory, [](std::uint8_t byte) { return byte == 0; }); };

  auto* const key = new (memory.data()) SecretKey(KeyOf(9));
  ASSERT_FALSE(all_zero());
  SecretKey other = std::move(*key);
  EXPECT_TRUE(all_zero());
  EXPECT_TRUE(std::ranges::equal(other.bytes(), Bytes(32, 9)));

  *key = std::move(other);
  ASSERT_FALSE(all_zero());
  key->~SecretKey();
  EXPECT_TRUE(all_zero());
}

TEST(Zeroise, EmptiesAStringAndOverwritesItsMemory) {
  std::string text(100, 's');
  const char* const memory = text.data();
  Zeroise(text);
  EXPECT_TRUE(text.empty());
  EXPECT_TRUE(std::all_of(memory, memory + 100, [](char c) { return c == 0; }));
}

}  // namespace
}  // namespace tacit::crypto
