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

using ::tacit::testing::IsError;
using ::tacit::testing::IsOk;

SecretKey KeyOf(std::uint8_t byte) {
  return *SecretKey::FromBytes(Bytes(SecretKey::kSize, byte));
}

Bytes Take(BitSource& source, std::size_t size) {
  Bytes bytes(size);
  source.Fill(bytes);
  return bytes;
}

// AES-128 of the counters 0, 1 and 2 under the zero key: test cases 1 and 2 of the GCM specification that NIST
// published (H, E(K, Y0), and the ciphertext of a zero block).
TEST(AesKeystream, AgreesWithThePublishedBlocksOfTheZeroKey) {
  AesKeystream keystream(KeyOf(0));
  Bytes blocks(48);
  keystream.Fill(0, blocks);
  EXPECT_EQ(ToHex(blocks),
            "66e94bd4ef8a2c3b884cfa59ca342b2e"
            "58e2fccefa7e3061367f1d57a4e7455a"
            "0388dace60b6a392f328c2b971b2fe78");
}

TEST(AesKeystream, GivesTheSameBlocksWhereverAFillBegins) {
  AesKeystream keystream(KeyOf(7));
  Bytes whole(16 * 1000);
  keystream.Fill(5, whole);
  for (const std::size_t first : {999U, 0U, 500U, 1U}) {
    Bytes part(16 * std::min<std::size_t>(300, 1000 - first));
    keystream.Fill(5 + first, part);
    EXPECT_TRUE(std::ranges::equal(part, std::span(whole).subspan(16 * first, part.size()))) << first;
  }
}

TEST(AesKeystream, HasOtherBitsForTiesAndForAnotherKey) {
  AesKeystream one(KeyOf(1));
  AesKeystream two(KeyOf(2));
  Keystream::Block block{};
  one.Fill(3, block);
  EXPECT_NE(one.MoreFor(3), block);
  EXPECT_NE(one.MoreFor(3), one.MoreFor(4));
  EXPECT_EQ(one.MoreFor(3), one.MoreFor(3));
  EXPECT_NE(one.MoreFor(3), two.MoreFor(3));
  EXPECT_TRUE(std::ranges::equal(*one.AesKey(), Bytes(16, 1)));
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
