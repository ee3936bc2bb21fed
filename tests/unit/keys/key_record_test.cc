#include "edge_agent/keys/key_record.h"

#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/matchers.h"

namespace tacit::keys {
namespace {

using ::tacit::testing::IsError;
using ::tacit::testing::IsOk;

std::vector<KeyRecord> EveryForm() {
  std::vector<KeyRecord> records;
  records.emplace_back(ClearKey{SecretBytes(Bytes(138, 7))});
  records.emplace_back(SealedKey{.salt = {1, 2, 3}, .sealed = Bytes(166, 8)});
  records.emplace_back(TpmKeyRecord{.public_area = Bytes(90, 1),
                                    .private_area = Bytes(126, 2),
                                    .parent = {0, 11, 3},
                                    .counter = 0x01812345,
                                    .public_key = {4, 5, 6}});
  records.emplace_back(TokenKeyRecord{.id = {9, 9}, .public_key = {4, 1}});
  return records;
}

Bytes Written(const KeyRecord& record) {
  const SecretBytes file = FormatKeyRecord(record);
  return {file.bytes().begin(), file.bytes().end()};
}

TEST(KeyRecord, ReadsBackEveryForm) {
  const char* const kPlaces[] = {"file", "file", "tpm2", "pkcs11"};
  std::size_t at = 0;
  for (const KeyRecord& record : EveryForm()) {
    const Bytes file = Written(record);
    const auto again = ParseKeyRecord(file);
    ASSERT_THAT(again, IsOk());
    EXPECT_EQ(again->index(), record.index());
    EXPECT_EQ(Written(*again), file);
    EXPECT_EQ(PlaceOf(*again), kPlaces[at++]);
  }
  const auto tpm = ParseKeyRecord(Written(EveryForm()[2]));
  EXPECT_EQ(std::get<TpmKeyRecord>(*tpm).counter, 0x01812345U);
  EXPECT_EQ(std::get<TpmKeyRecord>(*tpm).private_area, Bytes(126, 2));
}

TEST(KeyRecord, RefusesAChangeOfAnyByteAndEveryCut) {
  for (const KeyRecord& record : EveryForm()) {
    Bytes file = Written(record);
    for (std::uint8_t& byte : file) {
      byte ^= 1U;
      EXPECT_THAT(ParseKeyRecord(file), IsError(ErrorCode::kMalformed));
      byte ^= 1U;
    }
    for (std::size_t size = 0; size < file.size(); ++size)
      EXPECT_THAT(ParseKeyRecord(ByteSpan(file).first(size)), IsError(ErrorCode::kMalformed));
  }
}

// What an attacker writes has a right digest: it is then the fields that must add up.
Bytes WithRightDigest(Bytes content) {
  const Digest128 digest = Xxh3(content);
  content.insert(content.end(), digest.begin(), digest.end());
  return content;
}

TEST(KeyRecord, RefusesFieldsThatDoNotAddUp) {
  for (const KeyRecord& record : EveryForm()) {
    Bytes content = Written(record);
    content.resize(content.size() - sizeof(Digest128));
    Bytes longer = content;
    longer.push_back(0);
    EXPECT_THAT(ParseKeyRecord(WithRightDigest(longer)), IsError(ErrorCode::kMalformed));
    for (std::size_t size = 0; size < content.size(); ++size) {
      const Bytes cut(content.begin(), content.begin() + static_cast<std::ptrdiff_t>(size));
      EXPECT_THAT(ParseKeyRecord(WithRightDigest(cut)), IsError(ErrorCode::kMalformed));
    }
    content[8] = 77;  // the form
    EXPECT_THAT(ParseKeyRecord(WithRightDigest(content)), IsError(ErrorCode::kMalformed));
  }
  ByteWriter huge;
  huge.Raw(AsBytes("TACITDK1")).U8(1).U64(~std::uint64_t{0});
  EXPECT_THAT(ParseKeyRecord(WithRightDigest(std::move(huge).Take())), IsError(ErrorCode::kMalformed));
}

}  // namespace
}  // namespace tacit::keys
