#include "cli/commands.h"
#include "cli/describe.h"
#include "cli/fields.h"

namespace tacit::cli {

Outcome<Report> Run(const AlertsArguments& /*arguments*/, ApiClient& client) {
  TACIT_CLI_TRY(Json alerts, client.GetAll("/api/v1/alerts"));
  std::string text = DescribeAlerts(alerts);
  return Report{Json{{"items", std::move(alerts)}}, std::move(text), {}};
}

Outcome<Report> Run(const MetricsArguments& arguments, ApiClient& client) {
  TACIT_CLI_TRY(const Json all, client.GetAll("/api/v1/metrics"));
  Json wanted = Json::array();
  for (const Json& metric : all)
    if (TextAt(metric, "name").contains(arguments.name)) wanted.push_back(metric);
  std::string text = DescribeMetrics(wanted);
  return Report{Json{{"items", std::move(wanted)}}, std::move(text), {}};
}

}  // namespace tacit::cli
