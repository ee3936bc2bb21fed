#include <csignal>
#include <cstdio>
#include <exception>
#include <functional>
#include <string>
#include <utility>
#include <variant>

#include "cli/arguments.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/context.h"
#include "cli/doctor.h"
#include "cli/init.h"
#include "cli/known_contexts.h"
#include "cli/output.h"
#include "cli/text.h"
#include "common/base/clock.h"

namespace tacit::cli {
namespace {

Outcome<ApiClient> Connect(const ConnectionArguments& connection, const Clock& clock) {
  TACIT_CLI_TRY(Context context, LoadContext(connection, clock.Now()));
  return ApiClient::Create(std::move(context));
}

// A bar in a line of its own, which goes when the download has ended.
std::function<void(const net::BodyProgress&)> DrawOn(const Output& output) {
  return [&output, drawn = std::string()](const net::BodyProgress& progress) mutable {
    std::string bar = FormatProgress(progress.received, progress.total);
    if (bar == drawn) return;
    output.Draw(bar);
    drawn = std::move(bar);
  };
}

// Runs one command; those that make a report all end the same way.
class Runner {
 public:
  Runner(const ConnectionArguments& connection, const Output& output) : connection_(connection), output_(output) {}

  Outcome<ExitCode> operator()(const InitArguments& arguments) const { return Show(Init(arguments, clock_.Now())); }

  Outcome<ExitCode> operator()(const VersionArguments& arguments) const {
    if (arguments.of == VersionArguments::Of::kThisCommand) return Show(ShowOwnVersion());
    const auto resolved = ResolveContext(connection_);
    if (resolved && resolved->context.empty() && resolved->server.empty()) return Show(ShowVersion(std::nullopt));
    return Show(ShowVersion(Connect(connection_, clock_)));
  }

  Outcome<ExitCode> operator()(const ContextAddArguments& arguments) const {
    return Show(Run(arguments, connection_, clock_.Now()));
  }

  Outcome<ExitCode> operator()(const DoctorArguments& arguments) const {
    return Show(Diagnose(arguments, connection_, clock_));
  }

  Outcome<ExitCode> operator()(const SimulateArguments& arguments) const { return Show(Simulate(arguments, output_)); }

  Outcome<ExitCode> operator()(const CompleteArguments& arguments) const {
    const std::string lines = CompletionLines(arguments.words, NamesOfKnownContexts(connection_.known));
    std::fputs(lines.c_str(), stdout);
    return ExitCode::kOk;
  }

  Outcome<ExitCode> operator()(const TaskWatchArguments& arguments) const {
    TACIT_CLI_TRY(ApiClient client, Connect(connection_, clock_));
    return Watch(arguments, client, output_, clock_);
  }

  template <typename Arguments>
  Outcome<ExitCode> operator()(const Arguments& arguments) const {
    if constexpr (requires { Run(arguments); }) {
      return Show(Run(arguments));
    } else if constexpr (requires { Run(arguments, connection_); }) {
      return Show(Run(arguments, connection_));
    } else {
      TACIT_CLI_TRY(ApiClient client, Connect(connection_, clock_));
      if (output_.MayDraw()) client.OnProgress(DrawOn(output_));
      return Show(Run(arguments, client));
    }
  }

 private:
  Outcome<ExitCode> Show(Outcome<Report> report) const {
    if (!report) return std::unexpected(std::move(report).error());
    output_.Show(*report);
    return report->exit;
  }

  const ConnectionArguments& connection_;
  const Output& output_;
  SystemClock clock_;
};

ExitCode Main(int argc, const char* const* argv) {
  const Output output(WantedForm(argc, argv));
  const auto parsed = ParseArguments(argc, argv);
  if (!parsed) return output.Show(parsed.error());
  if (const auto* help = std::get_if<HelpText>(&*parsed)) {
    std::fputs(help->text.c_str(), stdout);
    return ExitCode::kOk;
  }
  const auto& invocation = std::get<Invocation>(*parsed);
  const auto exit = std::visit(Runner(invocation.connection, output), invocation.command);
  return exit ? *exit : output.Show(exit.error());
}

}  // namespace
}  // namespace tacit::cli

int main(int argc, char** argv) {
  // A reader that goes away (`tacit ... | head`) ends a write with an error and not the process.
  std::signal(SIGPIPE, SIG_IGN);
  try {
    return static_cast<int>(tacit::cli::Main(argc, argv));
  } catch (const std::exception& exception) {
    const tacit::cli::Output output(tacit::cli::WantedForm(argc, argv));
    return static_cast<int>(output.Show(tacit::cli::Failure{tacit::cli::ExitCode::kInternal,
                                                            {tacit::ErrorCode::kInternal, exception.what()},
                                                            "report this as a defect, with the command"}));
  }
}
