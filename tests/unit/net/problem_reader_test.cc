#include "common/net/problem_reader.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "common/net/http.h"
#include "tests/support/matchers.h"

namespace tacit::net {
namespace {

using tacit::testing::IsErrorSaying;
using tacit::testing::IsOk;
using ::testing::HasSubstr;

ClientResponse Answer(int status, const std::string& body) {
  ClientResponse response;
  response.status = status;
  response.body.assign(body.begin(), body.end());
  return response;
}

std::string DetailOf(const std::string& detail) {
  return ReadProblem(Answer(400, nlohmann::json{{"code", "malformed"}, {"detail", detail}}.dump())).message;
}

TEST(ReadProblem, IsTheReverseOfProblemForEveryCode) {
  for (const ErrorCodeTraits& traits : kErrorCodes) {
    const HttpResponse sent = Problem({traits.code, "what was wrong"}, "/v1/enrol");
    const Error read = ReadProblem(Answer(sent.status, sent.body));
    EXPECT_EQ(read.code, traits.code);
    EXPECT_EQ(read.message, "what was wrong");
  }
}

TEST(ReadProblem, GoesByTheStatusWhenThereIsNoDocument) {
  for (const char* body : {"", "<html>", "[]", "null", "\"text\"", "{", "{}", R"({"code":7,"detail":[1]})"}) {
    const Error read = ReadProblem(Answer(404, body));
    EXPECT_EQ(read.code, ErrorCode::kNotFound) << body;
    EXPECT_THAT(read.message, HasSubstr("404")) << body;
  }
  EXPECT_EQ(ReadProblem(Answer(504, "")).code, ErrorCode::kUnavailable);
  EXPECT_EQ(ReadProblem(Answer(507, "")).code, ErrorCode::kInternal);
  EXPECT_EQ(ReadProblem(Answer(418, "")).code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(ReadProblem(Answer(409, R"({"code":"of_a_later_version","detail":"x"})")).code, ErrorCode::kConflict);
}

TEST(ReadProblem, LetsNoServerSteerATerminalOrFillAScreen) {
  EXPECT_EQ(DetailOf("a\x1b[2Jb\x7f"
                     "c\r\nd"),
            "a?[2Jb?c?\nd");
  EXPECT_EQ(DetailOf(std::string(9000, 'x')), std::string(8192, 'x') + "...");
  // Cut between characters: 8191 bytes, then one of two bytes that would be split.
  const std::string cut = DetailOf(std::string(8191, 'x') + "\xc3\xa9\xc3\xa9");
  EXPECT_EQ(cut, std::string(8191, 'x') + "...");
}

TEST(ReadProblem, CutsAListBetweenLinesAndSaysHowManyAreMissing) {
  std::string list = "found these:";
  for (int i = 0; i < 300; ++i) list += "\n" + std::to_string(100 + i) + std::string(96, 'x');
  const std::string shown = DetailOf(list);
  EXPECT_THAT(shown, HasSubstr("\n180" + std::string(96, 'x') + "\nlines that are not shown: 219"));
}

TEST(ReadProblem, DoesNotParseADocumentOverItsLimit) {
  const std::string huge = nlohmann::json{{"code", "gone"}, {"detail", std::string(70'000, 'x')}}.dump();
  EXPECT_EQ(ReadProblem(Answer(404, huge)).code, ErrorCode::kNotFound);
}

TEST(BodyOrProblem, GivesTheBodyOfASuccessOnly) {
  const auto body = BodyOrProblem(Answer(201, "made"));
  ASSERT_THAT(body, IsOk());
  EXPECT_EQ(AsText(*body), "made");
  EXPECT_THAT(BodyOrProblem(Answer(302, "")), IsErrorSaying(ErrorCode::kInvalidArgument, "302"));
  EXPECT_THAT(BodyOrProblem(Fail(ErrorCode::kUnavailable, "no way")), IsErrorSaying(ErrorCode::kUnavailable, "no way"));
}

}  // namespace
}  // namespace tacit::net
