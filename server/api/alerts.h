#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/clock.h"
#include "server/coordinator/views.h"
#include "server/metrics/metrics.h"
#include "server/store/records.h"

namespace tacit::api {

/// Something that a person should look at, as far as the server sees it in itself at this moment. Prometheus sees more
/// (deploy/prometheus/alerts.yml): what needs a while to be looked at. What both see has one name and one threshold.
struct Alert {
  std::string_view name;
  std::string_view severity;  ///< `page`: at once; `ticket`: during the week.
  std::string summary;
  std::string next;            ///< What to do or to look at.
  std::optional<TaskId> task;  ///< Absent where it is of the server.
};

/// Privacy: of figures that are told of the task anyway.
std::vector<Alert> AlertsOf(const coordinator::TaskView& task, WallTime now);

/// Of what devices that use the task's models reported. Privacy: of what they served, not of rounds.
std::vector<Alert> AlertsOf(const TaskId& task, const store::EdgeFleet& edge, WallTime now);

struct ServerFacts {
  WallTime ca_ends;
  WallTime certificate_ends;
  metrics::CertificatesLeft devices;
};
std::vector<Alert> AlertsOf(const ServerFacts& server, WallTime now);

}  // namespace tacit::api
