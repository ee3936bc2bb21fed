#include <filesystem>
#include <system_error>

#include "cli/commands.h"
#include "cli/describe.h"
#include "cli/fields.h"
#include "cli/text.h"
#include "common/base/files.h"

namespace tacit::cli {
namespace {

// The secret goes to the file and nowhere else.
Outcome<void> WriteSecret(const AccessTokenCreateArguments& arguments, Json& token) {
  const std::string text = TextAt(token, "secret") + "\n";
  if (auto written = WriteNewSecretFile(arguments.output, AsBytes(text)); !written) {
    return UsageFailure(written.error(), "the token was made but is lost: tacit access token revoke " +
                                             TextAt(token, "id") + ", and again with an --output that can be written");
  }
  token.erase("secret");
  token["file"] = arguments.output.string();
  return {};
}

}  // namespace

Outcome<Report> Run(const AccessTokenCreateArguments& arguments, ApiClient& client) {
  if (std::error_code none; std::filesystem::exists(arguments.output, none)) {
    return UsageFailure(arguments.output.string() + " is there already",
                        "name another file with --output, or remove that one: a secret in it would be lost");
  }
  Json body = {{"name", arguments.name}, {"role", arguments.role}, {"ttl_s", arguments.lifetime.count()}};
  for (const TaskId& task : arguments.tasks) body["tasks"].push_back(task.str());
  TACIT_CLI_TRY(Json token, client.Post("/api/v1/access/tokens", body));
  if (!arguments.output.empty()) {
    if (auto written = WriteSecret(arguments, token); !written) return std::unexpected(std::move(written).error());
  }
  std::string text = DescribeAccessToken(token);
  return Report{std::move(token), std::move(text), {}};
}

Outcome<Report> Run(const AccessTokenListArguments& /*arguments*/, ApiClient& client) {
  TACIT_CLI_TRY(Json tokens, client.GetAll("/api/v1/access/tokens"));
  std::string text = DescribeAccessTokens(tokens);
  return Report{Json{{"items", std::move(tokens)}}, std::move(text), {}};
}

Outcome<Report> Run(const AccessTokenRevokeArguments& arguments, ApiClient& client) {
  TACIT_CLI_TRY(Json token, client.Post("/api/v1/access/tokens/" + arguments.id + ":revoke", Json()));
  std::string text = DescribeAccessTokens(Json::array({token}));
  return Report{std::move(token), std::move(text), {}};
}

Outcome<Report> Run(const WhoamiArguments& /*arguments*/, ApiClient& client) {
  TACIT_CLI_TRY(Json self, client.Get("/api/v1/whoami"));
  std::string text = DescribeWhoami(self);
  return Report{std::move(self), std::move(text), {}};
}

Outcome<Report> Run(const AuditListArguments& arguments, ApiClient& client) {
  TACIT_CLI_TRY(Json records, client.GetAll("/api/v1/audit", std::to_string(arguments.after)));
  std::string text = DescribeAuditLog(records);
  return Report{Json{{"items", std::move(records)}}, std::move(text), {}};
}

Outcome<Report> Run(const AuditVerifyArguments& /*arguments*/, ApiClient& client) {
  TACIT_CLI_TRY(Json check, client.Get("/api/v1/audit/verification"));
  if (MemberAt(check, "holds") != true) {
    return std::unexpected(Failure{ExitCode::kRefused,
                                   {ErrorCode::kDataLoss, TextAt(check, "fault")},
                                   "tacit audit list --json > audit.json keeps what there is: it is evidence"});
  }
  std::string text = FormatPairs(
      {{"audit log", "holds"}, {"records", TextAt(check, "records")}, {"newest hash", TextAt(check, "head")}});
  Report report{std::move(check), std::move(text), {}};
  report.notes = {"write the newest hash down elsewhere: a log whose end was cut holds as well"};
  return report;
}

}  // namespace tacit::cli
