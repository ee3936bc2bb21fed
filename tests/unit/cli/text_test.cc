#include "cli/text.h"

#include <limits>

#include <gtest/gtest.h>

#include "tests/support/matchers.h"

namespace tacit::cli {
namespace {

using std::chrono::seconds;
using ::tacit::testing::IsError;

TEST(ParseDuration, ReadsEachUnit) {
  EXPECT_EQ(*ParseDuration("90s"), seconds(90));
  EXPECT_EQ(*ParseDuration("15m"), seconds(900));
  EXPECT_EQ(*ParseDuration("24h"), seconds(86'400));
  EXPECT_EQ(*ParseDuration("7d"), seconds(604'800));
}

TEST(ParseDuration, RefusesWhatIsNoneAndWhatIsTooLong) {
  for (const char* bad : {"", "s", "90", "-1s", "+1s", "1.5h", "1 h", "1h ", "0s", "1w", "1H", "0x1s",
                          "99999999999999999999s", "9223372036854775807d", "4000d"}) {
    EXPECT_THAT(ParseDuration(bad), IsError(ErrorCode::kInvalidArgument)) << bad;
  }
}

TEST(FormatTable, AlignsColumnsAndLeavesNoSpaceAtLineEnds) {
  EXPECT_EQ(FormatTable({{"TASK", "STATE"}, {"a-long-name", "active"}}), "TASK         STATE\na-long-name  active\n");
  EXPECT_EQ(FormatTable({}), "");
}

TEST(FormatPairs, AlignsValues) {
  EXPECT_EQ(FormatPairs({{"a", "1"}, {"bcd", "2"}}), "a:    1\nbcd:  2\n");
}

TEST(FormatNumber, IsShortAndNeverShowsNan) {
  EXPECT_EQ(FormatNumber(0.123456), "0.1235");
  EXPECT_EQ(FormatNumber(8), "8");
  EXPECT_EQ(FormatNumber(1e-6), "1e-06");
  EXPECT_EQ(FormatNumber(std::numeric_limits<double>::quiet_NaN()), "-");
}

TEST(ShellQuote, MakesOneWordOfAnything) {
  EXPECT_EQ(ShellQuote("/srv/tacit-1"), "/srv/tacit-1");
  EXPECT_EQ(ShellQuote("my dir"), "'my dir'");
  EXPECT_EQ(ShellQuote("it's"), "'it'\\''s'");
  EXPECT_EQ(ShellQuote("$(reboot)"), "'$(reboot)'");
  EXPECT_EQ(ShellQuote(""), "''");
}

TEST(PercentEncode, LeavesOnlyUnreservedCharacters) {
  EXPECT_EQ(PercentEncode("phone-7.a_b~"), "phone-7.a_b~");
  EXPECT_EQ(PercentEncode("a b&c=\n"), "a%20b%26c%3d%0a");
}

TEST(FormatProgress, SaysHowMuchOfWhat) {
  EXPECT_EQ(FormatProgress(0, 0), "");
  EXPECT_EQ(FormatProgress(0, 1), "[" + std::string(30, ' ') + "] 0 % of 1 KiB");
  EXPECT_EQ(FormatProgress(6U << 20U, 12U << 20U),
            "[" + std::string(15, '=') + std::string(15, ' ') + "] 50 % of 12 MiB");
  EXPECT_EQ(FormatProgress(9, 1), "[" + std::string(30, '=') + "] 100 % of 1 KiB");
}

}  // namespace
}  // namespace tacit::cli
