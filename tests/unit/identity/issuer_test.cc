#include "server/identity/issuer.h"

#include <fcntl.h>

#include <map>
#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "tests/support/fake_clock.h"
#include "tests/support/matchers.h"
#include "tests/unit/identity/made_tokens.h"

namespace tacit::identity {
namespace {

using nlohmann::json;
using tacit::testing::FakeClock;
using tacit::testing::IsError;
using tacit::testing::IsErrorSaying;
using tacit::testing::IsOk;
using tacit::testing::TokenSigner;
using testing::CurveSigner;
using ::testing::ElementsAre;
using testing::GoodClaims;
using ::testing::HasSubstr;
using testing::HeaderOf;
using testing::KeySetText;
using testing::Signed;
using namespace std::chrono_literals;

constexpr const char* kIssuer = "https://issuer.example/fleet";
constexpr const char* kDiscovery = "https://issuer.example/fleet/.well-known/openid-configuration";
constexpr const char* kKeys = "https://keys.example/jwks";

class IssuerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    pages_[kDiscovery] = json{{"issuer", kIssuer}, {"jwks_uri", kKeys}}.dump();
    pages_[kKeys] = KeySetText({CurveSigner().Jwk("one")});
  }

  Result<std::string> Answer(const std::string& url) {
    asked_.push_back(url);
    const auto found = pages_.find(url);
    if (found == pages_.end()) return Fail(ErrorCode::kUnavailable, "down");
    return found->second;
  }

  [[nodiscard]] std::string Token(const TokenSigner& signer, std::string_view id) const {
    return Signed(signer, HeaderOf(signer, id).dump(),
                  GoodClaims(std::chrono::floor<std::chrono::seconds>(clock_.Now()).time_since_epoch().count()).dump());
  }
  Result<Identity> Check(std::string_view id) { return issuer_.Check(Token(CurveSigner(), id)); }
  void Refresh() { issuer_.Refresh({}); }
  [[nodiscard]] Millis UntilDue() const { return issuer_.due() - clock_.SteadyNow(); }

  FakeClock clock_;
  Logger log_{::open("/dev/null", O_WRONLY | O_CLOEXEC), clock_, LogLevel::kDebug};
  metrics::Metrics metrics_;
  std::map<std::string, std::string> pages_;
  std::vector<std::string> asked_;
  Issuer issuer_{
      {.source = {.issuer = kIssuer, .jwks_url = {}},
       .rules = {.issuer = kIssuer, .audience = "tacit", .role_claim = {"roles"}, .leeway = 30s, .max_lifetime = 1h},
       .refresh = 10min,
       .keep = 2h},
      [this](const std::string& url, const std::stop_token&) { return Answer(url); },
      clock_,
      log_,
      metrics_};
};

TEST_F(IssuerTest, IsAskedAtOnceAndThenInTime) {
  EXPECT_LE(UntilDue(), 0ms);
  Refresh();
  EXPECT_THAT(asked_, ElementsAre(kDiscovery, kKeys));
  EXPECT_EQ(UntilDue(), 10min);
  EXPECT_EQ(Check("one")->name, "oidc:ada");
  EXPECT_THAT(metrics_.Render(), ::testing::AllOf(HasSubstr("tacit_oidc_keys 1\n"),
                                                  HasSubstr("tacit_oidc_requests_total{result=\"ok\"} 1\n"),
                                                  HasSubstr("tacit_oidc_requests_total{result=\"error\"} 0\n")));
}

TEST_F(IssuerTest, ThatIsDownIsAskedAgainMoreAndMoreSeldom) {
  pages_.clear();
  EXPECT_THAT(Check("one"), IsErrorSaying(ErrorCode::kUnavailable, "no keys of the issuer"));
  for (const Millis wait : {1'000ms, 2'000ms, 4'000ms, 8'000ms, 16'000ms, 32'000ms, 60'000ms, 60'000ms}) {
    Refresh();
    EXPECT_EQ(UntilDue(), wait);
    clock_.Advance(wait);
  }
  EXPECT_THAT(Check("one"), IsError(ErrorCode::kUnavailable));
  SetUp();
  Refresh();
  EXPECT_THAT(Check("one"), IsOk());
  pages_.clear();
  Refresh();
  EXPECT_EQ(UntilDue(), 1s) << "it begins anew";
}

TEST_F(IssuerTest, KeepsTheLastGoodKeysForAWhile) {
  Refresh();
  pages_[kKeys] = "<html>";
  clock_.Advance(2h - 1ms);
  Refresh();
  EXPECT_THAT(Check("one"), IsOk());
  clock_.Advance(1ms);
  EXPECT_THAT(Check("one"), IsError(ErrorCode::kUnavailable)) << "also before it is asked the next time";
  Refresh();
  EXPECT_THAT(metrics_.Render(), HasSubstr("tacit_oidc_keys 0\n"));
  SetUp();
  Refresh();
  EXPECT_THAT(Check("one"), IsOk());
}

TEST_F(IssuerTest, IsAskedForAKeyThatItMayHaveMadeButNotAsOftenAsStrangersLike) {
  Refresh();
  EXPECT_THAT(Check("two"), IsErrorSaying(ErrorCode::kUnauthenticated, "no key 'two'"));
  EXPECT_EQ(UntilDue(), Issuer::kBetweenRequests) << "it was asked just now";
  clock_.Advance(1h);
  Refresh();
  clock_.Advance(1min);
  for (int guess = 0; guess < 100; ++guess) EXPECT_FALSE(Check("guess-" + std::to_string(guess)));
  EXPECT_EQ(UntilDue(), 0ms) << "at once";
  Refresh();
  for (int guess = 0; guess < 100; ++guess) EXPECT_FALSE(Check("guess-" + std::to_string(guess)));
  EXPECT_EQ(UntilDue(), Issuer::kBetweenRequests) << "once for all of them";
  clock_.Advance(UntilDue());
  const TokenSigner second = TokenSigner::P256();
  pages_[kKeys] = KeySetText({CurveSigner().Jwk("one"), second.Jwk("two")});
  Refresh();
  EXPECT_THAT(issuer_.Check(Token(second, "two")), IsOk());
  EXPECT_THAT(Check("one"), IsOk());
}

TEST_F(IssuerTest, OtherFaultsOfATokenAskForNothing) {
  Refresh();
  EXPECT_FALSE(issuer_.Check("a.b.c"));
  EXPECT_FALSE(issuer_.Check(std::string(kLongestToken + 1, 'a')));
  EXPECT_FALSE(issuer_.Check(Token(TokenSigner::P256(), "one")));
  EXPECT_EQ(UntilDue(), 10min);
}

TEST_F(IssuerTest, ForgetsWhatItHasCheckedWhenTheKeyIsTakenBackOrTheTokenEnds) {
  Refresh();
  const std::string token = Token(CurveSigner(), "one");
  EXPECT_THAT(issuer_.Check(token), IsOk());
  EXPECT_THAT(issuer_.Check(token), IsOk());
  pages_[kKeys] = KeySetText({TokenSigner::P256().Jwk("one")});
  Refresh();
  EXPECT_THAT(issuer_.Check(token), IsErrorSaying(ErrorCode::kUnauthenticated, "signature is wrong"));
  SetUp();
  Refresh();
  EXPECT_THAT(issuer_.Check(token), IsOk());
  clock_.Advance(330s);
  EXPECT_THAT(issuer_.Check(token), IsErrorSaying(ErrorCode::kUnauthenticated, "has expired"));
}

TEST_F(IssuerTest, ChecksMoreTokensThanItRemembers) {
  Refresh();
  std::vector<std::string> tokens;
  for (std::size_t i = 0; i < Issuer::kMostRemembered + 5; ++i) tokens.push_back(Token(CurveSigner(), "one"));
  for (int turn = 0; turn < 2; ++turn)
    for (const std::string& token : tokens) EXPECT_THAT(issuer_.Check(token), IsOk());
}

TEST_F(IssuerTest, ThatDescribesAnotherOneIsNotBelieved) {
  pages_[kDiscovery] = json{{"issuer", "https://evil.example"}, {"jwks_uri", kKeys}}.dump();
  Refresh();
  EXPECT_THAT(asked_, ElementsAre(kDiscovery));
  EXPECT_THAT(Check("one"), IsError(ErrorCode::kUnavailable));
}

TEST_F(IssuerTest, WhoseKeysAreConfiguredIsNotAskedWhereTheyAre) {
  const auto answer = [this](const std::string& url, const std::stop_token&) { return Answer(url); };
  EXPECT_THAT(FetchKeys({.issuer = kIssuer, .jwks_url = kKeys}, answer, {}), IsOk());
  EXPECT_THAT(asked_, ElementsAre(kKeys));
}

}  // namespace
}  // namespace tacit::identity
