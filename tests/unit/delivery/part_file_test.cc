#include "edge_agent/delivery/part_file.h"

#include <sys/stat.h>

#include <filesystem>
#include <string_view>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/files.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_directory.h"

namespace tacit::delivery {
namespace {

using ::tacit::testing::IsError;
using ::tacit::testing::IsOk;
using ::tacit::testing::TempDirectory;

TEST(PartFile, GrowsAndBecomesTheWhole) {
  const TempDirectory directory;
  const PartFile part(directory.path() / "x.part");
  EXPECT_EQ(part.Size(), 0U);
  ASSERT_THAT(part.Append(AsBytes(std::string_view("first "))), IsOk());
  EXPECT_EQ(PartFile(part.path()).Size(), 6U) << "after a restart too";
  ASSERT_THAT(part.Append(AsBytes(std::string_view("second"))), IsOk());
  struct stat status{};
  ASSERT_EQ(::stat(part.path().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0600U);
  const auto whole = directory.path() / "x.tacit";
  ASSERT_THAT(part.FinishAs(whole), IsOk());
  EXPECT_EQ(AsText(*ReadFile(whole, 100)), "first second");
  EXPECT_FALSE(std::filesystem::exists(part.path()));
}

TEST(PartFile, FollowsNoLinkAndSaysWhatTheDiskSays) {
  const TempDirectory directory;
  const PartFile part(directory.path() / "x.part");
  std::filesystem::create_symlink(directory.path() / "elsewhere", part.path());
  EXPECT_THAT(part.Append(AsBytes(std::string_view("x"))), IsError(ErrorCode::kUnavailable));
  EXPECT_FALSE(std::filesystem::exists(directory.path() / "elsewhere"));
  EXPECT_THAT(PartFile(directory.path() / "no" / "x").Append(Bytes(1)), IsError(ErrorCode::kUnavailable));
  EXPECT_THAT(PartFile(directory.path() / "none").FinishAs(directory.path() / "y"), IsError(ErrorCode::kUnavailable));
}

}  // namespace
}  // namespace tacit::delivery
