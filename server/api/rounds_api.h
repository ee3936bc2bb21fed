#pragma once

#include <vector>

#include "server/api/access.h"

namespace tacit::api {

/// The api listener's routes about the rounds of a task, and what happens in it as it happens.
std::vector<GuardedRoute> RoundRoutes();

}  // namespace tacit::api
