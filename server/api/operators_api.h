#pragma once

#include <vector>

#include "server/api/access.h"

namespace tacit::api {

/// The api listener's routes about tasks, models and devices.
std::vector<GuardedRoute> OperatorRoutes();

}  // namespace tacit::api
