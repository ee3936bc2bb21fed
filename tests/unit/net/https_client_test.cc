#include "common/net/https_client.h"

#include <array>
#include <atomic>
#include <future>
#include <thread>

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "tests/support/matchers.h"
#include "tests/unit/net/pki.h"
#include "tests/unit/net/raw_client.h"
#include "tests/unit/net/test_server.h"

namespace tacit::net {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using ::tacit::testing::IsError;
using ::tacit::testing::IsErrorSaying;
using ::tacit::testing::IsOk;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::Identity;
using testing::In;
using ::testing::Optional;
using testing::Pki;
using testing::RecordingObserver;
using ::testing::SizeIs;
using testing::TestServer;

Task<HttpResponse> Echo(HttpRequest& request) {
  HttpResponse response;
  if (request.path() == "/echo") {
    auto body = co_await request.ReadBody(64 * 1024 * 1024);
    if (!body) co_return Problem(body.error(), request.path());
    response.shared_body = SharedBytes::Of(*std::move(body));
    response.length = response.shared_body.bytes.size();
    co_return response;
  }
  if (request.path() == "/refuse") co_return Problem({ErrorCode::kTooLarge, "no room"}, request.path());
  if (request.path() == "/slow") {
    asio::steady_timer timer(co_await asio::this_coro::executor, std::chrono::seconds(30));
    co_await timer.async_wait(asio::use_awaitable);
  }
  if (request.path() == "/close") response.close = true;
  if (request.path() == "/nothing") {
    response.status = 204;
    co_return response;
  }
  response.headers = {{"X-Odd", "yes"}};
  response.body = request.peer().spiffe_uri;
  co_return response;
}

class Client : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { pki_ = std::make_unique<Pki>(); }
  static void TearDownTestSuite() { pki_.reset(); }

  static ListenerOptions Listener(const Identity& server, ClientAuth auth = ClientAuth::kRequired) {
    ListenerOptions options;
    options.tls = TlsServerContext::Create({server.certificate_path, server.key_path, pki_->ca_path(), auth}).value();
    return options;
  }
  static ListenerOptions Listener() { return Listener(pki_->Server()); }

  static ClientOptions Options(const std::string& port, const std::string& host = "127.0.0.1") {
    const Identity device = pki_->Client("dev-1");
    ClientOptions options;
    options.server = {host, static_cast<std::uint16_t>(std::stoi(port))};
    options.ca_pem = pki_->ca_pem();
    options.client_certificate_pem = device.certificate_pem;
    options.client_key_pem = device.key_pem;
    options.io_timeout = Millis(10'000);
    return options;
  }
  static ClientRequest Get(std::string target) {
    ClientRequest request;
    request.target = std::move(target);
    return request;
  }

  static std::unique_ptr<Pki> pki_;
};

std::unique_ptr<Pki> Client::pki_;

TEST_F(Client, SendsRequestsOverOneConnection) {
  TestServer server(Listener(), Echo);
  auto client = HttpsClient::Create(Options(server.port(), "localhost"));
  ASSERT_THAT(client, IsOk());
  for (int i = 0; i < 3; ++i) {
    const auto response = client->Send(Get("/?a=b"));
    ASSERT_THAT(response, IsOk());
    EXPECT_EQ(response->status, 200);
    EXPECT_THAT(response->Header("x-odd"), Optional(std::string_view("yes")));
    EXPECT_EQ(AsText(response->body), "spiffe://test.example/device/dev-1");
  }
  EXPECT_EQ(server.server().connections(), 1U);
}

TEST_F(Client, HasAsManyBehindOneAddressAsTheServerTakes) {
  ListenerOptions options = Listener();
  options.max_connections = 70;  // of which 64 may be in handshakes
  TestServer server(options, Echo);
  std::vector<HttpsClient> clients;
  for (int i = 0; i < 70; ++i) {
    clients.push_back(HttpsClient::Create(Options(server.port(), "localhost")).value());
    ASSERT_THAT(clients.back().Send(Get("/")), IsOk()) << i;
  }
  EXPECT_EQ(server.server().connections(), 70U);
}

TEST_F(Client, SendsABodyInPartsAndReadsItBack) {
  TestServer server(Listener(), Echo);
  auto client = HttpsClient::Create(Options(server.port())).value();
  Bytes big(5'000'001);
  for (std::size_t i = 0; i < big.size(); ++i) big[i] = static_cast<std::uint8_t>(i * 7);
  ClientRequest request = Get("/echo");
  request.method = "PUT";
  request.body = {AsBytes("head"), {}, big, AsBytes("tail")};
  request.max_response_bytes = 6'000'000;
  const auto response = client.Send(request);
  ASSERT_THAT(response, IsOk());
  Bytes expected = {'h', 'e', 'a', 'd'};
  expected.insert(expected.end(), big.begin(), big.end());
  expected.insert(expected.end(), {'t', 'a', 'i', 'l'});
  EXPECT_TRUE(response->body == expected);
}

TEST_F(Client, UnderstandsAnswersWithoutABody) {
  TestServer server(Listener(), Echo);
  auto client = HttpsClient::Create(Options(server.port())).value();
  ClientRequest head = Get("/");
  head.method = "HEAD";
  EXPECT_THAT(client.Send(head)->body, SizeIs(0));
  EXPECT_EQ(client.Send(Get("/nothing"))->status, 204);
  ClientRequest empty_post = Get("/echo");
  empty_post.method = "POST";
  EXPECT_EQ(client.Send(empty_post)->status, 200);
  EXPECT_EQ(server.server().connections(), 1U);
}

TEST_F(Client, ReadsARefusalThatComesBeforeItsBodyIsSent) {
  TestServer server(Listener(), Echo);
  auto client = HttpsClient::Create(Options(server.port())).value();
  const Bytes big(50'000'000);
  ClientRequest request = Get("/refuse");
  request.method = "POST";
  request.body = {big};
  const auto response = client.Send(request);
  ASSERT_THAT(response, IsOk());
  EXPECT_EQ(response->status, 413);
  EXPECT_THAT(client.Send(Get("/")), IsOk());
}

TEST_F(Client, ConnectsAgainAfterAClose) {
  TestServer server(Listener(), Echo);
  auto client = HttpsClient::Create(Options(server.port())).value();
  EXPECT_THAT(client.Send(Get("/close")), IsOk());
  EXPECT_THAT(client.Send(Get("/")), IsOk());
}

ListenerOptions Resuming(const Identity& server, const Pki& pki) {
  ListenerOptions options;
  options.tls = TlsServerContext::Create({.certificate_chain_path = server.certificate_path,
                                          .private_key_path = server.key_path,
                                          .client_ca_path = pki.ca_path(),
                                          .sessions = {.lifetime = hours(1), .max_bytes = 1U << 20U}})
                    .value();
  return options;
}

TEST_F(Client, ResumesItsSessionWhenItHasToConnectAgain) {
  TestServer server(Resuming(pki_->Server(), *pki_), Echo);
  auto client = HttpsClient::Create(Options(server.port(), "localhost")).value();
  for (int i = 0; i < 3; ++i) {
    const auto response = client.Send(Get("/close"));
    ASSERT_THAT(response, IsOk());
    EXPECT_EQ(AsText(response->body), "spiffe://test.example/device/dev-1");
  }
  EXPECT_TRUE(server.observer.Wait([](const RecordingObserver& seen) { return seen.closed == 3; }));
  EXPECT_THAT(server.observer.handshakes, ElementsAre("full", "resumed", "resumed"));
}

TEST_F(Client, ProvesItselfAnewToAServerThatForgotItsSession) {
  const ListenerOptions options = Resuming(pki_->Server(), *pki_);
  TestServer server(options, Echo);
  auto client = HttpsClient::Create(Options(server.port())).value();
  EXPECT_THAT(client.Send(Get("/close")), IsOk());
  options.tls->ForgetSessions([](const PeerIdentity&) { return true; });
  EXPECT_THAT(client.Send(Get("/close")), IsOk());
  EXPECT_THAT(client.Send(Get("/close")), IsOk());
  EXPECT_TRUE(server.observer.Wait([](const RecordingObserver& seen) { return seen.closed == 3; }));
  EXPECT_THAT(server.observer.handshakes, ElementsAre("full", "full", "resumed"));
}

// Another client has another key, or believes another CA: what is kept belongs to one of them alone.
TEST_F(Client, SharesItsSessionWithNoOther) {
  TestServer server(Resuming(pki_->Server(), *pki_), Echo);
  const ClientOptions options = Options(server.port());
  EXPECT_THAT(HttpsClient::Create(options).value().Send(Get("/close")), IsOk());
  EXPECT_THAT(HttpsClient::Create(options).value().Send(Get("/close")), IsOk());
  EXPECT_TRUE(server.observer.Wait([](const RecordingObserver& seen) { return seen.closed == 2; }));
  EXPECT_THAT(server.observer.handshakes, ElementsAre("full", "full"));
}

TEST_F(Client, BelievesAServerOfASessionNoLongerThanItsCertificate) {
  const Identity brief = pki_->Server("localhost", "127.0.0.1", hours(0), std::chrono::seconds(5));
  TestServer server(Resuming(brief, *pki_), Echo);
  auto client = HttpsClient::Create(Options(server.port())).value();
  EXPECT_THAT(client.Send(Get("/close")), IsOk());
  EXPECT_THAT(client.Send(Get("/close")), IsOk());
  std::this_thread::sleep_until(crypto::Certificate::FromPem(brief.certificate_pem)->NotAfter() + Millis(100));
  EXPECT_THAT(client.Send(Get("/close")), IsErrorSaying(ErrorCode::kUnauthenticated, "certificate that ended at"));
  EXPECT_TRUE(server.observer.Wait([](const RecordingObserver& seen) { return seen.closed == 3; }));
  EXPECT_THAT(server.observer.handshakes, ElementsAre("full", "resumed"));
}

// A way to a server that breaks as a network does: both ends see a reset.
class BrittleWay {
 public:
  explicit BrittleWay(const std::string& port) : server_(port), listener_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* const any = reinterpret_cast<sockaddr*>(&address);
    TACIT_CHECK(::bind(listener_, any, size) == 0 && ::listen(listener_, 1) == 0, "a free port can be listened on");
    ::getsockname(listener_, any, &size);
    port_ = std::to_string(ntohs(address.sin_port));
    thread_ = std::thread([this] { Carry(); });
  }
  ~BrittleWay() {
    ends_ = true;
    thread_.join();
    ::close(listener_);
  }
  BrittleWay(const BrittleWay&) = delete;
  BrittleWay& operator=(const BrittleWay&) = delete;

  [[nodiscard]] const std::string& port() const { return port_; }
  void Break() {
    breaks_ = true;
    while (breaks_ && !ends_) std::this_thread::sleep_for(milliseconds(1));
  }

 private:
  // One connection at a time, until it breaks.
  void Carry() {
    while (!ends_) {
      pollfd waiting{listener_, POLLIN, 0};
      if (::poll(&waiting, 1, 10) != 1) continue;
      const int near = ::accept(listener_, nullptr, nullptr);
      testing::RawClient far(server_);
      while (!ends_ && !breaks_) {
        std::array<pollfd, 2> both = {pollfd{near, POLLIN, 0}, pollfd{far.fd(), POLLIN, 0}};
        ::poll(both.data(), both.size(), 10);
        if ((both[0].revents != 0 && !Move(near, far.fd())) || (both[1].revents != 0 && !Move(far.fd(), near))) break;
      }
      far.Reset();
      const linger now{1, 0};
      ::setsockopt(near, SOL_SOCKET, SO_LINGER, &now, sizeof now);
      ::close(near);
      breaks_ = false;
    }
  }
  static bool Move(int from, int to) {
    std::array<char, 4096> part;
    const ssize_t got = ::recv(from, part.data(), part.size(), 0);
    return got > 0 && ::send(to, part.data(), static_cast<std::size_t>(got), MSG_NOSIGNAL) == got;
  }

  std::string server_;
  int listener_;
  std::string port_;
  std::atomic<bool> ends_ = false;
  std::atomic<bool> breaks_ = false;
  std::thread thread_;
};

TEST_F(Client, ResumesItsSessionAfterTheNetworkBroke) {
  TestServer server(Resuming(pki_->Server(), *pki_), Echo);
  BrittleWay way(server.port());
  auto client = HttpsClient::Create(Options(way.port())).value();
  EXPECT_THAT(client.Send(Get("/")), IsOk());
  way.Break();
  EXPECT_THAT(client.Send(Get("/")), IsOk());
  // While an answer is waited for, as in a long poll.
  ClientRequest check_in = Get("/slow");
  check_in.method = "POST";
  auto poll = std::async(std::launch::async, [&] { return client.Send(check_in); });
  EXPECT_TRUE(server.observer.Wait([](const RecordingObserver& seen) { return seen.entered == 3; }));
  way.Break();
  EXPECT_THAT(poll.get(), IsError(ErrorCode::kUnavailable));
  EXPECT_THAT(client.Send(Get("/")), IsOk());
  EXPECT_TRUE(server.observer.Wait([](const RecordingObserver& seen) { return seen.handshakes.size() == 3; }));
  EXPECT_THAT(server.observer.handshakes, ElementsAre("full", "resumed", "resumed"));
}

TEST_F(Client, ConnectsAgainWhenTheServerClosedTheIdleConnection) {
  ListenerOptions options = Listener();
  options.idle_timeout = Millis(1'000);  // counts from the end of the handshake, too
  TestServer server(options, Echo);
  auto client = HttpsClient::Create(Options(server.port())).value();
  for (int sent = 1; sent <= 3; ++sent) {
    ClientRequest post = Get("/echo");
    post.method = "POST";
    EXPECT_THAT(client.Send(post), IsOk());
    if (sent == 3) break;
    EXPECT_TRUE(server.observer.Wait([sent](const RecordingObserver& seen) { return seen.closed == sent; }));
  }
}

TEST_F(Client, BoundsTheAnswer) {
  TestServer server(Listener(), Echo);
  auto client = HttpsClient::Create(Options(server.port())).value();
  const Bytes thousand(1000);
  ClientRequest request = Get("/echo");
  request.method = "PUT";
  request.body = {thousand};
  request.max_response_bytes = 999;
  EXPECT_THAT(client.Send(request), IsErrorSaying(ErrorCode::kTooLarge, "1000 bytes"));
  request.max_response_bytes = 1000;
  EXPECT_THAT(client.Send(request), IsOk());
}

TEST_F(Client, GivesUpAtItsTimeLimit) {
  TestServer server(Listener(), Echo);
  auto client = HttpsClient::Create(Options(server.port())).value();
  EXPECT_THAT(client.Send(Get("/")), IsOk());  // so that the limit below is not for a handshake
  ClientRequest request = Get("/slow");
  request.timeout = Millis(200);
  EXPECT_THAT(client.Send(request), IsErrorSaying(ErrorCode::kDeadlineExceeded, "did not answer in time"));
  EXPECT_THAT(client.Send(Get("/")), IsOk());
}

TEST_F(Client, GivesUpWhenNoByteMoves) {
  TestServer server(Listener(), Echo);
  ClientOptions options = Options(server.port());
  options.io_timeout = Millis(1'000);  // for the handshake, too
  auto client = HttpsClient::Create(options).value();
  EXPECT_THAT(client.Send(Get("/")), IsOk());
  EXPECT_THAT(client.Send(Get("/slow")), IsErrorSaying(ErrorCode::kDeadlineExceeded, "moved no byte for 1000 ms"));
}

TEST_F(Client, CancelEndsASendFromAnotherThreadAndEveryLaterOne) {
  TestServer server(Listener(), Echo);
  auto client = HttpsClient::Create(Options(server.port())).value();
  std::jthread canceller([&] {
    std::this_thread::sleep_for(milliseconds(100));
    client.Cancel();
  });
  const auto began = std::chrono::steady_clock::now();
  EXPECT_THAT(client.Send(Get("/slow")), IsErrorSaying(ErrorCode::kUnavailable, "cancelled"));
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(5));
  EXPECT_THAT(client.Send(Get("/")), IsErrorSaying(ErrorCode::kUnavailable, "cancelled"));
}

TEST_F(Client, RefusesAServerOfAnotherName) {
  TestServer server(Listener(pki_->Server("tacit.example", "192.0.2.7")), Echo);
  auto by_address = HttpsClient::Create(Options(server.port())).value();
  EXPECT_THAT(
      by_address.Send(Get("/")),
      IsErrorSaying(ErrorCode::kUnauthenticated, "a certificate for 'tacit.example, 192.0.2.7', not for '127.0.0.1'"));
  auto by_name = HttpsClient::Create(Options(server.port(), "localhost")).value();
  EXPECT_THAT(by_name.Send(Get("/")), IsErrorSaying(ErrorCode::kUnauthenticated, "not for 'localhost'"));
  EXPECT_TRUE(server.observer.Wait([](const RecordingObserver& seen) { return seen.failures.size() == 2; }));
  EXPECT_THAT(server.observer.failures, ElementsAre("client_refused", "client_refused"));
}

TEST_F(Client, RefusesAServerOfAnotherCa) {
  const Pki other("Other CA");
  TestServer server(Listener(other.Server()), Echo);
  auto client = HttpsClient::Create(Options(server.port())).value();
  EXPECT_THAT(client.Send(Get("/")),
              IsErrorSaying(ErrorCode::kUnauthenticated,
                            "presented a certificate from another CA than the one trusted here (its "
                            "issuer calls itself 'Other CA')"));
}

TEST_F(Client, RefusesAnExpiredServer) {
  TestServer server(Listener(pki_->Server("localhost", "127.0.0.1", hours(-48))), Echo);
  auto client = HttpsClient::Create(Options(server.port())).value();
  EXPECT_THAT(client.Send(Get("/")), IsErrorSaying(ErrorCode::kUnauthenticated, "a certificate that ended at 20"));
}

TEST_F(Client, RefusesAServerOfTheFuture) {
  TestServer server(Listener(pki_->Server("localhost", "127.0.0.1", hours(48))), Echo);
  auto client = HttpsClient::Create(Options(server.port())).value();
  EXPECT_THAT(client.Send(Get("/")), IsErrorSaying(ErrorCode::kUnauthenticated, "is this machine's clock right?"));
}

TEST_F(Client, RefusesADevicesCertificateAsAServers) {
  TestServer server(Listener(pki_->Client("dev-2")), Echo);
  auto client = HttpsClient::Create(Options(server.port())).value();
  EXPECT_THAT(client.Send(Get("/")), IsErrorSaying(ErrorCode::kUnauthenticated, "was refused: "));
}

TEST_F(Client, SaysWhyItsOwnCertificateIsRefused) {
  TestServer server(Listener(), Echo);
  const auto send_as = [&](const Identity& identity) {
    ClientOptions options = Options(server.port());
    options.client_certificate_pem = identity.certificate_pem;
    options.client_key_pem = identity.key_pem;
    return HttpsClient::Create(options).value().Send(Get("/"));
  };
  EXPECT_THAT(send_as(Identity{}), IsErrorSaying(ErrorCode::kUnauthenticated, "requires a client certificate"));
  EXPECT_THAT(send_as(pki_->Client("late", hours(-48), hours(24))),
              IsErrorSaying(ErrorCode::kUnauthenticated, "it has ended"));
  EXPECT_THAT(send_as(pki_->Client("early", hours(48))), IsErrorSaying(ErrorCode::kUnauthenticated, "bad certificate"));
  const Pki other("Other CA");
  EXPECT_THAT(send_as(other.Client("dev-1")), IsErrorSaying(ErrorCode::kUnauthenticated, "from another CA"));
}

TEST_F(Client, SaysThatNobodyListens) {
  std::string port;
  {
    TestServer server(Listener(), Echo);
    port = server.port();
  }
  auto client = HttpsClient::Create(Options(port)).value();
  EXPECT_THAT(client.Send(Get("/")),
              IsErrorSaying(ErrorCode::kUnavailable, "cannot connect to 127.0.0.1:" + port + ": Connection refused"));
}

TEST_F(Client, SaysThatANameIsUnknown) {
  auto client = HttpsClient::Create(Options("8443", "no-such-host.invalid")).value();
  EXPECT_THAT(client.Send(Get("/")),
              IsErrorSaying(ErrorCode::kUnavailable, "cannot resolve the server's name 'no-such-host.invalid'"));
}

TEST_F(Client, SaysThatTheServerDoesNotSpeakTls) {
  TestServer server({}, Echo);
  auto client = HttpsClient::Create(Options(server.port())).value();
  EXPECT_THAT(client.Send(Get("/")), IsErrorSaying(ErrorCode::kUnavailable, "does not answer with TLS"));
}

TEST_F(Client, SaysThatTheServerSpeaksOnlyOldTls) {
  const Identity identity = pki_->Server();
  // Lets the system choose a free port, which another process could take before the next line: then the test says so.
  std::string port;
  {
    TestServer free_port({}, Echo);
    port = free_port.port();
  }
  auto old_server = std::async(std::launch::async, [&] {
    return testing::RunShell("openssl s_server -tls1_2 -quiet -naccept 1 -accept " + port + " -cert " +
                             identity.certificate_path + " -key " + identity.key_path);
  });
  auto client = HttpsClient::Create(Options(port)).value();
  Result<ClientResponse> answer = client.Send(Get("/"));
  for (int i = 0; i < 100 && !answer && answer.error().message.find("refused") != std::string::npos; ++i) {
    std::this_thread::sleep_for(milliseconds(50));
    answer = client.Send(Get("/"));
  }
  EXPECT_THAT(answer, IsErrorSaying(ErrorCode::kUnavailable, "does not speak TLS 1.3"));
}

TEST_F(Client, RefusesARequestThatCouldBeTwo) {
  auto client = HttpsClient::Create(Options("8443")).value();
  ClientRequest request = Get("/");
  request.headers = {{"X-Name", "a\r\nX-Other: b\r\n\r\nGET /second HTTP/1.1"}};
  EXPECT_THAT(client.Send(request), IsError(ErrorCode::kInvalidArgument));
  EXPECT_THAT(client.Send(Get("/a b")), IsError(ErrorCode::kInvalidArgument));
  EXPECT_THAT(client.Send(Get("no-slash")), IsError(ErrorCode::kInvalidArgument));
}

TEST_F(Client, IsNotMadeFromOptionsThatDoNotFit) {
  const auto create = [](const std::function<void(ClientOptions&)>& change) {
    ClientOptions options = Options("8443");
    change(options);
    return HttpsClient::Create(options);
  };
  const Pki other("Other CA");
  EXPECT_THAT(create([](ClientOptions& o) { o.server.host.clear(); }), IsError(ErrorCode::kInvalidArgument));
  EXPECT_THAT(create([](ClientOptions& o) { o.ca_pem = "nonsense"; }),
              IsErrorSaying(ErrorCode::kInvalidArgument, "the CA: holds no PEM"));
  EXPECT_THAT(create([](ClientOptions& o) { o.client_key_pem = "nonsense"; }),
              IsErrorSaying(ErrorCode::kInvalidArgument, "the client certificate: the private key"));
  EXPECT_THAT(create([&](ClientOptions& o) { o.client_key_pem = other.Client("x").key_pem; }),
              IsErrorSaying(ErrorCode::kInvalidArgument, "does not belong"));
  EXPECT_THAT(create([&](ClientOptions& o) { o.ca_fingerprint = other.ca().certificate().Fingerprint(); }),
              IsErrorSaying(ErrorCode::kUnauthenticated, "no certificate has the fingerprint sha256:"));
  EXPECT_THAT(create([](ClientOptions& o) { o.ca_fingerprint = pki_->ca().certificate().Fingerprint(); }), IsOk());
}

TEST_F(Client, FetchesTheUnverifiedChainAndFindsTheRootByFingerprint) {
  TestServer server(Listener(pki_->Server(), ClientAuth::kNone), Echo);
  const Endpoint endpoint{"127.0.0.1", server.server().port()};
  const auto chain = FetchUnverifiedChain(endpoint, Millis(5'000));
  ASSERT_THAT(chain, IsOk());
  ASSERT_THAT(*chain, SizeIs(2));
  const auto found = FindByFingerprint(chain->at(0) + chain->at(1), pki_->ca().certificate().Fingerprint());
  ASSERT_THAT(found, IsOk());
  EXPECT_EQ(*found, pki_->ca_pem());
  EXPECT_THAT(FindByFingerprint(chain->at(0), pki_->ca().certificate().Fingerprint()),
              IsError(ErrorCode::kUnauthenticated));
  EXPECT_THAT(FindByFingerprint("", pki_->ca().certificate().Fingerprint()),
              IsErrorSaying(ErrorCode::kUnauthenticated, "none at all"));
}

TEST_F(Client, FetchesFromAServerThatIsNotVerified) {
  const Pki other("Other CA");
  TestServer server(Listener(other.Server(), ClientAuth::kNone), Echo);
  const auto answer = FetchUnverified({"127.0.0.1", server.server().port()}, "/echo", 1000, Millis(5'000));
  ASSERT_THAT(answer, IsOk());
  EXPECT_EQ(answer->status, 200);
}

// A server that answers exactly what it is told, behind the `openssl` program's TLS.
TEST_F(Client, SurvivesAServerThatEndsWithinTheBody) {
  ListenerOptions options = Listener();
  TestServer server(options, [](HttpRequest& request) -> Task<HttpResponse> {
    HttpResponse response;
    response.shared_body = SharedBytes::Of(Bytes(64 * 1024 * 1024));
    response.length = response.shared_body.bytes.size();
    (void)request;
    co_return response;
  });
  auto client = HttpsClient::Create(Options(server.port())).value();
  ClientRequest request = Get("/");
  request.max_response_bytes = 64 * 1024 * 1024;
  std::jthread cutter([&] {
    std::this_thread::sleep_for(milliseconds(5));
    server.server().ClosePeers([](const PeerIdentity&) { return true; });
  });
  const auto response = client.Send(request);
  if (response) {
    EXPECT_THAT(response->body, SizeIs(64 * 1024 * 1024));
  } else {
    EXPECT_EQ(response.error().code, ErrorCode::kUnavailable) << response.error().message;
  }
}

}  // namespace
}  // namespace tacit::net
