#include "server/identity/token.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "common/base/text.h"
#include "common/web/web_url.h"
#include "server/identity/strict_json.h"

namespace tacit::identity {
namespace {

using crypto::TokenSignature;
using nlohmann::json;

constexpr std::size_t kLongestSubject = 255;  // OpenID Connect Core 1.0, section 2
constexpr std::size_t kDeepestClaim = 8;
constexpr std::size_t kLongestClaimPath = 1024;
constexpr double kLastSecond = 253'402'300'799;  // of the year 9999: later ones have no RFC 3339 form

std::unexpected<Error> Unbelievable(std::string what) {
  return Fail(ErrorCode::kUnauthenticated, std::move(what));
}

// ---- Where the roles are ----

// Source: RFC 6901, section 3. Nothing where a '~' stands for nothing.
std::optional<std::string> Unescaped(std::string_view part) {
  std::string name;
  bool escaped = false;
  for (const char c : part) {
    if (escaped && c != '0' && c != '1') return std::nullopt;
    if (escaped) {
      name += c == '0' ? '~' : '/';
    } else if (c != '~') {
      name += c;
    }
    escaped = !escaped && c == '~';
  }
  if (escaped) return std::nullopt;
  return name;
}

// ---- The header ----

struct Parts {
  std::string_view header;
  std::string_view payload;
  std::string_view signature;
};

Parts Split(std::string_view text) {
  const std::size_t first = text.find('.');
  const std::size_t second = text.find('.', first + 1);
  return {text.substr(0, first), text.substr(first + 1, second - first - 1), text.substr(second + 1)};
}

Result<Bytes> Decoded(std::string_view text, std::string_view what) {
  auto bytes = ParseBase64Url(text);
  if (!bytes) return Annotate(bytes.error(), "the token's " + std::string(what));
  return bytes;
}

// Source: RFC 7515, section 4.1.9: in any case, and "application/" may be left out.
bool IsTokenType(std::string_view type) {
  const std::string lower = LowerCase(type);
  std::string_view rest = lower;
  if (rest.starts_with("application/")) rest.remove_prefix(std::string_view("application/").size());
  return rest == "jwt" || rest == "at+jwt";
}

Result<TokenSignature> ReadAlgorithm(const json& header) {
  const std::string* algorithm = TextMember(header, "alg");
  if (algorithm == nullptr)
    return Fail(ErrorCode::kMalformed, "the token's header does not say how it is signed (alg)");
  for (const TokenSignature each : {TokenSignature::kRs256, TokenSignature::kEs256})
    if (*algorithm == crypto::NameOf(each)) return each;
  return Unbelievable("the token is signed with " + Excerpt(*algorithm) + "; RS256 and ES256 are taken");
}

Result<void> CheckHeader(const json& header) {
  if (header.contains("crit"))
    return Unbelievable("the token has an extension that has to be understood (crit), and none is");
  if (!header.contains("typ")) return {};
  const std::string* type = TextMember(header, "typ");
  if (type != nullptr && IsTokenType(*type)) return {};
  return Unbelievable("the token is of the type " + (type == nullptr ? "that is no text" : Excerpt(*type)) +
                      "; JWT and at+jwt are taken");
}

// ---- The claims ----

Result<void> CheckIssuer(const json& claims, const TokenRules& rules) {
  const std::string* issuer = TextMember(claims, "iss");
  if (issuer != nullptr && *issuer == rules.issuer) return {};
  return Unbelievable("the token is of another issuer (iss) than the configured one");
}

Result<void> CheckAudience(const json& claims, const TokenRules& rules) {
  const auto audience = claims.find("aud");
  const auto is_ours = [&rules](const json& each) { return each.is_string() && each == rules.audience; };
  const bool good =
      audience != claims.end() && (audience->is_array() ? std::ranges::any_of(*audience, is_ours) : is_ours(*audience));
  if (good) return {};
  return Unbelievable("the token is for somebody else (aud) than this server");
}

// Source: RFC 7519, section 2, NumericDate: seconds since 1970, which need not be whole.
Result<WallTime> ReadTime(const json& claims, std::string_view name) {
  const auto found = claims.find(name);
  if (found == claims.end() || !found->is_number())
    return Fail(ErrorCode::kMalformed, "the token's '" + std::string(name) + "' is not there, or no number");
  const auto seconds = found->get<double>();
  if (!(seconds >= 0 && seconds <= kLastSecond))
    return Fail(ErrorCode::kMalformed, "the token's '" + std::string(name) + "' is no time");
  return WallTime(Millis(static_cast<std::int64_t>(std::floor(seconds * 1000))));
}

// When the token ends for us. Order: who comes late is told so, whatever else is wrong.
Result<WallTime> CheckTimes(const json& claims, const TokenRules& rules, WallTime now) {
  TACIT_TRY(const WallTime expires, ReadTime(claims, "exp"));
  TACIT_TRY(const WallTime issued, ReadTime(claims, "iat"));
  const std::chrono::seconds leeway = std::min(rules.leeway, kMostLeeway);
  if (now >= expires + leeway) return Unbelievable("the token has expired (exp); get another from its issuer");
  if (issued > now + leeway)
    return Unbelievable(
        "the token was issued in the future (iat): is the clock of its issuer or of this server wrong?");
  if (claims.contains("nbf")) {
    TACIT_TRY(const WallTime begins, ReadTime(claims, "nbf"));
    if (begins > now + leeway) return Unbelievable("the token is not valid yet (nbf)");
  }
  if (expires - issued > rules.max_lifetime) {
    return Unbelievable("the token is for longer (exp - iat) than " + std::to_string(rules.max_lifetime.count()) +
                        " seconds, the longest that this server takes (max_lifetime)");
  }
  return expires + leeway;
}

Result<std::string> ReadSubject(const json& claims) {
  const std::string* subject = TextMember(claims, "sub");
  if (subject == nullptr || subject->empty() || subject->size() > kLongestSubject)
    return Fail(ErrorCode::kMalformed, "the token's 'sub' is not there, or not a text of 1 to 255 bytes");
  return "oidc:" + web::PercentEncode(*subject);
}

std::vector<std::string> ValuesAt(const json& claims, const ClaimPath& path) {
  const json* at = &claims;
  for (const std::string& name : path) {
    const auto found = at->is_object() ? at->find(name) : at->end();
    if (found == at->end()) return {};
    at = &*found;
  }
  std::vector<std::string> values;
  if (at->is_string()) values.push_back(at->get<std::string>());
  if (at->is_array()) {
    for (const json& each : *at)
      if (each.is_string()) values.push_back(each.get<std::string>());
  }
  return values;
}

}  // namespace

Result<ClaimPath> ParseClaimPath(std::string_view text) {
  const bool pointer = text.starts_with('/');
  std::string_view rest = pointer ? text.substr(1) : text;
  ClaimPath path;
  for (bool more = true; more;) {
    const std::size_t end = rest.find(pointer ? '/' : '.');
    const std::string_view part = rest.substr(0, end);
    more = end != std::string_view::npos;
    if (more) rest.remove_prefix(end + 1);
    std::optional<std::string> name = pointer ? Unescaped(part) : std::string(part);
    if (!name || name->empty() || path.size() == kDeepestClaim || text.size() > kLongestClaimPath) {
      return Fail(ErrorCode::kInvalidArgument,
                  R"(must name a claim, such as "roles", "realm_access.roles" or "/https:~1~1example.com~1roles")");
    }
    path.push_back(*std::move(name));
  }
  return path;
}

bool LooksLikeToken(std::string_view text) {
  return std::ranges::count(text, '.') == 2;
}

Result<SignedToken> ParseToken(std::string_view text) {
  if (text.size() > kLongestToken)
    return Fail(ErrorCode::kTooLarge, "a token of more than " + std::to_string(kLongestToken) + " bytes");
  if (!LooksLikeToken(text)) return Fail(ErrorCode::kMalformed, "a token has three parts with dots between them");
  const Parts parts = Split(text);
  TACIT_TRY(const Bytes encoded, Decoded(parts.header, "header"));
  TACIT_TRY(const json header, ParseStrictObject(AsText(encoded), "a token's header", kLongestToken));
  SignedToken token;
  TACIT_TRY(token.signature_kind, ReadAlgorithm(header));
  TACIT_TRY_VOID(CheckHeader(header));
  const std::string* id = TextMember(header, "kid");
  if (id == nullptr || id->empty()) return Unbelievable("the token does not say with which key it is signed (kid)");
  token.key_id = *id;
  token.signed_text = text.substr(0, parts.header.size() + 1 + parts.payload.size());
  TACIT_TRY(token.payload, Decoded(parts.payload, "payload"));
  TACIT_TRY(token.signature, Decoded(parts.signature, "signature"));
  return token;
}

Result<Identity> ReadClaims(ByteSpan payload, const TokenRules& rules, WallTime now) {
  TACIT_TRY(const json claims, ParseStrictObject(AsText(payload), "a token's payload", kLongestToken));
  TACIT_TRY_VOID(CheckIssuer(claims, rules));
  TACIT_TRY_VOID(CheckAudience(claims, rules));
  TACIT_TRY(const WallTime ends, CheckTimes(claims, rules, now));
  TACIT_TRY(std::string name, ReadSubject(claims));
  return Identity{.name = std::move(name), .values = ValuesAt(claims, rules.role_claim), .expires_at = ends};
}

Result<Identity> VerifyToken(std::string_view text, const KeySet& keys, const TokenRules& rules, WallTime now) {
  TACIT_TRY(const SignedToken token, ParseToken(text));
  const crypto::PublicKey* key = keys.Find(token.key_id, token.signature_kind);
  if (key == nullptr && keys.Has(token.key_id)) {
    return Unbelievable("the key " + Excerpt(token.key_id) + " does not sign with " +
                        std::string(crypto::NameOf(token.signature_kind)));
  }
  if (key == nullptr) {
    return Fail(ErrorCode::kNotFound, "the token's issuer has no key " + Excerpt(token.key_id) +
                                          " that this server knows; if it is new, try again in a few seconds");
  }
  if (!key->Verify(AsBytes(token.signed_text), token.signature)) return Unbelievable("the token's signature is wrong");
  return ReadClaims(token.payload, rules, now);
}

}  // namespace tacit::identity
