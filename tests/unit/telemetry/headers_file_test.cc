#include "server/telemetry/headers_file.h"

#include <sys/stat.h>

#include <fstream>

#include "tests/support/matchers.h"
#include "tests/support/temp_directory.h"

namespace tacit::telemetry {
namespace {

using ::tacit::testing::IsError;
using ::tacit::testing::IsErrorSaying;
using ::tacit::testing::IsOk;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(ParseHeaders, TakesOneALineAndSkipsCommentsAndEmptyLines) {
  const auto headers = ParseHeaders("# for the collector\n\nAuthorization: Bearer a:b c\r\n  X-Org :7\n");
  ASSERT_THAT(headers, IsOk());
  ASSERT_EQ(headers->size(), 2U);
  EXPECT_EQ((*headers)[0].name, "Authorization");
  EXPECT_EQ((*headers)[0].value, "Bearer a:b c");
  EXPECT_EQ((*headers)[1].name, "X-Org");
  EXPECT_EQ((*headers)[1].value, "7");
  EXPECT_TRUE(ParseHeaders("").value().empty());
}

TEST(ParseHeaders, NamesTheLineThatIsNoneAndNotWhatIsInIt) {
  for (const std::string_view bad :
       {"hunter2", "Authorization:", ": hunter2", "Author ization: hunter2", "A: hun\x01ter2"}) {
    const auto headers = ParseHeaders("X: y\n" + std::string(bad));
    ASSERT_THAT(headers, IsErrorSaying(ErrorCode::kInvalidArgument, "line 2")) << bad;
    EXPECT_THAT(headers.error().message, Not(HasSubstr("hunter2")));
  }
}

TEST(ReadHeadersFile, WantsAFileThatOthersCannotRead) {
  const tacit::testing::TempDirectory directory;
  const auto path = directory / "headers";
  std::ofstream(path) << "Authorization: Bearer x\n";
  ASSERT_EQ(::chmod(path.c_str(), 0644), 0);
  EXPECT_THAT(ReadHeadersFile(path), IsError(ErrorCode::kPermissionDenied));
  ASSERT_EQ(::chmod(path.c_str(), 0600), 0);
  EXPECT_THAT(ReadHeadersFile(path), IsOk());
  EXPECT_THAT(ReadHeadersFile(directory / "none"), IsError(ErrorCode::kNotFound));
}

}  // namespace
}  // namespace tacit::telemetry
