#include "edge_agent/app/serve_arguments.h"

#include <charconv>
#include <chrono>
#include <utility>

#include <CLI/CLI.hpp>

#include "common/command_line/command_line.h"
#include "edge_agent/keys/key_place.h"

namespace tacit::agent {
namespace {

constexpr std::uint64_t kMostPerMinute = 1'000'000'000;
constexpr std::uint64_t kMostBatch = 4096;
constexpr std::uint64_t kMostRowsAtOnce = 65'536;
constexpr std::uint64_t kMostBodyMib = 32;
constexpr std::uint64_t kSecondsInADay = 86'400;
constexpr std::uint64_t kMebibyte = std::uint64_t{1} << 20U;
// Bodies that are in memory at once, as a multiple of the longest.
constexpr std::uint64_t kBodiesAtOnce = 4;

void AddNumber(CLI::App& command, const char* name, std::uint64_t& value, command_line::WholeRange range,
               const char* what) {
  command.add_option(name, value, what)->transform(command_line::Whole(range))->capture_default_str();
}

void AddQuotas(CLI::App& command, ServeArguments& serve) {
  AddNumber(command, "--quota-requests", serve.requests_per_minute, {0, kMostPerMinute},
            "Requests a minute that one identity may send; 0: any number");
  AddNumber(command, "--quota-rows", serve.rows_per_minute, {0, kMostPerMinute},
            "Rows a minute that one identity may ask about; 0: any number");
  AddNumber(command, "--quota-mib", serve.mib_per_minute, {0, kMostPerMinute},
            "MiB a minute that one identity may send; 0: any number");
  AddNumber(command, "--quota-concurrent", serve.concurrent, {0, kMostPerMinute},
            "Requests that one identity may have under way; 0: any number");
}

void AddPort(CLI::App& command, ServeArguments& serve) {
  CLI::Option* const listen =
      command.add_option("--listen", serve.listen,
                         "Also answer over TLS at this address of this machine and port, such as 127.0.0.1:8446, who "
                         "shows a token; port 0: any that is free");
  CLI::Option* const tokens =
      command.add_option("--tokens", serve.tokens, "File of those tokens, which 'tacit-agent token' makes");
  CLI::Option* const certificate = command.add_option(
      "--tls-cert", serve.certificate, "Certificate for --listen in PEM; without it the agent makes one of its own");
  CLI::Option* const key = command.add_option("--tls-key", serve.tls_key, "Its key in PEM");
  listen->needs(tokens);
  tokens->needs(listen);
  certificate->needs(listen)->needs(key);
  key->needs(certificate);
}

Result<PortOptions> PortOf(const ServeArguments& arguments) {
  if (arguments.listen.empty()) return PortOptions{};
  TACIT_TRY(LoopbackPort at, ParseLoopbackPort(arguments.listen));
  return PortOptions{
      .at = std::move(at), .tokens = arguments.tokens, .certificate = arguments.certificate, .key = arguments.tls_key};
}

Result<mode_t> ModeOf(const std::string& text) {
  unsigned mode = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, mode, 8);
  const bool good = error == std::errc() && stop == end && (mode & ~0666U) == 0;
  if (!good) return Fail(ErrorCode::kInvalidArgument, "--socket-mode must be octal, of 0666 at most, such as 0660");
  return static_cast<mode_t>(mode);
}

}  // namespace

void AddServe(CLI::App& app, ServeArguments& serve) {
  CLI::App* command = app.add_subcommand(
      "serve", "Keep the newest model of a task here, and answer for it by the Open Inference Protocol, until stopped");
  command->add_option("--state", serve.state, "Directory that join filled")->required();
  command->add_option("--task", serve.task, "Task whose model is served")->required();
  command->add_option("--socket", serve.socket, "Unix domain socket; serving.sock in --state when left out");
  command->add_option("--socket-mode", serve.socket_mode, "Permissions of the socket: who may write to it may ask")
      ->capture_default_str();
  AddPort(*command, serve);
  command
      ->add_option("--key", serve.key,
                   "Where the key that models are encrypted to is kept: file, tpm2[:TCTI] or pkcs11:MODULE?token=...")
      ->capture_default_str();
  command->add_option(
      "--signer", serve.signers,
      "File with a public key in PEM whose models are taken; given more than once, any of them. Without "
      "it, the key that the server names first");
  AddNumber(*command, "--max-batch", serve.max_batch, {1, kMostBatch}, "Rows of waiting requests that are run as one");
  AddNumber(*command, "--max-delay-ms", serve.max_delay_ms, {0, 1000},
            "How long a request waits for others to be run with; 0: not at all");
  AddNumber(*command, "--max-rows", serve.max_rows, {1, kMostRowsAtOnce}, "Rows of one request");
  AddNumber(*command, "--max-body-mib", serve.max_body_mib, {1, kMostBodyMib}, "MiB of one request");
  AddNumber(*command, "--deadline-ms", serve.deadline_ms, {1, 600'000}, "How long a request may wait for its answer");
  AddNumber(*command, "--report-interval-s", serve.report_interval_s, {1, kSecondsInADay},
            "Seconds between two reports to the server of what was counted here");
  AddQuotas(*command, serve);
  command->add_option("--log-level", serve.log_level, "debug, info, warn or error")
      ->transform(command_line::OneOf({{"debug", static_cast<std::int64_t>(LogLevel::kDebug)},
                                       {"info", static_cast<std::int64_t>(LogLevel::kInfo)},
                                       {"warn", static_cast<std::int64_t>(LogLevel::kWarn)},
                                       {"error", static_cast<std::int64_t>(LogLevel::kError)}}))
      ->type_name("LEVEL");
}

Result<ServeOptions> OptionsOf(const ServeArguments& arguments) {
  TACIT_TRY(TaskId task, TaskId::Parse(arguments.task));
  TACIT_TRY(keys::KeyPlace key, keys::ParseKeyPlace(arguments.key));
  TACIT_TRY(const mode_t socket_mode, ModeOf(arguments.socket_mode));
  TACIT_TRY(PortOptions port, PortOf(arguments));
  ServeOptions options{.state_directory = arguments.state,
                       .task = std::move(task),
                       .key = std::move(key),
                       .signers = arguments.signers,
                       .socket = arguments.socket,
                       .socket_mode = socket_mode,
                       .port = std::move(port),
                       .report_interval = std::chrono::seconds(arguments.report_interval_s)};
  options.server.limits.max_rows = static_cast<std::size_t>(arguments.max_rows);
  options.server.max_body_bytes = static_cast<std::size_t>(arguments.max_body_mib * kMebibyte);
  options.server.max_waiting_bytes = static_cast<std::size_t>(arguments.max_body_mib * kMebibyte * kBodiesAtOnce);
  options.server.infer_deadline = Millis(static_cast<std::int64_t>(arguments.deadline_ms));
  options.server.batch = {.max_rows = static_cast<std::size_t>(arguments.max_batch),
                          .max_delay = Millis(static_cast<std::int64_t>(arguments.max_delay_ms))};
  options.server.quotas = {.requests_per_minute = arguments.requests_per_minute,
                           .rows_per_minute = arguments.rows_per_minute,
                           .bytes_per_minute = arguments.mib_per_minute * kMebibyte,
                           .concurrent = static_cast<std::size_t>(arguments.concurrent)};
  return options;
}

}  // namespace tacit::agent
