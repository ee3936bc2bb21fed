#include "edge_agent/delivery/held_model.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/files.h"
#include "edge_agent/upload/kept_files.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_directory.h"

namespace tacit::delivery {
namespace {

using ::tacit::testing::IsError;
using ::tacit::testing::IsErrorSaying;
using ::tacit::testing::IsOk;
using ::tacit::testing::TempDirectory;

HeldModel SomeModel() {
  HeldModel model{.manifest = {},
                  .version = 7,
                  .minimum_version = 2,
                  .key_epoch = 3,
                  .bundle_bytes = 123'456,
                  .expires = WallTime(Millis(2'000'000'000'000)),
                  .renew_after = WallTime(Millis(1'900'000'000'000)),
                  .lease = R"({"payload":""})"};
  model.manifest.fill(0xab);
  return model;
}

TEST(HeldModel, ComesBackAsItWasWritten) {
  EXPECT_EQ(ParseHeldModel(FormatHeldModel(SomeModel())), SomeModel());
}

TEST(HeldModel, IsNotReadWhereAnyByteWasChangedOrIsMissing) {
  const Bytes good = FormatHeldModel(SomeModel());
  for (std::size_t at = 0; at < good.size(); ++at) {
    Bytes changed = good;
    changed[at] ^= 1;
    EXPECT_THAT(ParseHeldModel(changed), IsError(ErrorCode::kDataLoss)) << at;
    EXPECT_THAT(ParseHeldModel(ByteSpan(good).first(at)), IsError(ErrorCode::kDataLoss)) << at;
  }
  Bytes longer = good;
  longer.push_back(0);
  EXPECT_THAT(ParseHeldModel(longer), IsError(ErrorCode::kDataLoss));
}

// With a digest that is right: what an attacker writes, and not what a disk does.
TEST(HeldModel, IsNotReadWhereItsFieldsDoNotAddUp) {
  const Bytes good = FormatHeldModel(SomeModel());
  const ByteSpan content = ByteSpan(good).first(good.size() - sizeof(Digest128));
  const auto with = [](ByteSpan bytes, ByteSpan more) {
    return upload::WithDigest(std::move(ByteWriter().Raw(bytes).Raw(more)));
  };
  EXPECT_THAT(ParseHeldModel(with(content, {})), IsOk());
  EXPECT_THAT(ParseHeldModel(with(content, Bytes(1))), IsError(ErrorCode::kDataLoss));
  EXPECT_THAT(ParseHeldModel(with(content.first(content.size() - 1), {})), IsError(ErrorCode::kDataLoss));
  EXPECT_THAT(ParseHeldModel(with(content.first(8), Bytes(100, 0xff))), IsError(ErrorCode::kDataLoss));
}

TEST(HeldModel, IsNoneWhereThereIsNoFileAndDamagedWhereItIsNone) {
  const TempDirectory directory;
  const HeldFiles files(directory.path());
  const auto none = ReadHeldModel(files.current);
  ASSERT_THAT(none, IsOk());
  EXPECT_FALSE(none->has_value());
  ASSERT_THAT(WriteFileAtomic(files.current, AsBytes(std::string_view("?")), kOwnerOnly), IsOk());
  EXPECT_THAT(ReadHeldModel(files.current), IsErrorSaying(ErrorCode::kDataLoss, files.current.string()));
}

}  // namespace
}  // namespace tacit::delivery
