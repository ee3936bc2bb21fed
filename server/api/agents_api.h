#pragma once

#include <vector>

#include "server/api/context.h"
#include "server/api/router.h"

namespace tacit::api {

/// The agents' listener: check-in, model download, upload, certificate renewal. docs/PROTOCOL.md has every byte of it.
std::vector<Route> AgentRoutes(Context& context);

}  // namespace tacit::api
