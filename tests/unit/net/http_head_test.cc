#include "common/net/http_head.h"

#include <ostream>
#include <string>

#include <gmock/gmock.h>

namespace tacit::net {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Optional;
using ::testing::Pair;

std::string Get(std::string_view target, std::string_view more = "") {
  return "GET " + std::string(target) + " HTTP/1.1\r\nHost: a.example\r\n" + std::string(more) + "\r\n";
}

int StatusOf(std::string_view bytes) {
  const auto head = ParseRequestHead(bytes);
  return head ? 0 : head.error().status;
}

TEST(ParseRequestHead, ReadsEveryPartOfAHead) {
  const auto head = ParseRequestHead(
      "PUT /v1/tasks/har?round=3&name=a%20b+c&flag HTTP/1.1\r\nHost: tacit.example:8443\r\nContent-Length: 1234\r\n"
      "X-Odd:\t spaced out \r\nEmpty:\r\nExpect: 100-Continue\r\n\r\n");
  ASSERT_TRUE(head) << head.error().message;
  EXPECT_EQ(head->method, "PUT");
  EXPECT_EQ(head->path, "/v1/tasks/har");
  EXPECT_THAT(head->query, ElementsAre(Pair("round", "3"), Pair("name", "a b c"), Pair("flag", "")));
  EXPECT_THAT(head->Header("x-odd"), Optional(std::string_view("spaced out")));
  EXPECT_THAT(head->Header("empty"), Optional(std::string_view("")));
  EXPECT_EQ(head->Header("absent"), std::nullopt);
  EXPECT_THAT(head->content_length, Optional(1234U));
  EXPECT_TRUE(head->keep_alive);
  EXPECT_TRUE(head->expects_continue);
}

TEST(ParseRequestHead, KeepsPercentEscapesOfThePath) {
  EXPECT_EQ(ParseRequestHead(Get("/a%2Fb"))->path, "/a%2Fb");
}

TEST(ParseRequestHead, EndsAConnectionThatOneSideWantsToEnd) {
  EXPECT_FALSE(ParseRequestHead(Get("/", "Connection: Upgrade , CLOSE\r\n"))->keep_alive);
  EXPECT_FALSE(ParseRequestHead("GET / HTTP/1.0\r\n\r\n")->keep_alive);
  EXPECT_TRUE(ParseRequestHead(Get("/", "Connection: closed\r\n"))->keep_alive);
}

TEST(ParseRequestHead, TakesTheStarForOptionsOnly) {
  EXPECT_EQ(ParseRequestHead("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")->path, "*");
  EXPECT_EQ(StatusOf("GET * HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
}

TEST(ParseRequestHead, ExpectsNothingWithoutABody) {
  EXPECT_FALSE(ParseRequestHead(Get("/", "Expect: 100-continue\r\n"))->expects_continue);
}

struct Refusal {
  std::string bytes;
  int status = 0;
};

// The test's name, which may hold neither line ends nor pages of text.
void PrintTo(const Refusal& refusal, std::ostream* out) {
  for (const char c : refusal.bytes.substr(0, 80)) *out << (c > ' ' && c < 0x7f ? c : '_');
}

class RefusedHead : public ::testing::TestWithParam<Refusal> {};

TEST_P(RefusedHead, IsAnsweredWithItsStatus) {
  const auto& [bytes, status] = GetParam();
  EXPECT_EQ(StatusOf(bytes), status) << bytes;
}

INSTANTIATE_TEST_SUITE_P(
    RequestLine, RefusedHead,
    ::testing::Values(
        Refusal{"", 400}, Refusal{"\r\n", 400}, Refusal{"\r\n\r\n", 400}, Refusal{"GET\r\n\r\n", 400},
        Refusal{"GET / \r\nHost: a\r\n\r\n", 505}, Refusal{" GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        Refusal{"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400}, Refusal{"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 505},
        Refusal{"GET / x HTTP/1.1\r\nHost: a\r\n\r\n", 505}, Refusal{"G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        Refusal{std::string(33, 'G') + " / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        Refusal{"GET / http/1.1\r\nHost: a\r\n\r\n", 505}, Refusal{"GET / HTTP/11\r\nHost: a\r\n\r\n", 505},
        Refusal{"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505}, Refusal{"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505},
        Refusal{"GET / HTTP/1.1\r\nHost: a\r\n\r\nX", 400}, Refusal{"GET / HTTP/1.1\r\nHost: a\r\n", 400},
        Refusal{"GET / HTTP/1.1\nHost: a\n\n", 400}));

INSTANTIATE_TEST_SUITE_P(Target, RefusedHead,
                         ::testing::Values(Refusal{Get("http://a.example/"), 400}, Refusal{Get("a"), 400},
                                           Refusal{Get("/a/../b"), 400}, Refusal{Get("/.."), 400},
                                           Refusal{Get("/./"), 400}, Refusal{Get("/%"), 400}, Refusal{Get("/%4"), 400},
                                           Refusal{Get("/%zz"), 400}, Refusal{Get("/a#b"), 400},
                                           Refusal{Get("/\xc3\xa4"), 400}, Refusal{Get("/a\\b"), 400},
                                           Refusal{Get("/a\rb"), 400}, Refusal{Get(std::string_view("/a\0b", 4)), 400},
                                           Refusal{Get("/?a=%0a"), 400}, Refusal{Get("/?a=1&a=2"), 400},
                                           Refusal{Get("/?%"), 400}, Refusal{Get("/?a=<"), 400}));

INSTANTIATE_TEST_SUITE_P(
    Headers, RefusedHead,
    ::testing::Values(Refusal{Get("/", "Folded: a\r\n b\r\n"), 400}, Refusal{Get("/", "No colon\r\n"), 400},
                      Refusal{Get("/", "Space : a\r\n"), 400}, Refusal{Get("/", ": a\r\n"), 400},
                      Refusal{Get("/", "A: b\rc\r\n"), 400}, Refusal{Get("/", "A: \x01\r\n"), 400},
                      Refusal{Get("/", std::string("A: \0\r\n", 6)), 400}, Refusal{Get("/", "Host: b\r\n"), 400},
                      Refusal{"GET / HTTP/1.1\r\n\r\n", 400}, Refusal{"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400},
                      Refusal{"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", 400},
                      Refusal{Get("/", "Authorization: x\r\nAuthorization: y\r\n"), 400},
                      Refusal{Get("/", "Expect: magic\r\n"), 417}));

INSTANTIATE_TEST_SUITE_P(
    Framing, RefusedHead,
    ::testing::Values(
        Refusal{"POST / HTTP/1.1\r\nHost: a\r\n\r\n", 411}, Refusal{"PUT / HTTP/1.1\r\nHost: a\r\n\r\n", 411},
        Refusal{"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 501},
        Refusal{"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        Refusal{"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", 400},
        Refusal{Get("/", "transfer-encoding: identity\r\n"), 501},
        Refusal{Get("/", "Content-Length: 1\r\nContent-Length: 1\r\n"), 400},
        Refusal{Get("/", "Content-Length: 1\r\nContent-Length: 2\r\n"), 400},
        Refusal{Get("/", "Content-Length: 1, 1\r\n"), 400}, Refusal{Get("/", "Content-Length: -1\r\n"), 400},
        Refusal{Get("/", "Content-Length: +1\r\n"), 400}, Refusal{Get("/", "Content-Length: 0x1\r\n"), 400},
        Refusal{Get("/", "Content-Length:\r\n"), 400},
        Refusal{Get("/", "Content-Length: 1000000000000000000\r\n"), 400}));

TEST(ParseRequestHead, BoundsTheNumberOfHeadersAndParameters) {
  std::string headers;
  for (int i = 0; i < 99; ++i) headers += "A" + std::to_string(i) + ": b\r\n";
  EXPECT_EQ(StatusOf(Get("/", headers)), 0);
  EXPECT_EQ(StatusOf(Get("/", headers + "One: more\r\n")), 431);
  std::string query = "/?";
  for (int i = 0; i < 64; ++i) query += "a" + std::to_string(i) + "=b&";
  EXPECT_EQ(StatusOf(Get(query)), 0);
  EXPECT_EQ(StatusOf(Get(query + "one=more")), 400);
}

TEST(FindHeadEnd, FindsTheBlankLineHoweverTheBytesArrive) {
  const std::string bytes = Get("/", "A: b\r\n") + "next";
  const std::size_t end = bytes.size() - 4;
  for (std::size_t cut = 0; cut < bytes.size(); ++cut) {
    const auto first = FindHeadEnd(std::string_view(bytes).substr(0, cut));
    ASSERT_TRUE(first);
    EXPECT_EQ(*first, cut < end ? 0 : end) << cut;
    if (*first == 0) EXPECT_EQ(FindHeadEnd(bytes, cut).value(), end) << cut;
  }
}

TEST(FindHeadEnd, TellsAClientOfBareLineEndsAtOnce) {
  const auto end = FindHeadEnd("GET / HTTP/1.1\n");
  ASSERT_FALSE(end);
  EXPECT_EQ(end.error().status, 400);
  EXPECT_THAT(end.error().message, HasSubstr("CR LF"));
}

TEST(ParseResponseHead, ReadsStatusLengthAndPersistence) {
  const auto head = ParseResponseHead("HTTP/1.1 206 Partial Content\r\nContent-Length: 5\r\nETag: \"x\"\r\n\r\n");
  ASSERT_TRUE(head) << head.error().message;
  EXPECT_EQ(head->status, 206);
  EXPECT_THAT(head->content_length, Optional(5U));
  EXPECT_THAT(head->Header("etag"), Optional(std::string_view("\"x\"")));
  EXPECT_TRUE(head->keep_alive);
  EXPECT_FALSE(ParseResponseHead("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")->keep_alive);
  EXPECT_FALSE(ParseResponseHead("HTTP/1.0 200 OK\r\n\r\n")->keep_alive);
}

TEST(ParseResponseHead, RefusesWhatIsNotHttp) {
  EXPECT_FALSE(ParseResponseHead("SSH-2.0-OpenSSH\r\n\r\n"));
  EXPECT_FALSE(ParseResponseHead("HTTP/1.1 20\r\n\r\n"));
  EXPECT_FALSE(ParseResponseHead("HTTP/1.1 999 Odd\r\n\r\n"));
  EXPECT_FALSE(ParseResponseHead("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n"));
  EXPECT_FALSE(ParseResponseHead("HTTP/1.1 200 OK\r\nContent-Length: 5x\r\n\r\n"));
}

}  // namespace
}  // namespace tacit::net
