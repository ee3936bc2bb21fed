#include "edge_agent/keys/secret_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include <gtest/gtest.h>

#include "common/base/files.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_directory.h"

namespace tacit::keys {
namespace {

using ::tacit::testing::IsError;
using ::tacit::testing::IsErrorSaying;
using ::tacit::testing::IsOk;
using ::tacit::testing::TempDirectory;

constexpr uid_t kUs = 1000;

struct stat StatusOf(uid_t owner, mode_t mode) {
  struct stat status{};
  status.st_uid = owner;
  status.st_mode = mode;
  return status;
}

TEST(CheckSecretStatus, TakesOnlyWhatNobodyElseCanReadOrReplace) {
  EXPECT_THAT(CheckSecretStatus(StatusOf(kUs, S_IFREG | 0600), kUs), IsOk());
  EXPECT_THAT(CheckSecretStatus(StatusOf(kUs, S_IFREG | 0400), kUs), IsOk());
  for (const mode_t bit : {0001U, 0002U, 0004U, 0010U, 0020U, 0040U})
    EXPECT_THAT(CheckSecretStatus(StatusOf(kUs, S_IFREG | 0600U | bit), kUs), IsError(ErrorCode::kPermissionDenied));
  EXPECT_THAT(CheckSecretStatus(StatusOf(1001, S_IFREG | 0600), kUs), IsError(ErrorCode::kPermissionDenied));
  EXPECT_THAT(CheckSecretStatus(StatusOf(kUs, S_IFIFO | 0600), kUs), IsError(ErrorCode::kInvalidArgument));
  EXPECT_THAT(CheckSecretStatus(StatusOf(kUs, S_IFDIR | 0700), kUs), IsError(ErrorCode::kInvalidArgument));
}

TEST(CheckSecretStatus, TakesACredentialOfSystemd) {
  EXPECT_THAT(CheckSecretStatus(StatusOf(0, S_IFREG | 0440), kUs), IsOk());
  EXPECT_THAT(CheckSecretStatus(StatusOf(0, S_IFREG | 0460), kUs), IsError(ErrorCode::kPermissionDenied));
  EXPECT_THAT(CheckSecretStatus(StatusOf(0, S_IFREG | 0444), kUs), IsError(ErrorCode::kPermissionDenied));
}

TEST(ReadSecretFile, ReadsWhatIsClosedAndNothingElse) {
  const TempDirectory directory;
  const auto path = directory / "secret";
  EXPECT_THAT(ReadSecretFile(path, 10), IsError(ErrorCode::kNotFound));
  ASSERT_THAT(WriteNewSecretFile(path, AsBytes("0123456789")), IsOk());
  const auto secret = ReadSecretFile(path, 10);
  ASSERT_THAT(secret, IsOk());
  EXPECT_EQ(AsText(secret->bytes()), "0123456789");
  EXPECT_THAT(ReadSecretFile(path, 9), IsErrorSaying(ErrorCode::kTooLarge, path.string()));
  ASSERT_EQ(::chmod(path.c_str(), 0640), 0);
  const auto open = ReadSecretFile(path, 10);
  if (::geteuid() == 0) {  // root's may be readable by a group
    EXPECT_THAT(open, IsOk());
  } else {
    EXPECT_THAT(open, IsError(ErrorCode::kPermissionDenied));
  }
  ASSERT_EQ(::chmod(path.c_str(), 0604), 0);
  EXPECT_THAT(ReadSecretFile(path, 10), IsErrorSaying(ErrorCode::kPermissionDenied, "chmod 600"));
}

TEST(ReadSecretFile, FollowsNoSymbolicLinkAndWaitsForNoPipe) {
  const TempDirectory directory;
  ASSERT_THAT(WriteNewSecretFile(directory / "secret", AsBytes("0123456789")), IsOk());
  std::filesystem::create_symlink(directory / "secret", directory / "link");
  EXPECT_THAT(ReadSecretFile(directory / "link", 10), IsErrorSaying(ErrorCode::kInvalidArgument, "symbolic link"));
  ASSERT_EQ(::mkfifo((directory / "pipe").c_str(), 0600), 0);
  EXPECT_THAT(ReadSecretFile(directory / "pipe", 10), IsError(ErrorCode::kInvalidArgument));
}

TEST(ReadSecretLine, LeavesTheNewlineOutAndNothingElse) {
  const TempDirectory directory;
  ASSERT_THAT(WriteNewSecretFile(directory / "a", AsBytes("1234\n")), IsOk());
  ASSERT_THAT(WriteNewSecretFile(directory / "b", AsBytes(" 12 \n\n")), IsOk());
  ASSERT_THAT(WriteNewSecretFile(directory / "c", AsBytes("\n")), IsOk());
  EXPECT_EQ(AsText(ReadSecretLine(directory / "a", 10)->bytes()), "1234");
  EXPECT_EQ(AsText(ReadSecretLine(directory / "b", 10)->bytes()), " 12 \n");
  EXPECT_THAT(ReadSecretLine(directory / "c", 10), IsErrorSaying(ErrorCode::kInvalidArgument, "is empty"));
}

TEST(SecretBytes, LeavesNothingBehindWhenItIsMoved) {
  SecretBytes first(Bytes{1, 2, 3});
  const SecretBytes second(std::move(first));
  EXPECT_EQ(second.bytes().size(), 3U);
  EXPECT_TRUE(first.bytes().empty());  // NOLINT(bugprone-use-after-move): what is left is the point
}

}  // namespace
}  // namespace tacit::keys
