#pragma once

#include <vector>

#include "server/api/context.h"
#include "server/api/router.h"

namespace tacit::api {

/// Sets what others keep and the page tells, as it is now: before each look at the page.
void GatherMetrics(Context& context);

/// The metrics listener, plain HTTP on loopback by default: /metrics, /healthz (the process answers), /readyz (every
/// task was taken up from the store and requests are served). With TLS each asks for a certificate of kind "monitor".
std::vector<Route> MetricsRoutes(Context& context);

}  // namespace tacit::api
