#include "server/api/identity_access.h"

#include <algorithm>
#include <utility>

namespace tacit::api {
namespace {

using store::Role;

bool MayAllThat(Role role, Role other) {
  return std::ranges::all_of(ActionTable(),
                             [=](const ActionRow& row) { return May(role, row.action) || !May(other, row.action); });
}

}  // namespace

Result<Role> RoleOf(const std::vector<std::string>& values, const RoleTable& roles) {
  std::vector<Role> said;
  for (const std::string& value : values)
    if (const auto found = roles.find(value); found != roles.end()) said.push_back(found->second);
  if (said.empty()) {
    return Fail(
        ErrorCode::kPermissionDenied,
        "the issuer says who you are, but nothing that stands for a role here ([api.oidc.roles]): ask an admin");
  }
  for (const Role role : said)
    if (std::ranges::all_of(said, [role](Role other) { return MayAllThat(role, other); })) return role;
  return Fail(
      ErrorCode::kPermissionDenied,
      "the issuer says that you are an auditor and also a scientist, operator or admin, which nobody is at once: "
      "ask for a token that says one of them");
}

Result<Principal> ByIdentity(const IdentityAccess& access, std::string_view token) {
  TACIT_TRY(identity::Identity who, access.issuer.Check(token));
  TACIT_TRY(const Role role, RoleOf(who.values, access.roles));
  return Principal{.name = std::move(who.name),
                   .role = role,
                   .proof = Proof::kIdentityToken,
                   .token = {},
                   .tasks = {},
                   .expires_at = who.expires_at};
}

}  // namespace tacit::api
