#include "server/identity/token.h"

#include <string>
#include <string_view>

#include <gmock/gmock.h>
#include <openssl/hmac.h>

#include "tests/support/matchers.h"
#include "tests/unit/identity/made_tokens.h"

namespace tacit::identity {
namespace {

using nlohmann::json;
using tacit::testing::IsError;
using tacit::testing::IsErrorSaying;
using tacit::testing::IsOk;
using testing::Base64Url;
using testing::CurveSigner;
using ::testing::ElementsAre;
using testing::GoodClaims;
using testing::HeaderOf;
using ::testing::IsEmpty;
using testing::RsaSigner;
using testing::Signed;

constexpr std::int64_t kSecond = 1'790'000'000;
constexpr WallTime kNow{Millis(kSecond * 1000)};

TokenRules Rules() {
  return {.issuer = "https://issuer.example/fleet",
          .audience = "tacit",
          .role_claim = {"roles"},
          .leeway = std::chrono::seconds(30),
          .max_lifetime = std::chrono::hours(1)};
}

class Tokens : public ::testing::Test {
 protected:
  Result<Identity> Verify(std::string_view token) const { return VerifyToken(token, keys_, Rules(), kNow); }
  /// Signed as it should be, with other claims.
  Result<Identity> VerifyClaims(const json& claims) const {
    return Verify(Signed(CurveSigner(), HeaderOf(CurveSigner(), "curve").dump(), claims.dump()));
  }
  Result<Identity> VerifyWith(std::string_view claim, const json& value) const {
    json claims = GoodClaims(kSecond);
    claims[std::string(claim)] = value;
    return VerifyClaims(claims);
  }
  Result<Identity> VerifyHeader(std::string_view member, const json& value) const {
    json header = HeaderOf(CurveSigner(), "curve");
    header[std::string(member)] = value;
    return Verify(Signed(CurveSigner(), header.dump(), GoodClaims(kSecond).dump()));
  }
  void ExpectRefused(const Result<Identity>& result, std::string_view why) const {
    EXPECT_THAT(result, IsErrorSaying(ErrorCode::kUnauthenticated, std::string(why)));
  }

  const KeySet keys_ = *KeySet::Parse(testing::KeySetText({RsaSigner().Jwk("rsa"), CurveSigner().Jwk("curve")}));
};

TEST_F(Tokens, OfBothKindsSayWhoSomebodyIs) {
  for (const auto* signer : {&RsaSigner(), &CurveSigner()}) {
    const std::string id = signer == &RsaSigner() ? "rsa" : "curve";
    const auto identity = Verify(Signed(*signer, HeaderOf(*signer, id).dump(), GoodClaims(kSecond).dump()));
    ASSERT_THAT(identity, IsOk());
    EXPECT_EQ(identity->name, "oidc:ada");
    EXPECT_THAT(identity->values, ElementsAre("operators"));
    EXPECT_EQ(identity->expires_at, kNow + std::chrono::seconds(330)) << "with the leeway";
  }
}

TEST_F(Tokens, SignedWithNothingOrWithASharedSecretAreRefused) {
  const std::string payload = Base64Url(GoodClaims(kSecond).dump());
  const std::string none = Base64Url(R"({"alg":"none","kid":"curve"})") + "." + payload + ".";
  ExpectRefused(Verify(none), "signed with 'none'");
  // The classic: the public key, which everybody has, taken for the secret of an HMAC (RFC 8725, section 2.1).
  const std::string text = Base64Url(R"({"alg":"HS256","kid":"rsa"})") + "." + payload;
  const Bytes secret = RsaSigner().Number("n");
  Bytes code(32);
  HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()), AsBytes(text).data(), text.size(), code.data(),
       nullptr);
  ExpectRefused(Verify(text + "." + Base64Url(code)), "signed with 'HS256'");
  for (const char* other : {"NONE", "rs256", "RS384", "PS256", "ES256K", "EdDSA", "RS256 ", ""})
    ExpectRefused(VerifyHeader("alg", other), "RS256 and ES256 are taken");
  EXPECT_THAT(VerifyHeader("alg", 256), IsErrorSaying(ErrorCode::kMalformed, "how it is signed"));
}

TEST_F(Tokens, AreCheckedWithTheKeyTheyNameAndInItsWayOnly) {
  const std::string claims = GoodClaims(kSecond).dump();
  EXPECT_THAT(Verify(Signed(CurveSigner(), HeaderOf(CurveSigner(), "new").dump(), claims)),
              IsErrorSaying(ErrorCode::kNotFound, "no key 'new'"));
  ExpectRefused(Verify(Signed(CurveSigner(), HeaderOf(CurveSigner(), "rsa").dump(), claims)),
                "the key 'rsa' does not sign with ES256");
  ExpectRefused(Verify(Signed(RsaSigner(), HeaderOf(CurveSigner(), "curve").dump(), claims)), "signature is wrong");
  const auto stranger = tacit::testing::TokenSigner::P256();
  ExpectRefused(Verify(Signed(stranger, HeaderOf(stranger, "curve").dump(), claims)), "signature is wrong");
  // A key that comes with the token is not looked at, nor is where one could be had.
  json header = HeaderOf(stranger, "curve");
  header["jwk"] = stranger.Jwk("curve");
  header["jku"] = "https://stranger.example/keys";
  header["x5u"] = "https://stranger.example/certificate";
  ExpectRefused(Verify(Signed(stranger, header.dump(), claims)), "signature is wrong");
  header.erase("kid");
  ExpectRefused(Verify(Signed(stranger, header.dump(), claims)), "with which key");
}

TEST_F(Tokens, ThatWereChangedAreRefused) {
  const std::string good = Signed(CurveSigner(), HeaderOf(CurveSigner(), "curve").dump(), GoodClaims(kSecond).dump());
  ASSERT_THAT(Verify(good), IsOk());
  json claims = GoodClaims(kSecond);
  claims["roles"] = {"admins"};
  const std::size_t first = good.find('.');
  const std::size_t second = good.rfind('.');
  ExpectRefused(Verify(good.substr(0, first + 1) + Base64Url(claims.dump()) + good.substr(second)),
                "signature is wrong");
  for (const std::size_t cut : {std::size_t{2}, std::size_t{43}})
    EXPECT_FALSE(Verify(good.substr(0, good.size() - cut))) << cut;
  EXPECT_THAT(Verify(good + "AA"), IsError(ErrorCode::kUnauthenticated)) << "r and s have 32 bytes each";
  EXPECT_THAT(Verify(good + "="), IsErrorSaying(ErrorCode::kMalformed, "base64url"));
  EXPECT_THAT(Verify(good + ".x"), IsErrorSaying(ErrorCode::kMalformed, "three parts"));
  EXPECT_THAT(Verify(good.substr(0, second)), IsErrorSaying(ErrorCode::kMalformed, "three parts"));
  EXPECT_THAT(Verify(""), IsError(ErrorCode::kMalformed));
  EXPECT_THAT(Verify(".."), IsError(ErrorCode::kMalformed));
}

// The last character of 64 bytes in base64url has four bits that belong to no byte.
TEST_F(Tokens, HaveOneTextOnly) {
  std::string token = Signed(CurveSigner(), HeaderOf(CurveSigner(), "curve").dump(), GoodClaims(kSecond).dump());
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  token.back() = kDigits[kDigits.find(token.back()) + 1];
  EXPECT_THAT(Verify(token), IsErrorSaying(ErrorCode::kMalformed, "bits that belong to no byte"));
}

TEST_F(Tokens, OfAnotherTypeOrWithAnExtensionAreRefused) {
  for (const char* type : {"JWT", "jwt", "at+jwt", "application/at+JWT"})
    EXPECT_THAT(VerifyHeader("typ", type), IsOk());
  for (const json& type : {json("dpop+jwt"), json("secevent+jwt"), json(""), json(1), json(nullptr)})
    ExpectRefused(VerifyHeader("typ", type), "JWT and at+jwt are taken");
  ExpectRefused(VerifyHeader("crit", json::array({"exp"})), "(crit)");
  ExpectRefused(VerifyHeader("crit", nullptr), "(crit)");
}

TEST_F(Tokens, WithJsonThatTwoReadersCouldReadDifferentlyAreRefused) {
  const std::string good_header = HeaderOf(CurveSigner(), "curve").dump();
  const std::string good_claims = GoodClaims(kSecond).dump();
  const auto verify = [&](std::string_view header, std::string_view payload) {
    return Verify(Signed(CurveSigner(), header, payload));
  };
  EXPECT_THAT(verify(R"({"alg":"ES256","kid":"curve","alg":"ES256"})", good_claims),
              IsErrorSaying(ErrorCode::kMalformed, "two members of one name"));
  EXPECT_THAT(verify(good_header, R"({"sub":"eve",)" + good_claims.substr(1)),
              IsErrorSaying(ErrorCode::kMalformed, "two members of one name"));
  EXPECT_THAT(verify(good_header, R"({"a":{"b":1,"\u0062":2},)" + good_claims.substr(1)),
              IsErrorSaying(ErrorCode::kMalformed, "two members of one name"));
  EXPECT_THAT(verify(good_header, R"({"a":{"sub":1},"b":{"sub":2},)" + good_claims.substr(1)), IsOk());
  EXPECT_THAT(verify(good_header, good_claims + "x"), IsErrorSaying(ErrorCode::kMalformed, "not a JSON object"));
  EXPECT_THAT(verify(good_header, "[]"), IsErrorSaying(ErrorCode::kMalformed, "not a JSON object"));
  EXPECT_THAT(verify(good_header, "{\"sub\":\"\xff\"}"), IsErrorSaying(ErrorCode::kMalformed, "not a JSON object"));
  EXPECT_THAT(verify(good_header, R"({"a":)" + std::string(40, '[') + std::string(40, ']') + "}"),
              IsErrorSaying(ErrorCode::kMalformed, "levels"));
}

TEST_F(Tokens, ThatAreTooLongAreNotRead) {
  json claims = GoodClaims(kSecond);
  claims["padding"] = std::string(kLongestToken, 'x');
  EXPECT_THAT(VerifyClaims(claims), IsError(ErrorCode::kTooLarge));
}

TEST_F(Tokens, AreForThisServerByTheConfiguredIssuer) {
  for (const json& issuer : {json("https://issuer.example/fleet/"), json("https://other.example"), json(), json(1)})
    ExpectRefused(VerifyWith("iss", issuer), "another issuer");
  for (const json& audience :
       {json("tacit2"), json(), json::array(), json::array({"a", "b"}), json::object({{"tacit", 1}}), json(7)})
    ExpectRefused(VerifyWith("aud", audience), "for somebody else");
  EXPECT_THAT(VerifyWith("aud", json::array({"a", "tacit"})), IsOk());
}

TEST_F(Tokens, HaveTheirTime) {
  ExpectRefused(VerifyWith("exp", kSecond - 30), "has expired");
  EXPECT_THAT(VerifyWith("exp", kSecond - 29), IsOk()) << "the clocks may be apart";
  ExpectRefused(VerifyWith("nbf", kSecond + 31), "not valid yet");
  EXPECT_THAT(VerifyWith("nbf", kSecond + 30), IsOk());
  ExpectRefused(VerifyWith("iat", kSecond + 31), "issued in the future");
  ExpectRefused(VerifyWith("exp", kSecond + 3601), "is for longer");
  EXPECT_THAT(VerifyWith("exp", kSecond + 3600), IsOk());
  ExpectRefused(VerifyWith("iat", kSecond - 3301), "is for longer");
  EXPECT_EQ(VerifyWith("exp", static_cast<double>(kSecond) + 0.25)->expires_at,
            kNow + Millis(250) + std::chrono::seconds(30));
  for (const char* claim : {"exp", "iat"}) {
    json claims = GoodClaims(kSecond);
    claims.erase(claim);
    EXPECT_THAT(VerifyClaims(claims), IsErrorSaying(ErrorCode::kMalformed, claim));
  }
  for (const json& odd : {json("1790000000"), json(-1), json(1e300), json(true), json(nullptr)}) {
    for (const char* claim : {"exp", "iat", "nbf"})
      EXPECT_THAT(VerifyWith(claim, odd), IsErrorSaying(ErrorCode::kMalformed, claim)) << odd;
  }
}

TEST_F(Tokens, NameTheirSubjectInATextThatNobodyElseHas) {
  EXPECT_EQ(VerifyWith("sub", "auth0|ada/by token %41\n\"\xc3\xa9")->name,
            "oidc:auth0%7Cada%2Fby%20token%20%2541%0A%22%C3%A9");
  EXPECT_EQ(VerifyWith("sub", std::string(1, '\0'))->name, "oidc:%00");
  EXPECT_THAT(VerifyWith("sub", std::string(255, 'x')), IsOk());
  for (const json& bad : {json(""), json(std::string(256, 'x')), json(7), json(nullptr), json::array({"ada"})})
    EXPECT_THAT(VerifyWith("sub", bad), IsErrorSaying(ErrorCode::kMalformed, "'sub'"));
}

TEST_F(Tokens, HaveTheValuesOfTheRoleClaimWhereverItIs) {
  EXPECT_THAT(VerifyWith("roles", "one")->values, ElementsAre("one"));
  EXPECT_THAT(VerifyWith("roles", json::array({"a", 7, nullptr, "b", json::array({"c"})}))->values,
              ElementsAre("a", "b"));
  for (const json& none : {json(), json(7), json(true), json::object({{"a", "b"}}), json::array()})
    EXPECT_THAT(VerifyWith("roles", none)->values, IsEmpty());
  const std::string payload = json{{"realm_access", {{"roles", {"deep"}}}},
                                   {"https://example.com/roles", "named"},
                                   {"iss", Rules().issuer},
                                   {"aud", "tacit"},
                                   {"sub", "ada"},
                                   {"iat", kSecond},
                                   {"exp", kSecond + 1}}
                                  .dump();
  const auto values = [&](std::string_view claim) {
    TokenRules rules = Rules();
    rules.role_claim = *ParseClaimPath(claim);
    return ReadClaims(AsBytes(payload), rules, kNow)->values;
  };
  EXPECT_THAT(values("realm_access.roles"), ElementsAre("deep"));
  EXPECT_THAT(values("/realm_access/roles"), ElementsAre("deep"));
  EXPECT_THAT(values("/https:~1~1example.com~1roles"), ElementsAre("named"));
  EXPECT_THAT(values("realm_access.roles.deep"), IsEmpty());
  EXPECT_THAT(values("sub.roles"), IsEmpty());
}

TEST(ParseClaimPath, TakesDotsAndPointersAndNothingEmpty) {
  EXPECT_THAT(*ParseClaimPath("roles"), ElementsAre("roles"));
  EXPECT_THAT(*ParseClaimPath("a.b.c"), ElementsAre("a", "b", "c"));
  EXPECT_THAT(*ParseClaimPath("/a.b/~0~1"), ElementsAre("a.b", "~/"));
  for (const char* bad : {"", ".", "a.", ".a", "a..b", "/", "/a/", "/~", "/~2", "a.b.c.d.e.f.g.h.i"})
    EXPECT_THAT(ParseClaimPath(bad), IsError(ErrorCode::kInvalidArgument)) << bad;
}

TEST(LooksLikeToken, TellsIdentityTokensFromAccessTokens) {
  EXPECT_TRUE(LooksLikeToken("a.b.c"));
  EXPECT_FALSE(LooksLikeToken("tacit_0123456789abcdef"));
  EXPECT_FALSE(LooksLikeToken("a.b.c.d.e")) << "an encrypted one";
}

}  // namespace
}  // namespace tacit::identity
