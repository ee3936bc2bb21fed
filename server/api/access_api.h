#pragma once

#include <vector>

#include "server/api/access.h"

namespace tacit::api {

/// The api listener's routes about who may do what, and who did.
std::vector<GuardedRoute> AccessRoutes();

}  // namespace tacit::api
