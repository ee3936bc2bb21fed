// The handshake, seen from outside by the `openssl` and `curl` programs.
#include "common/net/tls.h"

#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "common/net/https_client.h"
#include "tests/support/matchers.h"
#include "tests/unit/net/pki.h"
#include "tests/unit/net/raw_client.h"
#include "tests/unit/net/test_server.h"

namespace tacit::net {
namespace {

using std::chrono::hours;
using ::tacit::testing::IsError;
using ::tacit::testing::IsErrorSaying;
using ::tacit::testing::IsOk;
using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::Identity;
using ::testing::Not;
using testing::Pki;
using testing::RawClient;
using testing::RecordingObserver;
using testing::RunShell;
using testing::TestServer;

// Says who is asking.
Task<HttpResponse> WhoAmI(HttpRequest& request) {
  HttpResponse response;
  response.content_type = "text/plain";
  response.body = request.peer().spiffe_uri + "|" + request.peer().certificate_sha256 + "|" +
                  FormatRfc3339(request.peer().not_after) + "|" + request.peer().address;
  co_return response;
}

class Handshake : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { pki_ = std::make_unique<Pki>(); }
  static void TearDownTestSuite() { pki_.reset(); }

  static TlsServerOptions ServerOptions(ClientAuth auth = ClientAuth::kRequired) {
    const Identity server = pki_->Server();
    return {server.certificate_path, server.key_path, pki_->ca_path(), auth};
  }
  static ListenerOptions Listener(ClientAuth auth = ClientAuth::kRequired) {
    ListenerOptions options;
    options.tls = TlsServerContext::Create(ServerOptions(auth)).value();
    return options;
  }
  static testing::ProgramEnd Curl(const TestServer& server, const std::string& more) {
    return RunShell("curl -sS --max-time 10 --cacert " + pki_->ca_path() + " " + more +
                    " https://localhost:" + server.port() + "/");
  }
  static std::string Using(const Identity& identity) {
    return "--cert " + identity.certificate_path + " --key " + identity.key_path;
  }
  static testing::ProgramEnd SClient(const TestServer& server, const std::string& more) {
    return RunShell(
        "printf \"GET / HTTP/1.1\\r\\nHost: a\\r\\nConnection: close\\r\\n\\r\\n\" | openssl s_client -quiet -connect "
        "127.0.0.1:" +
        server.port() + " -CAfile " + pki_->ca_path() + " " + more);
  }
  static void ExpectFailure(TestServer& server, const std::string& reason, std::size_t requests = 0) {
    EXPECT_TRUE(server.observer.Wait(
        [](const RecordingObserver& seen) { return !seen.failures.empty() && seen.closed == seen.opened; }));
    EXPECT_THAT(server.observer.failures, ElementsAre(reason)) << server.observer.details.front();
    EXPECT_EQ(server.observer.requests.size(), requests);
  }

  static std::unique_ptr<Pki> pki_;
};

std::unique_ptr<Pki> Handshake::pki_;

TEST_F(Handshake, TellsTheHandlerWhoTheClientIs) {
  TestServer server(Listener(), WhoAmI);
  const Identity device = pki_->Client("dev-1");
  const auto answer = Curl(server, Using(device));
  EXPECT_EQ(answer.exit_code, 0);
  const auto fingerprint = RunShell("openssl x509 -in " + device.certificate_path +
                                    " -outform DER | sha256sum | cut -d\" \" -f1 | tr -d \"\\n\"");
  const auto parsed = crypto::Certificate::FromPem(device.certificate_pem);
  EXPECT_EQ(answer.output, "spiffe://test.example/device/dev-1|" + fingerprint.output + "|" +
                               FormatRfc3339(parsed->NotAfter()) + "|127.0.0.1");
}

// For ThreadSanitizer: what the library works out of the CA when it first looks at it belongs to no connection.
TEST_F(Handshake, IsTheFirstOnTwoThreadsAtOnce) {
  const Identity device = pki_->Client("dev-1");
  for (int i = 0; i < 30; ++i) {
    TestServer server(Listener(), WhoAmI, 2);
    std::vector<std::jthread> clients;
    for (int c = 0; c < 2; ++c) {
      clients.emplace_back([&] {
        ClientOptions options;
        options.server = {"127.0.0.1", static_cast<std::uint16_t>(std::stoi(server.port()))};
        options.ca_pem = pki_->ca_pem();
        options.client_certificate_pem = device.certificate_pem;
        options.client_key_pem = device.key_pem;
        EXPECT_THAT(HttpsClient::Create(std::move(options))->Send({}), IsOk());
      });
    }
  }
}

TEST_F(Handshake, SpeaksTls13AndNothingOlder) {
  TestServer server(Listener(), WhoAmI);
  const Identity device = pki_->Client("dev-1");
  const std::string who = " -cert " + device.certificate_path + " -key " + device.key_path;
  const auto good = RunShell("openssl s_client -connect 127.0.0.1:" + server.port() + who + " -CAfile " +
                             pki_->ca_path() + " </dev/null");
  EXPECT_THAT(good.output, HasSubstr("TLSv1.3"));
  EXPECT_THAT(good.output, HasSubstr("TLS_AES_128_GCM_SHA256"));
  EXPECT_THAT(good.output, HasSubstr("Verification: OK"));
  EXPECT_THAT(SClient(server, "-tls1_2" + who).output, HasSubstr("alert protocol version"));
  ExpectFailure(server, "protocol_version");
}

TEST_F(Handshake, GivesNoSessionToResume) {
  TestServer server(Listener(), WhoAmI);
  const Identity device = pki_->Client("dev-1");
  const auto seen = RunShell(
      "printf \"GET / HTTP/1.1\\r\\nHost: a\\r\\nConnection: close\\r\\n\\r\\n\" | openssl s_client -ign_eof -msg "
      "-connect 127.0.0.1:" +
      server.port() + " -cert " + device.certificate_path + " -key " + device.key_path);
  EXPECT_THAT(seen.output, HasSubstr("200 OK"));
  EXPECT_THAT(seen.output, Not(HasSubstr("NewSessionTicket")));
}

// With a cache of sessions. What a session is worth is asked of `openssl s_client`, which keeps it in a file.
class Resumption : public Handshake {
 protected:
  static ListenerOptions Resuming(SessionLimits limits = {.lifetime = hours(1), .max_bytes = 1U << 20U}) {
    ListenerOptions options;
    TlsServerOptions tls = ServerOptions();
    tls.sessions = limits;
    options.tls = TlsServerContext::Create(tls).value();
    return options;
  }
  // "Reused" or "New", and what the handler answered.
  std::string Connect(const TestServer& server, const Identity& who, const std::string& more) {
    return RunShell(
               "(printf \"GET / HTTP/1.1\\r\\nHost: a\\r\\nConnection: close\\r\\n\\r\\n\"; sleep 0.2) | openssl "
               "s_client -ign_eof -connect 127.0.0.1:" +
               server.port() + " -CAfile " + pki_->ca_path() + " -cert " + who.certificate_path + " -key " +
               who.key_path + " " + more)
        .output;
  }
  std::string File(const std::string& name) { return files_.Path(name); }
  std::string Begin(const TestServer& server, const Identity& who, const std::string& name) {
    return Connect(server, who, "-sess_out " + File(name));
  }
  std::string Resume(const TestServer& server, const Identity& who, const std::string& name) {
    return Connect(server, who, "-sess_in " + File(name) + " -sess_out " + File(name));
  }

  testing::TempDirectory files_;
};

constexpr const char* kNew = "New, TLSv1.3";
constexpr const char* kReused = "Reused, TLSv1.3";

TEST_F(Resumption, TellsTheHandlerTheSameOfTheClientAsTheFirstTime) {
  TestServer server(Resuming(), WhoAmI);
  const Identity device = pki_->Client("dev-1");
  const auto parsed = crypto::Certificate::FromPem(device.certificate_pem);
  const std::string who = "spiffe://test.example/device/dev-1|" + ToHex(parsed->Fingerprint()) + "|" +
                          FormatRfc3339(parsed->NotAfter()) + "|127.0.0.1";
  const std::string first = Begin(server, device, "s");
  EXPECT_THAT(first, HasSubstr(kNew));
  EXPECT_THAT(first, HasSubstr(who));
  for (int i = 0; i < 2; ++i) {
    const std::string again = Resume(server, device, "s");
    EXPECT_THAT(again, HasSubstr(kReused));
    EXPECT_THAT(again, HasSubstr(who));
  }
  EXPECT_TRUE(server.observer.Wait([](const RecordingObserver& seen) { return seen.closed == 3; }));
  EXPECT_THAT(server.observer.handshakes, ElementsAre("full", "resumed", "resumed"));
}

TEST_F(Resumption, TakesNoDataBeforeTheHandshakeHasEnded) {
  TestServer server(Resuming(), WhoAmI);
  const Identity device = pki_->Client("dev-1");
  EXPECT_THAT(Begin(server, device, "s"), HasSubstr("Max Early Data: 0"));
  const std::string early = files_.Write("early", "GET / HTTP/1.1\r\nHost: early\r\n\r\n");
  const std::string seen = Connect(server, device, "-sess_in " + File("s") + " -early_data " + early);
  EXPECT_THAT(seen, HasSubstr(kReused));
  EXPECT_THAT(seen, HasSubstr("Early data was not sent"));
  EXPECT_TRUE(server.observer.Wait([](const RecordingObserver& all) { return all.closed == 2; }));
  EXPECT_EQ(server.observer.requests.size(), 2U);
}

TEST_F(Resumption, IsForTheListenerThatGaveTheSession) {
  TestServer server(Resuming(), WhoAmI);
  TestServer other(Resuming(), WhoAmI);
  const Identity device = pki_->Client("dev-1");
  EXPECT_THAT(Begin(server, device, "s"), HasSubstr(kNew));
  EXPECT_THAT(Connect(other, device, "-sess_in " + File("s")), HasSubstr(kNew));
  EXPECT_THAT(Connect(server, device, "-sess_in " + File("s")), HasSubstr(kReused));
  EXPECT_TRUE(other.observer.Wait([](const RecordingObserver& seen) { return seen.closed == 1; }));
  EXPECT_THAT(other.observer.handshakes, ElementsAre("full"));
}

TEST_F(Resumption, EndsWithTheFilesOfTheServer) {
  const ListenerOptions options = Resuming();
  TestServer server(options, WhoAmI);
  const Identity device = pki_->Client("dev-1");
  Begin(server, device, "s");
  EXPECT_THAT(options.tls->Reload(), IsOk());
  EXPECT_THAT(Resume(server, device, "s"), HasSubstr(kNew));
  EXPECT_THAT(Resume(server, device, "s"), HasSubstr(kReused));
}

TEST_F(Resumption, EndsWithTheCertificateOfTheClient) {
  TestServer server(Resuming(), WhoAmI);
  const Identity brief = pki_->Client("brief", hours(0), std::chrono::seconds(6));
  const auto parsed = crypto::Certificate::FromPem(brief.certificate_pem);
  Begin(server, brief, "s");
  EXPECT_THAT(Resume(server, brief, "s"), HasSubstr(kReused));
  std::this_thread::sleep_until(parsed->NotAfter() + Millis(100));
  ASSERT_THAT(Resume(server, brief, "s"), HasSubstr("alert certificate expired"));
  ExpectFailure(server, "expired", 2);
}

TEST_F(Resumption, EndsWithItsLifetimeHoweverOftenItIsUsed) {
  TestServer server(Resuming({.lifetime = Millis(3'000), .max_bytes = 1U << 20U}), WhoAmI);
  const Identity device = pki_->Client("dev-1");
  const auto began = std::chrono::steady_clock::now();
  Begin(server, device, "s");
  EXPECT_THAT(Resume(server, device, "s"), HasSubstr(kReused));
  std::this_thread::sleep_until(began + Millis(2'000));
  EXPECT_THAT(Resume(server, device, "s"), HasSubstr(kReused));
  std::this_thread::sleep_until(began + Millis(3'900));
  EXPECT_THAT(Resume(server, device, "s"), HasSubstr(kNew));
}

TEST_F(Resumption, EndsForThoseWhoAreCutOffAndForNobodyElse) {
  TestServer server(Resuming(), WhoAmI);
  const Identity revoked = pki_->Client("dev-1");
  const Identity other = pki_->Client("dev-2");
  Begin(server, revoked, "revoked");
  Begin(server, other, "other");
  server.server().ClosePeers([](const PeerIdentity& peer) { return peer.spiffe_uri.ends_with("/dev-1"); });
  EXPECT_THAT(Resume(server, revoked, "revoked"), HasSubstr(kNew));
  EXPECT_THAT(Resume(server, other, "other"), HasSubstr(kReused));
}

TEST_F(Resumption, KeepsTheSessionsThatWereUsedLastWithinItsMemory) {
  TestServer server(Resuming({.lifetime = hours(1), .max_bytes = 32 * 1024}), WhoAmI);
  std::vector<Identity> devices;
  for (int i = 0; i < 5; ++i) {
    devices.push_back(pki_->Client("dev-" + std::to_string(i)));
    Begin(server, devices.back(), std::to_string(i));
  }
  EXPECT_THAT(Resume(server, devices[0], "0"), HasSubstr(kNew));
  EXPECT_THAT(Resume(server, devices[4], "4"), HasSubstr(kReused));
}

TEST_F(Resumption, IsNotPushedOutByAnotherClientHoweverOftenItConnects) {
  TestServer server(Resuming({.lifetime = hours(1), .max_bytes = 32 * 1024}), WhoAmI);
  const Identity device = pki_->Client("dev-1");
  const Identity busy = pki_->Client("busy");
  Begin(server, device, "s");
  for (int i = 0; i < 6; ++i) Begin(server, busy, "busy");
  EXPECT_THAT(Resume(server, device, "s"), HasSubstr(kReused));
}

TEST_F(Resumption, IsNotPushedOutByAnotherClientHoweverOftenItRenewsItsCertificate) {
  TestServer server(Resuming({.lifetime = hours(1), .max_bytes = 32 * 1024}), WhoAmI);
  const Identity device = pki_->Client("dev-1");
  Begin(server, device, "s");
  for (int i = 0; i < 6; ++i) Begin(server, pki_->Client("busy"), "busy");
  EXPECT_THAT(Resume(server, device, "s"), HasSubstr(kReused));
}

TEST_F(Resumption, IsOfTheNewestCertificateOfItsClient) {
  TestServer server(Resuming(), WhoAmI);
  const Identity device = pki_->Client("dev-1");
  Begin(server, device, "before");
  const Identity renewed = pki_->Client("dev-1");
  Begin(server, renewed, "after");
  EXPECT_THAT(Resume(server, renewed, "after"), HasSubstr(kReused));
  EXPECT_THAT(Resume(server, renewed, "before"), HasSubstr(kNew));
}

// They would be held as long as the session, and nobody has looked into them.
TEST_F(Resumption, IsNotForAClientThatShowsCertificatesWithoutNeed) {
  TestServer server(Resuming(), WhoAmI);
  const Identity device = pki_->Client("dev-1");
  const Pki other("Other CA");
  EXPECT_THAT(Connect(server, device, "-cert_chain " + other.ca_path() + " -sess_out " + File("s")), HasSubstr(kNew));
  EXPECT_THAT(Resume(server, device, "s"), HasSubstr(kNew));
  EXPECT_THAT(Connect(server, device, "-cert_chain " + pki_->ca_path() + " -sess_out " + File("s")), HasSubstr(kNew));
  EXPECT_THAT(Resume(server, device, "s"), HasSubstr(kReused));
}

TEST_F(Handshake, RefusesAClientWithoutACertificate) {
  TestServer server(Listener(), WhoAmI);
  EXPECT_THAT(SClient(server, "").output, HasSubstr("alert certificate required"));
  ExpectFailure(server, "no_certificate");
}

TEST_F(Handshake, RefusesACertificateOfAnotherCa) {
  TestServer server(Listener(), WhoAmI);
  const Pki other("Other CA");
  const Identity stranger = other.Client("dev-1");
  EXPECT_THAT(SClient(server, "-cert " + stranger.certificate_path + " -key " + stranger.key_path).output,
              HasSubstr("alert unknown ca"));
  ExpectFailure(server, "unknown_ca");
}

TEST_F(Handshake, RefusesACertificateOfAnotherCaOfTheSameName) {
  TestServer server(Listener(), WhoAmI);
  const Pki impostor;
  const Identity stranger = impostor.Client("dev-1");
  EXPECT_NE(SClient(server, "-cert " + stranger.certificate_path + " -key " + stranger.key_path).exit_code, 0);
  ExpectFailure(server, "unknown_ca");
}

TEST_F(Handshake, RefusesAnExpiredCertificate) {
  TestServer server(Listener(), WhoAmI);
  const Identity late = pki_->Client("late", hours(-48), hours(24));
  EXPECT_THAT(SClient(server, "-cert " + late.certificate_path + " -key " + late.key_path).output,
              HasSubstr("alert certificate expired"));
  ExpectFailure(server, "expired");
  EXPECT_THAT(server.observer.details.front(), HasSubstr("spiffe://test.example/device/late"));
}

TEST_F(Handshake, RefusesACertificateThatIsNotYetValid) {
  TestServer server(Listener(), WhoAmI);
  const Identity early = pki_->Client("early", hours(48), hours(24));
  EXPECT_THAT(SClient(server, "-cert " + early.certificate_path + " -key " + early.key_path).output,
              HasSubstr("alert bad certificate"));
  ExpectFailure(server, "not_yet_valid");
}

TEST_F(Handshake, RefusesAServersCertificateAsAClients) {
  TestServer server(Listener(), WhoAmI);
  const Identity wrong_purpose = pki_->Server("other.example");
  EXPECT_THAT(SClient(server, "-cert " + wrong_purpose.certificate_path + " -key " + wrong_purpose.key_path).output,
              HasSubstr("alert"));
  ExpectFailure(server, "bad_certificate");
}

TEST_F(Handshake, RefusesPlainHttp) {
  TestServer server(Listener(), WhoAmI);
  RawClient client(server.port());
  client.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  client.ReadAll();
  ExpectFailure(server, "not_tls");
}

TEST_F(Handshake, NoticesAClientThatDoesNotTrustTheServer) {
  TestServer server(Listener(), WhoAmI);
  const Pki other("Other CA");
  const Identity device = pki_->Client("dev-1");
  RunShell("curl -sS --cacert " + other.ca_path() + " " + Using(device) + " https://localhost:" + server.port() + "/");
  ExpectFailure(server, "client_refused");
}

TEST_F(Handshake, NoticesAClientThatGoesAway) {
  TestServer server(Listener(), WhoAmI);
  RawClient half(server.port());
  half.Send(std::string_view("\x16\x03\x01\x02\x00\x01", 6));
  EXPECT_TRUE(server.observer.Wait([](const RecordingObserver& seen) { return seen.opened == 1; }));
  half.Reset();
  ExpectFailure(server, "reset");
}

TEST_F(Handshake, EndsAfterItsTimeLimitHoweverSlowlyBytesCome) {
  ListenerOptions options = Listener();
  options.handshake_timeout = Millis(300);
  TestServer server(options, WhoAmI);
  RawClient client(server.port());
  const auto began = std::chrono::steady_clock::now();
  const std::string hello("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11);
  for (const char byte : hello) {
    client.Send({&byte, 1});
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  client.ReadAll();
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(5));
  ExpectFailure(server, "timeout");
}

TEST_F(Handshake, CountsForNoLongerThanItsCertificate) {
  TestServer server(Listener(), WhoAmI);
  const Identity brief = pki_->Client("brief", hours(0), std::chrono::seconds(6));
  ClientOptions options;
  options.server = {"127.0.0.1", server.server().port()};
  options.ca_pem = pki_->ca_pem();
  options.client_certificate_pem = brief.certificate_pem;
  options.client_key_pem = brief.key_pem;
  auto client = HttpsClient::Create(options).value();
  const auto early = client.Send({});
  ASSERT_THAT(early, IsOk());
  EXPECT_EQ(early->status, 200);
  // A certificate ends at a whole second, and so up to a second before its lifetime is over.
  const auto parsed = crypto::Certificate::FromPem(brief.certificate_pem);
  ASSERT_THAT(parsed, IsOk());
  std::this_thread::sleep_until(parsed->NotAfter() + Millis(100));
  const auto late = client.Send({});
  ASSERT_THAT(late, IsOk());
  EXPECT_EQ(late->status, 401);
  EXPECT_THAT(AsText(late->body), HasSubstr("has ended"));
  EXPECT_THAT(client.Send({}), IsErrorSaying(ErrorCode::kUnauthenticated, "has ended"));
  ExpectFailure(server, "expired", 2);
}

// The end of one request's body and the next request come in one TLS record: what stays inside the session makes no
// socket ready.
TEST_F(Handshake, LosesNoRequestInsideTheSession) {
  TestServer server(Listener(ClientAuth::kNone), [](HttpRequest& request) -> Task<HttpResponse> {
    HttpResponse response;
    auto body = co_await request.ReadBody(10);
    response.body = body ? "<" + std::string(AsText(*body)) + ">" : body.error().message;
    co_return response;
  });
  const auto answers = RunShell(
      "(printf \"PUT / HTTP/1.1\\r\\nHost: a\\r\\nContent-Length: 2\\r\\n\\r\\n\"; sleep 0.3; "
      "printf \"abPUT / HTTP/1.1\\r\\nHost: a\\r\\nContent-Length: 3\\r\\nConnection: close\\r\\n\\r\\ncde\"; sleep "
      "0.3) | "
      "openssl s_client -quiet -connect 127.0.0.1:" +
      server.port() + " -CAfile " + pki_->ca_path());
  EXPECT_THAT(answers.output, HasSubstr("<ab>"));
  EXPECT_THAT(answers.output, HasSubstr("<cde>"));
}

TEST_F(Handshake, WithAnOptionalCertificateTakesNoneOrAGoodOne) {
  TestServer server(Listener(ClientAuth::kOptional), WhoAmI);
  EXPECT_EQ(Curl(server, "").output, "||1970-01-01T00:00:00.000Z|127.0.0.1");
  EXPECT_THAT(Curl(server, Using(pki_->Client("op-1"))).output, HasSubstr("device/op-1|"));
  EXPECT_NE(Curl(server, Using(pki_->Client("late", hours(-48), hours(24)))).exit_code, 0);
  ExpectFailure(server, "expired", 2);
}

TEST_F(Handshake, WithoutClientCertificatesAsksForNone) {
  TestServer server(Listener(ClientAuth::kNone), WhoAmI);
  EXPECT_EQ(Curl(server, Using(pki_->Client("dev-1"))).output, "||1970-01-01T00:00:00.000Z|127.0.0.1");
}

TEST_F(Handshake, UsesNewFilesAfterAReload) {
  const testing::TempDirectory files;
  const Identity first = pki_->Server();
  ListenerOptions options;
  options.tls = TlsServerContext::Create({files.Write("cert.pem", first.certificate_pem),
                                          files.Write("key.pem", first.key_pem), "", ClientAuth::kNone})
                    .value();
  TestServer server(options, WhoAmI);
  EXPECT_EQ(Curl(server, "").exit_code, 0);
  const Identity second = pki_->Server("elsewhere.example", "");
  files.Write("cert.pem", second.certificate_pem);
  EXPECT_THAT(options.tls->Reload(), IsErrorSaying(ErrorCode::kInvalidArgument, "does not belong"));
  EXPECT_EQ(Curl(server, "").exit_code, 0);
  files.Write("key.pem", second.key_pem);
  EXPECT_THAT(options.tls->Reload(), IsOk());
  EXPECT_THAT(Curl(server, "").output, HasSubstr("no alternative certificate subject name matches"));
}

TEST_F(Handshake, OfFilesThatDoNotFitIsRefusedAtTheStart) {
  const testing::TempDirectory files;
  const Identity server = pki_->Server();
  const Identity other = pki_->Server("other.example");
  const auto create = [&](const std::string& chain, const std::string& key, const std::string& ca) {
    return TlsServerContext::Create({chain, key, ca, ClientAuth::kRequired});
  };
  EXPECT_THAT(create(files.Path("absent.pem"), server.key_path, pki_->ca_path()), IsError(ErrorCode::kNotFound));
  EXPECT_THAT(create(files.Write("empty.pem", ""), server.key_path, pki_->ca_path()),
              IsErrorSaying(ErrorCode::kInvalidArgument, "holds no PEM certificate"));
  EXPECT_THAT(create(server.certificate_path, other.key_path, pki_->ca_path()),
              IsErrorSaying(ErrorCode::kInvalidArgument, "does not belong to the certificate"));
  EXPECT_THAT(create(server.certificate_path, server.certificate_path, pki_->ca_path()),
              IsErrorSaying(ErrorCode::kInvalidArgument, "not an unencrypted PEM key"));
  EXPECT_THAT(create(server.certificate_path, server.key_path, server.key_path),
              IsErrorSaying(ErrorCode::kInvalidArgument, "holds no PEM certificate"));
  EXPECT_THAT(create(server.certificate_path, server.key_path, ""),
              IsErrorSaying(ErrorCode::kInvalidArgument, "no client CA"));
  std::string damaged = server.certificate_pem;
  damaged[damaged.find('\n') + 5] ^= 1;
  EXPECT_THAT(create(files.Write("damaged.pem", damaged), server.key_path, pki_->ca_path()),
              IsError(ErrorCode::kInvalidArgument));
}

}  // namespace
}  // namespace tacit::net
