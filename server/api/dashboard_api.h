#pragma once

#include <string_view>
#include <vector>

#include "server/api/router.h"

namespace tacit::api {

/// The dashboard's files, to anyone: they hold no more than the sources do. What it shows it asks for at the guarded
/// routes, as whoever looks at it.
std::vector<Route> DashboardRoutes();

/// Whether a client that sends this Accept-Encoding takes gzip. Source: RFC 9110, section 12.5.3.
bool TakesGzip(std::string_view accept_encoding);

}  // namespace tacit::api
