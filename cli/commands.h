#pragma once

#include <optional>

#include "cli/arguments.h"
#include "cli/client.h"
#include "cli/failure.h"
#include "cli/output.h"
#include "common/base/clock.h"
#include "dp/audit.h"

namespace tacit::cli {

// One function for each command that asks the server. The texts are made from the answers by the functions of
// describe.h.

Outcome<Report> Run(const TaskCreateArguments& arguments, ApiClient& client);
Outcome<Report> Run(const TaskListArguments& arguments, ApiClient& client);
Outcome<Report> Run(const TaskShowArguments& arguments, ApiClient& client);
Outcome<Report> Run(const TaskRoundsArguments& arguments, ApiClient& client);
Outcome<Report> Run(const RoundShowArguments& arguments, ApiClient& client);
Outcome<Report> Run(const TaskEdgeArguments& arguments, ApiClient& client);
Outcome<Report> Run(const TaskStopArguments& arguments, ApiClient& client);
Outcome<Report> Run(const TaskAdjustArguments& arguments, ApiClient& client);
Outcome<Report> Run(const ModelShowArguments& arguments, ApiClient& client);
Outcome<Report> Run(const ModelDeploymentArguments& arguments, ApiClient& client);
Outcome<Report> Run(const ModelGetArguments& arguments, ApiClient& client);
/// Ends with kRefused when no device may be named.
Outcome<Report> Run(const ModelTraceArguments& arguments, ApiClient& client);
/// Ends with kRefused when the file does not support a claim, or the log that it stands in does not hold.
Outcome<Report> Run(const ModelClaimArguments& arguments, ApiClient& client);
Outcome<Report> Run(const PrivacyShowArguments& arguments, ApiClient& client);
Outcome<Report> Run(const PrivacyOutlookArguments& arguments, ApiClient& client);
Outcome<Report> Run(const PrivacyLedgerArguments& arguments, ApiClient& client);
Outcome<Report> Run(const PrivacyDeviceArguments& arguments, ApiClient& client);
Outcome<Report> Run(const TokenCreateArguments& arguments, ApiClient& client);
Outcome<Report> Run(const DeviceSummaryArguments& arguments, ApiClient& client);
Outcome<Report> Run(const TokenListArguments& arguments, ApiClient& client);
Outcome<Report> Run(const TokenRevokeArguments& arguments, ApiClient& client);
Outcome<Report> Run(const DeviceListArguments& arguments, ApiClient& client);
Outcome<Report> Run(const DeviceShowArguments& arguments, ApiClient& client);
Outcome<Report> Run(const DeviceRevokeArguments& arguments, ApiClient& client);
Outcome<Report> Run(const AccessTokenCreateArguments& arguments, ApiClient& client);
Outcome<Report> Run(const AccessTokenListArguments& arguments, ApiClient& client);
Outcome<Report> Run(const AccessTokenRevokeArguments& arguments, ApiClient& client);
Outcome<Report> Run(const WhoamiArguments& arguments, ApiClient& client);
Outcome<Report> Run(const AlertsArguments& arguments, ApiClient& client);
Outcome<Report> Run(const MetricsArguments& arguments, ApiClient& client);
Outcome<Report> Run(const AuditListArguments& arguments, ApiClient& client);
/// Ends with kRefused for a log that does not hold.
Outcome<Report> Run(const AuditVerifyArguments& arguments, ApiClient& client);

// What needs no server: figures of schedules that nobody has started, and of what a server once wrote.

Outcome<Report> Run(const PrivacyEpsilonArguments& arguments);
Outcome<Report> Run(const PrivacyCalibrateArguments& arguments);
Outcome<Report> Run(const PrivacyForecastArguments& arguments);
/// Ends with kRefused for a ledger that does not hold.
Outcome<Report> Run(const PrivacyVerifyArguments& arguments);

/// Ends with kRefused when file and evidence do not support a claim together.
Outcome<Report> Run(const ModelVerifyArguments& arguments);

/// Audits the mechanism of this program with noise from the operating system's generator. Ends with kViolated when it
/// gives away more than is proved.
Outcome<Report> Run(const PrivacyAuditArguments& arguments);
/// What that says, made of what the two audits found.
Report DescribeAudit(const PrivacyAuditArguments& arguments, const dp::AuditReport& neighbours,
                     const dp::AuditReport& one_run);

/// Runs a task on devices that are simulated, and writes the files that were asked for; draws how far it has come. A
/// signal to stop ends the process once what is on its disk is removed. Ends with kRefused when nothing was published.
Outcome<Report> Simulate(const SimulateArguments& arguments, const Output& output);

/// Shows each change of the task's rounds as it is seen, until the task is no longer active; rides out a server that is
/// away for less than a minute. Ends with kOk when the task finished, kBudget when its budget ended it, kRefused when
/// it was stopped, kTimeOut after `timeout`.
Outcome<ExitCode> Watch(const TaskWatchArguments& arguments, ApiClient& client, const Output& output,
                        const Clock& clock);

// The list of contexts. What is wrong with one is found when it is added, and not when it is listed.

/// Errors: kRefused for a name that is taken.
Outcome<Report> Run(const ContextAddArguments& arguments, const ConnectionArguments& connection, WallTime now);
Outcome<Report> Run(const ContextListArguments& arguments, const ConnectionArguments& connection);
Outcome<Report> Run(const ContextUseArguments& arguments, const ConnectionArguments& connection);
Outcome<Report> Run(const ContextRemoveArguments& arguments, const ConnectionArguments& connection);

Outcome<Report> Run(const CompletionArguments& arguments);

Report ShowOwnVersion();
/// Versions of this command and, as far as `client` is one, of its server: that it is not reached is a note and no
/// failure.
Report ShowVersion(std::optional<Outcome<ApiClient>> client);

}  // namespace tacit::cli
