#include "common/net/http.h"

#include <optional>
#include <ostream>
#include <string>

#include <nlohmann/json.hpp>

#include "tests/support/matchers.h"
#include "tests/unit/net/run_task.h"

namespace tacit::net {
namespace {

using ::tacit::testing::IsError;
using ::tacit::testing::IsErrorSaying;
using ::tacit::testing::IsOk;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Eq;
using ::testing::HasSubstr;
using ::testing::Pair;
using testing::RunTask;

// A request of one method and some headers, without a connection.
class Request {
 public:
  Request(std::string method, std::vector<std::pair<std::string, std::string>> headers, Bytes body = {})
      : body_(body), request_(MakeHead(std::move(method), std::move(headers), body.size()), PeerIdentity{}, body_) {}
  HttpRequest& get() { return request_; }

 private:
  static RequestHead MakeHead(std::string method, std::vector<std::pair<std::string, std::string>> headers,
                              std::size_t size) {
    RequestHead head;
    head.method = std::move(method);
    head.path = "/v1/models/3";
    head.headers = std::move(headers);
    if (size > 0) head.content_length = size;
    return head;
  }
  BytesBody body_;
  HttpRequest request_;
};

HttpResponse Serve(std::string method, std::vector<std::pair<std::string, std::string>> headers,
                   std::size_t size = 10) {
  Request request(std::move(method), std::move(headers));
  return ServeBytes(request.get(), SharedBytes::Of(Bytes(size, std::uint8_t{7})), "application/octet-stream", "abc");
}

TEST(TagBody, NamesTheBytesAndSendsNoneThatTheCallerHas) {
  const auto tagged = [](std::string body, const std::string& has) {
    Request request("GET", {{"if-none-match", has}});
    HttpResponse response;
    response.content_type = "application/json";
    response.body = std::move(body);
    TagBody(request.get(), response);
    return response;
  };
  const HttpResponse first = tagged("{}", "\"other\"");
  EXPECT_EQ(first.status, 200);
  EXPECT_EQ(first.body, "{}");
  ASSERT_THAT(first.headers, ElementsAre(Pair("ETag", ::testing::MatchesRegex("\"[0-9a-f]{32}\""))));
  const std::string tag = first.headers[0].second;
  for (const std::string& has : {tag, "W/" + tag, "\"x\", " + tag, std::string("*")}) {
    const HttpResponse again = tagged("{}", has);
    EXPECT_EQ(again.status, 304) << has;
    EXPECT_EQ(again.body, "");
    EXPECT_EQ(again.content_type, "");
    EXPECT_THAT(again.headers, ElementsAre(Pair("ETag", tag)));
  }
  EXPECT_EQ(tagged("{} ", tag).status, 200);
}

TEST(ServeBytes, GivesTheWholeWithAStrongTag) {
  const HttpResponse response = Serve("GET", {});
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.offset, 0U);
  EXPECT_EQ(response.length, 10U);
  EXPECT_THAT(response.headers, ElementsAre(Pair("ETag", "\"abc\""), Pair("Accept-Ranges", "bytes")));
}

struct RangeCase {
  std::string range;
  int status;
  std::size_t offset;
  std::size_t length;
  std::string content_range;
};

void PrintTo(const RangeCase& range, std::ostream* out) {
  *out << range.range;
}

class ServedRange : public ::testing::TestWithParam<RangeCase> {};

TEST_P(ServedRange, IsResolvedAsRfc9110Says) {
  const RangeCase& expected = GetParam();
  const HttpResponse response = Serve("GET", {{"range", expected.range}});
  EXPECT_EQ(response.status, expected.status);
  if (expected.status != 416) {
    EXPECT_EQ(response.offset, expected.offset);
    EXPECT_EQ(response.length, expected.length);
  }
  if (!expected.content_range.empty())
    EXPECT_THAT(response.headers, Contains(Pair("Content-Range", expected.content_range)));
}

INSTANTIATE_TEST_SUITE_P(
    All, ServedRange,
    ::testing::Values(
        RangeCase{"bytes=0-0", 206, 0, 1, "bytes 0-0/10"}, RangeCase{"bytes=3-5", 206, 3, 3, "bytes 3-5/10"},
        RangeCase{"bytes=3-", 206, 3, 7, "bytes 3-9/10"}, RangeCase{"bytes=3-99", 206, 3, 7, "bytes 3-9/10"},
        RangeCase{"bytes=-4", 206, 6, 4, "bytes 6-9/10"}, RangeCase{"bytes=-99", 206, 0, 10, "bytes 0-9/10"},
        RangeCase{"bytes=10-", 416, 0, 0, "bytes */10"}, RangeCase{"bytes=-0", 416, 0, 0, "bytes */10"},
        RangeCase{"bytes=5-3", 200, 0, 10, ""}, RangeCase{"bytes=a-b", 200, 0, 10, ""},
        RangeCase{"bytes=1-2,4-5", 200, 0, 10, ""}, RangeCase{"items=1-2", 200, 0, 10, ""},
        RangeCase{"bytes=-", 200, 0, 10, ""}, RangeCase{"bytes=99999999999999999999-", 200, 0, 10, ""}));

TEST(ServeBytes, HasNoRangeInNothing) {
  EXPECT_EQ(Serve("GET", {{"range", "bytes=0-"}}, 0).status, 416);
  EXPECT_EQ(Serve("GET", {}, 0).length, 0U);
}

TEST(ServeBytes, AnswersHeadWithTheLengthOfTheWhole) {
  const HttpResponse response = Serve("HEAD", {{"range", "bytes=0-1"}});
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.length, 10U);
}

TEST(ServeBytes, SendsNothingThatTheCallerHas) {
  for (const char* list : {"\"abc\"", "\"x\", \"abc\"", "W/\"abc\"", "*", "\"abc\",\"x\""}) {
    const HttpResponse response = Serve("GET", {{"if-none-match", list}});
    EXPECT_EQ(response.status, 304) << list;
    EXPECT_FALSE(response.shared_body);
    EXPECT_THAT(response.headers, Contains(Pair("ETag", "\"abc\"")));
  }
  for (const char* list : {"\"ab\"", "abc", "\"xabc\"", "\"x\"", "x\"abc\"", "\"abc\"x"}) {
    EXPECT_EQ(Serve("GET", {{"if-none-match", list}}).status, 200) << list;
  }
}

TEST(ServeBytes, GivesARangeOnlyOfTheBytesThatTheCallerMeans) {
  EXPECT_EQ(Serve("GET", {{"range", "bytes=0-1"}, {"if-range", "\"abc\""}}).status, 206);
  EXPECT_EQ(Serve("GET", {{"range", "bytes=0-1"}, {"if-range", "\"old\""}}).status, 200);
  EXPECT_EQ(Serve("GET", {{"range", "bytes=0-1"}, {"if-range", "W/\"abc\""}}).status, 200);
}

TEST(Problem, IsTheDocumentOfRfc9457) {
  const HttpResponse response = Problem({ErrorCode::kBudgetExhausted, "no \"epsilon\" left"}, "/v1/tasks/har");
  EXPECT_EQ(response.status, 409);
  EXPECT_EQ(response.content_type, "application/problem+json");
  const auto json = nlohmann::json::parse(response.body);
  EXPECT_EQ(json.at("type"), "https://tacit.dev/problems/budget_exhausted");
  EXPECT_EQ(json.at("code"), "budget_exhausted");
  EXPECT_EQ(json.at("status"), 409);
  EXPECT_EQ(json.at("title"), "The privacy budget does not allow it");
  EXPECT_EQ(json.at("detail"), "no \"epsilon\" left");
  EXPECT_EQ(json.at("instance"), "/v1/tasks/har");
}

TEST(StatusProblem, NamesAStatusThatNoErrorCodeHas) {
  const auto json = nlohmann::json::parse(StatusProblem(405, "only GET", "/x").body);
  EXPECT_EQ(json.at("type"), "about:blank");
  EXPECT_EQ(json.at("title"), "Method Not Allowed");
}

TEST(HttpRequest, FindsHeadersInAnyCase) {
  Request request("GET", {{"content-type", "text/plain"}});
  EXPECT_EQ(request.get().Header("Content-Type"), "text/plain");
  EXPECT_EQ(request.get().Header("content"), std::nullopt);
}

TEST(HttpRequest, ReadsItsBodyInPieces) {
  Request request("PUT", {}, Bytes{1, 2, 3, 4, 5});
  Bytes two(2);
  EXPECT_THAT(RunTask(request.get().Read(two)), IsOk());
  EXPECT_THAT(two, ElementsAre(1, 2));
  EXPECT_EQ(request.get().body_left(), 3U);
  EXPECT_THAT(*RunTask(request.get().ReadBody(3)), ElementsAre(3, 4, 5));
  EXPECT_EQ(request.get().body_left(), 0U);
}

TEST(HttpRequest, ReadsNothingWhenTheBodyIsTooShort) {
  Request request("PUT", {}, Bytes{1, 2, 3});
  Bytes four(4);
  EXPECT_THAT(RunTask(request.get().Read(four)), IsError(ErrorCode::kMalformed));
  EXPECT_EQ(request.get().body_left(), 3U);
}

TEST(HttpRequest, RefusesABodyOverTheLimitBeforeReadingIt) {
  Request request("PUT", {}, Bytes{1, 2, 3});
  EXPECT_THAT(RunTask(request.get().ReadBody(2)), IsErrorSaying(ErrorCode::kTooLarge, "3 bytes"));
  EXPECT_EQ(request.get().body_left(), 3U);
}

}  // namespace
}  // namespace tacit::net
