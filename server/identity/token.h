#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/crypto/public_key.h"
#include "server/identity/keys.h"

// JSON Web Tokens in which an OpenID Connect issuer says who somebody is. Source: RFC 7515 (JWS), RFC 7519 (JWT), with
// what RFC 8725 asks of who takes them.
namespace tacit::identity {

inline constexpr std::size_t kLongestToken = std::size_t{8} * 1024;
/// More than that between two clocks is a fault to be mended, not one to be borne (RFC 7519, section 4.1.4: "usually no
/// more than a few minutes").
inline constexpr std::chrono::seconds kMostLeeway{60};

/// Where the roles are in a token: the names of members, from the outside in.
using ClaimPath = std::vector<std::string>;
/// "roles"; "realm_access.roles", a dot between names; or a JSON Pointer, "/https:~1~1example.com~1roles", for names
/// with dots in them (RFC 6901). Errors: kInvalidArgument.
Result<ClaimPath> ParseClaimPath(std::string_view text);

/// What a token must say to be taken.
struct TokenRules {
  std::string issuer;    ///< `iss`, to the letter.
  std::string audience;  ///< One of `aud`.
  ClaimPath role_claim;
  std::chrono::seconds leeway{};        ///< Between the issuer's clock and ours; at most kMostLeeway.
  std::chrono::seconds max_lifetime{};  ///< From `iat` to `exp`.
};

/// Who somebody is, as the issuer says.
struct Identity {
  std::string name;                 ///< "oidc:" and the subject in printable ASCII, two of which are never the same.
  std::vector<std::string> values;  ///< Of the role claim, in its order; empty when it is not there.
  WallTime expires_at;              ///< From when on the token is not taken any more: its `exp` and the leeway.
};

/// Whether it has the form of such a token, and not that of an access token: two dots.
bool LooksLikeToken(std::string_view text);

/// A token taken apart, of which nothing is believed yet.
struct SignedToken {
  std::string key_id;
  crypto::TokenSignature signature_kind{};
  std::string_view signed_text;  ///< Of the text it was parsed from.
  Bytes payload;
  Bytes signature;
};

/// What the header says is taken for nothing but to find the key: a key or an address in it is not looked at, and an
/// extension that has to be understood (`crit`) is refused, because none is.
/// Errors: kTooLarge over kLongestToken; kMalformed; kUnauthenticated for an algorithm other than RS256 and ES256,
/// which includes `none` and every symmetric one, for another type than JWT, for `crit`, or for no `kid`.
Result<SignedToken> ParseToken(std::string_view text);

/// What a token whose signature is good says, if the rules let it. Errors: kMalformed; kUnauthenticated, with the rule.
Result<Identity> ReadClaims(ByteSpan payload, const TokenRules& rules, WallTime now);

/// The whole check of a token. Errors: kNotFound when none of the keys has its id, and new ones may have; else as
/// ParseToken and ReadClaims, and kUnauthenticated for a wrong signature. None has a part of the token but names of
/// algorithms and keys, cut short. Cost: that of one signature.
Result<Identity> VerifyToken(std::string_view text, const KeySet& keys, const TokenRules& rules, WallTime now);

}  // namespace tacit::identity
