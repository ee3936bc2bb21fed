#include "common/base/toml.h"

#include <string>
#include <utility>
#include <vector>

#include "tests/support/matchers.h"

namespace tacit {
namespace {

using ::tacit::testing::IsError;
using ::tacit::testing::IsErrorSaying;
using ::tacit::testing::IsOk;

constexpr std::size_t kEnough = 64 * 1024;

TEST(ParseToml, ReadsTablesAndKeepsPositions) {
  const auto table = ParseToml("a = 1\n[b]\nc = \"x\"\n", "f.toml", kEnough);
  ASSERT_THAT(table, IsOk());
  EXPECT_EQ((*table)["a"].value<int>(), 1);
  EXPECT_EQ((*table)["b"]["c"].value<std::string>(), "x");
  EXPECT_EQ((*table)["b"]["c"].node()->source().begin.line, 3U);
}

TEST(ParseToml, TakesTextOfAnyLanguageInCommentsAndDoubleQuotes) {
  const auto table = ParseToml(
      "# gr\u00fc\u00dfe # 'x\na = \"caf\u00e9 \\\" # \u6f22\U0001f600\"  # \u00e9\nb = 'x\\'\n", "f", kEnough);
  ASSERT_THAT(table, IsOk());
  EXPECT_EQ((*table)["a"].value<std::string>(), "caf\u00e9 \" # \u6f22\U0001f600");
  EXPECT_EQ((*table)["b"].value<std::string>(), "x\\");
}

// Each of these is undefined behaviour, or a failed assertion, inside toml++ 3.3 (found by
// tests/fuzz/task_file_fuzz.cc).
TEST(ParseToml, RefusesWithAPositionWhatTheLibraryCannotTake) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"a = 1\nb\u00e9 = 1\n", "f.toml:2:2: text other than ASCII"},
      {"ki\xef\xb2\xbfnd = 1\n", "f.toml:1:3: text other than ASCII"},
      {"a = 1 \u00a0\n", "f.toml:1:7: text other than ASCII"},
      {"a = 'caf\u00e9'\n", "f.toml:1:9: text other than ASCII"},
      {"a = 56n\"\u028d\"\n", "f.toml:1:"},
      {"a = \"\\\u00e9\"\n", "f.toml:1:7: text other than ASCII"},
      {"a = \"\"\"\\\n  \u00e9\"\"\"\n", "f.toml:1:5: text over several lines"},
      {"a = '''x'''\n", "f.toml:1:5: text over several lines"},
      {"[~m]\n", "f.toml:1:2: "},
  };
  for (const auto& [text, message] : cases) {
    EXPECT_THAT(ParseToml(text, "f.toml", kEnough), IsErrorSaying(ErrorCode::kInvalidArgument, message)) << text;
  }
}

TEST(ParseToml, RefusesQuotedTextThatIsNotUtf8) {
  for (const std::string bad :
       {"\xff", "\xc3", "\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80", "\xf5\x80\x80\x80", "\x80"}) {
    EXPECT_THAT(ParseToml("a = \"" + bad + "\"\n", "f", kEnough), IsError(ErrorCode::kInvalidArgument)) << bad;
  }
}

TEST(ParseToml, RefusesKeysThatWouldNestWithoutALimit) {
  std::string deep = "a";
  for (int i = 0; i < 30'000; ++i) deep += ".a";
  EXPECT_THAT(ParseToml(deep + " = 1\n", "f", kEnough), IsErrorSaying(ErrorCode::kInvalidArgument, "dotted keys"));
  EXPECT_THAT(ParseToml(std::string(30'000, '['), "f", kEnough), IsError(ErrorCode::kInvalidArgument));
}

TEST(ParseToml, RefusesALongFileUnread) {
  EXPECT_THAT(ParseToml(std::string(101, '\n'), "f", 100), IsErrorSaying(ErrorCode::kTooLarge, "101 bytes"));
}

}  // namespace
}  // namespace tacit
