#pragma once

#include <chrono>
#include <vector>

#include "server/api/access.h"
#include "server/api/json.h"

namespace tacit::api {

/// How models do on the devices that use them, for people: what devices reported.
std::vector<GuardedRoute> EdgeRoutes();

/// What one device reported of one task, with the signed bytes of its last report.
Json ToJson(const store::EdgeReportRecord& report, LastSeen precision);

/// Since when a device counts as one that reports: as many intervals of an agent that nobody told another one as make
/// it plain that it is away.
inline constexpr std::chrono::hours kReportsLately{24};

/// What devices of a task reported, for alerts and pages.
net::Task<Result<store::EdgeFleet>> ReadEdge(Context& context, const TaskId& task);

}  // namespace tacit::api
