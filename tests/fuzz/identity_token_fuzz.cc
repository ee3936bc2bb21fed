#include <algorithm>
#include <chrono>
#include <string>

#include "common/web/web_url.h"
#include "server/identity/keys.h"
#include "server/identity/token.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/base64url.h"

namespace {

using namespace tacit::identity;

constexpr tacit::WallTime kNow{tacit::Millis(1'790'000'000'000)};

// The key of RFC 7515, appendix A.3.
constexpr std::string_view kKeySet =
    R"({"keys":[{"kty":"EC","crv":"P-256","kid":"1","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",)"
    R"("y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]})";

TokenRules Rules() {
  return {.issuer = "https://a.example",
          .audience = "tacit",
          .role_claim = {"realm_access", "roles"},
          .leeway = std::chrono::seconds(30),
          .max_lifetime = std::chrono::hours(24)};
}

void CheckClaims(std::string_view payload) {
  const auto identity = ReadClaims(tacit::AsBytes(payload), Rules(), kNow);
  if (!identity) return;
  const std::string_view name = identity->name;
  TACIT_CHECK(name.starts_with("oidc:") && name.size() > 5 && name.size() <= 5 + 3 * 255, "a bounded name");
  TACIT_CHECK(std::ranges::all_of(name, [](char c) { return c > ' ' && c <= '~'; }), "a name that can be written down");
  TACIT_CHECK(name.find('/') == name.npos, "a name that has no part of another record in it");
  TACIT_CHECK(identity->expires_at > kNow, "what has ended is not taken");
  TACIT_CHECK(identity->expires_at <= kNow + std::chrono::hours(24) + std::chrono::seconds(60), "nor what is endless");
}

void CheckToken(std::string_view text) {
  const auto token = ParseToken(text);
  if (!token) {
    TACIT_CHECK(!token.error().message.empty(), "a refusal says why");
    return;
  }
  TACIT_CHECK(text.size() <= kLongestToken && !token->key_id.empty(), "bounded, and of a key");
  // One token has one text: what it says and how it is signed are written back.
  const std::string_view header = text.substr(0, text.find('.'));
  const std::string whole = std::string(header) + "." + tacit::testing::Base64Url(token->payload) + "." +
                            tacit::testing::Base64Url(token->signature);
  TACIT_CHECK(whole == text && text.starts_with(token->signed_text), "the same text");
  static const KeySet keys = *KeySet::Parse(kKeySet);
  TACIT_CHECK(keys.size() == 1, "the key is good");
  (void)VerifyToken(text, keys, Rules(), kNow);
}

void CheckKeySet(std::string_view text) {
  const auto set = KeySet::Parse(text);
  if (set) TACIT_CHECK(set->size() + set->left_out() <= KeySet::kMost, "a bounded set");
}

void CheckDiscovery(std::string_view text) {
  const auto url = ParseDiscovery(text, "https://a.example");
  if (!url) return;
  const auto origin = tacit::web::OriginOf(*url, tacit::web::PlainHttp::kRefused);
  TACIT_CHECK(origin && origin->starts_with("https://"), "keys come from where they cannot be changed on the way");
}

void CheckClaimPath(std::string_view text) {
  const auto path = ParseClaimPath(text);
  if (!path) return;
  TACIT_CHECK(!path->empty() && std::ranges::none_of(*path, [](const std::string& name) { return name.empty(); }),
              "names of members");
}

}  // namespace

/// What a stranger sends as a token, and what an issuer, or something in its place, publishes.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  constexpr void (*kChecks[])(std::string_view) = {&CheckToken, &CheckClaims, &CheckKeySet, &CheckDiscovery,
                                                   &CheckClaimPath};
  kChecks[data[0] % std::size(kChecks)](tacit::AsText({data + 1, size - 1}));
  return 0;
}
