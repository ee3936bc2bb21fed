#pragma once

#include <vector>

#include "server/api/access.h"

namespace tacit::api {

/// How the server itself is: what a person should look at, and every number that Prometheus is told.
std::vector<GuardedRoute> OperationsRoutes();

}  // namespace tacit::api
