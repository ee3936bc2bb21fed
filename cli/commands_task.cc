#include <algorithm>
#include <string>
#include <string_view>

#include "cli/commands.h"
#include "cli/describe.h"
#include "cli/fields.h"
#include "cli/text.h"
#include "common/base/files.h"

namespace tacit::cli {
namespace {

constexpr std::size_t kLargestTaskFile = 256UL * 1024;

// The server names the file in its messages; only a plain name may stand in a header.
std::string HeaderName(const std::filesystem::path& file) {
  std::string name = file.filename().string();
  for (char& c : name) c = c >= ' ' && c < 0x7f ? c : '?';
  return name;
}

// The server knows the file by its name alone: where it is on this machine is said here.
std::string WithPath(std::string_view message, const std::filesystem::path& file) {
  const std::string name = HeaderName(file) + ":";
  std::string text;
  while (!message.empty()) {
    const std::size_t end = std::min(message.find('\n'), message.size() - 1) + 1;
    std::string_view line = message.substr(0, end);
    if (line.starts_with(name)) {
      text += file.string() + ":";
      line.remove_prefix(name.size());
    }
    text += line;
    message.remove_prefix(end);
  }
  return text;
}

std::string PathOf(const TaskId& task) {
  return "/api/v1/tasks/" + task.str();
}

}  // namespace

Outcome<Report> Run(const TaskCreateArguments& arguments, ApiClient& client) {
  const auto text = ReadFile(arguments.file, kLargestTaskFile);
  if (!text) return UsageFailure(text.error(), "tacit task create -f FILE with a file that can be read");
  const std::string target = arguments.dry_run ? "/api/v1/plan" : "/api/v1/tasks";
  auto answer = client.PostFile(target, {"application/toml", HeaderName(arguments.file), *text});
  if (!answer) {
    Failure failure = std::move(answer).error();
    const bool bad_file =
        failure.error.code == ErrorCode::kInvalidArgument || failure.error.code == ErrorCode::kMalformed;
    if (bad_file) {
      failure.exit = ExitCode::kUsage;
      failure.error.message = WithPath(failure.error.message, arguments.file);
      failure.hint = "correct the file, then: tacit task create --dry-run -f " + ShellQuote(arguments.file.string());
    }
    return std::unexpected(std::move(failure));
  }
  Report report{*answer, arguments.dry_run ? DescribePlan(*answer) : DescribeTask(*answer), {}};
  if (arguments.dry_run) report.notes = {"dry run: nothing was created and no budget was spent"};
  if (!arguments.dry_run) report.notes = {"created; next: tacit task watch " + TextAt(*answer, "name")};
  return report;
}

Outcome<Report> Run(const TaskEdgeArguments& arguments, ApiClient& client) {
  TACIT_CLI_TRY(Json edge, client.Get(PathOf(arguments.task) + "/edge"));
  std::string text = DescribeEdge(edge);
  return Report{std::move(edge), std::move(text), {}};
}

Outcome<Report> Run(const TaskListArguments& /*arguments*/, ApiClient& client) {
  TACIT_CLI_TRY(Json tasks, client.GetAll("/api/v1/tasks"));
  std::string text = DescribeTasks(tasks);
  return Report{Json{{"items", std::move(tasks)}}, std::move(text), {}};
}

Outcome<Report> Run(const TaskShowArguments& arguments, ApiClient& client) {
  TACIT_CLI_TRY(Json task, client.Get(PathOf(arguments.task)));
  std::string text = DescribeTask(task);
  return Report{std::move(task), std::move(text), {}};
}

Outcome<Report> Run(const TaskRoundsArguments& arguments, ApiClient& client) {
  TACIT_CLI_TRY(Json rounds, client.GetAll(PathOf(arguments.task) + "/rounds"));
  std::string text = DescribeRounds(rounds);
  return Report{Json{{"items", std::move(rounds)}}, std::move(text), {}};
}

Outcome<Report> Run(const RoundShowArguments& arguments, ApiClient& client) {
  TACIT_CLI_TRY(Json round, client.Get(PathOf(arguments.task) + "/rounds/" + std::to_string(arguments.round)));
  std::string text = DescribeRounds(Json::array({round}));
  return Report{std::move(round), std::move(text), {}};
}

Outcome<Report> Run(const TaskStopArguments& arguments, ApiClient& client) {
  const Json body = arguments.reason.empty() ? Json() : Json{{"reason", arguments.reason}};
  TACIT_CLI_TRY(Json task, client.Post(PathOf(arguments.task) + ":stop", body));
  std::string text = DescribeTask(task);
  Report report{std::move(task), std::move(text), {}};
  report.notes = {"stopped: a round that was charged is still published, any other ends without a model"};
  return report;
}

Outcome<Report> Run(const TaskAdjustArguments& arguments, ApiClient& client) {
  const Json body = {{"noise_multiplier", arguments.noise_multiplier}, {"dry_run", arguments.dry_run}};
  std::string tag = arguments.if_match;
  if (tag.empty() && arguments.dry_run) {
    TACIT_CLI_TRY(const net::ClientResponse figures, client.Download(PathOf(arguments.task) + "/privacy"));
    tag = figures.Header("etag").value_or("");
  }
  TACIT_CLI_TRY(Json made, client.PostIfMatch(PathOf(arguments.task) + ":adjust", body, tag));
  std::string text = DescribeAdjustment(made);
  Report report{std::move(made), std::move(text), {}};
  if (!arguments.dry_run) {
    report.notes = {"adjusted: a round that is reserved keeps its noise, the next ones have this"};
    return report;
  }
  report.notes = {"dry run: nothing was changed; to do it while the figures are these: tacit task adjust " +
                  arguments.task.str() + " --noise-multiplier " + body["noise_multiplier"].dump() + " --if-match " +
                  ShellQuote(tag)};
  report.data["if_match"] = tag;
  return report;
}

Outcome<Report> Run(const PrivacyOutlookArguments& arguments, ApiClient& client) {
  const std::string asked = arguments.rounds ? "?rounds=" + std::to_string(*arguments.rounds) : "";
  TACIT_CLI_TRY(Json outlook, client.Get(PathOf(arguments.task) + "/privacy/forecast" + asked));
  std::string text = DescribeOutlook(outlook);
  return Report{std::move(outlook), std::move(text), {}};
}

Outcome<Report> Run(const PrivacyShowArguments& arguments, ApiClient& client) {
  TACIT_CLI_TRY(Json privacy, client.Get(PathOf(arguments.task) + "/privacy"));
  std::string text = DescribePrivacy(privacy);
  return Report{std::move(privacy), std::move(text), {}};
}

}  // namespace tacit::cli
