#include "edge_agent/enrolment/join.h"

#include <sys/stat.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/files.h"
#include "common/crypto/ca.h"
#include "common/crypto/spiffe.h"
#include "edge_agent/enrolment/identity.h"
#include "edge_agent/enrolment/renew.h"
#include "proto/codec/enrolment.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_directory.h"
#include "tests/unit/net/pki.h"
#include "tests/unit/net/test_server.h"

// A device's half of enrolment against real TLS listeners. The server's half is tests/integration/test_lifecycle.py.
namespace tacit::enrolment {
namespace {

using ::tacit::testing::IsError;
using ::tacit::testing::IsErrorSaying;
using ::tacit::testing::IsOk;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using testing::TempDirectory;

// What the server does wrong.
enum class Fault : std::uint8_t {
  kNone,
  kRefuses,      // says that the token is used up
  kLosesAnswer,  // issues, and answers with an error
  kOtherKey,     // issues for a key of its own
  kOtherCa,      // issues from a CA that was not fingerprinted
  kAnswersRubbish,
};

class EnrolmentServer {
 public:
  explicit EnrolmentServer(const net::testing::Pki& pki) : pki_(pki) {}

  net::Handler handler() {
    return [this](net::HttpRequest& request) { return Answer(*this, request); };
  }

  void set_fault(Fault fault) { fault_ = fault; }
  void set_lifetime(std::chrono::hours lifetime) { lifetime_ = lifetime; }
  /// In the order of the requests.
  [[nodiscard]] std::vector<codec::EnrolRequest> seen() const {
    const std::scoped_lock lock(mutex_);
    return seen_;
  }

 private:
  static net::Task<net::HttpResponse> Answer(EnrolmentServer& self, net::HttpRequest& request) {
    if (request.path() == "/v1/ca") {
      net::HttpResponse response;
      response.body = self.pki_.ca_pem();
      co_return response;
    }
    auto body = co_await request.ReadBody(codec::kMaxEnrolRequestBytes);
    if (!body) co_return net::Problem(body.error(), request.path());
    co_return request.path() == "/v1/enrol" ? self.Enrol(*body) : self.Renew(*body, request.peer());
  }

  net::HttpResponse Enrol(const Bytes& body) {
    auto wish = codec::ParseEnrolRequest(body);
    if (!wish) return net::Problem(wish.error(), "/v1/enrol");
    {
      const std::scoped_lock lock(mutex_);
      seen_.push_back(*wish);
    }
    const DeviceId device = wish->label.value_or(*DeviceId::Parse("nameless"));
    if (fault_ == Fault::kRefuses)
      return net::Problem({ErrorCode::kUnauthenticated, "the token is used up"}, "/v1/enrol");
    if (fault_ == Fault::kLosesAnswer) return net::Problem({ErrorCode::kUnavailable, "lost"}, "/v1/enrol");
    const codec::EnrolReply reply{device, Issue(wish->csr_pem, device), pki_.ca_pem(), "", 8443};
    return Message(codec::Encode(reply));
  }

  net::HttpResponse Renew(const Bytes& body, const net::PeerIdentity& peer) {
    const auto wish = codec::ParseRenewRequest(body);
    const auto id = crypto::SpiffeId::Parse(peer.spiffe_uri);
    if (!wish || !id) return net::Problem({ErrorCode::kPermissionDenied, "no identity"}, "/v1/certificate");
    return Message(codec::Encode(codec::RenewReply{Issue(wish->csr_pem, *DeviceId::Parse(id->name))}));
  }

  [[nodiscard]] std::string Issue(const std::string& csr_pem, const DeviceId& device) const {
    const WallTime now = SystemClock().Now();
    const auto other_ca = crypto::CertificateAuthority::CreateSelfSigned({"Test CA", now, std::chrono::hours(1)});
    const auto& ca = fault_ == Fault::kOtherCa ? *other_ca : pki_.ca();
    const std::string own_csr = *crypto::MakeCsrPem(*crypto::PrivateKey::GenerateP256(), "x");
    return ca
        .IssueClient({.csr_pem = fault_ == Fault::kOtherKey ? own_csr : csr_pem,
                      .spiffe_uri = "spiffe://t/device/" + device.str(),
                      .common_name = device.str(),
                      .now = now,
                      .lifetime = lifetime_.load()})
        ->ToPem();
  }

  [[nodiscard]] net::HttpResponse Message(const Bytes& message) const {
    net::HttpResponse response;
    response.content_type = "application/x-protobuf";
    response.body = fault_ == Fault::kAnswersRubbish ? "\xff\xff\xff" : std::string(AsText(message));
    return response;
  }

  const net::testing::Pki& pki_;
  std::atomic<Fault> fault_ = Fault::kNone;
  std::atomic<std::chrono::hours> lifetime_ = std::chrono::hours(24);
  mutable std::mutex mutex_;
  std::vector<codec::EnrolRequest> seen_;
};

class JoinTest : public ::testing::Test {
 protected:
  [[nodiscard]] net::ListenerOptions Listener(net::ClientAuth auth) const {
    net::ListenerOptions options;
    options.tls = *net::TlsServerContext::Create(
        {.certificate_chain_path = server_.certificate_path,
         .private_key_path = server_.key_path,
         .client_ca_path = auth == net::ClientAuth::kNone ? std::string() : pki_.ca_path(),
         .client_auth = auth});
    return options;
  }

  [[nodiscard]] JoinOptions Options() const {
    JoinOptions options;
    options.enrolment = {"127.0.0.1", static_cast<std::uint16_t>(std::stoi(enrolment_.port()))};
    options.ca_fingerprint = pki_.ca().certificate().Fingerprint();
    options.token = "tct_secret";
    options.state_directory = state_;
    return options;
  }

  [[nodiscard]] std::string KeyText() const {
    return std::string(AsText(*ReadFile(StateFiles(state_).key, 1U << 16U)));
  }

  net::testing::Pki pki_;
  net::testing::Identity server_ = pki_.Server();
  EnrolmentServer fleet_{pki_};
  net::testing::TestServer enrolment_{Listener(net::ClientAuth::kNone), fleet_.handler()};
  net::testing::TestServer agents_{Listener(net::ClientAuth::kRequired), fleet_.handler()};
  TempDirectory parent_;
  std::filesystem::path state_ = parent_ / "made/for/it";
  SystemClock clock_;
};

TEST_F(JoinTest, LeavesAnIdentityThatLoadsAndAKeyForItsOwnerOnly) {
  JoinOptions options = Options();
  options.label = *DeviceId::Parse("pump-3");
  const auto joined = Join(options, clock_);
  ASSERT_THAT(joined, IsOk());
  EXPECT_EQ(joined->device.str(), "pump-3");
  EXPECT_EQ(joined->trust_domain, "t");
  EXPECT_EQ(joined->agents.host, "127.0.0.1");
  EXPECT_EQ(joined->agents.port, 8443);

  struct stat status{};
  ASSERT_EQ(::stat(StateFiles(state_).key.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777U, 0600U);
  ASSERT_EQ(::stat(state_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777U, 0700U);
  const auto loaded = LoadIdentity(state_);
  ASSERT_THAT(loaded, IsOk());
  EXPECT_EQ(loaded->certificate_pem, joined->certificate_pem);
  EXPECT_THAT(Join(options, clock_), IsError(ErrorCode::kConflict));
}

TEST_F(JoinTest, SendsNoTokenToAServerWithAnotherFingerprint) {
  JoinOptions options = Options();
  options.ca_fingerprint[31] ^= 1U;
  EXPECT_THAT(Join(options, clock_), IsErrorSaying(ErrorCode::kUnauthenticated, "no token was sent"));
  EXPECT_THAT(fleet_.seen(), IsEmpty());
  EXPECT_FALSE(std::filesystem::exists(StateFiles(state_).identity));
}

// Whoever sits between can show the true CA, which is public, but has no certificate from it.
TEST_F(JoinTest, SendsNoTokenToAServerThatOnlyShowsTheTrueCa) {
  const net::testing::Pki impostor_pki;
  const net::testing::Identity identity = impostor_pki.Server();
  net::ListenerOptions listener;
  listener.tls = *net::TlsServerContext::Create({.certificate_chain_path = identity.certificate_path,
                                                 .private_key_path = identity.key_path,
                                                 .client_ca_path = {},
                                                 .client_auth = net::ClientAuth::kNone});
  const net::testing::TestServer impostor(std::move(listener), fleet_.handler());
  JoinOptions options = Options();
  options.enrolment.port = static_cast<std::uint16_t>(std::stoi(impostor.port()));
  EXPECT_THAT(Join(options, clock_), IsError(ErrorCode::kUnauthenticated));
  EXPECT_THAT(fleet_.seen(), IsEmpty());
}

TEST_F(JoinTest, TellsTheServersReasonAndCanBeRunAgain) {
  fleet_.set_fault(Fault::kRefuses);
  EXPECT_THAT(
      Join(Options(), clock_),
      IsErrorSaying(ErrorCode::kPermissionDenied, "the token is used up; ask for another: tacit device token create"));
  fleet_.set_fault(Fault::kNone);
  EXPECT_THAT(Join(Options(), clock_), IsOk());
}

TEST_F(JoinTest, SuspectsThePortWhereNothingAnswersForTheCa) {
  JoinOptions options = Options();
  // The agents' listener, which wants a certificate; and a port that nobody listens on.
  for (const int port : {std::stoi(agents_.port()), 1}) {
    options.enrolment.port = static_cast<std::uint16_t>(port);
    const auto joined = Join(options, clock_);
    ASSERT_FALSE(joined);
    EXPECT_THAT(joined.error().message, HasSubstr("is this the enrolment port (8445 by default)?")) << port;
  }
}

TEST_F(JoinTest, RepeatsALostEnrolmentWithTheSameKeyAndName) {
  fleet_.set_fault(Fault::kLosesAnswer);
  EXPECT_THAT(Join(Options(), clock_), IsError(ErrorCode::kUnavailable));
  const std::string key = KeyText();
  fleet_.set_fault(Fault::kNone);
  ASSERT_THAT(Join(Options(), clock_), IsOk());
  EXPECT_EQ(KeyText(), key);
  const auto seen = fleet_.seen();
  ASSERT_THAT(seen, SizeIs(2));
  ASSERT_TRUE(seen[0].label.has_value());
  EXPECT_EQ(seen[0].label, seen[1].label);
}

TEST_F(JoinTest, MakesANewKeyWhenACrashCutTheFirstOneShort) {
  std::filesystem::create_directories(state_);
  ASSERT_THAT(WriteNewSecretFile(StateFiles(state_).key, AsBytes("-----BEGIN PRIV")), IsOk());
  EXPECT_THAT(Join(Options(), clock_), IsOk());
}

TEST_F(JoinTest, GoesOnFromEveryFileThatAnUnfinishedJoinMayHaveLeft) {
  ASSERT_THAT(Join(Options(), clock_), IsOk());
  const std::string key = KeyText();
  const StateFiles files(state_);
  for (const auto& missing : {files.identity, files.certificate, files.ca}) {
    // Files are written in the order ca, certificate, identity: what comes later is missing too.
    std::filesystem::remove(missing);
    std::filesystem::remove(files.identity);
    ASSERT_THAT(Join(Options(), clock_), IsOk()) << missing;
    EXPECT_EQ(KeyText(), key);
  }
}

TEST_F(JoinTest, KeepsNothingOfACertificateItCannotBelieve) {
  for (const Fault fault : {Fault::kOtherKey, Fault::kOtherCa}) {
    fleet_.set_fault(fault);
    EXPECT_THAT(Join(Options(), clock_), IsError(ErrorCode::kUnauthenticated));
  }
  fleet_.set_fault(Fault::kAnswersRubbish);
  EXPECT_THAT(Join(Options(), clock_), IsError(ErrorCode::kMalformed));
  EXPECT_FALSE(std::filesystem::exists(StateFiles(state_).certificate));
  EXPECT_FALSE(std::filesystem::exists(StateFiles(state_).identity));
}

// Later than it is.
class LateClock final : public Clock {
 public:
  [[nodiscard]] WallTime Now() const override { return SystemClock().Now() + std::chrono::hours(25); }
  [[nodiscard]] SteadyTime SteadyNow() const override { return SystemClock().SteadyNow(); }
};

TEST_F(JoinTest, BringsTheSameDeviceBackOnceItsCertificateHasExpired) {
  JoinOptions options = Options();
  options.label = *DeviceId::Parse("pump-3");
  ASSERT_THAT(Join(options, clock_), IsOk());
  const std::filesystem::path account = state_ / "local_privacy.json";
  ASSERT_THAT(WriteFileAtomic(account, AsBytes("what was spent"), 0600), IsOk());
  const std::string key = KeyText();
  fleet_.set_lifetime(std::chrono::hours(48));

  // A token that would make it another device is not even sent.
  for (const char* token : {"tct_secret", "tct_secret.pump-4"}) {
    options.token = token;
    EXPECT_THAT(Join(options, LateClock()), IsErrorSaying(ErrorCode::kInvalidArgument, "token create --name pump-3"));
  }
  ASSERT_THAT(fleet_.seen(), SizeIs(1));
  options.token = "tct_secret.pump-3";
  EXPECT_THAT(Join(options, clock_), IsErrorSaying(ErrorCode::kConflict, "joined already")) << "not expired";
  const auto back = Join(options, LateClock());
  ASSERT_THAT(back, IsOk());
  EXPECT_EQ(back->device.str(), "pump-3");
  EXPECT_GT(back->not_after, LateClock().Now());
  EXPECT_EQ(KeyText(), key);
  EXPECT_EQ(AsText(*ReadFile(account, 64)), "what was spent");
  EXPECT_THAT(Join(options, LateClock()), IsError(ErrorCode::kConflict)) << "it is back";
}

class RenewTest : public JoinTest {
 protected:
  RenewTest() {
    auto joined = Join(Options(), clock_);
    EXPECT_THAT(joined, IsOk());
    identity_ = std::make_unique<EnrolledIdentity>(*std::move(joined));
    identity_->agents.port = static_cast<std::uint16_t>(std::stoi(agents_.port()));
  }
  std::unique_ptr<EnrolledIdentity> identity_;
};

TEST_F(RenewTest, ReplacesTheCertificateAndKeepsTheKey) {
  const std::string key = KeyText();
  const auto renewed = Renew(*identity_, {.state_directory = state_}, clock_);
  ASSERT_THAT(renewed, IsOk());
  EXPECT_NE(renewed->certificate_pem, identity_->certificate_pem);
  EXPECT_EQ(renewed->device, identity_->device);
  EXPECT_EQ(KeyText(), key);
  EXPECT_EQ(LoadIdentity(state_)->certificate_pem, renewed->certificate_pem);
}

TEST_F(RenewTest, KeepsTheOldCertificateWhenTheNewOneCannotBeBelieved) {
  for (const Fault fault : {Fault::kOtherKey, Fault::kOtherCa, Fault::kAnswersRubbish}) {
    fleet_.set_fault(fault);
    EXPECT_FALSE(Renew(*identity_, {.state_directory = state_}, clock_).has_value());
    EXPECT_EQ(LoadIdentity(state_)->certificate_pem, identity_->certificate_pem);
  }
}

TEST_F(RenewTest, FailsPlainlyWhenTheServerIsAway) {
  identity_->agents.port = 1;
  EXPECT_THAT(Renew(*identity_, {.state_directory = state_}, clock_), IsError(ErrorCode::kUnavailable));
}

}  // namespace
}  // namespace tacit::enrolment
