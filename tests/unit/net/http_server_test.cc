#include "common/net/http_server.h"

#include <unistd.h>

#include <atomic>
#include <list>
#include <optional>
#include <ostream>
#include <stdexcept>
#include <thread>
#include <vector>

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "common/net/wake_up.h"
#include "tests/support/matchers.h"
#include "tests/unit/net/pki.h"
#include "tests/unit/net/raw_client.h"
#include "tests/unit/net/test_server.h"

namespace tacit::net {
namespace {

using std::chrono::milliseconds;
using ::tacit::testing::IsError;
using ::tacit::testing::IsErrorSaying;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using testing::In;
using ::testing::Not;
using testing::RawClient;
using testing::RecordingObserver;
using testing::RunShell;
using ::testing::SizeIs;
using ::testing::StartsWith;
using testing::TestServer;

HttpResponse Text(std::string body) {
  HttpResponse response;
  response.content_type = "text/plain";
  response.body = std::move(body);
  return response;
}

std::string Sum(const Bytes& bytes) {
  std::uint64_t sum = 0;
  for (const std::uint8_t byte : bytes) sum += byte;
  return std::to_string(bytes.size()) + ":" + std::to_string(sum);
}

// A body that is written while it goes on, by path.
std::optional<HttpResponse> StreamAt(std::string_view path) {
  HttpResponse response = Text("");
  if (path == "/parts") {
    response.stream = [](ResponseStream& stream) -> Task<void> {
      for (const std::string_view part : {"one ", "two ", "three"}) {
        if (!co_await stream.Write(part) || !co_await stream.Pause(Millis(20))) co_return;
      }
    };
  } else if (path == "/endless") {
    response.stream = [](ResponseStream& stream) -> Task<void> {
      while (co_await stream.Write("tick ") && co_await stream.Pause(Millis(60'000))) {
      }
    };
  } else if (path == "/flood") {
    response.stream = [](ResponseStream& stream) -> Task<void> {
      const std::string much(1024UL * 1024, 'x');
      while (co_await stream.Write(much)) {
      }
    };
  } else if (path == "/broken") {
    response.stream = [](ResponseStream& stream) -> Task<void> {
      co_await stream.Write("half");
      throw std::runtime_error("a secret of the inside");
    };
  } else {
    return std::nullopt;
  }
  return response;
}

// What the tests ask of a handler, by path.
Task<HttpResponse> Serve(HttpRequest& request) {
  request.SetRoute(request.path());
  if (request.path() == "/sum") {
    auto body = co_await request.ReadBody(64 * 1024 * 1024);
    co_return body ? Text(Sum(*body)) : Problem(body.error(), request.path());
  }
  if (request.path() == "/secret-size") {
    request.CountBodyAs(123'456);
    auto body = co_await request.ReadBody(64 * 1024 * 1024);
    co_return body ? Text("read") : Problem(body.error(), request.path());
  }
  if (request.path() == "/halves") {
    Bytes first(request.content_length().value_or(0) / 2);
    Bytes second(first.size());
    auto read = co_await request.Read(first);
    if (read) read = co_await request.Read(second);
    co_return read ? Text(Sum(first) + "," + Sum(second)) : Problem(read.error(), request.path());
  }
  if (request.path() == "/throw") throw std::runtime_error("a secret of the inside");
  if (request.path() == "/refuse") co_return Problem({ErrorCode::kTooLarge, "no room"}, request.path());
  if (request.path() == "/large") {
    co_return ServeBytes(request, SharedBytes::Of(Bytes(8 * 1024 * 1024, std::uint8_t{'x'})), "text/plain", "tag");
  }
  if (request.path() == "/small") {
    co_return ServeBytes(request, SharedBytes::Of({'a', 'b', 'c', 'd', 'e', 'f'}), "text/plain", "tag");
  }
  if (request.path() == "/inject") {
    HttpResponse response = Text("x");
    response.headers = {{"X-Name", "a\r\nSet-Cookie: b"}};
    co_return response;
  }
  if (request.path() == "/slow") {
    asio::steady_timer timer(co_await asio::this_coro::executor, milliseconds(1'000));
    co_await timer.async_wait(asio::use_awaitable);
    co_return Text("slow");
  }
  if (const auto stream = StreamAt(request.path())) co_return *stream;
  if (request.path() == "/poll") {
    WakeUp never;
    co_await never.WaitUntil(In(Millis(60'000)));
    co_return Text("late");
  }
  co_return Text("hello");
}

std::string Get(std::string_view path, std::string_view headers = "") {
  return "GET " + std::string(path) + " HTTP/1.1\r\nHost: a\r\n" + std::string(headers) + "\r\n";
}
std::string Put(std::string_view path, std::size_t size, std::string_view headers = "") {
  return "PUT " + std::string(path) + " HTTP/1.1\r\nHost: a\r\nContent-Length: " + std::to_string(size) + "\r\n" +
         std::string(headers) + "\r\n";
}

/// What is counted of a Put, which is its head but for how long it says that the body is.
std::size_t CountedPut(std::string_view path) {
  return Put(path, 0).size() - 1;
}

bool AllClosed(const RecordingObserver& seen) {
  return seen.opened > 0 && seen.opened == seen.closed;
}

std::string Curl(const TestServer& server, const std::string& arguments, const std::string& path) {
  return RunShell("curl -sS --max-time 10 " + arguments + " http://127.0.0.1:" + server.port() + path).output;
}

TEST(HttpServer, AnswersAGet) {
  TestServer server({}, Serve);
  const std::string answer = Curl(server, "-i", "/");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(answer, HasSubstr("Content-Length: 5\r\n"));
  EXPECT_THAT(answer, HasSubstr(" GMT\r\n"));
  EXPECT_THAT(answer, Not(HasSubstr("Connection: close")));
  EXPECT_THAT(answer, EndsWith("\r\n\r\nhello"));
}

TEST(HttpServer, ServesIpv4AtTheIpv6AddressOfEverything) {
  if (::access("/proc/net/if_inet6", F_OK) != 0) GTEST_SKIP() << "this machine has no IPv6";
  ListenerOptions options;
  options.address = "::";
  const TestServer server(options, Serve);
  EXPECT_EQ(Curl(server, "", "/"), "hello");
  EXPECT_EQ(RunShell("curl -sS --max-time 10 'http://[::1]:" + server.port() + "/'").output, "hello");
}

TEST(HttpServer, KeepsAConnectionForSeveralRequests) {
  TestServer server({}, Serve);
  RawClient client(server.port());
  for (int i = 0; i < 5; ++i) {
    client.Send(Get("/"));
    EXPECT_THAT(client.ReadUntil("hello"), HasSubstr("200 OK"));
  }
  EXPECT_TRUE(server.observer.Wait([](const RecordingObserver& seen) { return seen.requests.size() == 5; }));
  EXPECT_EQ(server.observer.opened, 1);
}

TEST(HttpServer, AnswersPipelinedRequestsInOrderAndReadsEachBodyExactly) {
  TestServer server({}, Serve);
  RawClient client(server.port());
  client.Send("\r\n" + Put("/sum", 3) + "\x01\x02\x03" + Get("/") + Put("/sum", 2) + "\x05\x05" +
              Get("/", "Connection: close\r\n"));
  const std::string answers = client.ReadAll();
  const std::size_t first = answers.find("3:6");
  const std::size_t second = answers.find("hello");
  const std::size_t third = answers.find("2:10");
  EXPECT_LT(first, second);
  EXPECT_LT(second, third);
  EXPECT_LT(third, answers.rfind("hello"));
}

TEST(HttpServer, TakesABodyThatComesByteByByte) {
  TestServer server({}, Serve);
  RawClient client(server.port());
  const std::string bytes = Put("/halves", 4) + "\x01\x02\x03\x04";
  for (const char byte : bytes) client.Send({&byte, 1});
  EXPECT_THAT(client.ReadUntil("2:7"), HasSubstr("2:3,2:7"));
}

TEST(HttpServer, TakesALargeBody) {
  TestServer server({}, Serve);
  RawClient client(server.port());
  const std::string body(20 * 1024 * 1024, '\x02');
  client.Send(Put("/sum", body.size()) + body);
  const std::string expected = std::to_string(body.size()) + ":" + std::to_string(2 * body.size());
  EXPECT_THAT(client.ReadUntil(expected), HasSubstr(expected));
  EXPECT_TRUE(server.observer.Wait([](const RecordingObserver& seen) { return seen.requests.size() == 1; }));
  EXPECT_EQ(server.observer.requests[0].bytes_in, body.size() + CountedPut("/sum"));
}

TEST(HttpServer, ShowsTheSizeOfABodyThatItsHandlerNamesAndNoOther) {
  TestServer server({}, Serve);
  RawClient client(server.port());
  for (const std::size_t size : {std::size_t{9}, std::size_t{99'999}}) {
    client.Send(Put("/secret-size", size) + std::string(size, 'x'));
    EXPECT_THAT(client.ReadUntil("read"), HasSubstr("read"));
  }
  client.Send(Put("/sum", 9) + std::string(9, 'x'));
  EXPECT_THAT(client.ReadUntil("9:"), HasSubstr("9:"));
  EXPECT_TRUE(server.observer.Wait([](const RecordingObserver& seen) { return seen.requests.size() == 3; }));
  EXPECT_EQ(server.observer.requests[0].bytes_in, 123'456 + CountedPut("/secret-size"));
  EXPECT_EQ(server.observer.requests[1].bytes_in, 123'456 + CountedPut("/secret-size"));
  EXPECT_EQ(server.observer.requests[2].bytes_in, 9 + CountedPut("/sum"));
}

// Also when nobody got to say that the length is nobody's business.
TEST(HttpServer, ShowsNotHowLongABodyIsThatItDoesNotRead) {
  TestServer server({}, Serve);
  for (const std::string length : {"9", "99999", "00009"}) {
    RawClient client(server.port());
    client.Send("PUT /refuse HTTP/1.1\r\nHost: a\r\nContent-Length: " + length + "\r\n\r\n");
    EXPECT_THAT(client.ReadUntil("no room"), HasSubstr("no room"));
  }
  EXPECT_TRUE(server.observer.Wait([](const RecordingObserver& seen) { return seen.requests.size() == 3; }));
  for (const auto& request : server.observer.requests) EXPECT_EQ(request.bytes_in, CountedPut("/refuse"));
}

TEST(HttpServer, SaysContinueOnlyWhenTheHandlerReads) {
  TestServer server({}, Serve);
  RawClient reads(server.port());
  reads.Send(Put("/sum", 2, "Expect: 100-continue\r\n"));
  EXPECT_EQ(reads.ReadUntil("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  reads.Send("\x01\x01");
  EXPECT_THAT(reads.ReadUntil("2:2"), StartsWith("HTTP/1.1 200"));

  RawClient refused(server.port());
  refused.Send(Put("/refuse", 2, "Expect: 100-continue\r\n"));
  const std::string answer = refused.ReadAll();
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 413"));
  EXPECT_THAT(answer, HasSubstr("Connection: close"));
}

TEST(HttpServer, ServesCurlsContinue) {
  TestServer server({}, Serve);
  const testing::TempDirectory files;
  const std::string path = files.Write("body", std::string(2'000'000, '\x01'));
  EXPECT_EQ(Curl(server, "-H \"Expect: 100-continue\" -T " + path, "/sum"), "2000000:2000000");
}

TEST(HttpServer, AnswersAndSkipsASmallBodyThatNobodyRead) {
  TestServer server({}, Serve);
  RawClient client(server.port());
  client.Send(Put("/refuse", 60'000) + std::string(60'000, 'x') + Get("/"));
  const std::string answers = client.ReadUntil("hello");
  EXPECT_THAT(answers, HasSubstr("413"));
  EXPECT_THAT(answers, Not(HasSubstr("Connection: close")));
}

TEST(HttpServer, AnswersAndClosesOverALargeBodyThatNobodyRead) {
  TestServer server({}, Serve);
  RawClient client(server.port());
  client.Send(Put("/refuse", 3'000'000) + std::string(1'000'000, 'x'));
  const std::string answer = client.ReadAll();
  EXPECT_THAT(answer, HasSubstr("HTTP/1.1 413"));
  EXPECT_THAT(answer, HasSubstr("Connection: close"));
  EXPECT_THAT(answer, HasSubstr("no room"));
}

TEST(HttpServer, HasNoBodyInAnswersToHead) {
  TestServer server({}, Serve);
  RawClient client(server.port());
  client.Send("HEAD /large HTTP/1.1\r\nHost: a\r\n\r\n" + Get("/"));
  const std::string answers = client.ReadUntil("hello");
  EXPECT_THAT(answers, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(answers, HasSubstr("Content-Length: 8388608\r\n"));
  EXPECT_THAT(answers, Not(HasSubstr("xxx")));
}

TEST(HttpServer, AnswersOptionsForItself) {
  TestServer server({}, Serve);
  RawClient client(server.port());
  client.Send("OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  const std::string answer = client.ReadAll();
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 204 No Content\r\n"));
  EXPECT_THAT(answer, HasSubstr("Allow: GET,"));
  EXPECT_THAT(answer, Not(HasSubstr("Content-Length")));
}

TEST(HttpServer, ClosesAfterHttp10) {
  TestServer server({}, Serve);
  EXPECT_EQ(Curl(server, "--http1.0", "/"), "hello");
}

TEST(HttpServer, ServesRangesToCurl) {
  TestServer server({}, Serve);
  EXPECT_EQ(Curl(server, "-r 2-3", "/small"), "cd");
  EXPECT_EQ(Curl(server, "-r -2", "/small"), "ef");
  EXPECT_THAT(Curl(server, "-i -r 9-", "/small"), StartsWith("HTTP/1.1 416"));
  const std::string unchanged = Curl(server, "-i -H \"If-None-Match: \\\"tag\\\"\"", "/small");
  EXPECT_THAT(unchanged, StartsWith("HTTP/1.1 304 Not Modified"));
  EXPECT_THAT(unchanged, EndsWith("\r\n\r\n"));
}

TEST(HttpServer, SendsALargeBodyWhole) {
  TestServer server({}, Serve);
  EXPECT_EQ(Curl(server, "-o /dev/null -w \"%{size_download}\"", "/large"), "8388608");
}

TEST(HttpServer, SendsTheBodyOfAStreamAsItIsWrittenAndEndsItWithTheConnection) {
  TestServer server({}, Serve);
  EXPECT_EQ(Curl(server, "", "/parts"), "one two three");
  RawClient client(server.port());
  client.Send(Get("/parts"));
  const std::string answer = client.ReadAll();
  EXPECT_THAT(answer, HasSubstr("200 OK"));
  EXPECT_THAT(answer, HasSubstr("Connection: close"));
  EXPECT_THAT(answer, Not(HasSubstr("Content-Length")));
  EXPECT_THAT(answer, EndsWith("\r\n\r\none two three"));
  EXPECT_THAT(Curl(server, "-I", "/parts"), Not(HasSubstr("one")));
}

TEST(HttpServer, EndsAStreamAtOnceWhenItsClientLeavesOrSaysMore) {
  TestServer server({}, Serve);
  RawClient says_more(server.port());
  says_more.Send(Get("/endless"));
  says_more.ReadUntil("tick");
  {
    RawClient leaves(server.port());
    leaves.Send(Get("/endless"));
    leaves.ReadUntil("tick");
  }
  EXPECT_TRUE(server.observer.Wait([](const RecordingObserver& seen) { return seen.closed == 1; }));
  says_more.Send(Get("/"));
  EXPECT_THAT(says_more.ReadAll(), Not(HasSubstr("hello")));
  EXPECT_TRUE(server.observer.Wait(AllClosed));
  EXPECT_TRUE(server.observer.exceptions.empty());
}

TEST(HttpServer, DrainEndsAStreamAtOnce) {
  TestServer server({}, Serve);
  RawClient client(server.port());
  client.Send(Get("/endless"));
  client.ReadUntil("tick");
  const auto began = std::chrono::steady_clock::now();
  EXPECT_EQ(server.server().Drain(In(Millis(30'000))), 0U);
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(10));
  EXPECT_TRUE(client.IsClosed());
}

TEST(HttpServer, CutsAStreamThatNobodyReads) {
  ListenerOptions options;
  options.progress_timeout = Millis(200);
  TestServer server(options, Serve);
  RawClient client(server.port());
  client.Send(Get("/flood"));
  EXPECT_TRUE(server.observer.Wait(AllClosed));
  EXPECT_TRUE(server.observer.exceptions.empty());
}

TEST(HttpServer, TellsOfAnExceptionInTheMiddleOfAStreamAndCloses) {
  TestServer server({}, Serve);
  RawClient client(server.port());
  client.Send(Get("/broken"));
  EXPECT_THAT(client.ReadAll(), EndsWith("half"));
  EXPECT_TRUE(server.observer.Wait(AllClosed));
  EXPECT_THAT(server.observer.exceptions, SizeIs(1));
}

TEST(HttpServer, TurnsAnExceptionInto500WithoutItsText) {
  TestServer server({}, Serve);
  RawClient client(server.port());
  client.Send(Get("/throw") + Get("/"));
  const std::string answers = client.ReadUntil("hello");
  EXPECT_THAT(answers, HasSubstr("HTTP/1.1 500"));
  EXPECT_THAT(answers, Not(HasSubstr("secret")));
  EXPECT_TRUE(server.observer.Wait([](const RecordingObserver& seen) { return !seen.exceptions.empty(); }));
  EXPECT_THAT(server.observer.exceptions, ElementsAre("a secret of the inside"));
}

TEST(HttpServer, LetsNoHeaderValueBecomeAHeader) {
  TestServer server({}, Serve);
  EXPECT_THAT(Curl(server, "-i", "/inject"), HasSubstr("X-Name: a  Set-Cookie: b\r\n"));
}

struct BadRequest {
  std::string bytes;
  std::string status;
};

void PrintTo(const BadRequest& request, std::ostream* out) {
  for (const char c : request.bytes.substr(0, 60)) *out << (c > ' ' && c < 0x7f ? c : '_');
}

class RefusedRequest : public ::testing::TestWithParam<BadRequest> {};

TEST_P(RefusedRequest, IsAnsweredAndTheConnectionClosed) {
  TestServer server({}, Serve);
  RawClient client(server.port());
  client.Send(GetParam().bytes);
  const std::string answer = client.ReadAll();
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 " + GetParam().status));
  EXPECT_THAT(answer, HasSubstr("Connection: close"));
  EXPECT_THAT(answer, Not(HasSubstr("hello")));
}

INSTANTIATE_TEST_SUITE_P(
    All, RefusedRequest,
    ::testing::Values(
        BadRequest{"GET / HTTP/1.1\n\n", "400"}, BadRequest{"nonsense\r\n\r\n", "400"},
        BadRequest{"POST / HTTP/1.1\r\nHost: a\r\n\r\n", "411"},
        BadRequest{"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "501"},
        BadRequest{Put("/", 1, "Content-Length: 2\r\n"), "400"},
        BadRequest{"GET / HTTP/1.1\r\nHost: a\r\nA: " + std::string(20'000, 'b') + "\r\n\r\n", "431"},
        BadRequest{std::string(20'000, 'b'), "431"}, BadRequest{"GET / HTTP/3.0\r\nHost: a\r\n\r\n", "505"}));

TEST(HttpServer, RefusesChunksFromCurl) {
  TestServer server({}, Serve);
  EXPECT_THAT(Curl(server, "-i -H \"Transfer-Encoding: chunked\" -d hello", "/sum"), HasSubstr("HTTP/1.1 501"));
}

TEST(HttpServer, NoticesAnUploadThatIsBrokenOff) {
  TestServer server({}, Serve);
  RawClient client(server.port());
  // The interim answer tells that the handler reads: a reset before would take the request with it.
  client.Send(Put("/sum", 1000, "Expect: 100-continue\r\n"));
  client.ReadUntil("\r\n\r\n");
  client.Send("some of it");
  client.Reset();
  EXPECT_TRUE(
      server.observer.Wait([](const RecordingObserver& seen) { return AllClosed(seen) && !seen.requests.empty(); }));
  EXPECT_EQ(server.observer.requests[0].status, 499);
  EXPECT_EQ(server.observer.requests[0].route, "/sum");
}

TEST(HttpServer, CutsABodyThatStalls) {
  ListenerOptions options;
  options.progress_timeout = Millis(100);
  TestServer server(options, Serve);
  RawClient client(server.port());
  client.Send(Put("/sum", 1000) + std::string(10, 'x'));
  EXPECT_THAT(client.ReadAll(), StartsWith("HTTP/1.1 408"));
}

TEST(HttpServer, CutsABodyThatDrips) {
  ListenerOptions options;
  options.progress_timeout = Millis(200);
  options.min_bytes_per_second = 64 * 1024;
  TestServer server(options, Serve);
  RawClient client(server.port());
  client.Send(Put("/sum", 1000));
  // Each byte is well within the progress limit; their rate is what is wrong.
  for (int i = 0; i < 100 && !client.HasInput(20); ++i) client.Send("x");
  EXPECT_THAT(client.ReadAll(), StartsWith("HTTP/1.1 408"));
}

TEST(HttpServer, CutsAHeadThatDrips) {
  ListenerOptions options;
  options.header_timeout = Millis(200);
  TestServer server(options, Serve);
  RawClient client(server.port());
  for (int i = 0; i < 100 && !client.HasInput(20); ++i) client.Send("x");
  EXPECT_THAT(client.ReadAll(), StartsWith("HTTP/1.1 408"));
}

TEST(HttpServer, ClosesAnIdleConnectionSilently) {
  ListenerOptions options;
  options.idle_timeout = Millis(100);
  TestServer server(options, Serve);
  RawClient client(server.port());
  EXPECT_TRUE(client.IsClosed());
  RawClient second(server.port());
  second.Send(Get("/"));
  EXPECT_THAT(second.ReadUntil("hello"), HasSubstr("200 OK"));
  EXPECT_TRUE(second.IsClosed());
}

TEST(HttpServer, CutsAClientThatDoesNotRead) {
  ListenerOptions options;
  options.progress_timeout = Millis(200);
  TestServer server(options, Serve);
  RawClient client(server.port());
  client.Send(Get("/large"));
  EXPECT_TRUE(server.observer.Wait(AllClosed));
  EXPECT_EQ(server.observer.requests[0].status, 499);
}

TEST(HttpServer, CapsItsConnections) {
  ListenerOptions options;
  options.max_connections = 2;
  TestServer server(options, Serve);
  RawClient first(server.port());
  RawClient second(server.port());
  EXPECT_TRUE(server.observer.Wait([](const RecordingObserver& seen) { return seen.opened == 2; }));
  RawClient third(server.port());
  EXPECT_TRUE(third.IsClosed());
  EXPECT_TRUE(server.observer.Wait([](const RecordingObserver& seen) { return !seen.refusals.empty(); }));
  EXPECT_THAT(server.observer.refusals, ElementsAre("max_connections"));
  first.Close();
  EXPECT_TRUE(server.observer.Wait([](const RecordingObserver& seen) { return seen.closed == 1; }));
  RawClient fourth(server.port());
  fourth.Send(Get("/"));
  EXPECT_THAT(fourth.ReadUntil("hello"), HasSubstr("200 OK"));
}

TEST(HttpServer, CapsTheConnectionsOfOneSource) {
  ListenerOptions options;
  options.max_connections_per_source = 1;
  TestServer server(options, Serve);
  RawClient first(server.port());
  EXPECT_TRUE(server.observer.Wait([](const RecordingObserver& seen) { return seen.opened == 1; }));
  RawClient second(server.port());
  EXPECT_TRUE(second.IsClosed());
  EXPECT_TRUE(server.observer.Wait([](const RecordingObserver& seen) { return !seen.refusals.empty(); }));
  EXPECT_THAT(server.observer.refusals, ElementsAre("max_connections_per_source"));
}

ListenerOptions WithTls(const testing::Pki& pki, std::uint32_t failed_handshakes) {
  const testing::Identity server = pki.Server();
  ListenerOptions options;
  options.tls =
      TlsServerContext::Create({server.certificate_path, server.key_path, pki.ca_path(), ClientAuth::kRequired})
          .value();
  options.failed_handshakes_per_minute_per_source = failed_handshakes;
  return options;
}
int CurlCode(const TestServer& server, const testing::Pki& pki, const testing::Identity& device,
             const std::string& source = "127.0.0.1") {
  return RunShell("curl -sS --max-time 10 --interface " + source + " --cacert " + pki.ca_path() + " --cert " +
                  device.certificate_path + " --key " + device.key_path + " https://127.0.0.1:" + server.port() + "/")
      .exit_code;
}

TEST(HttpServer, RefusesASourceWhoseHandshakesKeepFailingForAMoment) {
  const testing::Pki pki;
  const testing::Identity device = pki.Client("dev-1");
  TestServer server(WithTls(pki, 60), Serve);
  for (int i = 0; i < 60; ++i) {
    RawClient bad(server.port());
    bad.Send("this is no TLS, and long enough to be seen as none");
    bad.ReadAll();
  }
  RawClient late(server.port());
  EXPECT_TRUE(late.IsClosed());
  ASSERT_TRUE(server.observer.Wait([](const RecordingObserver& seen) { return !seen.refusals.empty(); }));
  EXPECT_EQ(server.observer.refusals.front(), "failed_handshakes_per_source");
  // One more a second: it is enough for everybody behind the same address whose handshakes succeed.
  std::this_thread::sleep_for(milliseconds(1'500));
  for (int i = 0; i < 5; ++i) EXPECT_EQ(CurlCode(server, pki, device), 0) << i;
}

TEST(HttpServer, CountsAHandshakeUnderWayAsFailedAndOneThatSucceedsNot) {
  const testing::Pki pki;
  const testing::Identity device = pki.Client("dev-1");
  TestServer server(WithTls(pki, 3), Serve);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(CurlCode(server, pki, device), 0) << i;
  {
    RawClient first(server.port());
    RawClient second(server.port());
    EXPECT_EQ(CurlCode(server, pki, device), 0);
    RawClient third(server.port());
    EXPECT_TRUE(server.observer.Wait([](const RecordingObserver& seen) { return seen.opened == 14; }));
    RawClient fourth(server.port());
    EXPECT_TRUE(fourth.IsClosed());
    EXPECT_NE(CurlCode(server, pki, device), 0);
  }
  EXPECT_TRUE(server.observer.Wait([](const RecordingObserver& seen) { return seen.refusals.size() == 2; }));
  EXPECT_THAT(server.observer.refusals, ::testing::Each("failed_handshakes_per_source"));
}

TEST(HttpServer, LeavesRoomForOthersBesideASourceThatFinishesNoHandshake) {
  const testing::Pki pki;
  const testing::Identity device = pki.Client("dev-1");
  ListenerOptions options = WithTls(pki, 10'000);
  options.max_connections = 400;
  TestServer server(options, Serve);
  std::list<RawClient> idle;
  for (int i = 0; i < 100; ++i) idle.emplace_back(server.port());
  EXPECT_TRUE(server.observer.Wait([](const RecordingObserver& seen) { return seen.opened == 100; }));
  RawClient late(server.port());
  EXPECT_TRUE(late.IsClosed());
  EXPECT_NE(CurlCode(server, pki, device), 0);
  EXPECT_EQ(CurlCode(server, pki, device, "127.0.0.2"), 0);
  EXPECT_THAT(server.observer.refusals, ElementsAre("handshakes_per_source", "handshakes_per_source"));
  idle.pop_front();
  EXPECT_TRUE(server.observer.Wait([](const RecordingObserver& seen) { return seen.closed == 2; }));
  EXPECT_EQ(CurlCode(server, pki, device), 0);
}

TEST(HttpServer, SpreadsConnectionsOverItsThreads) {
  std::mutex mutex;
  std::vector<std::thread::id> seen;
  const Handler note = [&](HttpRequest&) -> Task<HttpResponse> {
    {
      const std::scoped_lock lock(mutex);
      seen.push_back(std::this_thread::get_id());
    }
    co_return Text("hello");
  };
  TestServer server({}, note, 2);
  RawClient first(server.port());
  RawClient second(server.port());
  for (RawClient* client : {&first, &second}) {
    client->Send(Get("/"));
    client->ReadUntil("hello");
  }
  ASSERT_THAT(seen, SizeIs(2));
  EXPECT_NE(seen[0], seen[1]);
}

TEST(HttpServer, ServesManyConnectionsOnTwoThreads) {
  TestServer server({}, Serve, 2);
  std::atomic<int> good = 0;
  std::vector<std::jthread> clients;
  for (int c = 0; c < 8; ++c) {
    clients.emplace_back([&] {
      RawClient client(server.port());
      for (int i = 0; i < 50; ++i) {
        client.Send(Put("/sum", 1000) + std::string(1000, '\x01'));
        if (client.ReadUntil("1000:1000").ends_with("1000:1000")) ++good;
      }
    });
  }
  clients.clear();
  EXPECT_EQ(good, 400);
}

TEST(HttpServer, DrainFinishesTheRequestUnderWay) {
  TestServer server({}, Serve);
  RawClient busy(server.port());
  RawClient idle(server.port());
  busy.Send(Get("/slow"));
  EXPECT_TRUE(
      server.observer.Wait([](const RecordingObserver& seen) { return seen.opened == 2 && seen.entered == 1; }));
  EXPECT_EQ(server.server().Drain(In(Millis(10'000))), 0U);
  const std::string answer = busy.ReadAll();
  EXPECT_THAT(answer, HasSubstr("Connection: close"));
  EXPECT_THAT(answer, EndsWith("slow"));
  EXPECT_TRUE(idle.IsClosed());
  EXPECT_EQ(server.server().connections(), 0U);
}

TEST(HttpServer, DrainCutsWhatIsLeftAtItsDeadline) {
  TestServer server({}, Serve);
  RawClient polling(server.port());
  RawClient stalled(server.port());
  polling.Send(Get("/poll"));
  stalled.Send(Put("/sum", 1000));
  EXPECT_TRUE(server.observer.Wait([](const RecordingObserver& seen) { return seen.entered == 2; }));
  const auto began = std::chrono::steady_clock::now();
  EXPECT_EQ(server.server().Drain(In(Millis(100))), 2U);
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(3));
  EXPECT_TRUE(polling.IsClosed());
  EXPECT_EQ(server.server().connections(), 0U);
  EXPECT_TRUE(server.observer.exceptions.empty());
}

TEST(HttpServer, StopsWithoutADrainWhateverIsGoingOn) {
  TestServer server({}, Serve, 2);
  RawClient polling(server.port());
  polling.Send(Get("/poll"));
  EXPECT_TRUE(server.observer.Wait([](const RecordingObserver& seen) { return seen.opened == 1; }));
  server.threads().StopAndJoin();
  EXPECT_EQ(server.server().connections(), 0U);
}

TEST(HttpServer, AcceptsNobodyAfterStopAccepting) {
  TestServer server({}, Serve);
  RawClient early(server.port());
  early.Send(Get("/"));
  early.ReadUntil("hello");
  server.server().StopAccepting();
  server.server().StopAccepting();
  EXPECT_THAT(RunShell("sleep 0.2; curl -sS http://127.0.0.1:" + server.port() + "/").output, HasSubstr("onnect"));
  early.Send(Get("/"));
  EXPECT_THAT(early.ReadUntil("hello"), HasSubstr("200 OK"));
}

TEST(HttpServer, CutsTheConnectionsOfAPeerInTheMiddleOfAPoll) {
  TestServer server({}, Serve);
  RawClient client(server.port());
  client.Send(Get("/poll"));
  EXPECT_TRUE(server.observer.Wait([](const RecordingObserver& seen) { return seen.entered == 1; }));
  server.server().ClosePeers([](const PeerIdentity& peer) { return peer.address == "192.0.2.1"; });
  EXPECT_FALSE(client.HasInput(50));
  server.server().ClosePeers([](const PeerIdentity& peer) { return peer.address == "127.0.0.1"; });
  EXPECT_TRUE(server.observer.Wait(AllClosed));
  EXPECT_TRUE(server.observer.exceptions.empty());
}

TEST(HttpServerCreate, RefusesWhatCannotWork) {
  auto threads = IoThreads::Create(1).value();
  RecordingObserver observer;
  const auto create = [&](const std::function<void(ListenerOptions&)>& change) {
    ListenerOptions options;
    options.name = "api";
    options.address = "127.0.0.1";
    change(options);
    return HttpServer::Create(*threads, options, observer);
  };
  EXPECT_THAT(create([](ListenerOptions& o) { o.address = "localhost"; }),
              IsErrorSaying(ErrorCode::kInvalidArgument, "IP address"));
  EXPECT_THAT(create([](ListenerOptions& o) { o.max_connections = 0; }), IsError(ErrorCode::kInvalidArgument));
  EXPECT_THAT(create([](ListenerOptions& o) { o.idle_timeout = Millis(0); }), IsError(ErrorCode::kInvalidArgument));
  EXPECT_THAT(create([](ListenerOptions& o) { o.max_header_bytes = 10; }), IsError(ErrorCode::kInvalidArgument));
  const auto first = create([](ListenerOptions&) {});
  ASSERT_TRUE(first);
  const std::uint16_t taken = (*first)->port();
  EXPECT_THAT(create([&](ListenerOptions& o) { o.port = taken; }),
              IsErrorSaying(ErrorCode::kUnavailable, "Address already in use"));
}

}  // namespace
}  // namespace tacit::net
