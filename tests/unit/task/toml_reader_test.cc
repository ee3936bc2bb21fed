#include "server/task/toml_reader.h"

#include <string>

#include <gmock/gmock.h>

#include "tests/support/matchers.h"

namespace tacit::task {
namespace {

using ::tacit::testing::IsError;
using ::tacit::testing::IsErrorSaying;
using ::tacit::testing::IsOk;
using ::testing::ElementsAre;
using ::testing::Eq;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr std::size_t kLimit = 64 * 1024;

TomlFile Open(std::string_view text) {
  auto file = TomlFile::Parse(text, "f.toml", kLimit);
  EXPECT_THAT(file, IsOk());
  return *std::move(file);
}

std::string ProblemsOf(TomlFile& file) {
  const auto finished = file.Finish();
  return finished ? "" : finished.error().message;
}

TEST(TomlFile, TellsTheLineAndColumnOfASyntaxError) {
  EXPECT_THAT(TomlFile::Parse("a = 1\nb = 12x\n", "f.toml", kLimit),
              IsErrorSaying(ErrorCode::kInvalidArgument, "f.toml:2:7: "));
}

TEST(TomlFile, RefusesTextOverItsLimitWithoutReadingIt) {
  EXPECT_THAT(TomlFile::Parse(std::string(101, '#'), "f.toml", 100),
              IsErrorSaying(ErrorCode::kTooLarge, "at most 100"));
  EXPECT_THAT(TomlFile::Parse(std::string(100, '#'), "f.toml", 100), IsOk());
}

TEST(TomlFile, RefusesNestingThatWouldOverflowTheStack) {
  std::string dotted = "a";
  while (dotted.size() < 30'000) dotted += " .\t\"b\"";
  EXPECT_THAT(TomlFile::Parse(dotted + " = 1", "f.toml", kLimit),
              IsErrorSaying(ErrorCode::kInvalidArgument, "dotted keys"));
  std::string just_allowed = "a";
  for (int i = 0; i < 2000; ++i) just_allowed += ".a";
  EXPECT_THAT(TomlFile::Parse(just_allowed + " = 1", "f.toml", kLimit), IsOk());
  EXPECT_THAT(TomlFile::Parse("a = " + std::string(30'000, '['), "f.toml", kLimit),
              IsError(ErrorCode::kInvalidArgument));
}

TEST(TomlFile, TellsAllProblemsInTheOrderOfTheFile) {
  TomlFile file = Open("size = 'x'\n[t]\nnumber = 99\nextra = 1\n");
  TomlTable root = file.Root();
  root.Table("t").Integer("number", {1, 10});
  root.Size("size", {1, 100});
  EXPECT_EQ(ProblemsOf(file),
            "f.toml:1:8: 'size' must be a size such as \"64MiB\" (B, KiB, MiB, GiB), got 'x'\n"
            "f.toml:3:10: 't.number' must be 1 to 10, got 99\n"
            "f.toml:4:1: unknown key 't.extra'");
}

TEST(TomlFile, SuggestsTheKnownKeyThatIsSpeltMostLikeAnUnknownOne) {
  TomlFile file = Open("epsilom = 1\nzzz = 2\n");
  file.Root().Integer("epsilon", {0, 10}, 1);
  file.Root().Integer("epoch", {0, 10}, 1);
  EXPECT_EQ(ProblemsOf(file),
            "f.toml:1:1: unknown key 'epsilom' (did you mean 'epsilon'?)\n"
            "f.toml:2:1: unknown key 'zzz'");
}

TEST(TomlFile, ShowsAHostileKeyWithoutItsControlCharacters) {
  TomlFile file = Open("\"a\\u001b[2J\\nb\" = 1\n");
  file.Root();
  EXPECT_EQ(ProblemsOf(file), "f.toml:1:1: unknown key 'a?[2J?b'");
}

TEST(TomlFile, StopsListingAfterAHundredProblems) {
  std::string text;
  for (int i = 0; i < 250; ++i) text += "k" + std::to_string(i) + " = 1\n";
  TomlFile file = Open(text);
  file.Root();
  EXPECT_THAT(ProblemsOf(file), HasSubstr("and 150 more problems"));
}

TEST(TomlFile, PassesWhenEveryKeyWasReadWell) {
  TomlFile file = Open("a = 1\n[t]\nb = 2\n");
  EXPECT_EQ(file.Root().Integer("a", {0, 5}), 1);
  EXPECT_EQ(file.Root().Table("t").Integer("b", {0, 5}), 2);
  EXPECT_THAT(file.Finish(), IsOk());
}

TEST(TomlTable, ReportsEachRequiredKeyOfAMissingTable) {
  TomlFile file = Open("x = 1\n");
  file.Root().Integer("x", {0, 5});
  TomlTable table = file.Root().Table("t");
  table.Integer("a", {0, 5});
  table.Text("b");
  EXPECT_EQ(table.Integer("c", {0, 5}, 4), 4);
  EXPECT_EQ(ProblemsOf(file), "f.toml:1:1: missing key 't.a'\nf.toml:1:1: missing key 't.b'");
}

TEST(TomlTable, RefusesAValueWhereATableBelongs) {
  TomlFile file = Open("t = 3\n");
  file.Root().Table("t");
  EXPECT_EQ(ProblemsOf(file), "f.toml:1:5: 't' must be a table, got an integer");
}

TEST(TomlTable, NamesTheWrongTypeItFound) {
  TomlFile file = Open("a = 'x'\nb = 1.5\nc = true\nd = [1]\ne = 1979-05-27\nf = {}\ng = 1\n");
  TomlTable root = file.Root();
  root.Real("a", {0, 1});
  root.Integer("b", {0, 1});
  root.Text("c");
  root.Choice("d", {"x"});
  root.Duration("e", {Millis(1), Millis(2)});
  root.Size("f", {1, 2});
  root.Integers("g", {1, 2}, {1, 2});
  const std::string problems = ProblemsOf(file);
  for (const std::string_view part :
       {"'a' must be a number, got a string", "'b' must be an integer, got a number with a fraction",
        "'c' must be a string, got a boolean", "'d' must be 'x', got an array", "'e' must be a duration",
        "got a date or time", "got a table", "'g' must be an array of integers, got an integer"}) {
    EXPECT_THAT(problems, HasSubstr(part));
  }
}

TEST(TomlTable, TakesRealNumbersByTheEndsOfTheirRange) {
  const struct {
    std::string_view text;
    RealRange range;
    bool good;
  } cases[] = {
      {"0.0", {0, 1}, true},
      {"0.0", {0, 1, Ends::kWithoutMin}, false},
      {"1", {0, 1}, true},
      {"1", {0, 1, Ends::kWithoutMax}, false},
      {"1.0", {0, 1, Ends::kWithoutMin}, true},
      {"0.5", {0, 1, Ends::kOpen}, true},
      {"0.0", {0, 1, Ends::kOpen}, false},
      {"1.0", {0, 1, Ends::kOpen}, false},
      {"nan", kAnyFinite, false},
      {"inf", kAnyFinite, false},
      {"-inf", kAnyFinite, false},
      {"-1e308", kAnyFinite, true},
  };
  for (const auto& test : cases) {
    TomlFile file = Open("x = " + std::string(test.text));
    file.Root().Real("x", test.range);
    EXPECT_EQ(file.Finish().has_value(), test.good) << test.text;
  }
}

TEST(TomlTable, ReadsDurationsInEachUnit) {
  const struct {
    std::string_view text;
    std::int64_t millis;
  } cases[] = {{"250ms", 250}, {"30s", 30'000}, {"5m", 300'000}, {"1h", 3'600'000}, {"7d", 604'800'000}, {"0s", 0}};
  for (const auto& test : cases) {
    TomlFile file = Open("x = '" + std::string(test.text) + "'");
    EXPECT_EQ(file.Root().Duration("x", {Millis(0), Millis(700'000'000)}), Millis(test.millis)) << test.text;
    EXPECT_THAT(file.Finish(), IsOk()) << test.text;
  }
}

TEST(TomlTable, RefusesQuantitiesOfAnotherForm) {
  for (const std::string_view text :
       {"", "30", "s", "-3s", "3 s", "3.5s", "3S", "3sec", "9999999999999s", "999999999999d"}) {
    TomlFile file = Open("x = '" + std::string(text) + "'");
    file.Root().Duration("x", {Millis(0), Millis(1LL << 50U)});
    EXPECT_THAT(file.Finish(), IsErrorSaying(ErrorCode::kInvalidArgument, "f.toml:1:5: 'x' must be")) << text;
  }
}

TEST(TomlTable, ReadsSizesInEachUnitAndShowsTheRangeInUnits) {
  const struct {
    std::string_view text;
    std::uint64_t bytes;
  } cases[] = {{"512B", 512}, {"64KiB", 65'536}, {"3MiB", 3U << 20U}, {"1GiB", 1U << 30U}};
  for (const auto& test : cases) {
    TomlFile file = Open("x = '" + std::string(test.text) + "'");
    EXPECT_EQ(file.Root().Size("x", {1, 1U << 30U}), test.bytes) << test.text;
    EXPECT_THAT(file.Finish(), IsOk()) << test.text;
  }
  TomlFile file = Open("x = '2GiB'");
  file.Root().Size("x", {1024, 1U << 30U});
  EXPECT_EQ(ProblemsOf(file), "f.toml:1:5: 'x' must be 1KiB to 1GiB, got '2GiB'");
}

TEST(TomlTable, ReadsAnArrayOfIntegersAndRefusesABadEntryByItsPosition) {
  TomlFile good = Open("x = [3, 4]");
  EXPECT_THAT(good.Root().Integers("x", {1, 5}, {1, 3}), ElementsAre(3, 4));
  EXPECT_THAT(good.Finish(), IsOk());
  TomlFile bad = Open("x = [3, 9]");
  bad.Root().Integers("x", {1, 5}, {1, 3});
  EXPECT_EQ(ProblemsOf(bad), "f.toml:1:9: 'x' must hold integers of 1 to 5");
  TomlFile many = Open("x = [1, 1, 1, 1]");
  many.Root().Integers("x", {1, 5}, {1, 3});
  EXPECT_EQ(ProblemsOf(many), "f.toml:1:5: 'x' must have 1 to 3 entries, got 4");
}

TEST(TomlTable, ChoosesByIndexAndListsTheChoices) {
  TomlFile good = Open("x = 'b'");
  EXPECT_EQ(good.Root().Choice("x", {"a", "b"}), 1U);
  TomlFile bad = Open("x = 'c'");
  bad.Root().Choice("x", {"a", "b"});
  EXPECT_EQ(ProblemsOf(bad), "f.toml:1:5: 'x' must be one of 'a', 'b', got 'c'");
}

TEST(TomlTable, KnowsWhichKeysWereGood) {
  TomlFile file = Open("a = 1\nb = 'x'\n");
  TomlTable root = file.Root();
  root.Integer("a", {0, 5});
  root.Integer("b", {0, 5});
  root.Integer("c", {0, 5});
  EXPECT_TRUE(root.Good({"a"}));
  EXPECT_FALSE(root.Good({"a", "b"}));
  EXPECT_FALSE(root.Good({"c"}));
  EXPECT_TRUE(root.HasGood("a"));
  EXPECT_FALSE(root.HasGood("c"));
}

TEST(TomlTable, ComplainsAtTheKeyAndRefusesOnlyWhatIsGiven) {
  TomlFile file = Open("\na = 1\nb = 2\n");
  TomlTable root = file.Root();
  root.Integer("a", {0, 5});
  root.Complain("a", "not on a Monday");
  root.Refuse("b", "has no place here");
  root.Refuse("c", "has no place here");
  EXPECT_EQ(ProblemsOf(file), "f.toml:2:5: not on a Monday\nf.toml:3:5: 'b' has no place here");
}

}  // namespace
}  // namespace tacit::task
