#pragma once

#include <vector>

#include "server/api/context.h"
#include "server/api/router.h"

namespace tacit::api {

/// What the agents' listener has for devices that use models: leases and bundles. docs/PROTOCOL.md has every byte.
std::vector<Route> DeliveryRoutes(Context& context);

}  // namespace tacit::api
