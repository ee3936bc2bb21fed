#include "edge_agent/keys/version_record.h"

#include <string>

#include <gtest/gtest.h>

#include "tests/support/matchers.h"

namespace tacit::keys {
namespace {

using ::tacit::testing::IsError;
using ::tacit::testing::IsErrorSaying;
using ::tacit::testing::IsOk;

crypto::SecretKey KeyOf(std::uint8_t byte) {
  return *crypto::SecretKey::FromBytes(Bytes(crypto::SecretKey::kSize, byte));
}

const VersionRecord kTwo{.counter = 12, .versions = {{"har", 7}, {"pump", ~std::uint64_t{0}}}};

TEST(VersionRecord, ReadsBackWhatItWrote) {
  const crypto::SecretKey key = KeyOf(1);
  for (const VersionRecord& record : {VersionRecord{}, kTwo}) {
    const auto again = ParseVersionRecord(FormatVersionRecord(record, key), key);
    ASSERT_THAT(again, IsOk());
    EXPECT_EQ(*again, record);
  }
}

TEST(VersionRecord, HasRoomForAsManyModelsAsMayBe) {
  const crypto::SecretKey key = KeyOf(1);
  VersionRecord record;
  for (std::size_t i = 0; i < kMostModels; ++i) {
    std::string name = std::to_string(i);
    name.resize(kLongestModelName, 'x');
    record.versions.emplace(std::move(name), i + 1);
  }
  const Bytes file = FormatVersionRecord(record, key);
  EXPECT_LE(file.size(), kLargestVersionRecord);
  EXPECT_THAT(ParseVersionRecord(file, key), IsOk());
}

TEST(VersionRecord, RefusesAChangeOfAnyByteEveryCutAndAnotherKey) {
  const crypto::SecretKey key = KeyOf(1);
  Bytes file = FormatVersionRecord(kTwo, key);
  for (std::uint8_t& byte : file) {
    byte ^= 1U;
    EXPECT_THAT(ParseVersionRecord(file, key), IsError(ErrorCode::kDataLoss));
    byte ^= 1U;
  }
  for (std::size_t size = 0; size < file.size(); ++size)
    EXPECT_THAT(ParseVersionRecord(ByteSpan(file).first(size), key), IsError(ErrorCode::kDataLoss));
  EXPECT_THAT(ParseVersionRecord(file, KeyOf(2)), IsErrorSaying(ErrorCode::kDataLoss, "this device's key"));
}

TEST(VersionFields, AreWrittenInOneWayOnly) {
  const auto fields = [](std::uint32_t count, const std::vector<std::string>& models) {
    ByteWriter writer;
    writer.Raw(AsBytes("TACITVR1")).U64(0).U32(count);
    for (const std::string& model : models) writer.Text(model).U64(1);
    return std::move(writer).Take();
  };
  EXPECT_THAT(ParseVersionFields(fields(2, {"a", "b"})), IsOk());
  EXPECT_THAT(ParseVersionFields(fields(2, {"b", "a"})), IsErrorSaying(ErrorCode::kDataLoss, "out of order"));
  EXPECT_THAT(ParseVersionFields(fields(2, {"a", "a"})), IsErrorSaying(ErrorCode::kDataLoss, "out of order"));
  EXPECT_THAT(ParseVersionFields(fields(1, {"a", "b"})), IsErrorSaying(ErrorCode::kDataLoss, "add up"));
  EXPECT_THAT(ParseVersionFields(fields(3, {"a", "b"})), IsError(ErrorCode::kDataLoss));
  EXPECT_THAT(ParseVersionFields(fields(~std::uint32_t{0}, {})), IsErrorSaying(ErrorCode::kDataLoss, "too many"));
  EXPECT_THAT(ParseVersionFields(fields(1, {std::string(129, 'x')})), IsErrorSaying(ErrorCode::kDataLoss, "add up"));
}

}  // namespace
}  // namespace tacit::keys
