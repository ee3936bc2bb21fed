#include "cli/commands.h"
#include "cli/describe.h"
#include "cli/fields.h"

namespace tacit::cli {

Outcome<Report> Run(const TokenCreateArguments& arguments, ApiClient& client) {
  const Json body = {{"uses", arguments.uses},
                     {"ttl_s", arguments.lifetime.count()},
                     {"name", arguments.device ? Json(arguments.device->str()) : Json()}};
  TACIT_CLI_TRY(Json token, client.Post("/api/v1/enrolment/tokens", body));
  std::string text = DescribeToken(token, client.context().client.server.host);
  return Report{std::move(token), std::move(text), {}};
}

Outcome<Report> Run(const DeviceSummaryArguments& /*arguments*/, ApiClient& client) {
  TACIT_CLI_TRY(Json fleet, client.Get("/api/v1/fleet"));
  std::string text = DescribeFleet(fleet);
  return Report{std::move(fleet), std::move(text), {}};
}

Outcome<Report> Run(const TokenListArguments& /*arguments*/, ApiClient& client) {
  TACIT_CLI_TRY(Json tokens, client.GetAll("/api/v1/enrolment/tokens"));
  std::string text = DescribeTokens(tokens);
  return Report{Json{{"items", std::move(tokens)}}, std::move(text), {}};
}

Outcome<Report> Run(const TokenRevokeArguments& arguments, ApiClient& client) {
  TACIT_CLI_TRY(Json token, client.Post("/api/v1/enrolment/tokens/" + arguments.id + ":revoke", Json()));
  std::string text = DescribeTokens(Json::array({token}));
  Report report{std::move(token), std::move(text), {}};
  report.notes = {"devices that it admitted stay; 'tacit device revoke DEVICE' shuts one out"};
  return report;
}

Outcome<Report> Run(const DeviceShowArguments& arguments, ApiClient& client) {
  TACIT_CLI_TRY(Json device, client.Get("/api/v1/devices/" + arguments.device.str()));
  std::string text = DescribeDevice(device);
  return Report{std::move(device), std::move(text), {}};
}

Outcome<Report> Run(const DeviceListArguments& /*arguments*/, ApiClient& client) {
  TACIT_CLI_TRY(Json devices, client.GetAll("/api/v1/devices"));
  std::string text = DescribeDevices(devices);
  return Report{Json{{"items", std::move(devices)}}, std::move(text), {}};
}

Outcome<Report> Run(const DeviceRevokeArguments& arguments, ApiClient& client) {
  TACIT_CLI_TRY(Json device, client.Post("/api/v1/devices/" + arguments.device.str() + ":revoke", Json()));
  std::string text = DescribeDevices(Json::array({device}));
  return Report{std::move(device), std::move(text), {}};
}

}  // namespace tacit::cli
