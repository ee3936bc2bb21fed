#include "server/identity/issuer.h"

#include <string>
#include <utility>

#include "common/base/text.h"
#include "server/doctor/checks.h"

namespace tacit::doctor {

Findings CheckIssuer(const app::ServerConfig& config) {
  if (!config.oidc) return {};
  const app::OidcConfig& oidc = *config.oidc;
  const std::string area = "issuer";
  const auto problem = [&](const std::string& what, std::string next) {
    return Findings{{.area = area, .verdict = Verdict::kProblem, .what = what, .next = std::move(next)}};
  };
  const auto fetch = identity::MakeFetch(oidc.ca_file);
  if (!fetch) return {};  // the check of the configuration says why
  const auto keys = identity::FetchKeys({.issuer = oidc.issuer, .jwks_url = oidc.jwks_url}, *fetch, {});
  if (!keys) {
    return problem("no keys from the issuer: " + keys.error().message,
                   "compare [api.oidc] with what its issuer says; 'curl' from this machine shows whether it answers");
  }
  if (keys->size() == 0) {
    return problem("the issuer answers, but none of its keys is of use: " + Counted(keys->left_out(), "key") +
                       " of other kinds, too short, or without an id",
                   "have it sign with RS256 (2048 bits or more) or ES256");
  }
  return {Ok(area, "the issuer answers, with " + Counted(keys->size(), "key") + " to check its tokens with")};
}

}  // namespace tacit::doctor
