#include "common/web/web_client.h"

#include <array>
#include <chrono>
#include <memory>
#include <stop_token>
#include <thread>

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "tests/support/matchers.h"
#include "tests/unit/net/pki.h"
#include "tests/unit/net/test_server.h"

namespace tacit::web {
namespace {

namespace asio = net::asio;
using net::testing::Pki;
using net::testing::TestServer;
using ::tacit::testing::IsError;
using ::tacit::testing::IsErrorSaying;
using ::tacit::testing::IsOk;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Optional;

constexpr std::size_t kBound = std::size_t{64} * 1024;
constexpr std::string_view kSecret = "Bearer never-to-be-shown";

net::HttpResponse Redirection() {
  net::HttpResponse response;
  response.status = 302;
  response.headers = {{"Location", "/echo"}};
  return response;
}

// More than anybody takes, without saying so before.
net::Task<void> PourOut(net::ResponseStream& stream) {
  const std::string part(kBound, 'x');
  for (int i = 0; i < 1000; ++i) {
    if (!co_await stream.Write(part)) co_return;
  }
}

net::Task<net::HttpResponse> Answer(net::HttpRequest& request) {
  net::HttpResponse response;
  if (request.path() == "/redirect") co_return Redirection();
  if (request.path() == "/busy") {
    response.status = 503;
    response.headers = {{"Retry-After", "7"}};
  } else if (request.path() == "/large") {
    response.body = std::string(kBound + 1, 'x');
  } else if (request.path() == "/endless") {
    response.stream = PourOut;
  } else if (request.path() == "/slow") {
    asio::steady_timer timer(co_await asio::this_coro::executor, std::chrono::seconds(30));
    co_await timer.async_wait(asio::use_awaitable);
  } else {
    auto body = co_await request.ReadBody(kBound);
    if (!body) co_return net::Problem(body.error(), request.path());
    response.headers = {{"X-Method", std::string(request.method())},
                        {"X-Secret", std::string(request.Header("authorization").value_or("none"))}};
    response.body = AsText(*body);
  }
  co_return response;
}

class Web : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { pki_ = std::make_unique<Pki>(); }
  static void TearDownTestSuite() { pki_.reset(); }

  static net::ListenerOptions Tls(const net::testing::Identity& server) {
    net::ListenerOptions options;
    options.tls = net::TlsServerContext::Create(
                      {server.certificate_path, server.key_path, pki_->ca_path(), net::ClientAuth::kNone})
                      .value();
    return options;
  }

  static WebClient Client(Millis whole = Millis(10'000), PlainHttp plain = PlainHttp::kRefused) {
    return WebClient::Create({.ca_file = pki_->ca_path(),
                              .user_agent = "test",
                              .limits = {.connect = Millis(5'000), .whole = whole, .max_body_bytes = kBound},
                              .plain_http = plain})
        .value();
  }

  static WebRequest To(std::string url) {
    return {.method = WebMethod::kGet,
            .url = std::move(url),
            .headers = {{"Authorization", std::string(kSecret)}},
            .body = {}};
  }
  [[nodiscard]] std::string Url(std::string_view path) const {
    return "https://127.0.0.1:" + server_.port() + std::string(path);
  }

  static std::unique_ptr<Pki> pki_;
  TestServer server_{Tls(pki_->Server()), Answer};
};
std::unique_ptr<Pki> Web::pki_;

TEST_F(Web, BringsABodyThereAndTheAnswerBack) {
  for (const auto& [method, name] : {std::pair(WebMethod::kPost, "POST"), std::pair(WebMethod::kPut, "PUT")}) {
    WebRequest request = To(Url("/echo"));
    request.method = method;
    request.body = {AsBytes("sp"), {}, AsBytes("ans")};
    const auto answer = Client().Ask(request, {});
    ASSERT_THAT(answer, IsOk());
    EXPECT_EQ(answer->status, 200);
    EXPECT_EQ(answer->body, "spans");
    EXPECT_THAT(answer->Header("x-method"), Optional(std::string_view(name)));
    EXPECT_THAT(answer->Header("x-secret"), Optional(kSecret));
  }
}

TEST_F(Web, SendsABodyOfNothing) {
  WebRequest request = To(Url("/echo"));
  request.method = WebMethod::kPost;
  const auto answer = Client().Ask(request, {});
  ASSERT_THAT(answer, IsOk());
  EXPECT_EQ(answer->body, "");
}

TEST_F(Web, TellsForHowLongAServerWantsToBeLeftAlone) {
  const auto answer = Client().Ask(To(Url("/busy")), {});
  ASSERT_THAT(answer, IsOk());
  EXPECT_EQ(answer->status, 503);
  EXPECT_THAT(answer->retry_after, Optional(std::chrono::seconds(7)));
  EXPECT_EQ(Client().Ask(To(Url("/echo")), {}).value().retry_after, std::nullopt);
}

TEST_F(Web, TrustsNoOtherCaThanTheOneItIsGiven) {
  const Pki other("Other CA");
  TestServer impostor(Tls(other.Server()), Answer);
  const auto answer = Client().Ask(To("https://127.0.0.1:" + impostor.port() + "/echo"), {});
  EXPECT_THAT(answer, IsErrorSaying(ErrorCode::kUnauthenticated, "CA file"));
  const auto of_the_system = WebClient::Create({}).value();
  EXPECT_THAT(of_the_system.Ask(To(Url("/echo")), {}), IsError(ErrorCode::kUnauthenticated));
}

TEST_F(Web, WantsTheCertificateOfTheHostThatItAsks) {
  TestServer elsewhere(Tls(pki_->Server("elsewhere.example", "192.0.2.1")), Answer);
  const auto answer = Client().Ask(To("https://127.0.0.1:" + elsewhere.port() + "/echo"), {});
  EXPECT_THAT(answer, IsErrorSaying(ErrorCode::kUnauthenticated, "127.0.0.1"));
}

TEST_F(Web, RefusesABodyOverItsBoundAnnouncedOrNot) {
  EXPECT_THAT(Client().Ask(To(Url("/large")), {}), IsErrorSaying(ErrorCode::kTooLarge, "65536"));
  EXPECT_THAT(Client().Ask(To(Url("/endless")), {}), IsErrorSaying(ErrorCode::kTooLarge, "65536"));
}

TEST_F(Web, FollowsNoRedirectionAndShowsNoSecret) {
  const auto answer = Client().Ask(To(Url("/redirect?key=hidden")), {});
  ASSERT_THAT(answer, IsErrorSaying(ErrorCode::kInvalidArgument, "redirection"));
  EXPECT_THAT(answer.error().message, HasSubstr("https://127.0.0.1:" + server_.port()));
  EXPECT_THAT(answer.error().message, Not(HasSubstr("never-to-be-shown")));
  EXPECT_THAT(answer.error().message, Not(HasSubstr("hidden")));
  EXPECT_TRUE(server_.observer.Wait([](const auto& seen) { return seen.requests.size() == 1; }));
}

TEST_F(Web, GivesUpAtItsDeadline) {
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_THAT(Client(Millis(200)).Ask(To(Url("/slow")), {}), IsError(ErrorCode::kDeadlineExceeded));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
}

TEST_F(Web, StopsAtOnceWhenItIsTold) {
  std::stop_source source;
  std::jthread stopper([&] {
    EXPECT_TRUE(server_.observer.Wait([](const auto& seen) { return seen.entered == 1; }));
    source.request_stop();
  });
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_THAT(Client().Ask(To(Url("/slow")), source.get_token()), IsErrorSaying(ErrorCode::kUnavailable, "stopped"));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
}

TEST_F(Web, SendsNothingOnceItIsStopped) {
  std::stop_source source;
  source.request_stop();
  EXPECT_THAT(Client().Ask(To(Url("/echo")), source.get_token()), IsError(ErrorCode::kUnavailable));
  EXPECT_THAT(Client().Ask(To(Url("/echo")), {}), IsOk());
  EXPECT_TRUE(server_.observer.Wait([](const auto& seen) { return seen.entered == 1; }));
}

TEST_F(Web, SendsNoHeaderThatWouldBeTwo) {
  for (const WebHeader& bad : {WebHeader{"X", "never-to-be-shown\r\nHost: evil"}, WebHeader{"X Y", "v"},
                               WebHeader{"", "v"}, WebHeader{"X", ""}}) {
    WebRequest request = To(Url("/echo"));
    request.headers = {bad};
    const auto answer = Client().Ask(request, {});
    ASSERT_THAT(answer, IsErrorSaying(ErrorCode::kInvalidArgument, "header"));
    EXPECT_THAT(answer.error().message, Not(HasSubstr("never-to-be-shown")));
  }
}

TEST_F(Web, TakesNoProxyFromTheEnvironment) {
  ::setenv("https_proxy", "http://127.0.0.1:1", 1);
  ::setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
  const auto answer = Client().Ask(To(Url("/echo")), {});
  ::unsetenv("https_proxy");
  ::unsetenv("ALL_PROXY");
  EXPECT_THAT(answer, IsOk());
}

TEST_F(Web, SaysThatNobodyListensAndThatNobodySpeaksHttp) {
  std::string port;
  {
    TestServer gone(Tls(pki_->Server()), Answer);
    port = gone.port();
  }
  EXPECT_THAT(Client().Ask(To("https://127.0.0.1:" + port), {}), IsErrorSaying(ErrorCode::kUnavailable, "firewalls"));
  // TLS to a port that speaks none, and plain HTTP to one that speaks TLS.
  TestServer plain({}, Answer);
  EXPECT_THAT(Client().Ask(To("https://127.0.0.1:" + plain.port()), {}), IsErrorSaying(ErrorCode::kUnavailable, "TLS"));
  const auto loopback = Client(Millis(10'000), PlainHttp::kToThisMachine);
  EXPECT_THAT(loopback.Ask(To("http://127.0.0.1:" + plain.port()), {}), IsOk());
  EXPECT_FALSE(loopback.Ask(To("http://127.0.0.1:" + server_.port()), {}));
}

TEST_F(Web, SaysWhatIsWrongWithItsCaFile) {
  const net::testing::TempDirectory directory;
  const auto with = [](const std::string& path) {
    return WebClient::Create({.ca_file = path, .user_agent = "test", .limits = {}, .plain_http = PlainHttp::kRefused});
  };
  EXPECT_THAT(with(directory.Path("none.pem")), IsError(ErrorCode::kNotFound));
  EXPECT_THAT(with(directory.Write("key.pem", "-----BEGIN PRIVATE KEY-----")),
              IsErrorSaying(ErrorCode::kInvalidArgument, "no certificate"));
}

}  // namespace
}  // namespace tacit::web
