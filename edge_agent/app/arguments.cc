#include "edge_agent/app/arguments.h"

#include <algorithm>
#include <initializer_list>
#include <limits>
#include <sstream>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include "common/base/text.h"
#include "common/base/version.h"
#include "common/command_line/command_line.h"
#include "dp/types.h"

namespace tacit::agent {
namespace {

constexpr const char* kFooter =
    "Exit codes: 0 done, or stopped by SIGTERM or SIGINT; 1 refused by the server or by the state of this device;\n"
    "2 the command line, or a file it names, cannot be used; 3 no connection, or a certificate that is not believed;\n"
    "4 time-out; 5 a fault of tacit-agent.\n"
    "Training data, and every number computed from them but the model update, stay on this device.";

constexpr std::uint64_t kMostRounds = 1'000'000'000;
constexpr std::uint64_t kMostMemoryMib = std::uint64_t{1} << 20U;

// One of a closed list, by its name.
template <typename Enum>
CLI::Validator Word(std::initializer_list<std::pair<const char*, Enum>> named) {
  std::vector<command_line::NumberedWord> words;
  for (const auto& [word, value] : named) words.emplace_back(word, static_cast<std::int64_t>(value));
  return command_line::OneOf(std::move(words));
}

CLI::Option* AddSplit(CLI::App& command, data::Split& split) {
  return command.add_option("--split", split, "Which part of --data or --synthetic: train or test")
      ->transform(Word<data::Split>({{"train", data::Split::kTrain}, {"test", data::Split::kTest}}))
      ->type_name("train|test")
      ->default_str("train");
}

void AddData(CLI::App& command, DataArguments& data) {
  CLI::Option_group* choice = command.add_option_group("data", "Exactly one of these");
  CLI::Option* people = choice->add_option("--data", data.people,
                                           "Directory of recordings: {train,test}_{x.i8,y.u8,subject.u8}.npy[.gz]");
  choice->add_option("--synthetic", data.synthetic,
                     "INDEX/COUNT: the synthetic sensor windows of one of COUNT simulated devices");
  CLI::Option* config = choice->add_option("--config", data.config, "TOML file that describes this device's data");
  choice->require_option(1);
  command.add_option("--subject", data.subject, "Only this person of --data")
      ->transform(command_line::Whole({0, std::numeric_limits<std::uint32_t>::max()}))
      ->needs(people);
  AddSplit(command, data.split)->excludes(config);
}

// A number that the rule of a privacy parameter takes.
template <typename Parameter>
CLI::Validator Checked() {
  return command_line::Real([](double value) -> Result<void> {
    TACIT_TRY_VOID(Parameter::Create(value));
    return {};
  });
}

// A complaint, or nothing.
std::string IsTaskName(const std::string& text) {
  const auto task = TaskId::Parse(text);
  return task ? "" : task.error().message;
}

// A complaint, or nothing. Without a name it would be the current directory.
std::string IsNamed(const std::string& text) {
  return text.empty() ? "a directory must be named" : "";
}

// A complaint, or nothing. An IPv6 address has more colons than one.
std::string IsHostAlone(const std::string& text) {
  if (std::ranges::count(text, ':') != 1 && !text.contains(']')) return "";
  return Excerpt(text) +
         " is more than a host: give its name or address alone, an IPv6 address without brackets, and the port of the "
         "enrolment listener with --enrolment-port";
}

void AddJoin(CLI::App& app, JoinArguments& join) {
  CLI::App* command = app.add_subcommand("join", "Enrol this device: make its key and get it a certificate");
  command->add_option("--server", join.server, "Host name or address of the server, without a port")
      ->required()
      ->check(IsHostAlone);
  command->add_option("--enrolment-port", join.enrolment_port, "Port of its enrolment listener")
      ->transform(command_line::Whole({1, std::numeric_limits<std::uint16_t>::max()}))
      ->capture_default_str();
  command->add_option("--ca-fingerprint", join.ca_fingerprint, "sha256:..., as the operator gave it")->required();
  command->add_option("--token-file", join.token_file, "File with the one-time token; - for standard input")
      ->required();
  command->add_option("--label", join.label, "Wish for the device's name");
  command->add_option("--state", join.state, "Directory for key, certificate and cache; made when missing")
      ->required()
      ->check(IsNamed);
}

void AddRun(CLI::App& app, RunArguments& run) {
  CLI::App* command = app.add_subcommand("run", "Take part in rounds until stopped; log events go to standard error");
  command->add_option("--state", run.loop.state_directory, "Directory that join filled")->required()->check(IsNamed);
  AddData(*command, run.data);
  command->add_option("--task", run.task, "Take part in this task only")->check(IsTaskName);
  command->add_option("--rounds-limit", run.loop.rounds_limit, "End after so many counted updates")
      ->transform(command_line::Whole({1, kMostRounds}));
  command->add_option("--seed", run.loop.seed, "Of the order of the rows in training")
      ->transform(command_line::Whole({0, std::numeric_limits<std::uint64_t>::max()}))
      ->capture_default_str();
  command
      ->add_option("--encoding", run.loop.encoding,
                   "grid: clipped to integers of 32 bits here; int16, int8: rounded to these by coins, for less to "
                   "send; float32: as trained, the server clips. Where a task takes the largest entries alone, all "
                   "but float32 send these")
      ->transform(Word<codec::Encoding>({{"grid", codec::Encoding::kGridInt32},
                                         {"int16", codec::Encoding::kGridInt16},
                                         {"int8", codec::Encoding::kGridInt8},
                                         {"float32", codec::Encoding::kFloat32}}))
      ->type_name("grid|int16|int8|float32");
  command
      ->add_option("--memory-limit-mib", run.loop.memory_limit_mib,
                   "A model whose training would take more is left alone")
      ->transform(command_line::Whole({1, kMostMemoryMib}))
      ->capture_default_str();
  CLI::Option* const epsilon =
      command
          ->add_option("--max-local-epsilon", run.max_local_epsilon,
                       "Send noised updates only, and for ever no more of them than cost this epsilon, over all tasks; "
                       "kept in --state")
          ->transform(Checked<dp::Epsilon>());
  CLI::Option* const delta = command->add_option("--local-delta", run.local_delta, "The delta of --max-local-epsilon")
                                 ->transform(Checked<dp::Delta>());
  epsilon->needs(delta);
  delta->needs(epsilon);
  command->add_option("--log-level", run.log_level, "debug, info, warn or error")
      ->transform(Word<LogLevel>({{"debug", LogLevel::kDebug},
                                  {"info", LogLevel::kInfo},
                                  {"warn", LogLevel::kWarn},
                                  {"error", LogLevel::kError}}))
      ->type_name("LEVEL");
  command
      ->add_option("--inject-fault", run.loop.fault,
                   "FOR DEMONSTRATIONS ONLY: misbehave on purpose. nan uploads NaN; slow uploads after the deadline")
      ->transform(Word<Fault>({{"nan", Fault::kNan}, {"slow", Fault::kSlow}}))
      ->type_name("nan|slow");
}

void AddPrivacy(CLI::App& app, PrivacyArguments& privacy) {
  CLI::App* command =
      app.add_subcommand("privacy", "What this device has spent: by its own ledger, and as the server keeps it");
  command->add_option("--state", privacy.state, "Directory that join filled")->required()->check(IsNamed);
  command->add_flag("--offline", privacy.offline, "Do not ask the server");
}

void AddEvaluate(CLI::App& app, EvaluateArguments& evaluate) {
  CLI::App* command = app.add_subcommand("evaluate", "Loss and accuracy of a model on data of this device");
  command->add_option("--model", evaluate.model, "Model as safetensors, from 'tacit model get'")->required();
  AddData(*command, evaluate.data);
}

void AddModelOptions(CLI::App& command, ModelFetchArguments& model) {
  command.add_option("--state", model.state, "Directory that join filled")->required()->check(IsNamed);
  command.add_option("--task", model.task, "Of which task")->required()->check(IsTaskName);
  command
      .add_option("--key", model.key,
                  "Where the key that models are encrypted to is kept: file, tpm2[:TCTI], or "
                  "pkcs11:MODULE?token=LABEL&pin-file=PATH")
      ->capture_default_str();
  command.add_option("--signer", model.signers,
                     "File with a public key in PEM whose models are taken; given more than once, any of them. Without "
                     "it, the key that the server named first");
}

void AddModel(CLI::App& app, ModelFetchArguments& fetch, ModelShowArguments& show) {
  CLI::App* model = app.add_subcommand("model", "Models that this device may use");
  model->require_subcommand(1);
  AddModelOptions(*model->add_subcommand("fetch",
                                         "Bring the newest model of a task here, sealed, with the lease that opens it; "
                                         "or renew that lease"),
                  fetch);
  AddModelOptions(
      *model->add_subcommand("show", "Open the model that is here, without asking the server, and say what it is"),
      show.model);
}

Command ChosenOf(const CLI::App& group, TokenArguments token) {
  if (group.got_subcommand("create")) return std::move(token.create);
  if (group.got_subcommand("list")) return std::move(token.list);
  return std::move(token.revoke);
}

std::expected<Invocation, Message> Parse(CLI::App& app, int argc, const char* const* argv) {
  Invocation invocation;
  JoinArguments join;
  RunArguments run;
  ServeArguments serve;
  PrivacyArguments privacy;
  EvaluateArguments evaluate;
  ShapeArguments shape;
  SubjectsArguments subjects;
  ModelFetchArguments fetch;
  ModelShowArguments show;
  TokenArguments token;
  app.add_flag_callback("--json", [&] { invocation.form = OutputForm::kJson; }, "Answer with one JSON object");
  app.fallthrough();
  AddJoin(app, join);
  AddRun(app, run);
  AddServe(app, serve);
  AddPrivacy(app, privacy);
  AddEvaluate(app, evaluate);
  AddData(*app.add_subcommand("shape", "Features, classes and rows of data, to write a task for them"), shape.data);
  CLI::App* list = app.add_subcommand("subjects", "The people in a directory of recordings");
  list->add_option("--data", subjects.data.people, "Directory of recordings")->required();
  AddSplit(*list, subjects.data.split);
  AddModel(app, fetch, show);
  AddToken(app, token);
  app.add_subcommand("version", "Version of this program");
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& success) {
    std::ostringstream text;
    app.exit(success, text, text);
    return std::unexpected(Message{.text = text.str(), .hint = {}, .exit = ExitCode::kOk});
  } catch (const CLI::Error& error) {
    return std::unexpected(Message{.text = command_line::Describe(error, app),
                                   .hint = command_line::WordsOf(command_line::DeepestNamed(app)) + " --help",
                                   .exit = ExitCode::kUsage});
  }
  if (app.got_subcommand("join")) invocation.command = std::move(join);
  if (app.got_subcommand("run")) invocation.command = std::move(run);
  if (app.got_subcommand("serve")) invocation.command = std::move(serve);
  if (app.got_subcommand("privacy")) invocation.command = std::move(privacy);
  if (app.got_subcommand("evaluate")) invocation.command = std::move(evaluate);
  if (app.got_subcommand("shape")) invocation.command = std::move(shape);
  if (app.got_subcommand("subjects")) invocation.command = std::move(subjects);
  if (app.got_subcommand("model")) {
    const bool shows = app.get_subcommand("model")->got_subcommand("show");
    invocation.command = shows ? Command(std::move(show)) : Command(std::move(fetch));
  }
  if (app.got_subcommand("token")) invocation.command = ChosenOf(*app.get_subcommand("token"), std::move(token));
  if (app.got_subcommand("version")) invocation.command = VersionArguments{};
  return invocation;
}

}  // namespace

OutputForm WantedForm(int argc, const char* const* argv) {
  return command_line::AsksForJson(argc, argv) ? OutputForm::kJson : OutputForm::kText;
}

std::expected<Invocation, Message> ParseArguments(int argc, const char* const* argv) {
  CLI::App app("The device's side of Tacit: trains on data that stay here, and sends clipped updates.", "tacit-agent");
  app.set_version_flag("--version", "tacit-agent " + std::string(kVersion));
  app.require_subcommand(1);
  app.footer(kFooter);
  return Parse(app, argc, argv);
}

}  // namespace tacit::agent
