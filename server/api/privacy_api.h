#pragma once

#include <vector>

#include "server/api/access.h"

namespace tacit::api {

/// What tasks have spent and may spend, and the record of it.
std::vector<GuardedRoute> PrivacyRoutes();

}  // namespace tacit::api
