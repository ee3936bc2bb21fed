#include "edge_agent/keys/device_key.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/files.h"
#include "edge_agent/keys/file_key.h"
#include "edge_agent/keys/key_record.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_directory.h"
#include "tests/unit/keys/agreement.h"

namespace tacit::keys {
namespace {

using ::tacit::testing::ExpectAgrees;
using ::tacit::testing::IsError;
using ::tacit::testing::IsErrorSaying;
using ::tacit::testing::IsOk;
using ::tacit::testing::TempDirectory;
using ::testing::Contains;
using ::testing::Not;

constexpr std::string_view kSecret = "v8Zt0cPpYw3m1s5HqKx7Ng==\n";

class DeviceKeyTest : public ::testing::Test {
 protected:
  Result<DeviceKey> Open(KeyPlace place, IfMissing if_missing, const std::filesystem::path& credentials = {}) {
    return OpenDeviceKey(
        {.state = state_.path(), .place = std::move(place), .credentials = credentials, .if_missing = if_missing});
  }
  Result<DeviceKey> Make(KeyPlace place = FilePlace{}) { return Open(std::move(place), IfMissing::kMake); }
  Result<DeviceKey> Reopen(KeyPlace place = FilePlace{}) { return Open(std::move(place), IfMissing::kFail); }

  std::filesystem::path Secret(const std::string& name, std::string_view content) {
    auto path = secrets_ / name;
    EXPECT_THAT(WriteNewSecretFile(path, AsBytes(content)), IsOk());
    return path;
  }
  std::filesystem::path key_file() { return state_ / "device_key"; }
  std::filesystem::path versions_file() { return state_ / "device_versions"; }

  TempDirectory state_;
  TempDirectory secrets_;
};

TEST_F(DeviceKeyTest, IsMadeOnlyWhenAskedForAndIsTheSameLater) {
  EXPECT_THAT(Reopen(), IsErrorSaying(ErrorCode::kNotFound, "has no key"));
  auto made = Make();
  ASSERT_THAT(made, IsOk());
  ExpectAgrees(made->agreement());
  auto again = Make();
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(again->agreement().public_key(), made->agreement().public_key());
  ASSERT_THAT(again->GuardFor("har")->Record(4), IsOk());
  auto later = Reopen();
  ASSERT_THAT(later, IsOk());
  ExpectAgrees(later->agreement());
  EXPECT_EQ(*later->GuardFor("har")->Highest(), 4U);
}

TEST_F(DeviceKeyTest, ReportsWhatAFileDoesNotProtect) {
  const auto clear = Make();
  ASSERT_THAT(clear, IsOk());
  EXPECT_EQ(clear->report(),
            (KeyReport{.tier = KeyTier::kFile,
                       .gaps = {KeyGap::kReadableFile, KeyGap::kKeyInMemory, KeyGap::kRestorableState}}));
  for (const KeyGap gap : clear->report().gaps) EXPECT_TRUE(DescriptionOf(gap).ends_with('.')) << NameOf(gap);
  std::filesystem::remove(key_file());
  const auto sealed = Make(FilePlace{.secret = Secret("s", kSecret)});
  ASSERT_THAT(sealed, IsOk());
  EXPECT_EQ(NameOf(sealed->report().tier), "sealed_file");
  EXPECT_THAT(sealed->report().gaps, Not(Contains(KeyGap::kReadableFile)));
  EXPECT_THAT(sealed->report().gaps, Contains(KeyGap::kRestorableState));
}

TEST_F(DeviceKeyTest, IsReadOnlyFromAFileOfItsOwnerAlone) {
  ASSERT_THAT(Make(), IsOk());
  struct stat status{};
  ASSERT_EQ(::stat(key_file().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777U, 0600U);
  ASSERT_EQ(::chmod(key_file().c_str(), 0604), 0);
  EXPECT_THAT(Reopen(), IsErrorSaying(ErrorCode::kPermissionDenied, "chmod 600"));
  ASSERT_EQ(::chmod(key_file().c_str(), 0600), 0);
  std::filesystem::rename(key_file(), state_ / "elsewhere");
  std::filesystem::create_symlink(state_ / "elsewhere", key_file());
  EXPECT_THAT(Reopen(), IsErrorSaying(ErrorCode::kInvalidArgument, "symbolic link"));
  EXPECT_THAT(Make(), IsErrorSaying(ErrorCode::kInvalidArgument, "symbolic link"));
}

TEST_F(DeviceKeyTest, IsRefusedWhenAnyByteOfItsFileChanged) {
  ASSERT_THAT(Make(), IsOk());
  Bytes file = *ReadFile(key_file(), kLargestKeyRecord);
  for (std::size_t at = 0; at < file.size(); at += 7) {
    file[at] ^= 0x20U;
    ASSERT_THAT(WriteFileAtomic(key_file(), file, kOwnerOnly), IsOk());
    EXPECT_THAT(Make(), IsErrorSaying(ErrorCode::kDataLoss, "restore it"));
    file[at] ^= 0x20U;
  }
}

TEST_F(DeviceKeyTest, IsNotBelievedWithoutItsVersionsOrWithAnothers) {
  ASSERT_THAT(Make(), IsOk());
  const Bytes versions = *ReadFile(versions_file(), kLargestVersionRecord);
  std::filesystem::remove(versions_file());
  EXPECT_THAT(Make(), IsErrorSaying(ErrorCode::kDataLoss, "is missing"));
  std::filesystem::remove(key_file());
  ASSERT_THAT(Make(), IsOk());
  ASSERT_THAT(WriteFileAtomic(versions_file(), versions, kOwnerOnly), IsOk());
  EXPECT_THAT(Make(), IsErrorSaying(ErrorCode::kDataLoss, "this device's key"));
}

TEST_F(DeviceKeyTest, IsMadeAnewAfterAStopBeforeItsFileWasWritten) {
  ASSERT_THAT(Make(), IsOk());
  std::filesystem::remove(key_file());  // the last that is written
  EXPECT_THAT(Reopen(), IsError(ErrorCode::kNotFound));
  auto made = Make();
  ASSERT_THAT(made, IsOk());
  EXPECT_EQ(*made->GuardFor("har")->Highest(), 0U);
}

TEST_F(DeviceKeyTest, IsNotTakenForTheKeyOfAnotherPlace) {
  ASSERT_THAT(Make(), IsOk());
  EXPECT_THAT(Make(TpmPlace{.tcti = "device"}), IsErrorSaying(ErrorCode::kConflict, "'tpm2' is configured"));
  const TokenPlace token{.module = "/none.so", .token = "t", .pin_file = "/none", .module_sha256 = std::nullopt};
  EXPECT_THAT(Make(token), IsErrorSaying(ErrorCode::kConflict, "kept in 'file'"));
}

TEST_F(DeviceKeyTest, SealedIsOpenedWithItsSecretAlone) {
  const FilePlace place{.secret = Secret("right", kSecret)};
  auto made = Make(place);
  ASSERT_THAT(made, IsOk());
  ExpectAgrees(made->agreement());
  auto again = Reopen(place);
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(again->agreement().public_key(), made->agreement().public_key());
  EXPECT_THAT(Reopen(), IsErrorSaying(ErrorCode::kPermissionDenied, "is sealed"));
  EXPECT_THAT(Reopen(FilePlace{.secret = Secret("wrong", "another secret of enough bytes")}),
              IsErrorSaying(ErrorCode::kDataLoss, "was not sealed under"));
  EXPECT_THAT(Reopen(FilePlace{.secret = secrets_ / "none"}), IsError(ErrorCode::kNotFound));
}

TEST_F(DeviceKeyTest, SealedShowsNothingOfTheKey) {
  ASSERT_THAT(Make(FilePlace{.secret = Secret("s", kSecret)}), IsOk());
  const Bytes file = *ReadFile(key_file(), kLargestKeyRecord);
  // What PKCS #8 of a P-256 key holds: the object identifier of the curve.
  const Bytes curve = *ParseHex("2a8648ce3d030107");
  EXPECT_TRUE(std::ranges::search(file, curve).empty());
  std::filesystem::remove(key_file());
  ASSERT_THAT(Make(), IsOk());
  const Bytes clear = *ReadFile(key_file(), kLargestKeyRecord);
  EXPECT_FALSE(std::ranges::search(clear, curve).empty());
}

TEST_F(DeviceKeyTest, SealedNoticesAChangeUnderARightDigest) {
  const FilePlace place{.secret = Secret("s", kSecret)};
  auto made = MakeFileKey(place.secret);
  ASSERT_THAT(made, IsOk());
  SealedKey& sealed = std::get<SealedKey>(made->record);
  sealed.sealed.back() ^= 1U;
  EXPECT_THAT(UseFileKey(made->record, place.secret), IsError(ErrorCode::kDataLoss));
  sealed.sealed.back() ^= 1U;
  sealed.salt[0] ^= 1U;
  EXPECT_THAT(UseFileKey(made->record, place.secret), IsError(ErrorCode::kDataLoss));
  sealed.salt[0] ^= 1U;
  EXPECT_THAT(UseFileKey(made->record, place.secret), IsOk());
}

TEST_F(DeviceKeyTest, KeptInClearIsNotSealedAfterwards) {
  ASSERT_THAT(Make(), IsOk());
  EXPECT_THAT(Make(FilePlace{.secret = Secret("s", kSecret)}), IsErrorSaying(ErrorCode::kConflict, "in clear"));
}

TEST_F(DeviceKeyTest, TakesNoSecretThatCanBeGuessedOrRead) {
  EXPECT_THAT(Make(FilePlace{.secret = Secret("short", "fifteen bytes..\n")}),
              IsErrorSaying(ErrorCode::kInvalidArgument, "under 16 bytes"));
  const auto open = Secret("open", kSecret);
  ASSERT_EQ(::chmod(open.c_str(), 0644), 0);
  EXPECT_THAT(Make(FilePlace{.secret = open}), IsError(ErrorCode::kPermissionDenied));
  EXPECT_FALSE(std::filesystem::exists(key_file()));
}

TEST_F(DeviceKeyTest, IsSealedByACredentialWhereThereIsOne) {
  EXPECT_THAT(Open(FilePlace{}, IfMissing::kMake, secrets_.path()), IsOk());
  std::filesystem::remove(key_file());
  Secret("tacit-device-key", kSecret);
  const auto sealed = Open(FilePlace{}, IfMissing::kMake, secrets_.path());
  ASSERT_THAT(sealed, IsOk());
  EXPECT_EQ(sealed->report().tier, KeyTier::kSealedFile);
  EXPECT_THAT(Open(FilePlace{}, IfMissing::kFail, secrets_.path()), IsOk());
  EXPECT_THAT(Reopen(), IsError(ErrorCode::kPermissionDenied));
}

TEST_F(DeviceKeyTest, AgreesWithNoPointOffTheCurve) {
  auto made = Make();
  ASSERT_THAT(made, IsOk());
  crypto::P256Point point = made->agreement().public_key();
  point.back() ^= 1U;
  EXPECT_THAT(made->agreement().Agree(point), IsError(ErrorCode::kInvalidArgument));
}

}  // namespace
}  // namespace tacit::keys
