#pragma once

#include <vector>

#include "server/api/access.h"

namespace tacit::api {

/// Whose a model is that somebody found: `/api/v1/tasks/{task}/claims` and `/traces`.
std::vector<GuardedRoute> OwnershipRoutes();

}  // namespace tacit::api
