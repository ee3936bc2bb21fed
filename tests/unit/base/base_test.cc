#include <unistd.h>

#include <algorithm>
#include <array>
#include <map>
#include <string>

#include <gmock/gmock.h>

#include "common/base/bytes.h"
#include "common/base/ids.h"
#include "common/base/log.h"
#include "common/base/random.h"
#include "tests/support/fake_clock.h"
#include "tests/support/matchers.h"

namespace tacit {
namespace {

using ::tacit::testing::IsError;
using ::tacit::testing::IsErrorSaying;
using ::tacit::testing::IsOk;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(ErrorCodes, TableIsInTheOrderOfTheCodes) {
  for (std::size_t i = 0; i < kErrorCodes.size(); ++i) EXPECT_EQ(static_cast<std::size_t>(kErrorCodes[i].code), i);
}

TEST(Hex, RoundTripsAndNamesThePositionOfABadDigit) {
  const Bytes bytes = {0x00, 0x9f, 0xff};
  EXPECT_EQ(ToHex(bytes), "009fff");
  EXPECT_EQ(*ParseHex("009FFF"), bytes);
  EXPECT_THAT(ParseHex("0g"), IsErrorSaying(ErrorCode::kMalformed, "position 1"));
  EXPECT_THAT(ParseHex("abc"), IsError(ErrorCode::kMalformed));
}

TEST(Base64Url, ReadsTheVectorsOfItsStandardAndOneTextForEachBytes) {
  // RFC 4648, section 10, without padding.
  for (const auto& [text, bytes] : std::map<std::string, std::string>{
           {"", ""}, {"Zg", "f"}, {"Zm8", "fo"}, {"Zm9v", "foo"}, {"Zm9vYg", "foob"}, {"Zm9vYmFy", "foobar"}}) {
    const auto read = ParseBase64Url(text);
    ASSERT_THAT(read, IsOk()) << text;
    EXPECT_EQ(AsText(*read), bytes);
  }
  EXPECT_EQ(*ParseBase64Url("-_8"), (Bytes{0xfb, 0xff}));
  for (const char* bad : {"Z", "Zg==", "Zh", "Zm9", "+/8", "Zm 9v", "Zm9v\n", "Zm9v.", "\xc3\xa9"})
    EXPECT_THAT(ParseBase64Url(bad), IsError(ErrorCode::kMalformed)) << bad;
}

TEST(Base64, WritesAndReadsTheVectorsOfItsStandardAndOneTextForEachBytes) {
  // RFC 4648, section 10.
  for (const auto& [text, bytes] : std::map<std::string, std::string>{{"", ""},
                                                                      {"Zg==", "f"},
                                                                      {"Zm8=", "fo"},
                                                                      {"Zm9v", "foo"},
                                                                      {"Zm9vYg==", "foob"},
                                                                      {"Zm9vYmE=", "fooba"},
                                                                      {"Zm9vYmFy", "foobar"}}) {
    EXPECT_EQ(ToBase64(AsBytes(bytes)), text);
    const auto read = ParseBase64(text);
    ASSERT_THAT(read, IsOk()) << text;
    EXPECT_EQ(AsText(*read), bytes);
  }
  EXPECT_EQ(ToBase64(Bytes{0xfb, 0xff}), "+/8=");
  EXPECT_EQ(*ParseBase64("+/8="), (Bytes{0xfb, 0xff}));
  for (const char* bad : {"Z", "Zg", "Zg=", "Zh==", "Zm9=", "-_8=", "Z===", "====", "Zg==Zg==", "Zm9v\n", "\xc3\xa9=="})
    EXPECT_THAT(ParseBase64(bad), IsError(ErrorCode::kMalformed)) << bad;
}

TEST(Xxh3, AgreesWithThePublishedVectorAndWithItsStream) {
  // XXH3-128 of no bytes with seed 0: xxHash 0.8, doc/xxhash_spec.md.
  EXPECT_EQ(ToHex(Xxh3({})), "99aa06d3014798d86001c324468d497f");
  const std::string text(1000, 'x');
  Xxh3Stream stream;
  stream.Update(AsBytes(std::string_view(text).substr(0, 333)));
  stream.Update(AsBytes(std::string_view(text).substr(333)));
  EXPECT_EQ(stream.Finish(), Xxh3(AsBytes(text)));
}

TEST(AlignedBuffer, StartsAtACacheLineAndMovesWithItsBytes) {
  AlignedBuffer buffer(100);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer.data()) % 64, 0U);
  buffer.bytes()[99] = 7;
  const AlignedBuffer moved = std::move(buffer);
  EXPECT_EQ(moved.bytes()[99], 7);
  EXPECT_EQ(moved.As<float>().size(), 25U);
}

TEST(TaskId, RefusesWhatCouldLeaveAPathOrAFileName) {
  EXPECT_THAT(TaskId::Parse("har-2"), IsOk());
  for (const std::string_view bad : {"", "-x", "A", "a/b", "..", "a b", "a_b"}) {
    EXPECT_THAT(TaskId::Parse(bad), IsErrorSaying(ErrorCode::kInvalidArgument, "a task name")) << bad;
  }
  EXPECT_THAT(TaskId::Parse(std::string(64, 'a')), IsError(ErrorCode::kInvalidArgument));
}

TEST(Rfc3339, FormatsMillisecondsInUtc) {
  EXPECT_EQ(FormatRfc3339(WallTime(Millis(1'790'000'000'123))), "2026-09-21T14:13:20.123Z");
}

TEST(JsonQuote, KeepsUtf8AndReplacesWhatIsNot) {
  EXPECT_EQ(JsonQuote("a\"b\\\n"), R"("a\"b\\\u000a")");
  EXPECT_EQ(JsonQuote("caf\xc3\xa9"), "\"caf\xc3\xa9\"");
  EXPECT_EQ(JsonQuote("\xff\xc3"), "\"\xef\xbf\xbd\xef\xbf\xbd\"");
  EXPECT_EQ(JsonQuote("\xed\xa0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");  // a surrogate is not UTF-8
}

TEST(Logger, WritesOneObjectALineAndDropsWhatIsBelowItsLevel) {
  std::array<int, 2> pipe_ends{};
  ASSERT_EQ(::pipe(pipe_ends.data()), 0);
  const testing::FakeClock clock;
  Logger logger(pipe_ends[1], clock, LogLevel::kInfo);
  logger.Debug("hidden");
  logger.Info("round_opened", {{"round", 3}, {"task", "har"}, {"noisy", true}, {"epsilon", 0.5}});
  std::array<char, 512> text{};
  const ssize_t size = ::read(pipe_ends[0], text.data(), text.size());
  ASSERT_GT(size, 0);
  EXPECT_EQ(std::string(text.data(), static_cast<std::size_t>(size)),
            "{\"time\":\"" + FormatRfc3339(clock.Now()) +
                R"(","level":"info","event":"round_opened","round":3,"task":"har","noisy":true,"epsilon":0.5})"
                "\n");
  ::close(pipe_ends[0]);
  ::close(pipe_ends[1]);
}

TEST(Logger, WritesOfAFloodABurstAndThenSaysHowManyItLeftOut) {
  std::array<int, 2> pipe_ends{};
  ASSERT_EQ(::pipe(pipe_ends.data()), 0);
  testing::FakeClock clock;
  Logger logger(pipe_ends[1], clock, LogLevel::kInfo);
  const auto lines_of = [&](int calls) {
    for (int i = 0; i < calls; ++i) logger.WarnSparingly("flood", {{"reason", "x"}});
    logger.Warn("end");
    std::string text(1U << 16U, '\0');
    const ssize_t size = ::read(pipe_ends[0], text.data(), text.size());
    text.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
    return text;
  };
  EXPECT_EQ(std::ranges::count(lines_of(1000), '\n'), static_cast<std::ptrdiff_t>(Logger::kBurst) + 1);
  EXPECT_THAT(lines_of(10), Not(HasSubstr("flood")));
  clock.Advance(Logger::kBetweenLines);
  const std::string later = lines_of(10);
  EXPECT_EQ(std::ranges::count(later, '\n'), 2);
  EXPECT_THAT(later, HasSubstr(R"("event":"flood","reason":"x","untold":960})"));
  clock.Advance(Logger::kBetweenLines * 1000);
  EXPECT_EQ(std::ranges::count(lines_of(1000), '\n'), static_cast<std::ptrdiff_t>(Logger::kBurst) + 1);
  // Others are not held up.
  logger.WarnSparingly("another", {});
  EXPECT_THAT(lines_of(0), HasSubstr("another"));
  ::close(pipe_ends[0]);
  ::close(pipe_ends[1]);
}

TEST(SplitMix64, GivesThePublishedSequenceAndStaysBelowItsBound) {
  SplitMix64 random(1234567);
  EXPECT_EQ(random(), 6457827717110365317ULL);
  EXPECT_EQ(random(), 3203168211198807973ULL);
  for (int i = 0; i < 1000; ++i) EXPECT_LT(random.Below(3), 3U);
}

}  // namespace
}  // namespace tacit
