#include <sys/stat.h>

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/files.h"
#include "common/crypto/ca.h"
#include "edge_agent/enrolment/identity.h"
#include "edge_agent/enrolment/identity_file.h"
#include "edge_agent/enrolment/issued.h"
#include "edge_agent/enrolment/join.h"
#include "edge_agent/enrolment/renew.h"
#include "tests/support/fake_clock.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_directory.h"

namespace tacit::enrolment {
namespace {

using std::chrono::hours;
using ::tacit::testing::IsError;
using ::tacit::testing::IsErrorSaying;
using ::tacit::testing::IsOk;
using testing::FakeClock;
using testing::TempDirectory;

const WallTime kNow = FakeClock().Now();
const DeviceId kDevice = *DeviceId::Parse("phone-7");

crypto::CertificateAuthority MakeCa() {
  return *crypto::CertificateAuthority::CreateSelfSigned({.common_name = "CA", .now = kNow, .lifetime = hours(1000)});
}

std::string Issue(const crypto::CertificateAuthority& ca, const crypto::PrivateKey& key, const std::string& uri) {
  return ca
      .IssueClient({.csr_pem = *crypto::MakeCsrPem(key, "x"),
                    .spiffe_uri = uri,
                    .common_name = "x",
                    .now = kNow,
                    .lifetime = hours(168)})
      ->ToPem();
}

// A state directory as a finished join leaves it.
struct Joined {
  Joined() {
    EXPECT_THAT(WriteNewSecretFile(files.key, AsBytes(*key.ToPem())), IsOk());
    EXPECT_THAT(WriteFileAtomic(files.certificate, AsBytes(Issue(ca, key, "spiffe://t/device/phone-7")), 0644), IsOk());
    EXPECT_THAT(WriteFileAtomic(files.ca, AsBytes(ca.CertPem()), 0644), IsOk());
    const IdentityRecord record{kDevice, "t", {"server.example", 8443}};
    EXPECT_THAT(WriteFileAtomic(files.identity, AsBytes(FormatIdentityRecord(record)), 0644), IsOk());
  }
  TempDirectory directory;
  StateFiles files{directory.path()};
  crypto::CertificateAuthority ca = MakeCa();
  crypto::PrivateKey key = *crypto::PrivateKey::GenerateP256();
};

TEST(IdentityRecord, RoundTrips) {
  const auto parsed = ParseIdentityRecord(FormatIdentityRecord({kDevice, "t", {"::1", 65535}}));
  ASSERT_THAT(parsed, IsOk());
  EXPECT_EQ(parsed->device, kDevice);
  EXPECT_EQ(parsed->agents.host, "::1");
  EXPECT_EQ(parsed->agents.port, 65535);
}

TEST(IdentityRecord, RefusesWhatIsNotWhole) {
  for (const char* bad :
       {"", "[]", "{}", R"({"schema":2,"device":"a","host":"h","agents_port":1})",
        R"({"schema":1,"device":"A","host":"h","agents_port":1})", R"({"schema":1,"device":"a","agents_port":1})",
        R"({"schema":1,"device":"a","host":"h"})", R"({"schema":1,"device":"a","host":"h","agents_port":0})",
        R"({"schema":1,"device":"a","host":"h","agents_port":65536})",
        R"({"schema":1,"device":"a","host":"h","agents_port":-1})",
        R"({"schema":1,"device":"a","host":"h","agents_port":"1"})",
        R"({"schema":1,"device":1,"host":"h","agents_port":1})"}) {
    EXPECT_FALSE(ParseIdentityRecord(bad).has_value()) << bad;
  }
}

TEST(CheckIssued, TakesOnlyACertificateOfThisCaForThisDeviceAndKey) {
  const auto ca = MakeCa();
  const auto key = *crypto::PrivateKey::GenerateP256();
  const auto other_key = *crypto::PrivateKey::GenerateP256();
  const std::string good = Issue(ca, key, "spiffe://t/device/phone-7");
  const auto issued = CheckIssued(good, kDevice, key, ca.certificate(), kNow);
  ASSERT_THAT(issued, IsOk());
  EXPECT_EQ(issued->id.trust_domain, "t");

  EXPECT_THAT(CheckIssued(good, kDevice, other_key, ca.certificate(), kNow),
              IsErrorSaying(ErrorCode::kUnauthenticated, "another key"));
  EXPECT_THAT(CheckIssued(good, kDevice, key, MakeCa().certificate(), kNow), IsError(ErrorCode::kUnauthenticated));
  EXPECT_THAT(CheckIssued(Issue(ca, key, "spiffe://t/device/phone-8"), kDevice, key, ca.certificate(), kNow),
              IsErrorSaying(ErrorCode::kUnauthenticated, "phone-8"));
  EXPECT_THAT(CheckIssued(Issue(ca, key, "spiffe://t/operator/phone-7"), kDevice, key, ca.certificate(), kNow),
              IsErrorSaying(ErrorCode::kUnauthenticated, "operator"));
  EXPECT_THAT(CheckIssued("", kDevice, key, ca.certificate(), kNow), IsError(ErrorCode::kMalformed));
}

TEST(CheckIssued, PointsAtTheClockWhenItIsWrong) {
  const auto ca = MakeCa();
  const auto key = *crypto::PrivateKey::GenerateP256();
  const std::string good = Issue(ca, key, "spiffe://t/device/phone-7");
  EXPECT_THAT(CheckIssued(good, kDevice, key, ca.certificate(), kNow - hours(24 * 365)),
              IsErrorSaying(ErrorCode::kUnauthenticated, "this device's clock says"));
}

TEST(LoadIdentity, ReadsWhatAJoinLeft) {
  const Joined joined;
  const auto identity = LoadIdentity(joined.directory.path());
  ASSERT_THAT(identity, IsOk());
  EXPECT_EQ(identity->device, kDevice);
  EXPECT_EQ(identity->trust_domain, "t");
  const net::ClientOptions options = ClientOptionsFor(*identity);
  EXPECT_EQ(options.server.host, "server.example");
  EXPECT_EQ(options.server.port, 8443);
  EXPECT_EQ(options.ca_pem, joined.ca.CertPem());
  EXPECT_EQ(options.client_key_pem, *joined.key.ToPem());
}

TEST(LoadIdentity, SaysWhetherItIsMissingOrDamaged) {
  const TempDirectory nothing;
  EXPECT_THAT(LoadIdentity(nothing.path()), IsErrorSaying(ErrorCode::kNotFound, "has not joined"));
  for (const auto part : {&StateFiles::key, &StateFiles::certificate, &StateFiles::ca}) {
    const Joined joined;
    std::filesystem::remove(joined.files.*part);
    EXPECT_THAT(LoadIdentity(joined.directory.path()), IsErrorSaying(ErrorCode::kDataLoss, "join again"));
  }
  const Joined other_key;
  EXPECT_THAT(WriteFileAtomic(other_key.files.key, AsBytes(*crypto::PrivateKey::GenerateP256()->ToPem()), 0600),
              IsOk());
  EXPECT_THAT(LoadIdentity(other_key.directory.path()), IsErrorSaying(ErrorCode::kDataLoss, "another key"));
}

TEST(LoadIdentity, RefusesAKeyThatOthersMayRead) {
  const Joined joined;
  ASSERT_EQ(::chmod(joined.files.key.c_str(), 0640), 0);
  EXPECT_THAT(LoadIdentity(joined.directory.path()), IsErrorSaying(ErrorCode::kPermissionDenied, "chmod 600"));
}

TEST(RenewalDueAt, IsHalfOfTheLife) {
  const Joined joined;
  const auto identity = LoadIdentity(joined.directory.path());
  ASSERT_THAT(identity, IsOk());
  EXPECT_GT(RenewalDueAt(*identity), kNow);
  EXPECT_EQ(RenewalDueAt(*identity) - identity->not_before, identity->not_after - RenewalDueAt(*identity));
}

TEST(Join, RefusesAFinishedIdentityAndABadTokenWithoutTouchingTheNetwork) {
  const Joined joined;
  JoinOptions options;
  options.enrolment = {"127.0.0.1", 1};
  options.state_directory = joined.directory.path();
  options.token = "tct_1";
  EXPECT_THAT(Join(options, FakeClock()), IsErrorSaying(ErrorCode::kConflict, "joined already"));
  for (const std::string& bad : {std::string(), std::string("a b"), std::string("a\n"), std::string(129, 'a')}) {
    options.token = bad;
    EXPECT_THAT(Join(options, FakeClock()), IsErrorSaying(ErrorCode::kInvalidArgument, "a token is"));
  }
}

}  // namespace
}  // namespace tacit::enrolment
