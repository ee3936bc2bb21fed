#pragma once

#include <vector>

#include "server/api/context.h"
#include "server/api/router.h"

namespace tacit::api {

/// What the agents' listener has for devices that use models and say how that goes. docs/PROTOCOL.md has every byte.
std::vector<Route> ReportRoutes(Context& context);

}  // namespace tacit::api
