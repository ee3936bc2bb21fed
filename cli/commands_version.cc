#include "cli/commands.h"
#include "cli/fields.h"
#include "cli/text.h"
#include "common/base/version.h"

namespace tacit::cli {

namespace {

Outcome<Json> AskServer(Outcome<ApiClient> client) {
  TACIT_CLI_TRY(ApiClient connected, std::move(client));
  return connected.Get("/api/v1/version");
}

}  // namespace

Report ShowOwnVersion() {
  return {Json{{"tacit", kVersion}, {"server", nullptr}}, "tacit " + std::string(kVersion) + "\n", {}};
}

Report ShowVersion(std::optional<Outcome<ApiClient>> client) {
  Report report{Json{{"tacit", kVersion}, {"server", nullptr}}, "", {}};
  std::vector<std::pair<std::string, std::string>> lines = {{"tacit", std::string(kVersion)}};
  if (client) {
    Outcome<Json> server = AskServer(*std::move(client));
    if (server) {
      lines.emplace_back("server", TextAt(*server, "version"));
      report.data["server"] = *std::move(server);
    } else {
      report.notes = {"the server's version is not known: " + server.error().error.message};
    }
  }
  report.text = FormatPairs(lines);
  return report;
}

}  // namespace tacit::cli
