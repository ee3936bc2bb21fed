#include "cli/arguments.h"

#include <algorithm>
#include <cstdlib>
#include <string_view>
#include <utility>

#include <CLI/CLI.hpp>

#include "cli/completion.h"
#include "cli/grammar.h"
#include "cli/known_contexts.h"
#include "cli/text.h"
#include "common/base/bytes.h"
#include "common/base/check.h"
#include "common/base/text.h"
#include "common/base/version.h"
#include "common/command_line/command_line.h"
#include "dp/audit.h"
#include "dp/calibration.h"

namespace tacit::cli {
namespace {

// As many as [cohort] size of a task takes.
constexpr std::uint64_t kLargestCohort = std::uint64_t{1} << 20U;

constexpr const char* kFooter = R"(
Exit codes:
  0  done
  1  refused: by the server, or by a rule of the command
  2  bad usage, or a file that cannot be used
  3  cannot connect or authenticate
  4  timed out
  5  internal fault
  6  the privacy budget is exhausted
  7  an audit found a mechanism that breaks its promise
  8  the doctor found a problem

With --json each answer is one line on stdout:
  {"schema":1,"data":...} or {"schema":1,"error":{"code","message","hint"}}
The server and who you are come from --context (or $TACIT_CONTEXT): a name that 'tacit context add' gave, or a
directory that 'tacit init' made; without it, and without --server, from the name that 'tacit context use' chose.
--server, --ca, --cert and --key replace what it says. An access token in --token-file (or $TACIT_TOKEN_FILE)
takes the place of the certificate. When something does not work: tacit doctor)";

Outcome<TaskId> ParseTask(const std::string& text) {
  auto task = TaskId::Parse(text);
  if (!task) return UsageFailure(task.error(), "tacit task list");
  return *std::move(task);
}

Outcome<DeviceId> ParseDevice(const std::string& text) {
  auto device = DeviceId::Parse(text);
  if (!device) return UsageFailure(device.error(), "tacit device list");
  return *std::move(device);
}

Outcome<Command> MakeInit(const RawArguments& raw) {
  return InitArguments{raw.directory, raw.trust_domain, raw.hosts};
}

Outcome<Command> MakeTaskCreate(const RawArguments& raw) {
  return TaskCreateArguments{raw.file, raw.dry_run};
}

template <typename Arguments>
Outcome<Command> MakeForTask(const RawArguments& raw) {
  TACIT_CLI_TRY(TaskId task, ParseTask(raw.task));
  return Arguments{std::move(task)};
}

Outcome<Command> MakeTaskStop(const RawArguments& raw) {
  TACIT_CLI_TRY(TaskId task, ParseTask(raw.task));
  return TaskStopArguments{std::move(task), raw.reason};
}

Outcome<Command> MakeTaskAdjust(const RawArguments& raw) {
  TACIT_CLI_TRY(TaskId task, ParseTask(raw.task));
  return TaskAdjustArguments{std::move(task), raw.noise_multiplier.value_or(0), raw.dry_run, raw.if_match};
}

Outcome<Command> MakeTaskWatch(const RawArguments& raw) {
  TACIT_CLI_TRY(TaskId task, ParseTask(raw.task));
  if (raw.timeout.empty()) return TaskWatchArguments{std::move(task), std::nullopt};
  auto timeout = ParseDuration(raw.timeout);
  if (!timeout) return UsageFailure(timeout.error(), "tacit task watch --help");
  return TaskWatchArguments{std::move(task), *timeout};
}

Outcome<Command> MakeRoundShow(const RawArguments& raw) {
  TACIT_CLI_TRY(TaskId task, ParseTask(raw.task));
  return RoundShowArguments{std::move(task), raw.round};
}

bool IsVersion(std::string_view text) {
  return text == "latest" || ParseWhole(text).has_value();
}

Outcome<TaskId> ParseModelOf(const RawArguments& raw) {
  if (IsVersion(raw.version)) return ParseTask(raw.task);
  return UsageFailure("--version is 'latest' or a number, not '" + raw.version + "'", "tacit model --help");
}

Outcome<Command> MakeModelShow(const RawArguments& raw) {
  TACIT_CLI_TRY(TaskId task, ParseModelOf(raw));
  return ModelShowArguments{std::move(task), raw.version};
}

Outcome<Command> MakeModelDeployment(const RawArguments& raw) {
  TACIT_CLI_TRY(TaskId task, ParseTask(raw.task));
  return ModelDeploymentArguments{std::move(task)};
}

Outcome<Command> MakeModelGet(const RawArguments& raw) {
  TACIT_CLI_TRY(TaskId task, ParseModelOf(raw));
  const std::filesystem::path output(raw.output);
  const std::string by_name = output.extension() == ".npz" ? "npz" : "safetensors";
  return ModelGetArguments{std::move(task), raw.version, raw.format.empty() ? by_name : raw.format, output};
}

Outcome<Command> MakeTokenCreate(const RawArguments& raw) {
  auto lifetime = ParseDuration(raw.lifetime);
  if (!lifetime) return UsageFailure(lifetime.error(), "tacit device token create --help");
  if (raw.device.empty()) return TokenCreateArguments{raw.uses, *lifetime, std::nullopt};
  TACIT_CLI_TRY(DeviceId device, ParseDevice(raw.device));
  if (raw.uses != 1) {
    return UsageFailure("a token for one named device has one use", "tacit device token create --name " + raw.device);
  }
  return TokenCreateArguments{raw.uses, *lifetime, std::move(device)};
}

Outcome<Command> MakeAccessTokenCreate(const RawArguments& raw) {
  auto lifetime = ParseDuration(raw.access_lifetime);
  if (!lifetime) return UsageFailure(lifetime.error(), "tacit access token create --help");
  AccessTokenCreateArguments arguments{
      .name = raw.name, .role = raw.role, .lifetime = *lifetime, .tasks = {}, .output = raw.output};
  for (const std::string& text : raw.tasks) {
    TACIT_CLI_TRY(TaskId task, ParseTask(text));
    arguments.tasks.push_back(std::move(task));
  }
  return arguments;
}

Outcome<Command> MakeAccessTokenRevoke(const RawArguments& raw) {
  if (!ParseHex(raw.id) || raw.id.empty())
    return UsageFailure("ID: " + Excerpt(raw.id) + " is not the id of an access token", "tacit access token list");
  return AccessTokenRevokeArguments{raw.id};
}

Outcome<Command> MakeTokenRevoke(const RawArguments& raw) {
  if (!ParseHex(raw.id) || raw.id.empty())
    return UsageFailure("ID: " + Excerpt(raw.id) + " is not the id of an enrolment token", "tacit device token list");
  return TokenRevokeArguments{raw.id};
}

Outcome<Command> MakeDeviceShow(const RawArguments& raw) {
  TACIT_CLI_TRY(DeviceId device, ParseDevice(raw.device));
  return DeviceShowArguments{std::move(device)};
}

Outcome<Command> MakeDeviceRevoke(const RawArguments& raw) {
  TACIT_CLI_TRY(DeviceId device, ParseDevice(raw.device));
  return DeviceRevokeArguments{std::move(device)};
}

Outcome<Command> MakePrivacyOutlook(const RawArguments& raw) {
  TACIT_CLI_TRY(TaskId task, ParseTask(raw.task));
  return PrivacyOutlookArguments{std::move(task), raw.rounds};
}

Outcome<Command> MakePrivacyLedger(const RawArguments& raw) {
  TACIT_CLI_TRY(TaskId task, ParseTask(raw.task));
  return PrivacyLedgerArguments{std::move(task), raw.output};
}

Outcome<Command> MakePrivacyVerify(const RawArguments& raw) {
  constexpr std::size_t kHexDigits = 2 * sizeof(Digest256);
  if (!raw.head.empty() && (raw.head.size() != kHexDigits || !ParseHex(raw.head))) {
    return UsageFailure("--head: " + Excerpt(raw.head) + " is not the 64 hexadecimal digits of a hash",
                        "tacit privacy verify FILE prints the hash of its newest entry");
  }
  return PrivacyVerifyArguments{raw.file, raw.head};
}

Outcome<Command> MakePrivacyDevice(const RawArguments& raw) {
  TACIT_CLI_TRY(DeviceId device, ParseDevice(raw.device));
  return PrivacyDeviceArguments{std::move(device)};
}

Outcome<ScheduleArguments> ParseSchedule(const RawArguments& raw, const char* help) {
  const double noise = raw.noise_multiplier.value_or(1);
  const double q = raw.sampling_probability;
  auto neighbouring = dp::ParseNeighbouring(raw.neighbouring);
  if (!neighbouring) return UsageFailure(neighbouring.error(), help);
  auto accountant = dp::ParseAccountant(raw.accountant);
  if (!accountant) return UsageFailure(accountant.error(), help);
  const bool laplace = raw.mechanism == "laplace";
  if (!laplace && raw.delta == 0) {
    return UsageFailure(
        "--delta: delta is 0 and must be above 0 and below 1: Gaussian noise has no finite epsilon there", help);
  }
  return ScheduleArguments{
      .step = laplace ? dp::Step(dp::PoissonLaplaceStep{noise, q}) : dp::Step(dp::PoissonGaussianStep{noise, q}),
      .steps = raw.steps.value_or(1),
      .delta = raw.delta,
      .neighbouring = *neighbouring,
      .accountant = *accountant};
}

Outcome<Command> MakePrivacyEpsilon(const RawArguments& raw) {
  TACIT_CLI_TRY(ScheduleArguments schedule, ParseSchedule(raw, "tacit privacy epsilon --help"));
  return PrivacyEpsilonArguments{schedule};
}

Outcome<Command> MakePrivacyCalibrate(const RawArguments& raw) {
  constexpr const char* kHelp = "tacit privacy calibrate --help";
  TACIT_CLI_TRY(ScheduleArguments schedule, ParseSchedule(raw, kHelp));
  if (raw.noise_multiplier.has_value() == raw.steps.has_value())
    return UsageFailure("give one of --steps, to find the noise, and --noise-multiplier, to find the steps", kHelp);
  return PrivacyCalibrateArguments{schedule, raw.epsilon, raw.noise_multiplier.has_value(), raw.cohort};
}

Outcome<Command> MakePrivacyForecast(const RawArguments& raw) {
  TACIT_CLI_TRY(ScheduleArguments schedule, ParseSchedule(raw, "tacit privacy forecast --help"));
  return PrivacyForecastArguments{schedule, raw.budget};
}

Outcome<Command> MakePrivacyAudit(const RawArguments& raw) {
  return PrivacyAuditArguments{
      .mechanism = raw.mechanism == "laplace" ? dp::Mechanism::kLaplace : dp::Mechanism::kGaussian,
      .noise_multiplier = raw.noise_multiplier.value_or(1),
      .clip_norm = raw.clip_norm,
      .grid_radius = raw.grid_radius,
      .steps = raw.steps.value_or(1),
      .delta = raw.delta,
      .confidence = raw.confidence,
      .trials = raw.trials,
      .canaries = raw.canaries};
}

void AddTask(RawArguments& raw, CLI::App& leaf) {
  leaf.add_option("TASK", raw.task, "Name of the task")->required()->type_name("");
}

void DescribeConnection(RawArguments& raw, CLI::App& app) {
  app.add_option("--context", raw.connection.context, "Name of a context, or directory that 'tacit init' made")
      ->envname("TACIT_CONTEXT")
      ->type_name(kContextType);
  app.add_option("--server", raw.connection.server, "The server's api listener")->type_name("HOST:PORT");
  app.add_option("--ca", raw.connection.ca, "CA certificate of the server")->type_name("FILE");
  app.add_option("--cert", raw.connection.certificate, "The operator's certificate")->type_name("FILE");
  app.add_option("--key", raw.connection.key, "The operator's private key")->type_name("FILE");
  app.add_option("--token-file", raw.connection.token_file, "File with an access token, in place of --cert and --key")
      ->envname("TACIT_TOKEN_FILE")
      ->type_name("FILE");
  app.add_flag("--json", raw.json, "One line of JSON instead of text");
}

void DescribeInit(Grammar& grammar, CLI::App& app) {
  RawArguments& raw = grammar.raw;
  CLI::App& init =
      AddLeaf(grammar, app, "init", "Make a server's directory: CA, certificates, configuration", MakeInit);
  init.add_option("--dir", raw.directory, "Directory to make")->required()->type_name("DIR");
  init.add_option("--trust-domain", raw.trust_domain, "Name that all identities carry")
      ->type_name("T")
      ->capture_default_str();
  init.add_option("--host", raw.hosts,
                  "Name or IP address that devices and operators use (repeatable; localhost always)")
      ->type_name("NAME_OR_IP")
      ->expected(1, 64);
}

// A number that the rule of a privacy parameter takes.
template <typename Parameter>
CLI::Validator Checked() {
  return command_line::Real([](double value) -> Result<void> {
    TACIT_TRY_VOID(Parameter::Create(value));
    return {};
  });
}

// Where devices choose when to come there is nothing to sample.
Result<void> CheckSampling(double value) {
  if (value == 1 || dp::SamplingProbability::Create(value)) return {};
  return Fail(ErrorCode::kInvalidArgument,
              "the sampling probability is " + FormatNumber(value) + " and must be above 0 and at most 1");
}

// At 0 a pure epsilon is asked for, which Laplace noise has.
Result<void> CheckDelta(double value) {
  if (value == 0) return {};
  TACIT_TRY_VOID(dp::Delta::Create(value));
  return {};
}

Result<void> CheckConfidence(double value) {
  if (value > 0 && value < 1) return {};
  return Fail(ErrorCode::kInvalidArgument,
              "the confidence is " + FormatNumber(value) + " and must be above 0 and below 1");
}

CLI::Option* AddNoise(RawArguments& raw, CLI::App& leaf) {
  return leaf.add_option("--noise-multiplier", raw.noise_multiplier, "Noise scale over the clip norm")
      ->transform(Checked<dp::NoiseMultiplier>())
      ->type_name("Z");
}

void DescribeTask(Grammar& grammar, CLI::App& app) {
  RawArguments& raw = grammar.raw;
  CLI::App& task = AddGroup(app, "task", "Training tasks");
  CLI::App& create = AddLeaf(grammar, task, "create", "Start a task", MakeTaskCreate);
  create.add_option("-f,--file", raw.file, "Description of the task, TOML")->required()->type_name("FILE");
  create.add_flag("--dry-run", raw.dry_run, "Only say what it would cost and what to expect");
  AddLeaf(grammar, task, "list", "All tasks", MakePlain<TaskListArguments>);
  AddTask(raw, AddLeaf(grammar, task, "show", "One task", MakeForTask<TaskShowArguments>));
  AddTask(raw, AddLeaf(grammar, task, "rounds", "A task's rounds, the current one included",
                       MakeForTask<TaskRoundsArguments>));
  AddTask(raw, AddLeaf(grammar, task, "edge", "What devices that use a task's models report",
                       MakeForTask<TaskEdgeArguments>));
  CLI::App& stop = AddLeaf(grammar, task, "stop", "Open no more rounds of a task, for ever", MakeTaskStop);
  AddTask(raw, stop);
  stop.add_option("--reason", raw.reason, "Why; shown wherever the task is")->type_name("TEXT");
  CLI::App& adjust =
      AddLeaf(grammar, task, "adjust", "Give the rounds to come another noise, accounted by a filter", MakeTaskAdjust);
  AddTask(raw, adjust);
  AddNoise(raw, adjust)->required();
  adjust.add_flag("--dry-run", raw.dry_run, "Only say what it would cost; there is no way back");
  adjust.add_option("--if-match", raw.if_match, "Only while the figures are those of this tag, which --dry-run shows")
      ->type_name("TAG");
  CLI::App& watch = AddLeaf(grammar, task, "watch", "Follow a task's rounds until it ends", MakeTaskWatch);
  AddTask(raw, watch);
  watch.add_option("--timeout", raw.timeout, "Give up after this long (exit code 4)")->type_name("DURATION");
}

void AddMechanism(RawArguments& raw, CLI::App& leaf) {
  leaf.add_option("--mechanism", raw.mechanism, "gaussian or laplace")
      ->check(CLI::IsMember({"gaussian", "laplace"}))
      ->type_name("NAME")
      ->capture_default_str();
}
void AddDelta(RawArguments& raw, CLI::App& leaf, CLI::Validator check = command_line::Real(CheckDelta)) {
  leaf.add_option("--delta", raw.delta, "Probability outside the bound")
      ->required()
      ->transform(std::move(check))
      ->type_name("D");
}
void DescribeSchedule(RawArguments& raw, CLI::App& leaf) {
  AddMechanism(raw, leaf);
  leaf.add_option("--sampling-probability", raw.sampling_probability,
                  "Poisson sampling with hidden coins; 1 where devices choose when to come")
      ->transform(command_line::Real(CheckSampling))
      ->type_name("Q")
      ->capture_default_str();
  AddDelta(raw, leaf);
  leaf.add_option("--neighbouring", raw.neighbouring, "add-or-remove-one, replace-with-zero or replace-one")
      ->type_name("NAME")
      ->capture_default_str();
  leaf.add_option("--accountant", raw.accountant, "tightest, exact, pld or rdp")
      ->type_name("NAME")
      ->capture_default_str();
}
CLI::Option* AddSteps(RawArguments& raw, CLI::App& leaf) {
  return leaf.add_option("--steps", raw.steps, "Rounds that one device can take part in")
      ->transform(command_line::Whole({1, dp::kMaxCalibratedSteps}))
      ->type_name("N");
}

void DescribeAudit(Grammar& grammar, CLI::App& privacy) {
  RawArguments& raw = grammar.raw;
  CLI::App& audit = AddLeaf(grammar, privacy, "audit",
                            "Attack the mechanism of this program, and compare with what is proved; asks no server",
                            MakePrivacyAudit);
  AddMechanism(raw, audit);
  AddNoise(raw, audit)->required();
  AddSteps(raw, audit);
  AddDelta(raw, audit, Checked<dp::Delta>());
  audit.add_option("--clip-norm", raw.clip_norm, "Largest norm of an update")
      ->transform(Checked<dp::ClipNorm>())
      ->type_name("C")
      ->capture_default_str();
  audit.add_option("--grid-radius", raw.grid_radius, "Grid steps in a clip norm, a power of two")
      ->transform(command_line::Whole({dp::kMinGridRadius, dp::kMaxGridRadius}))
      ->type_name("R")
      ->capture_default_str();
  audit.add_option("--trials", raw.trials, "Tasks to run with and without one device")
      ->transform(command_line::Whole({dp::kMinAuditTrials, dp::kMaxAuditTrials}))
      ->type_name("N")
      ->capture_default_str();
  audit.add_option("--canaries", raw.canaries, "Devices that are in or out by a coin, in one run")
      ->transform(command_line::Whole({dp::kMinAuditCanaries, dp::kMaxAuditCanaries}))
      ->type_name("M")
      ->capture_default_str();
  audit.add_option("--confidence", raw.confidence, "That both lower bounds hold")
      ->transform(command_line::Real(CheckConfidence))
      ->type_name("P")
      ->capture_default_str();
}

void DescribeModel(Grammar& grammar, CLI::App& app) {
  RawArguments& raw = grammar.raw;
  CLI::App& model = AddGroup(app, "model", "Published models");
  const auto add_version = [&raw](CLI::App& leaf) {
    AddTask(raw, leaf);
    leaf.add_option("--version", raw.version, "Model version, or 'latest'")->type_name("V")->capture_default_str();
  };
  add_version(AddLeaf(grammar, model, "show", "What a model is, without its parameters", MakeModelShow));
  AddTask(raw, AddLeaf(grammar, model, "deployment", "Which versions devices may use, and how many have which",
                       MakeModelDeployment));
  CLI::App& get = AddLeaf(grammar, model, "get", "Download a model", MakeModelGet);
  add_version(get);
  get.add_option("-o,--output", raw.output, "File to write (default: TASK-vV.FORMAT here)")->type_name("FILE");
  get.add_option("--format", raw.format, "safetensors or npz (default: as the file's name says, else safetensors)")
      ->check(CLI::IsMember({"safetensors", "npz"}))
      ->type_name("FORMAT");
  DescribeOwnership(grammar, model);
}

void DescribeRound(Grammar& grammar, CLI::App& app) {
  RawArguments& raw = grammar.raw;
  CLI::App& show = AddLeaf(grammar, AddGroup(app, "round", "Single rounds"), "show", "One round", MakeRoundShow);
  AddTask(raw, show);
  show.add_option("ROUND", raw.round, "Its number; 'tacit task rounds' lists them")->required()->type_name("");
}

void DescribeLedger(Grammar& grammar, CLI::App& privacy) {
  RawArguments& raw = grammar.raw;
  AddTask(raw,
          AddLeaf(grammar, privacy, "show", "What a task has spent and may spend", MakeForTask<PrivacyShowArguments>));
  CLI::App& outlook = AddLeaf(grammar, privacy, "outlook", "What a task's rounds to come would cost, as things are",
                              MakePrivacyOutlook);
  AddTask(raw, outlook);
  outlook.add_option("--rounds", raw.rounds, "So many (default: as many as it will still run)")
      ->transform(command_line::Whole({1, 100'000}))
      ->type_name("N");
  CLI::App& ledger = AddLeaf(grammar, privacy, "ledger", "Every reservation and charge of a task", MakePrivacyLedger);
  AddTask(raw, ledger);
  ledger.add_option("-o,--output", raw.output, "Also write it to a file, for 'tacit privacy verify'")
      ->type_name("FILE");
  CLI::App& verify =
      AddLeaf(grammar, privacy, "verify",
              "Compute a written ledger again: its chain, its order, its epsilons; asks no server", MakePrivacyVerify);
  verify.add_option("FILE", raw.file, "What 'tacit privacy ledger --output' wrote")->required()->type_name("");
  verify.add_option("--head", raw.head, "Hash of its newest entry, from where it was written down before")
      ->type_name("HEX");
  CLI::App& device = AddLeaf(grammar, privacy, "device", "What one device has spent; for auditors", MakePrivacyDevice);
  device.add_option("DEVICE", raw.device, "Name of the device")->required()->type_name("");
}

void DescribePrivacy(Grammar& grammar, CLI::App& app) {
  RawArguments& raw = grammar.raw;
  CLI::App& privacy = AddGroup(app, "privacy", "Privacy budget and spend");
  DescribeLedger(grammar, privacy);
  CLI::App& epsilon = AddLeaf(grammar, privacy, "epsilon", "What a schedule costs; asks no server", MakePrivacyEpsilon);
  DescribeSchedule(raw, epsilon);
  AddNoise(raw, epsilon)->required();
  AddSteps(raw, epsilon)->required();
  CLI::App& calibrate = AddLeaf(grammar, privacy, "calibrate",
                                "The noise that a schedule needs, or the steps that a budget pays for; asks no server",
                                MakePrivacyCalibrate);
  DescribeSchedule(raw, calibrate);
  AddNoise(raw, calibrate);
  AddSteps(raw, calibrate);
  calibrate.add_option("--target-epsilon", raw.epsilon, "What it may cost")
      ->required()
      ->transform(Checked<dp::Epsilon>())
      ->type_name("E");
  calibrate.add_option("--cohort", raw.cohort, "Devices a round, to say what the noise does to the model")
      ->transform(command_line::Whole({1, kLargestCohort}))
      ->type_name("M");
  CLI::App& forecast =
      AddLeaf(grammar, privacy, "forecast", "How epsilon grows with the steps; asks no server", MakePrivacyForecast);
  DescribeSchedule(raw, forecast);
  AddNoise(raw, forecast)->required();
  AddSteps(raw, forecast)->required();
  forecast.add_option("--budget", raw.budget, "Also say how many steps it pays for")
      ->transform(Checked<dp::Epsilon>())
      ->type_name("E");
  DescribeAudit(grammar, privacy);
}

void DescribeDevice(Grammar& grammar, CLI::App& app) {
  RawArguments& raw = grammar.raw;
  CLI::App& device = AddGroup(app, "device", "Devices and their enrolment");
  CLI::App& token = AddGroup(device, "token", "Enrolment tokens");
  CLI::App& create = AddLeaf(grammar, token, "create", "Make a token that lets devices join", MakeTokenCreate);
  create.add_option("--uses", raw.uses, "How many devices may join with it")
      ->transform(command_line::Whole({1, 1'000'000}))
      ->type_name("N")
      ->capture_default_str();
  create.add_option("--ttl", raw.lifetime, "How long it is good")->type_name("DURATION")->capture_default_str();
  create.add_option("--name", raw.device, "The one device name that it is for")->type_name("DEVICE");
  AddLeaf(grammar, device, "summary", "How many devices, which agents they run, when their certificates end",
          MakePlain<DeviceSummaryArguments>);
  AddLeaf(grammar, token, "list", "All enrolment tokens, without their secrets", MakePlain<TokenListArguments>);
  CLI::App& withdraw = AddLeaf(grammar, token, "revoke", "Let a token admit nobody any more", MakeTokenRevoke);
  withdraw.add_option("ID", raw.id, "Its id, as 'tacit device token list' shows it")->required()->type_name("");
  AddLeaf(grammar, device, "list", "All devices", MakePlain<DeviceListArguments>);
  CLI::App& show = AddLeaf(grammar, device, "show", "One device", MakeDeviceShow);
  show.add_option("DEVICE", raw.device, "Name of the device")->required()->type_name("");
  CLI::App& revoke = AddLeaf(grammar, device, "revoke", "Shut a device out, now", MakeDeviceRevoke);
  revoke.add_option("DEVICE", raw.device, "Name of the device")->required()->type_name("");
}

void DescribeAccess(Grammar& grammar, CLI::App& app) {
  RawArguments& raw = grammar.raw;
  CLI::App& access = AddGroup(app, "access", "Who may do what on the api listener");
  CLI::App& token = AddGroup(access, "token", "Access tokens, which take the place of certificates");
  CLI::App& create = AddLeaf(grammar, token, "create", "Make a token for a person or a program", MakeAccessTokenCreate);
  create.add_option("--name", raw.name, "Whom it is for: a-z, 0-9 and '-'")->required()->type_name("NAME");
  create.add_option("--role", raw.role, "viewer, scientist, operator, auditor or admin")
      ->required()
      ->check(CLI::IsMember({"viewer", "scientist", "operator", "auditor", "admin"}))
      ->type_name("ROLE");
  create.add_option("--ttl", raw.access_lifetime, "How long it is good")->type_name("DURATION")->capture_default_str();
  create.add_option("--task", raw.tasks, "A task that it opens (repeatable; all without one)")->type_name("TASK");
  create.add_option("-o,--output", raw.output, "Write it to this file, for --token-file, and do not show it")
      ->type_name("FILE");
  AddLeaf(grammar, token, "list", "All access tokens, without their secrets", MakePlain<AccessTokenListArguments>);
  CLI::App& revoke = AddLeaf(grammar, token, "revoke", "Make an access token useless, now", MakeAccessTokenRevoke);
  revoke.add_option("ID", raw.id, "Its id, as 'tacit access token list' shows it")->required()->type_name("");
}

void Describe(Grammar& grammar, CLI::App& app) {
  app.require_subcommand(1);
  app.fallthrough();  // global options may stand behind the command, and subcommands inherit that
  app.footer(kFooter);
  app.set_version_flag("--version", std::string(kVersion), "Version of this command, and nothing else");
  DescribeConnection(grammar.raw, app);
  DescribeInit(grammar, app);
  DescribeTask(grammar, app);
  DescribeRound(grammar, app);
  DescribeModel(grammar, app);
  DescribePrivacy(grammar, app);
  DescribeSimulate(grammar, app);
  DescribeDevice(grammar, app);
  DescribeAccess(grammar, app);
  DescribeOperations(grammar, app);
  AddLeaf(grammar, app, "whoami", "As whom the server sees you, and what you may do", MakePlain<WhoamiArguments>);
  DescribeOwn(grammar, app);
}

// CLI11 puts what it is given in front of the name.
std::string HelpOf(const CLI::App& app) {
  return app.help(app.get_parent() == nullptr ? "" : command_line::WordsOf(*app.get_parent()));
}

// The table of all commands, and what it fills.
struct CommandLine {
  CommandLine() { Describe(grammar, app); }
  CLI::App app{"Federated learning with a privacy budget: the operator's command", "tacit"};
  Grammar grammar;
};

ConnectionArguments Connection(RawArguments& raw) {
  raw.connection.known = KnownContextsFile(std::getenv("XDG_CONFIG_HOME"), std::getenv("HOME"));
  return std::move(raw.connection);
}

Outcome<std::variant<Invocation, HelpText>> Finish(Grammar& grammar) {
  const auto chosen = std::ranges::find_if(grammar.leaves, [](const auto& leaf) { return leaf.first->parsed(); });
  TACIT_CHECK(chosen != grammar.leaves.end(), "CLI11 was told to require a subcommand at every level");
  TACIT_CLI_TRY(Command command, chosen->second(grammar.raw));
  return Invocation{Connection(grammar.raw), grammar.raw.json ? OutputForm::kJson : OutputForm::kText,
                    std::move(command)};
}

}  // namespace

OutputForm WantedForm(int argc, const char* const* argv) {
  return command_line::AsksForJson(argc, argv) ? OutputForm::kJson : OutputForm::kText;
}

std::string CompletionLines(std::span<const std::string> words, std::span<const std::string> context_names) {
  const CommandLine line;
  return FormatSuggestions(Suggest(line.app, words, context_names));
}

Outcome<std::variant<Invocation, HelpText>> ParseArguments(int argc, const char* const* argv) {
  CommandLine line;
  if (argc > 1 && std::string_view(argv[1]) == kCompleteWord) {
    // Not parsed: it is somebody else's unfinished line, and may hold anything.
    return Invocation{Connection(line.grammar.raw), OutputForm::kText, CompleteArguments{{argv + 2, argv + argc}}};
  }
  try {
    line.app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    return HelpText{HelpOf(command_line::DeepestNamed(line.app))};
  } catch (const CLI::CallForVersion&) {
    return Invocation{{}, WantedForm(argc, argv), VersionArguments{VersionArguments::Of::kThisCommand}};
  } catch (const CLI::Error& error) {
    return UsageFailure(command_line::Describe(error, line.app),
                        command_line::WordsOf(command_line::DeepestNamed(line.app)) + " --help");
  }
  return Finish(line.grammar);
}

}  // namespace tacit::cli
