#include "server/identity/keys.h"

#include <string>

#include <gmock/gmock.h>

#include "tests/support/matchers.h"
#include "tests/unit/identity/made_tokens.h"

namespace tacit::identity {
namespace {

using crypto::TokenSignature;
using nlohmann::json;
using tacit::testing::IsError;
using tacit::testing::IsErrorSaying;
using tacit::testing::IsOk;
using tacit::testing::TokenSigner;
using testing::CurveSigner;
using testing::KeySetText;
using testing::RsaSigner;

TEST(KeySet, FindsAKeyByItsIdAndItsKind) {
  const auto set = KeySet::Parse(KeySetText({RsaSigner().Jwk("a"), CurveSigner().Jwk("b"), CurveSigner().Jwk("a")}));
  ASSERT_THAT(set, IsOk());
  EXPECT_EQ(set->size(), 3U);
  EXPECT_EQ(set->left_out(), 0U);
  EXPECT_EQ(set->Find("a", TokenSignature::kRs256)->signature(), TokenSignature::kRs256);
  EXPECT_EQ(set->Find("a", TokenSignature::kEs256)->signature(), TokenSignature::kEs256);
  EXPECT_EQ(set->Find("b", TokenSignature::kRs256), nullptr);
  EXPECT_TRUE(set->Has("b"));
  EXPECT_FALSE(set->Has("c"));
  EXPECT_TRUE(set->Find("b", TokenSignature::kEs256)->Verify(AsBytes("x"), CurveSigner().Sign("x")));
}

TEST(KeySet, LeavesOutWhatIsOfNoUse) {
  const json good = CurveSigner().Jwk("good");
  const auto changed = [&](const char* member, const json& value) {
    json key = good;
    key["kid"] = "other";
    key[member] = value;
    return key;
  };
  json rsa_with_other_algorithm = RsaSigner().Jwk("other");
  rsa_with_other_algorithm["alg"] = "RS512";
  for (const json& useless : {changed("kid", json()),
                              changed("kid", ""),
                              changed("kid", std::string(256, 'x')),
                              changed("use", "enc"),
                              changed("use", 1),
                              changed("key_ops", json::array({"sign"})),
                              changed("key_ops", "verify"),
                              changed("alg", "RS256"),
                              changed("alg", json()),
                              changed("kty", "oct"),
                              changed("kty", "RSA"),
                              changed("kty", json()),
                              changed("crv", "P-384"),
                              changed("crv", json()),
                              changed("x", json()),
                              changed("x", "AA"),
                              changed("y", good["x"]),
                              changed("x", good["x"].get<std::string>() + "="),
                              changed("x", std::string(3000, 'A')),
                              rsa_with_other_algorithm,
                              TokenSigner::Rsa(1024).Jwk("other"),
                              json{{"kty", "oct"}, {"kid", "other"}, {"k", "c2VjcmV0"}},
                              json::object()}) {
    const auto set = KeySet::Parse(KeySetText({useless, good}));
    ASSERT_THAT(set, IsOk()) << useless;
    EXPECT_EQ(set->size(), 1U) << useless;
    EXPECT_EQ(set->left_out(), 1U) << useless;
  }
  EXPECT_EQ(KeySet::Parse(KeySetText({changed("key_ops", json::array({"verify"}))}))->size(), 1U);
  json silent = good;
  silent.erase("alg");
  silent.erase("use");
  EXPECT_EQ(KeySet::Parse(KeySetText({silent}))->size(), 1U);
}

TEST(KeySet, RefusesWhatIsNoneOrAmbiguousOrTooLarge) {
  for (const char* bad : {"", "[]", "{}", R"({"keys":{}})", R"({"keys":[1]})", R"({"keys":[]}x)"})
    EXPECT_THAT(KeySet::Parse(bad), IsError(ErrorCode::kMalformed)) << bad;
  EXPECT_THAT(KeySet::Parse(R"({"keys":[],"keys":[]})"),
              IsErrorSaying(ErrorCode::kMalformed, "two members of one name"));
  EXPECT_THAT(KeySet::Parse(KeySetText({CurveSigner().Jwk("a"), TokenSigner::P256().Jwk("a")})),
              IsErrorSaying(ErrorCode::kMalformed, "two keys of the id 'a'"));
  EXPECT_EQ(KeySet::Parse(R"({"keys":[]})")->size(), 0U) << "an issuer may take back all of them";
  json many = json::array();
  for (std::size_t i = 0; i < KeySet::kMost; ++i) many.push_back(json::object());
  EXPECT_THAT(KeySet::Parse(json{{"keys", many}}.dump()), IsOk());
  many.push_back(json::object());
  EXPECT_THAT(KeySet::Parse(json{{"keys", many}}.dump()), IsErrorSaying(ErrorCode::kTooLarge, "100 keys"));
  EXPECT_THAT(KeySet::Parse(std::string(kLargestDocument + 1, ' ')), IsError(ErrorCode::kTooLarge));
}

TEST(ParseDiscovery, IsOfTheIssuerToTheLetter) {
  const std::string issuer = "https://issuer.example/fleet";
  const auto with = [](const json& name, const json& url) {
    return ParseDiscovery(json{{"issuer", name}, {"jwks_uri", url}, {"more", {1, 2}}}.dump(),
                          "https://issuer.example/fleet");
  };
  EXPECT_EQ(*with(issuer, "https://keys.example/jwks"), "https://keys.example/jwks");
  for (const json& other : {json(issuer + "/"), json("https://evil.example"), json(), json(7)})
    EXPECT_THAT(with(other, "https://keys.example"), IsErrorSaying(ErrorCode::kInvalidArgument, "to the letter"));
  for (const char* url : {"http://keys.example", "file:///etc/passwd", "keys.example", "https://u:p@keys.example", ""})
    EXPECT_THAT(with(issuer, url), IsErrorSaying(ErrorCode::kInvalidArgument, "jwks_uri")) << url;
  EXPECT_THAT(with(issuer, json()), IsErrorSaying(ErrorCode::kMalformed, "jwks_uri"));
  EXPECT_THAT(ParseDiscovery("<html>", issuer), IsError(ErrorCode::kMalformed));
}

TEST(DiscoveryUrl, IsBelowTheIssuer) {
  EXPECT_EQ(DiscoveryUrl("https://a.example"), "https://a.example/.well-known/openid-configuration");
  EXPECT_EQ(DiscoveryUrl("https://a.example/b/"), "https://a.example/b/.well-known/openid-configuration");
}

}  // namespace
}  // namespace tacit::identity
