#include "common/crypto/spiffe.h"

#include <algorithm>
#include <array>

#include "common/base/ids.h"

namespace tacit::crypto {
namespace {

constexpr std::string_view kScheme = "spiffe://";
constexpr std::size_t kLongestTrustDomain = 255;

struct SpiffeNameTag {
  static constexpr std::string_view kWhat = "the name in a SPIFFE ID";
};

bool IsTrustDomain(std::string_view text) {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
  };
  return !text.empty() && text.size() <= kLongestTrustDomain && std::ranges::all_of(text, fits);
}

// A device, a server, who reads its metrics, or the role of a person.
constexpr std::array<std::string_view, 8> kKinds = {"device",    "server",   "monitor", "viewer",
                                                    "scientist", "operator", "auditor", "admin"};

bool IsKind(std::string_view text) {
  return std::ranges::find(kKinds, text) != kKinds.end();
}

}  // namespace

Result<SpiffeId> SpiffeId::Parse(std::string_view uri) {
  if (!uri.starts_with(kScheme)) return Fail(ErrorCode::kInvalidArgument, "a SPIFFE ID starts with spiffe://");
  uri.remove_prefix(kScheme.size());
  const std::size_t domain_end = uri.find('/');
  const std::size_t kind_end = domain_end == uri.npos ? uri.npos : uri.find('/', domain_end + 1);
  if (kind_end == uri.npos) {
    return Fail(ErrorCode::kInvalidArgument, "a SPIFFE ID is spiffe://<trust-domain>/<kind>/<name>");
  }
  const std::string_view trust_domain = uri.substr(0, domain_end);
  const std::string_view kind = uri.substr(domain_end + 1, kind_end - domain_end - 1);
  if (!IsTrustDomain(trust_domain)) {
    return Fail(ErrorCode::kInvalidArgument, "a trust domain is 1 to 255 of a-z, 0-9, '.', '-' and '_'");
  }
  if (!IsKind(kind)) {
    return Fail(ErrorCode::kInvalidArgument,
                "the kind in a SPIFFE ID is device, server, monitor, viewer, scientist, operator, auditor or admin");
  }
  TACIT_TRY(const auto name, Name<SpiffeNameTag>::Parse(uri.substr(kind_end + 1)));
  return SpiffeId{std::string(trust_domain), std::string(kind), name.str()};
}

std::string SpiffeId::ToUri() const {
  return std::string(kScheme) + trust_domain + "/" + kind + "/" + name;
}

}  // namespace tacit::crypto
