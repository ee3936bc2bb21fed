#include <cstdint>

#include "cli/commands.h"
#include "cli/describe.h"
#include "cli/fields.h"
#include "cli/text.h"
#include "common/base/files.h"
#include "common/base/text.h"
#include "common/crypto/digest.h"

namespace tacit::cli {
namespace {

// The header decides a file name, so it is believed only when it is a number.
std::string VersionOf(const net::ClientResponse& response, const std::string& asked) {
  const auto header = response.Header("x-tacit-model-version");
  const bool number = header && !header->empty() && header->find_first_not_of("0123456789") == header->npos;
  return number ? std::string(*header) : asked;
}

Json NumberOrText(const std::string& text) {
  const std::optional<std::uint64_t> number = ParseWhole(text);
  return number ? Json(*number) : Json(text);
}

}  // namespace

Outcome<Report> Run(const ModelShowArguments& arguments, ApiClient& client) {
  TACIT_CLI_TRY(Json model, client.Get("/api/v1/tasks/" + arguments.task.str() + "/models/" + arguments.version));
  std::string text = FormatPairs({{"model", TextAt(model, "task") + " version " + TextAt(model, "version")},
                                  {"parameters", TextAt(model, "parameters")},
                                  {"bytes", TextAt(model, "bytes")},
                                  {"made", TextAt(model, "created_at")},
                                  {"sha256", TextAt(model, "sha256")}});
  return Report{std::move(model), std::move(text), {}};
}

Outcome<Report> Run(const ModelDeploymentArguments& arguments, ApiClient& client) {
  TACIT_CLI_TRY(Json deployment, client.Get("/api/v1/tasks/" + arguments.task.str() + "/deployment"));
  std::string text = DescribeDeployment(deployment);
  return Report{std::move(deployment), std::move(text), {}};
}

Outcome<Report> Run(const ModelGetArguments& arguments, ApiClient& client) {
  const std::string target =
      "/api/v1/tasks/" + arguments.task.str() + "/models/" + arguments.version + "/content?format=" + arguments.format;
  auto answer = client.Download(target);
  if (!answer) {
    Failure failure = std::move(answer).error();
    const bool no_task = failure.error.message.contains("no task named");
    if (failure.error.code == ErrorCode::kNotFound && !no_task)
      failure.hint = "tacit task show " + arguments.task.str();
    return std::unexpected(std::move(failure));
  }
  const net::ClientResponse& response = *answer;
  const std::string version = VersionOf(response, arguments.version);
  const std::filesystem::path by_name = arguments.task.str() + "-v" + version + "." + arguments.format;
  const std::filesystem::path& output = arguments.output.empty() ? by_name : arguments.output;
  if (auto written = WriteFileAtomic(output, response.body, kReadableByAll); !written) {
    return UsageFailure(written.error(),
                        "tacit model get " + arguments.task.str() + " -o FILE with a file that can be written");
  }
  const std::string digest = ToHex(crypto::Sha256(response.body));
  Report report;
  report.data = {{"task", arguments.task.str()},
                 {"version", NumberOrText(version)},
                 {"format", arguments.format},
                 {"file", output.string()},
                 {"sha256", digest},
                 {"bytes", response.body.size()}};
  report.text = FormatPairs({{"file", output.string()},
                             {"model", arguments.task.str() + " version " + version},
                             {"bytes", std::to_string(response.body.size())},
                             {"sha256", digest}});
  return report;
}

}  // namespace tacit::cli
