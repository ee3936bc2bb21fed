#include "server/identity/keys.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "common/base/text.h"
#include "common/web/web_url.h"
#include "server/identity/strict_json.h"

namespace tacit::identity {
namespace {

using crypto::PublicKey;
using crypto::TokenSignature;
using nlohmann::json;

// Of an id, and of one number of the largest key in base64url with room to spare.
constexpr std::size_t kLongestId = 255;
constexpr std::size_t kLongestNumber = 2048;

// Nothing when it is not there, too long, or no number.
std::optional<Bytes> NumberAt(const json& key, std::string_view name) {
  const std::string* text = TextMember(key, name);
  if (text == nullptr || text->empty() || text->size() > kLongestNumber) return std::nullopt;
  auto bytes = ParseBase64Url(*text);
  if (!bytes) return std::nullopt;
  return *std::move(bytes);
}

std::optional<PublicKey> RsaKey(const json& key) {
  const auto modulus = NumberAt(key, "n");
  const auto exponent = NumberAt(key, "e");
  if (!modulus || !exponent) return std::nullopt;
  auto made = PublicKey::FromRsa({.modulus = *modulus, .exponent = *exponent});
  if (!made) return std::nullopt;
  return *std::move(made);
}

std::optional<PublicKey> CurveKey(const json& key) {
  const std::string* curve = TextMember(key, "crv");
  const auto x = NumberAt(key, "x");
  const auto y = NumberAt(key, "y");
  if (curve == nullptr || *curve != "P-256" || !x || !y) return std::nullopt;
  auto made = PublicKey::FromP256({.x = *x, .y = *y});
  if (!made) return std::nullopt;
  return *std::move(made);
}

// What a key says of itself that it is for, where it says so. Source: RFC 7517, sections 4.2 and 4.3.
bool IsForVerifying(const json& key) {
  if (key.contains("use")) {
    const std::string* use = TextMember(key, "use");
    if (use == nullptr || *use != "sig") return false;
  }
  const auto operations = key.find("key_ops");
  if (operations == key.end()) return true;
  return operations->is_array() && std::ranges::any_of(*operations, [](const json& each) { return each == "verify"; });
}

std::optional<PublicKey> UsefulKey(const json& key) {
  const std::string* kind = TextMember(key, "kty");
  if (kind == nullptr || !IsForVerifying(key)) return std::nullopt;
  std::optional<PublicKey> made;
  if (*kind == "RSA") made = RsaKey(key);
  if (*kind == "EC") made = CurveKey(key);
  if (!made || !key.contains("alg")) return made;
  const std::string* algorithm = TextMember(key, "alg");
  if (algorithm == nullptr || *algorithm != crypto::NameOf(made->signature())) return std::nullopt;
  return made;
}

}  // namespace

Result<KeySet> KeySet::Parse(std::string_view text) {
  TACIT_TRY(const json document, ParseStrictObject(text, "a key set", kLargestDocument));
  const auto keys = document.find("keys");
  if (keys == document.end() || !keys->is_array())
    return Fail(ErrorCode::kMalformed, "a key set without a list 'keys'");
  if (keys->size() > kMost)
    return Fail(ErrorCode::kTooLarge, "a key set of more than " + std::to_string(kMost) + " keys");
  KeySet set;
  for (const json& each : *keys) {
    if (!each.is_object()) return Fail(ErrorCode::kMalformed, "a key set with a key that is not a JSON object");
    const std::string* id = TextMember(each, "kid");
    std::optional<PublicKey> key;
    if (id != nullptr && !id->empty() && id->size() <= kLongestId) key = UsefulKey(each);
    if (!key) {
      ++set.left_out_;
      continue;
    }
    if (set.Find(*id, key->signature()) != nullptr)
      return Fail(ErrorCode::kMalformed, "a key set with two keys of the id " + Excerpt(*id));
    set.keys_.push_back({.id = *id, .key = *std::move(key)});
  }
  return set;
}

const PublicKey* KeySet::Find(std::string_view id, TokenSignature signature) const {
  const auto found = std::ranges::find_if(
      keys_, [&](const Entry& each) { return each.id == id && each.key.signature() == signature; });
  return found == keys_.end() ? nullptr : &found->key;
}

bool KeySet::Has(std::string_view id) const {
  return std::ranges::find(keys_, id, &Entry::id) != keys_.end();
}

std::string DiscoveryUrl(std::string_view issuer) {
  if (issuer.ends_with('/')) issuer.remove_suffix(1);
  return std::string(issuer) + "/.well-known/openid-configuration";
}

Result<std::string> ParseDiscovery(std::string_view text, std::string_view issuer) {
  TACIT_TRY(const json document, ParseStrictObject(text, "a description of an issuer", kLargestDocument));
  const std::string* named = TextMember(document, "issuer");
  if (named == nullptr || *named != issuer) {
    return Fail(ErrorCode::kInvalidArgument, "the description is of the issuer " +
                                                 (named == nullptr ? "without a name" : Excerpt(*named)) +
                                                 ", not of the configured one, to the letter");
  }
  const std::string* keys = TextMember(document, "jwks_uri");
  if (keys == nullptr) return Fail(ErrorCode::kMalformed, "the description does not say where the keys are (jwks_uri)");
  if (const auto origin = web::OriginOf(*keys, web::PlainHttp::kRefused); !origin)
    return Annotate(origin.error(), "jwks_uri");
  return *keys;
}

}  // namespace tacit::identity
