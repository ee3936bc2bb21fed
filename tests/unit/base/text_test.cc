#include "common/base/text.h"

#include <cstdlib>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "common/base/random.h"

namespace tacit {
namespace {

TEST(Excerpt, IsShortAndCannotWriteToATerminal) {
  EXPECT_EQ(Excerpt("abc"), "'abc'");
  EXPECT_EQ(Excerpt("\x1b[2J\n\x7f"),
            "'?[2J?"
            "?'");
  EXPECT_EQ(Excerpt(std::string(20'000'000, 'x')), "'" + std::string(40, 'x') + "...'");
}

TEST(DidYouMean, NamesTheNearestWordOrNone) {
  const std::vector<std::string> known = {"size", "min", "over_selection", "deadline"};
  EXPECT_EQ(DidYouMean("sise", known), " (did you mean 'size'?)");
  EXPECT_EQ(DidYouMean("dead", known), " (did you mean 'deadline'?)");
  EXPECT_EQ(DidYouMean("dea", known), "") << "too little to go by";
  EXPECT_EQ(DidYouMean("population", known), "");
  EXPECT_EQ(DidYouMean(std::string(20'000'000, 's'), known), "");
}

TEST(ParseWhole, TakesAllOfATextOrNothing) {
  EXPECT_EQ(ParseWhole("0"), 0U);
  EXPECT_EQ(ParseWhole("007"), 7U);
  EXPECT_EQ(ParseWhole("18446744073709551615"), std::numeric_limits<std::uint64_t>::max());
  for (const char* bad : {"", "-1", "+1", " 1", "1 ", "1.0", "0x1", "18446744073709551616"})
    EXPECT_EQ(ParseWhole(bad), std::nullopt) << bad;
}

TEST(LowerCase, ChangesAsciiLettersAlone) {
  EXPECT_EQ(LowerCase("AZaz09-[@`\xc3\x84"), "azaz09-[@`\xc3\x84");
  EXPECT_TRUE(EqualInAnyCase("Content-Type", "content-TYPE"));
  EXPECT_FALSE(EqualInAnyCase("bearer", "bearer "));
  EXPECT_FALSE(EqualInAnyCase("@", "`"));
}

TEST(Counted, IsOneOrMany) {
  EXPECT_EQ(Counted(1, "round"), "1 round");
  EXPECT_EQ(Counted(0, "round"), "0 rounds");
  EXPECT_EQ(Counted(2, "step"), "2 steps");
}

TEST(RoundedUp, IsNeverBelowTheNumber) {
  EXPECT_EQ(RoundedUp(4.323052847), "4.324");
  EXPECT_EQ(RoundedUp(4.37718), "4.378");
  EXPECT_EQ(RoundedUp(8), "8");
  EXPECT_EQ(RoundedUp(1e-5), "1e-05");
  EXPECT_EQ(RoundedUp(0), "0");
  EXPECT_EQ(RoundedUp(std::numeric_limits<double>::infinity()), "infinity");
  EXPECT_EQ(RoundedUp(std::numeric_limits<double>::quiet_NaN()), "-");
  SplitMix64 random(1);
  for (int i = 0; i < 10'000; ++i) {
    const double value = random.Uniform() * 1e-9 * static_cast<double>(1ULL << random.Below(60));
    const double shown = std::strtod(RoundedUp(value).c_str(), nullptr);
    EXPECT_GE(shown, value);
    EXPECT_LE(shown, value * 1.0011);
  }
}

}  // namespace
}  // namespace tacit
