#include "edge_agent/app/commands.h"

#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "common/base/check.h"
#include "common/base/files.h"
#include "common/base/text.h"
#include "common/base/version.h"
#include "common/crypto/certificate.h"
#include "common/model/export.h"
#include "edge_agent/app/chosen_data.h"
#include "edge_agent/app/exit_code.h"
#include "edge_agent/app/state_lock.h"
#include "edge_agent/enrolment/join.h"
#include "edge_agent/training/trainer.h"
#include "edge_agent/upload/local_ledger.h"
#include "edge_agent/upload/session.h"

namespace tacit::agent {
namespace {

constexpr std::size_t kLongestToken = 1024;
constexpr std::size_t kLargestModelFile = model::ModelSpec::kMaxParameters * sizeof(float) + 1024 * 1024;

Result<std::string> ReadStandardInput() {
  std::string text;
  char buffer[256];
  while (text.size() <= kLongestToken) {
    const ssize_t count = ::read(STDIN_FILENO, buffer, sizeof buffer);
    if (count <= 0) return text;
    text.append(buffer, static_cast<std::size_t>(count));
  }
  return Fail(ErrorCode::kTooLarge, "standard input: longer than any token");
}

// A file that the command line names and that cannot be read cannot be used, whether it is its owner or the disk that
// keeps it back: nobody refused this device anything.
template <typename T>
Result<T> Usable(Result<T> read) {
  if (!read && ExitCodeOf(read.error().code) != ExitCode::kUsage) read.error().code = ErrorCode::kInvalidArgument;
  return read;
}

Result<std::string> ReadToken(const std::string& file) {
  std::string text;
  if (file == "-") {
    TACIT_TRY(text, ReadStandardInput());
  } else {
    TACIT_TRY(const Bytes bytes, Usable(ReadFile(file, kLongestToken)));
    text = AsText(bytes);
  }
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string::npos) return Fail(ErrorCode::kInvalidArgument, file + ": holds no token");
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

std::string Percent(double share) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f %%", 100 * share);
  return text;
}

std::string CostText(double epsilon, double delta) {
  return std::isfinite(epsilon) ? "epsilon " + RoundedUp(epsilon) + " at delta " + RoundedUp(delta)
                                : "no differential privacy";
}

// Whoever asks must not take silence for an answer.
std::string WithoutOwnNoise(const upload::LocalRecord& record) {
  if (record.cap || !record.tasks.empty()) return "";
  return "noise of this device: none; it took part in no task that asks for it, and has no cap of its own\n";
}

/// What this device keeps itself, of the noise that it adds.
void AddOwnLedger(const upload::LocalLedger& ledger, Report& report) {
  nlohmann::ordered_json own = {{"max_epsilon", nullptr},
                                {"delta", nullptr},
                                {"epsilon_spent", nullptr},
                                {"items", nlohmann::ordered_json::array()}};
  if (const auto& cap = ledger.record().cap) {
    const double spent = ledger.EpsilonSpent().value_or(0);
    own["max_epsilon"] = cap->epsilon.value();
    own["delta"] = cap->delta.value();
    own["epsilon_spent"] = spent;
    report.text += "noise of this device, over all tasks: " + CostText(spent, cap->delta.value()) + ", of at most " +
                   RoundedUp(cap->epsilon.value()) + " for ever\n";
  }
  for (const upload::LocalSpend& spend : ledger.record().tasks) {
    const double epsilon = dp::LocalCost(spend.noise, spend.releases).epsilon;
    own["items"].push_back({{"task", spend.task.str()},
                            {"mechanism", dp::NameOf(spend.noise.mechanism)},
                            {"noise_multiplier", spend.noise.noise_multiplier.value()},
                            {"updates", spend.releases},
                            {"max_updates", spend.max_releases},
                            {"epsilon", std::isfinite(epsilon) ? nlohmann::ordered_json(epsilon) : nullptr},
                            {"delta", spend.noise.delta.value()}});
    report.text += "noise of this device, task " + spend.task.str() + ": " + std::to_string(spend.releases) + " of " +
                   std::to_string(spend.max_releases) + " updates, " + CostText(epsilon, spend.noise.delta.value()) +
                   "\n";
  }
  report.text += WithoutOwnNoise(ledger.record());
  report.data["local"] = std::move(own);
}

void AddServersAnswer(const codec::PrivacyReply& reply, Report& report) {
  report.data["items"] = nlohmann::ordered_json::array();
  if (reply.tasks.empty()) report.text += "this device was not counted in any round\n";
  for (const codec::TaskSpend& spend : reply.tasks) {
    const bool promised = std::isfinite(spend.epsilon);
    report.data["items"].push_back({{"task", spend.task.str()},
                                    {"rounds", spend.rounds},
                                    {"max_participations", spend.max_participations},
                                    {"epsilon", promised ? nlohmann::ordered_json(spend.epsilon) : nullptr},
                                    {"delta", promised ? nlohmann::ordered_json(spend.delta) : nullptr},
                                    {"local", spend.local}});
    report.text += "task " + spend.task.str() + ": " + std::to_string(spend.rounds) + " of " +
                   std::to_string(spend.max_participations) + " rounds, " + CostText(spend.epsilon, spend.delta) +
                   (spend.local ? ", by noise of this device\n" : "\n");
  }
}

/// A class without rows is shown too: it may be misspelt.
void AddRowsOfClasses(const data::Dataset& dataset, Report& report) {
  constexpr std::size_t kMostLines = 100;
  std::vector<std::uint64_t> rows(dataset.classes);
  for (const std::uint32_t row_class : dataset.y) ++rows[row_class];
  report.data["rows_by_class"] = nlohmann::ordered_json::array();
  for (std::uint32_t i = 0; i < dataset.classes; ++i) {
    const std::string label = data::LabelOf(dataset.labels, i);
    report.data["rows_by_class"].push_back({{"label", label}, {"rows", rows[i]}});
    if (i < kMostLines) report.text += "rows of class " + Excerpt(label) + ": " + std::to_string(rows[i]) + "\n";
  }
  if (rows.size() > kMostLines)
    report.text += "and " + std::to_string(rows.size() - kMostLines) + " more classes, which --json has\n";
}

void AddLeftOut(const data::LeftOut& left_out, Report& report) {
  report.data["left_out"] = {{"rows", left_out.rows}, {"labels", left_out.labels}};
  if (left_out.rows == 0) return;
  report.text += "rows left out: " + std::to_string(left_out.rows) + ", with labels that are none of the classes:";
  for (std::size_t i = 0; i < left_out.labels.size(); ++i)
    report.text += (i == 0 ? " " : ", ") + Excerpt(left_out.labels[i]);
  report.text += left_out.labels.size() == data::kMaxLabelsLeftOut ? ", and perhaps more\n" : "\n";
}

}  // namespace

Result<Report> Execute(const JoinArguments& arguments, const Clock& clock) {
  enrolment::JoinOptions options{
      .enrolment = {arguments.server, arguments.enrolment_port}, .token = {}, .state_directory = arguments.state};
  TACIT_TRY(options.ca_fingerprint, crypto::ParseFingerprint(arguments.ca_fingerprint));
  if (!arguments.label.empty()) {
    TACIT_TRY(options.label, DeviceId::Parse(arguments.label));
  }
  TACIT_TRY(options.token, ReadToken(arguments.token_file));
  // Only an expired identity is replaced; an agent that still runs with it would go on with what it has read.
  std::optional<StateLock> lock;
  if (std::error_code failure; std::filesystem::exists(enrolment::StateFiles(arguments.state).identity, failure)) {
    TACIT_TRY(lock, StateLock::Take(arguments.state));
  }
  TACIT_TRY(const enrolment::EnrolledIdentity identity, enrolment::Join(options, clock));
  const std::string not_after = FormatRfc3339(identity.not_after);
  return Report{.data = {{"device", identity.device.str()},
                         {"agents_host", identity.agents.host},
                         {"agents_port", identity.agents.port},
                         {"not_after", not_after},
                         {"state", arguments.state.string()}},
                .text = "joined as " + identity.device.str() + "; the certificate in " + arguments.state.string() +
                        " is valid until " + not_after + " and renews itself\nnext: tacit-agent run --state " +
                        arguments.state.string() + " --help\n"};
}

Result<Report> Execute(const RunArguments& arguments, const Clock& clock, const StopSignals& signals) {
  Logger log(STDERR_FILENO, clock, arguments.log_level);
  TACIT_TRY(enrolment::EnrolledIdentity identity, enrolment::LoadIdentity(arguments.loop.state_directory));
  TACIT_TRY(const StateLock lock, StateLock::Take(arguments.loop.state_directory));
  TACIT_TRY(data::Dataset dataset, Usable(LoadChosenData(arguments.data)));
  LoopOptions options = arguments.loop;
  if (!arguments.task.empty()) {
    TACIT_TRY(options.task, TaskId::Parse(arguments.task));
  }
  if (arguments.max_local_epsilon && arguments.local_delta) {
    TACIT_TRY(const auto epsilon, dp::Epsilon::Create(*arguments.max_local_epsilon));
    TACIT_TRY(const auto delta, dp::Delta::Create(*arguments.local_delta));
    options.local_cap = upload::LocalCap{.epsilon = epsilon, .delta = delta};
  }
  AgentLoop loop(std::move(identity), std::move(dataset), std::move(options), log, clock);
  TACIT_TRY_VOID(loop.Run(signals.token()));
  return Report{};
}

Result<Report> Execute(const ServeArguments& arguments, const Clock& clock, const StopSignals& signals) {
  Logger log(STDERR_FILENO, clock, arguments.log_level);
  TACIT_TRY(ServeOptions options, OptionsOf(arguments));
  ServeLoop loop(std::move(options), log, clock);
  TACIT_TRY_VOID(loop.Run(signals.token()));
  return Report{};
}

Result<Report> Execute(const PrivacyArguments& arguments) {
  TACIT_TRY(const enrolment::EnrolledIdentity identity, enrolment::LoadIdentity(arguments.state));
  TACIT_TRY(const upload::LocalLedger ledger, upload::LocalLedger::Open(arguments.state, std::nullopt));
  Report report{.data = {{"device", identity.device.str()}}, .text = {}};
  AddOwnLedger(ledger, report);
  if (arguments.offline) return report;
  TACIT_TRY(upload::AgentSession session,
            upload::AgentSession::Create({.server = enrolment::ClientOptionsFor(identity),
                                          .state_directory = arguments.state,
                                          .agent_version = "tacit-agent " + std::string(kVersion)}));
  TACIT_TRY(const codec::PrivacyReply reply, session.Privacy());
  AddServersAnswer(reply, report);
  return report;
}

Result<Report> Execute(const EvaluateArguments& arguments) {
  TACIT_TRY(const Bytes file, Usable(ReadFile(arguments.model, kLargestModelFile)));
  auto loaded = model::ParseSafetensors(file);
  if (!loaded) return Annotate(loaded.error(), arguments.model.string());
  TACIT_TRY(const data::Dataset dataset, Usable(LoadChosenData(arguments.data)));
  TACIT_TRY(const training::Evaluation score, training::Evaluate(loaded->spec, loaded->parameters, dataset));
  const std::string spec = loaded->spec.CanonicalText();
  return Report{.data = {{"accuracy", score.accuracy}, {"loss", score.loss}, {"rows", score.rows}, {"model", spec}},
                .text = "accuracy " + Percent(score.accuracy) + ", loss " + std::to_string(score.loss) + ", on " +
                        std::to_string(score.rows) + " rows (" + spec + ")\n"};
}

Result<Report> Execute(const ShapeArguments& arguments) {
  TACIT_TRY(const data::Dataset dataset, Usable(LoadChosenData(arguments.data)));
  Report report{.data = {{"inputs", dataset.features}, {"classes", dataset.classes}, {"rows", dataset.rows}},
                .text = "inputs " + std::to_string(dataset.features) + "\nclasses " + std::to_string(dataset.classes) +
                        "\nrows " + std::to_string(dataset.rows) + "\n"};
  AddRowsOfClasses(dataset, report);
  AddLeftOut(dataset.left_out, report);
  return report;
}

Result<Report> Execute(const SubjectsArguments& arguments) {
  TACIT_TRY(
      const std::vector<std::uint32_t> subjects,
      Usable(ListSubjects(Present(arguments.data.people, "the command line demands --data"), arguments.data.split)));
  Report report{.data = {{"items", subjects}}, .text = {}};
  for (const std::uint32_t subject : subjects) report.text += std::to_string(subject) + "\n";
  return report;
}

Result<Report> Execute(const VersionArguments& /*arguments*/) {
  return Report{.data = {{"version", kVersion}}, .text = "tacit-agent " + std::string(kVersion) + "\n"};
}

}  // namespace tacit::agent
