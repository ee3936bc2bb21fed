#include "common/crypto/ca.h"

#include <chrono>
#include <set>
#include <string>

#include <gtest/gtest.h>

#include "tests/support/fake_clock.h"
#include "tests/support/matchers.h"
#include "tests/unit/crypto/fixtures.h"

namespace tacit::crypto {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using tacit::testing::FakeClock;
using tacit::testing::IsError;
using tacit::testing::IsErrorSaying;
using tacit::testing::IsOk;

const WallTime kNow = FakeClock().Now();
constexpr hours kYear{24 * 365};

CertificateAuthority MakeCa(std::chrono::seconds lifetime = kYear) {
  return *CertificateAuthority::CreateSelfSigned({.common_name = "Tacit CA", .now = kNow, .lifetime = lifetime});
}

std::string MakeCsr() {
  return *MakeCsrPem(*PrivateKey::GenerateP256(), "wish");
}

ClientCertificateRequest ClientRequest(std::string csr_pem) {
  return {.csr_pem = std::move(csr_pem),
          .spiffe_uri = "spiffe://tacit.test/device/phone-7",
          .common_name = "phone-7",
          .now = kNow,
          .lifetime = hours(24 * 7)};
}

ServerCertificateRequest ServerRequest() {
  return {.csr_pem = MakeCsr(),
          .dns_names = {"localhost", "tacit.example"},
          .ip_addresses = {"127.0.0.1", "::1"},
          .spiffe_uri = "spiffe://tacit.test/server/tacitd",
          .common_name = "tacitd",
          .now = kNow,
          .lifetime = kYear};
}

TEST(CertificateAuthority, RootVerifiesItselfAndSaysWhatItIs) {
  const CertificateAuthority ca = MakeCa();
  EXPECT_TRUE(ca.certificate().IsCa());
  EXPECT_EQ(ca.certificate().CommonName(), "Tacit CA");
  EXPECT_EQ(ca.certificate().NotBefore(), kNow - minutes(5) - kNow.time_since_epoch() % std::chrono::seconds(1));
}

TEST(CertificateAuthority, IssuesAClientCertificateThatVerifiesForClientsOnly) {
  const CertificateAuthority ca = MakeCa();
  const auto key = PrivateKey::GenerateP256();
  const auto issued = ca.IssueClient(ClientRequest(*MakeCsrPem(*key, "wish")));
  ASSERT_THAT(issued, IsOk());
  EXPECT_THAT(VerifyCertificate(*issued, ca.certificate(), CertificatePurpose::kClient, kNow), IsOk());
  EXPECT_THAT(VerifyCertificate(*issued, ca.certificate(), CertificatePurpose::kServer, kNow),
              IsErrorSaying(ErrorCode::kUnauthenticated, "purpose"));
  EXPECT_EQ(issued->SpiffeUri(), "spiffe://tacit.test/device/phone-7");
  EXPECT_EQ(issued->CommonName(), "phone-7");
  EXPECT_FALSE(issued->IsCa());
  EXPECT_EQ(issued->PublicKeySha256(), key->PublicKeySha256());
}

TEST(CertificateAuthority, IssuesAServerCertificateThatVerifiesForServersOnly) {
  const CertificateAuthority ca = MakeCa();
  const auto issued = ca.IssueServer(ServerRequest());
  ASSERT_THAT(issued, IsOk());
  EXPECT_THAT(VerifyCertificate(*issued, ca.certificate(), CertificatePurpose::kServer, kNow), IsOk());
  EXPECT_THAT(VerifyCertificate(*issued, ca.certificate(), CertificatePurpose::kClient, kNow),
              IsError(ErrorCode::kUnauthenticated));
  EXPECT_EQ(issued->SpiffeUri(), "spiffe://tacit.test/server/tacitd");
}

TEST(CertificateAuthority, BackDatesByFiveMinutesAndEndsWithItsLifetime) {
  const CertificateAuthority ca = MakeCa();
  const auto issued = ca.IssueClient(ClientRequest(MakeCsr()));
  ASSERT_THAT(issued, IsOk());
  const auto verify_at = [&](WallTime at) {
    return VerifyCertificate(*issued, ca.certificate(), CertificatePurpose::kClient, at);
  };
  EXPECT_THAT(verify_at(kNow - minutes(4)), IsOk());
  EXPECT_THAT(verify_at(kNow - minutes(6)), IsErrorSaying(ErrorCode::kUnauthenticated, "not yet valid"));
  EXPECT_THAT(verify_at(kNow + hours(24 * 7) - minutes(1)), IsOk());
  EXPECT_THAT(verify_at(kNow + hours(24 * 7) + minutes(1)), IsErrorSaying(ErrorCode::kUnauthenticated, "expired"));
}

TEST(CertificateAuthority, NeverIssuesWhatOutlivesItself) {
  const CertificateAuthority ca = MakeCa(hours(1));
  const auto issued = ca.IssueClient(ClientRequest(MakeCsr()));
  ASSERT_THAT(issued, IsOk());
  EXPECT_EQ(issued->NotAfter(), ca.certificate().NotAfter());
  ClientCertificateRequest late = ClientRequest(MakeCsr());
  late.now = kNow + hours(2);
  EXPECT_THAT(ca.IssueClient(late), IsErrorSaying(ErrorCode::kUnavailable, "CA certificate is not valid"));
}

TEST(CertificateAuthority, RefusesWhatAnotherCaIssued) {
  const CertificateAuthority ca = MakeCa();
  const CertificateAuthority same_name = MakeCa();
  const auto issued = same_name.IssueClient(ClientRequest(MakeCsr()));
  EXPECT_THAT(VerifyCertificate(*issued, ca.certificate(), CertificatePurpose::kClient, kNow),
              IsError(ErrorCode::kUnauthenticated));
}

TEST(CertificateAuthority, RefusesARequestWhoseSignatureIsWrong) {
  std::string csr = MakeCsr();
  // The signature is the end of the request; this changes a low byte of it and leaves the form whole.
  char& in_signature = csr[csr.find("\n-----END") - 10];
  in_signature = in_signature == 'A' ? 'B' : 'A';
  EXPECT_THAT(MakeCa().IssueClient(ClientRequest(csr)),
              IsErrorSaying(ErrorCode::kInvalidArgument, "not signed by its own key"));
}

TEST(CertificateAuthority, RefusesWeakAndUnknownKeysAndTakesEd25519) {
  const CertificateAuthority ca = MakeCa();
  EXPECT_THAT(ca.IssueClient(ClientRequest(std::string(testing::kRsa1024Csr))),
              IsErrorSaying(ErrorCode::kInvalidArgument, "1024 bits"));
  EXPECT_THAT(ca.IssueClient(ClientRequest(std::string(testing::kP521Csr))), IsError(ErrorCode::kInvalidArgument));
  EXPECT_THAT(ca.IssueClient(ClientRequest(std::string(testing::kEd25519Csr))), IsOk());
}

TEST(CertificateAuthority, RefusesBytesThatAreNoRequest) {
  const CertificateAuthority ca = MakeCa();
  EXPECT_THAT(ca.IssueClient(ClientRequest("")), IsError(ErrorCode::kMalformed));
  EXPECT_THAT(ca.IssueClient(ClientRequest(ca.CertPem())), IsError(ErrorCode::kMalformed));
  EXPECT_THAT(ca.IssueClient(ClientRequest(std::string(16 * 1024 + 1, 'x'))), IsError(ErrorCode::kTooLarge));
}

TEST(CertificateAuthority, IgnoresEveryNameAndExtensionOfTheRequest) {
  const CertificateAuthority ca = MakeCa();
  const auto issued = ca.IssueClient(ClientRequest(std::string(testing::kGreedyCsr)));
  ASSERT_THAT(issued, IsOk());
  EXPECT_EQ(issued->SpiffeUri(), "spiffe://tacit.test/device/phone-7");
  EXPECT_EQ(issued->CommonName(), "phone-7");
  EXPECT_FALSE(issued->IsCa());
  EXPECT_FALSE(AsText(issued->ToDer()).contains("evil.test"));
  EXPECT_FALSE(AsText(issued->ToDer()).contains("operator"));
}

TEST(CertificateAuthority, RefusesNamesThatDoNotFit) {
  const CertificateAuthority ca = MakeCa();
  ClientCertificateRequest client = ClientRequest(MakeCsr());
  client.spiffe_uri = "spiffe://tacit.test/device/a,URI:spiffe://tacit.test/operator/admin";
  EXPECT_THAT(ca.IssueClient(client), IsError(ErrorCode::kInvalidArgument));
  for (const std::string bad : {"", "*.example", "UPPER", "a..b", ".a", "a,DNS:b", "a b"}) {
    ServerCertificateRequest server = ServerRequest();
    server.dns_names = {bad};
    EXPECT_THAT(ca.IssueServer(server), IsErrorSaying(ErrorCode::kInvalidArgument, "host name")) << bad;
  }
  ServerCertificateRequest server = ServerRequest();
  server.ip_addresses = {"300.1.1.1"};
  EXPECT_THAT(ca.IssueServer(server), IsErrorSaying(ErrorCode::kInvalidArgument, "300.1.1.1"));
}

TEST(CertificateAuthority, GivesEverySerialOnceAndAtFullLength) {
  const CertificateAuthority ca = MakeCa();
  const std::string csr = MakeCsr();
  std::set<std::string> serials;
  for (int i = 0; i < 50; ++i) {
    const auto issued = ca.IssueClient(ClientRequest(csr));
    EXPECT_EQ(issued->SerialHex().size(), 32U);
    EXPECT_TRUE(serials.insert(issued->SerialHex()).second);
  }
}

TEST(CertificateAuthority, CannotMakeAnotherCaBelievable) {
  const CertificateAuthority ca = MakeCa();
  const auto key = PrivateKey::GenerateP256();
  const auto leaf = ca.IssueClient(ClientRequest(*MakeCsrPem(*key, "x")));
  EXPECT_THAT(CertificateAuthority::Load(leaf->ToPem(), *key->ToPem()),
              IsErrorSaying(ErrorCode::kInvalidArgument, "not one of a CA"));
}

TEST(CertificateAuthority, LoadsWhatItWroteAndRefusesAnotherKey) {
  const CertificateAuthority ca = MakeCa();
  const auto loaded = CertificateAuthority::Load(ca.CertPem(), *ca.KeyPem());
  ASSERT_THAT(loaded, IsOk());
  const auto issued = loaded->IssueClient(ClientRequest(MakeCsr()));
  EXPECT_THAT(VerifyCertificate(*issued, ca.certificate(), CertificatePurpose::kClient, kNow), IsOk());
  EXPECT_THAT(CertificateAuthority::Load(ca.CertPem(), *MakeCa().KeyPem()),
              IsErrorSaying(ErrorCode::kInvalidArgument, "not the key"));
}

TEST(Certificate, RoundTripsThroughPemAndDer) {
  const Certificate original = MakeCa().certificate();
  const auto from_pem = Certificate::FromPem("text that comes before\n" + original.ToPem());
  const auto from_der = Certificate::FromDer(original.ToDer());
  ASSERT_THAT(from_pem, IsOk());
  ASSERT_THAT(from_der, IsOk());
  EXPECT_EQ(from_pem->Fingerprint(), original.Fingerprint());
  EXPECT_EQ(from_der->ToDer(), original.ToDer());
}

TEST(Certificate, RefusesEveryCutOfItsDer) {
  Bytes der = MakeCa().certificate().ToDer();
  for (std::size_t size = 0; size < der.size(); ++size) {
    EXPECT_THAT(Certificate::FromDer(ByteSpan(der).first(size)), IsError(ErrorCode::kMalformed)) << size;
  }
  der.push_back(0);
  EXPECT_THAT(Certificate::FromDer(der), IsErrorSaying(ErrorCode::kMalformed, "after the end"));
}

TEST(Certificate, HasNoIdentityWithTwoUrisAnotherSchemeOrNone) {
  EXPECT_EQ(Certificate::FromPem(testing::kTwoUrisCertificate)->SpiffeUri(), std::nullopt);
  EXPECT_EQ(Certificate::FromPem(testing::kWebUriCertificate)->SpiffeUri(), std::nullopt);
  EXPECT_EQ(MakeCa().certificate().SpiffeUri(), std::nullopt);
}

}  // namespace
}  // namespace tacit::crypto
