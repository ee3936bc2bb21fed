#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "server/api/access.h"
#include "server/identity/issuer.h"
#include "server/store/records.h"

// Who may come in by what an OpenID Connect issuer says of them.
namespace tacit::api {

/// Values of the role claim, and the role that each stands for.
using RoleTable = std::map<std::string, store::Role, std::less<>>;

/// What a server with an issuer knows of it. The issuer outlives the listeners.
struct IdentityAccess {
  identity::Issuer& issuer;
  RoleTable roles;
};

/// The one role of somebody of whom several values may be said: that which may do all that the others may. There is
/// none of auditor with scientist, operator or admin, because nobody does both; nor of values that are all unknown.
/// Errors: kPermissionDenied, saying which of these it is.
Result<store::Role> RoleOf(const std::vector<std::string>& values, const RoleTable& roles);

/// Whoever an identity token speaks of. Errors: those of Issuer::Check and of RoleOf.
Result<Principal> ByIdentity(const IdentityAccess& access, std::string_view token);

}  // namespace tacit::api
