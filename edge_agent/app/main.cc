#include <csignal>
#include <cstdio>
#include <exception>
#include <string>
#include <variant>

#include <nlohmann/json.hpp>

#include "common/base/clock.h"
#include "edge_agent/app/arguments.h"
#include "edge_agent/app/commands.h"
#include "edge_agent/app/inference_worker.h"
#include "edge_agent/app/stop_signals.h"

namespace tacit::agent {
namespace {

using Json = nlohmann::ordered_json;

// Text from a server or a file name may not be UTF-8, or may try to steer the terminal.
std::string ToLine(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

void Show(const Report& report, OutputForm form) {
  const std::string text = form == OutputForm::kJson ? ToLine({{"schema", 1}, {"data", report.data}}) : report.text;
  std::fputs(text.c_str(), stdout);
}

ExitCode Show(const Error& error, OutputForm form) {
  const std::string_view code = TraitsOf(error.code).name;
  if (form == OutputForm::kJson) {
    std::fputs(ToLine({{"schema", 1}, {"error", {{"code", code}, {"message", error.message}}}}).c_str(), stdout);
  } else {
    std::fprintf(stderr, "tacit-agent: %s\n", error.message.c_str());
  }
  return ExitCodeOf(error.code);
}

// Of a command line that asks for JSON, but for its help, what is wrong is told in it.
ExitCode Show(const Message& message, OutputForm form) {
  if (message.exit == ExitCode::kOk) {
    std::fputs(message.text.c_str(), stdout);
  } else if (form == OutputForm::kJson) {
    const std::string_view code = TraitsOf(ErrorCode::kInvalidArgument).name;
    const Json error = {{"code", code}, {"message", message.text}, {"hint", message.hint}};
    std::fputs(ToLine({{"schema", 1}, {"error", error}}).c_str(), stdout);
  } else {
    std::fprintf(stderr, "tacit-agent: %s\n  next: %s\n", message.text.c_str(), message.hint.c_str());
  }
  return message.exit;
}

// Runs the command; `run` alone is worth catching signals for.
struct Executor {
  const Clock& clock;

  Result<Report> operator()(const JoinArguments& arguments) const { return Execute(arguments, clock); }
  Result<Report> operator()(const RunArguments& arguments) const {
    const StopSignals signals;
    return Execute(arguments, clock, signals);
  }
  Result<Report> operator()(const ModelFetchArguments& arguments) const { return Execute(arguments, clock); }
  Result<Report> operator()(const ModelShowArguments& arguments) const { return Execute(arguments, clock); }
  Result<Report> operator()(const TokenCreateArguments& arguments) const { return Execute(arguments, clock); }
  Result<Report> operator()(const TokenListArguments& arguments) const { return Execute(arguments, clock); }
  Result<Report> operator()(const ServeArguments& arguments) const {
    const StopSignals signals;
    return Execute(arguments, clock, signals);
  }
  template <typename Arguments>
  Result<Report> operator()(const Arguments& arguments) const {
    return Execute(arguments);
  }
};

ExitCode Main(int argc, const char* const* argv) {
  const auto invocation = ParseArguments(argc, argv);
  if (!invocation) return Show(invocation.error(), WantedForm(argc, argv));
  const SystemClock clock;
  const auto report = std::visit(Executor{clock}, invocation->command);
  if (!report) return Show(report.error(), invocation->form);
  Show(*report, invocation->form);
  return ExitCode::kOk;
}

}  // namespace
}  // namespace tacit::agent

int main(int argc, char** argv) {
  // Before anything that a worker has no use for.
  tacit::agent::BecomeInferenceWorker(argc, argv);
  // A server that goes away ends a write with an error and not the process.
  std::signal(SIGPIPE, SIG_IGN);
  try {
    return static_cast<int>(tacit::agent::Main(argc, argv));
  } catch (const std::exception& exception) {
    std::fprintf(stderr, "tacit-agent: a fault of this program: %s\n", exception.what());
    return static_cast<int>(tacit::agent::ExitCode::kInternal);
  }
}
