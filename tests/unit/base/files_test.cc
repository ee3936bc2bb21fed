#include "common/base/files.h"

#include <sys/stat.h>

#include <array>
#include <span>
#include <string>

#include <gtest/gtest.h>

#include "tests/support/matchers.h"
#include "tests/support/temp_directory.h"

namespace tacit {
namespace {

using ::tacit::testing::IsError;
using ::tacit::testing::IsErrorSaying;
using ::tacit::testing::IsOk;
using testing::TempDirectory;

constexpr std::size_t kLimit = 1024;

mode_t ModeOf(const std::filesystem::path& path) {
  struct stat status{};
  EXPECT_EQ(::stat(path.c_str(), &status), 0) << path;
  return status.st_mode & 07777U;
}

std::size_t CountOfFiles(const std::filesystem::path& directory) {
  return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(directory), {}));
}

// A umask that takes rights away from others, and none: the mode asked for must come out of both.
class UmaskGuard {
 public:
  explicit UmaskGuard(mode_t mask) : before_(::umask(mask)) {}
  ~UmaskGuard() { ::umask(before_); }
  UmaskGuard(const UmaskGuard&) = delete;
  UmaskGuard& operator=(const UmaskGuard&) = delete;

 private:
  mode_t before_;
};

TEST(ReadFileInto, FillsExactlyTheRoomThatItIsGiven) {
  const TempDirectory directory;
  const std::filesystem::path path = directory.path() / "file";
  ASSERT_THAT(WriteNewSecretFile(path, AsBytes("sealed")), IsOk());
  std::array<std::uint8_t, 8> room{};
  ASSERT_THAT(ReadFileInto(path, std::span(room).first(6)), IsOk());
  EXPECT_EQ(AsText(ByteSpan(room).first(6)), "sealed");
  EXPECT_THAT(ReadFileInto(path, std::span(room).first(5)), IsErrorSaying(ErrorCode::kDataLoss, "has 6 bytes"));
  EXPECT_THAT(ReadFileInto(path, room), IsErrorSaying(ErrorCode::kDataLoss, "has 6 bytes"));
  EXPECT_THAT(ReadFileInto(directory.path() / "missing", room), IsError(ErrorCode::kNotFound));
  EXPECT_THAT(ReadFileInto(directory.path(), room), IsError(ErrorCode::kInvalidArgument));
}

TEST(ReadFile, GivesBackExactlyWhatWasWritten) {
  const TempDirectory directory;
  const std::string text(kLimit, 'x');
  ASSERT_THAT(WriteFileAtomic(directory / "a", AsBytes(text), 0644), IsOk());
  const auto read = ReadFile(directory / "a", kLimit);
  ASSERT_THAT(read, IsOk());
  EXPECT_EQ(AsText(*read), text);
}

TEST(ReadFile, RefusesOneByteOverTheLimitAndWhatIsNoFile) {
  const TempDirectory directory;
  ASSERT_THAT(WriteFileAtomic(directory / "a", AsBytes(std::string(kLimit + 1, 'x')), 0644), IsOk());
  EXPECT_THAT(ReadFile(directory / "a", kLimit), IsErrorSaying(ErrorCode::kTooLarge, "1024 bytes"));
  EXPECT_THAT(ReadFile(directory / "b", kLimit), IsErrorSaying(ErrorCode::kNotFound, (directory / "b").string()));
  EXPECT_THAT(ReadFile(directory.path(), kLimit), IsError(ErrorCode::kInvalidArgument));
}

TEST(ReadFile, DoesNotHangOnAPipeWithoutAWriter) {
  const TempDirectory directory;
  ASSERT_EQ(::mkfifo((directory / "pipe").c_str(), 0600), 0);
  EXPECT_THAT(ReadFile(directory / "pipe", kLimit), IsErrorSaying(ErrorCode::kInvalidArgument, "regular file"));
}

TEST(ReadFile, BoundsAFileThatAnnouncesNoSize) {
  // /proc says 0 bytes and gives more.
  const auto all = ReadFile("/proc/self/status", 1U << 20U);
  ASSERT_THAT(all, IsOk());
  EXPECT_GT(all->size(), 100U);
  EXPECT_THAT(ReadFile("/proc/self/status", 100), IsError(ErrorCode::kTooLarge));
}

TEST(WriteFileAtomic, ReplacesWholeSetsTheModeAndLeavesNothingBeside) {
  const TempDirectory directory;
  const UmaskGuard strict(0077);
  ASSERT_THAT(WriteFileAtomic(directory / "a", AsBytes("a longer old text"), 0600), IsOk());
  ASSERT_THAT(WriteFileAtomic(directory / "a", AsBytes("new"), 0644), IsOk());
  EXPECT_EQ(AsText(*ReadFile(directory / "a", kLimit)), "new");
  EXPECT_EQ(ModeOf(directory / "a"), 0644U);
  EXPECT_EQ(CountOfFiles(directory.path()), 1U);
}

TEST(WriteFileAtomic, KeepsTheOldFileAndTidiesUpWhenItCannotReplace) {
  const TempDirectory directory;
  // A directory that is not empty cannot be replaced by a file.
  std::filesystem::create_directories(directory / "a" / "inside");
  EXPECT_FALSE(WriteFileAtomic(directory / "a", AsBytes("new"), 0644).has_value());
  EXPECT_TRUE(std::filesystem::is_directory(directory / "a" / "inside"));
  EXPECT_EQ(CountOfFiles(directory.path()), 1U);
}

TEST(WriteNewSecretFile, IsForItsOwnerOnlyWhateverTheUmask) {
  const TempDirectory directory;
  const UmaskGuard open(0);
  ASSERT_THAT(WriteNewSecretFile(directory / "key", AsBytes("secret")), IsOk());
  EXPECT_EQ(ModeOf(directory / "key"), 0600U);
}

TEST(WriteNewSecretFile, RefusesToWriteOverAFileOrThroughALink) {
  const TempDirectory directory;
  ASSERT_THAT(WriteNewSecretFile(directory / "key", AsBytes("first")), IsOk());
  EXPECT_THAT(WriteNewSecretFile(directory / "key", AsBytes("second")), IsError(ErrorCode::kConflict));
  EXPECT_EQ(AsText(*ReadFile(directory / "key", kLimit)), "first");
  std::filesystem::create_symlink(directory / "elsewhere", directory / "link");
  EXPECT_THAT(WriteNewSecretFile(directory / "link", AsBytes("x")), IsError(ErrorCode::kConflict));
  EXPECT_FALSE(std::filesystem::exists(directory / "elsewhere"));
}

TEST(WriteNewPublicFile, CanBeReadByOthers) {
  const TempDirectory directory;
  const UmaskGuard strict(0077);
  ASSERT_THAT(WriteNewPublicFile(directory / "crt", AsBytes("public")), IsOk());
  EXPECT_EQ(ModeOf(directory / "crt"), 0644U);
}

}  // namespace
}  // namespace tacit
