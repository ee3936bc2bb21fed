#pragma once

#include <string>
#include <vector>

#include "server/api/context.h"
#include "server/api/router.h"

namespace tacit::api {

/// A task whose models devices may use. Errors: kInvalidArgument for what is no name; kNotFound for a task that there
/// is not, or that gives devices no models.
net::Task<Result<coordinator::TaskView>> FindDeployed(Context& context, const std::string& name);

/// What the agents' listener has for devices that use models: leases and bundles. docs/PROTOCOL.md has every byte.
std::vector<Route> DeliveryRoutes(Context& context);

}  // namespace tacit::api
