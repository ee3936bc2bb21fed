#pragma once

#include <vector>

#include "server/api/context.h"
#include "server/api/router.h"

namespace tacit::api {

/// The api listener: what operators and data scientists ask, over mutual TLS with an operator's certificate.
std::vector<Route> OperatorRoutes(Context& context);

}  // namespace tacit::api
