#pragma once

#include <cstdint>
#include <expected>
#include <filesystem>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "common/base/log.h"
#include "edge_agent/app/agent_loop.h"
#include "edge_agent/app/chosen_data.h"
#include "edge_agent/app/exit_code.h"
#include "edge_agent/app/serve_arguments.h"
#include "edge_agent/app/token_arguments.h"

namespace tacit::agent {

struct JoinArguments {
  std::string server;
  std::uint16_t enrolment_port = 8445;
  std::string ca_fingerprint;
  std::string token_file;  ///< "-" is standard input.
  std::string label;       ///< Empty: the server names the device.
  std::filesystem::path state;
};

struct RunArguments {
  DataArguments data;
  LoopOptions loop;
  std::string task;  ///< A task name, or empty for any.
  std::optional<double> max_local_epsilon;
  std::optional<double> local_delta;
  LogLevel log_level = LogLevel::kInfo;
};

struct EvaluateArguments {
  DataArguments data;
  std::filesystem::path model;
};

struct PrivacyArguments {
  std::filesystem::path state;
  bool offline = false;  ///< Only what this device keeps itself.
};

struct ShapeArguments {
  DataArguments data;
};

struct SubjectsArguments {
  DataArguments data;
};

struct ModelFetchArguments {
  std::filesystem::path state;
  std::string task;
  std::string key = "file";                    ///< As keys::ParseKeyPlace reads it.
  std::vector<std::filesystem::path> signers;  ///< PEM; empty: the server's own key.
};

struct ModelShowArguments {
  ModelFetchArguments model;  ///< The same questions.
};

struct VersionArguments {};

enum class OutputForm : std::uint8_t { kText, kJson };

using Command = std::variant<JoinArguments, RunArguments, ServeArguments, PrivacyArguments, EvaluateArguments,
                             ShapeArguments, SubjectsArguments, ModelFetchArguments, ModelShowArguments,
                             TokenCreateArguments, TokenListArguments, TokenRevokeArguments, VersionArguments>;

/// One command line.
struct Invocation {
  Command command;
  OutputForm form = OutputForm::kText;
};

/// What to print, and what to end with, instead of running a command: a help text as it is, or what is wrong with the
/// command line and where to read on.
struct Message {
  std::string text;
  std::string hint;  ///< A command to type next; empty with a help text.
  ExitCode exit = ExitCode::kOk;
};

/// Whether `--json` is among the arguments: known even when the rest does not parse.
OutputForm WantedForm(int argc, const char* const* argv);

std::expected<Invocation, Message> ParseArguments(int argc, const char* const* argv);

}  // namespace tacit::agent
