#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "cli/failure.h"
#include "cli/output.h"
#include "common/base/ids.h"
#include "dp/composition.h"
#include "dp/types.h"
#include "server/simulate/sweep.h"

namespace tacit::cli {

struct InitArguments {
  std::filesystem::path directory;
  std::string trust_domain;
  std::vector<std::string> hosts;
};
struct TaskCreateArguments {
  std::filesystem::path file;
  bool dry_run = false;
};
struct TaskListArguments {};
struct TaskShowArguments {
  TaskId task;
};
struct TaskRoundsArguments {
  TaskId task;
};
struct RoundShowArguments {
  TaskId task;
  RoundNumber round = 0;
};
struct TaskStopArguments {
  TaskId task;
  std::string reason;  ///< Empty: the server's words.
};
struct TaskAdjustArguments {
  TaskId task;
  double noise_multiplier = 0;
  bool dry_run = false;
  std::string if_match;  ///< The entity tag of the figures that it is for; empty: whatever they are.
};
struct TaskWatchArguments {
  TaskId task;
  std::optional<std::chrono::seconds> timeout;
};
struct TaskEdgeArguments {
  TaskId task;
};
struct ModelShowArguments {
  TaskId task;
  std::string version;  ///< As in ModelGetArguments.
};
struct ModelDeploymentArguments {
  TaskId task;
};
struct ModelGetArguments {
  TaskId task;
  std::string version;           ///< "latest" or a number.
  std::string format;            ///< "safetensors" or "npz".
  std::filesystem::path output;  ///< Empty: a name made of task and version, in the current directory.
};
struct ModelTraceArguments {
  std::filesystem::path file;
  TaskId task;
  std::string version;  ///< As in ModelGetArguments.
};
struct ModelClaimArguments {
  std::filesystem::path file;
  TaskId task;
  std::string version;           ///< As in ModelGetArguments.
  std::filesystem::path output;  ///< Empty: no evidence is written, and nothing is disclosed.
};
struct ModelVerifyArguments {
  std::filesystem::path file;
  std::filesystem::path evidence;
};
struct PrivacyShowArguments {
  TaskId task;
};
struct PrivacyOutlookArguments {
  TaskId task;
  std::optional<std::uint64_t> rounds;  ///< Absent: as many as the task will still run.
};
struct PrivacyLedgerArguments {
  TaskId task;
  std::filesystem::path output;  ///< Empty: shown, not written.
};
struct PrivacyVerifyArguments {
  std::filesystem::path file;
  std::string head;  ///< Hash of the newest entry, as it was written down elsewhere; empty: not compared.
};
struct PrivacyDeviceArguments {
  DeviceId device;
};
/// A schedule of one mechanism, repeated.
struct ScheduleArguments {
  dp::Step step;
  std::uint64_t steps = 1;
  double delta = 0;
  dp::Neighbouring neighbouring = dp::Neighbouring::kAddOrRemoveOne;
  dp::Accountant accountant = dp::Accountant::kTightest;
};
struct PrivacyEpsilonArguments {
  ScheduleArguments schedule;
};
/// Of noise and steps, what is empty is looked for.
struct PrivacyCalibrateArguments {
  ScheduleArguments schedule;
  double target_epsilon = 0;
  bool find_steps = false;
  std::optional<std::uint64_t> cohort;
};
struct PrivacyForecastArguments {
  ScheduleArguments schedule;  ///< `steps`: how far to look.
  std::optional<double> budget;
};
/// The mechanism to audit, unchecked, and how long to look.
struct PrivacyAuditArguments {
  dp::Mechanism mechanism = dp::Mechanism::kGaussian;
  double noise_multiplier = 0;
  double clip_norm = 1;
  std::uint32_t grid_radius = 0;
  std::uint64_t steps = 1;
  double delta = 0;
  double confidence = 0;
  std::uint64_t trials = 0;
  std::uint64_t canaries = 0;
};
struct SimulateArguments {
  std::filesystem::path file;
  std::uint64_t devices = 1;
  std::filesystem::path data;       ///< A directory, or a description; empty: synthetic.
  std::filesystem::path held_out;   ///< A description; empty: what goes with the data.
  std::filesystem::path partition;  ///< Empty: none.
  std::optional<std::uint64_t> rounds;
  std::size_t threads = 1;
  std::uint64_t seed = 1;
  std::uint64_t repeat = 1;
  double dropout = 0;
  std::vector<simulate::Axis> axes;
  // What is written beside the answer; empty: nothing.
  std::filesystem::path csv;
  std::filesystem::path json_file;
  std::filesystem::path html;
};
struct TokenCreateArguments {
  std::uint32_t uses = 1;
  std::chrono::seconds lifetime{};
  std::optional<DeviceId> device;
};
struct DeviceSummaryArguments {};
struct TokenListArguments {};
struct TokenRevokeArguments {
  std::string id;
};
struct DeviceListArguments {};
struct DeviceShowArguments {
  DeviceId device;
};
struct DeviceRevokeArguments {
  DeviceId device;
};
struct AccessTokenCreateArguments {
  std::string name;
  std::string role;
  std::chrono::seconds lifetime{};
  std::vector<TaskId> tasks;     ///< The only ones it opens; empty: all.
  std::filesystem::path output;  ///< Empty: shown, not written.
};
struct AccessTokenListArguments {};
struct AccessTokenRevokeArguments {
  std::string id;
};
struct WhoamiArguments {};
struct AlertsArguments {};
struct MetricsArguments {
  std::string name;  ///< Only metrics whose names have this in them.
};
struct AuditVerifyArguments {};
struct AuditListArguments {
  std::uint64_t after = 0;
};
/// Name of a context, of the right form.
struct ContextAddArguments {
  std::string name;
};
struct ContextListArguments {};
struct ContextUseArguments {
  std::string name;
};
struct ContextRemoveArguments {
  std::string name;
};
struct DoctorArguments {
  std::filesystem::path config;  ///< Of a server on this machine; empty: only the way to a server is looked at.
};
struct CompletionArguments {
  std::string shell;  ///< `bash`, `zsh` or `fish`.
};
/// What a shell asks while a line is typed.
struct CompleteArguments {
  std::vector<std::string> words;  ///< Behind the program's name, up to the one that is being typed.
};
struct VersionArguments {
  enum class Of : std::uint8_t { kBoth, kThisCommand };
  Of of = Of::kBoth;
};

using Command = std::variant<
    InitArguments, TaskCreateArguments, TaskListArguments, TaskShowArguments, TaskRoundsArguments, TaskEdgeArguments,
    RoundShowArguments, ModelShowArguments, ModelDeploymentArguments, TokenListArguments, TokenRevokeArguments,
    DeviceShowArguments, AlertsArguments, MetricsArguments, PrivacyOutlookArguments, AuditVerifyArguments,
    TaskStopArguments, TaskAdjustArguments, TaskWatchArguments, ModelGetArguments, ModelTraceArguments,
    ModelClaimArguments, ModelVerifyArguments, PrivacyShowArguments, PrivacyLedgerArguments, PrivacyVerifyArguments,
    PrivacyDeviceArguments, PrivacyEpsilonArguments, PrivacyCalibrateArguments, PrivacyForecastArguments,
    PrivacyAuditArguments, SimulateArguments, TokenCreateArguments, DeviceSummaryArguments, DeviceListArguments,
    DeviceRevokeArguments, AccessTokenCreateArguments, AccessTokenListArguments, AccessTokenRevokeArguments,
    WhoamiArguments, AuditListArguments, ContextAddArguments, ContextListArguments, ContextUseArguments,
    ContextRemoveArguments, DoctorArguments, CompletionArguments, CompleteArguments, VersionArguments>;

/// Where the server is and who is asking, as far as flags and environment say; empty for what they do not.
struct ConnectionArguments {
  std::filesystem::path context;  ///< The name of a known one, or a directory.
  std::string server;
  std::filesystem::path ca;
  std::filesystem::path certificate;
  std::filesystem::path key;
  std::filesystem::path token_file;  ///< Holds an access token.
  std::filesystem::path known;       ///< The file of this user's contexts, which need not be there; empty: none.
};

struct Invocation {
  ConnectionArguments connection;
  OutputForm form = OutputForm::kText;
  Command command;
};

/// `--help`: the text to show instead of running anything.
struct HelpText {
  std::string text;
};

/// Whether `--json` is among the arguments: known even when the rest does not parse.
OutputForm WantedForm(int argc, const char* const* argv);

/// The first word of a line that is to be completed and not run.
inline constexpr const char* kCompleteWord = "__complete";
/// What may come next on a line, as FormatSuggestions writes it.
std::string CompletionLines(std::span<const std::string> words, std::span<const std::string> context_names);

/// Reads the command line; $TACIT_CONTEXT stands in for --context. Touches no file and no network.
/// Errors: ExitCode::kUsage, with the help command to try.
Outcome<std::variant<Invocation, HelpText>> ParseArguments(int argc, const char* const* argv);

}  // namespace tacit::cli
