#include "cli/commands.h"
#include "cli/describe.h"
#include "cli/fields.h"
#include "cli/ledger_file.h"
#include "cli/text.h"
#include "common/base/files.h"
#include "common/base/text.h"
#include "dp/ledger_check.h"

namespace tacit::cli {
namespace {

constexpr std::size_t kLargestLedger = std::size_t{4} << 30U;  // ten million entries

/// What everything was computed under: a chain can be written anew under friendlier numbers, and only its head tells.
std::string PolicyText(const dp::BudgetPolicy& policy) {
  std::string text = std::string(dp::NameOf(policy.mechanism)) + ", noise multiplier " +
                     FormatNumber(policy.noise_multiplier.value()) + ", budget " + FormatNumber(policy.budget.value()) +
                     ", at most " + std::to_string(policy.max_participations) + " rounds of one device";
  if (policy.coin) {
    text += ", each drawn with probability " + FormatNumber(policy.coin->probability.value()) + " of " +
            std::to_string(policy.coin->population);
  }
  return text;
}

}  // namespace

Outcome<Report> Run(const PrivacyLedgerArguments& arguments, ApiClient& client) {
  const std::string target = "/api/v1/tasks/" + arguments.task.str() + "/ledger";
  // The newest version first: a round that ends meanwhile adds entries to what is read, and never a version without
  // one.
  TACIT_CLI_TRY(const Json first, client.Get(target + "?limit=1"));
  TACIT_CLI_TRY(const Json items, client.GetAll(target));
  Json document = LedgerDocument(MemberAt(first, "policy"), MemberAt(first, "latest_version"), items);
  std::string text = DescribeLedger(items);
  Report report{std::move(document), std::move(text), {}};
  if (arguments.output.empty()) return report;
  const std::string file = report.data.dump(1) + "\n";
  if (auto written = WriteFileAtomic(arguments.output, AsBytes(file), kReadableByAll); !written) {
    return UsageFailure(written.error(),
                        "tacit privacy ledger " + arguments.task.str() + " -o FILE with a file that can be written");
  }
  report.notes = {"written; next: tacit privacy verify " + ShellQuote(arguments.output.string())};
  return report;
}

Outcome<Report> Run(const PrivacyVerifyArguments& arguments) {
  const std::string hint = "tacit privacy ledger TASK -o FILE writes a file that can be verified";
  const auto text = ReadFile(arguments.file, kLargestLedger);
  if (!text) return UsageFailure(text.error(), hint);
  const auto file = ParseLedgerFile(AsText(*text));
  if (!file) return UsageFailure(Annotate(file.error(), arguments.file.string()).error(), hint);
  const auto check = dp::CheckLedger(file->policy, file->entries, file->latest_version);
  if (!check) return std::unexpected(Failure{ExitCode::kRefused, check.error(), "keep the file: it is evidence"});
  const std::string head = ToHex(check->head);
  if (!arguments.head.empty() && arguments.head != head) {
    return std::unexpected(Failure{
        ExitCode::kRefused,
        {ErrorCode::kDataLoss,
         "the ledger ends with " + head + ", not with " + arguments.head + ": its end was cut, added to or replaced"},
        "keep the file: it is evidence"});
  }
  Report report;
  report.data = {{"task", file->policy.task.str()},
                 {"holds", true},
                 {"entries", file->entries.size()},
                 {"rounds_reserved", check->rounds_reserved},
                 {"rounds_charged", check->rounds_charged},
                 {"rounds_void", check->rounds_void},
                 {"adjustments", check->adjustments},
                 {"epsilon_spent", FiniteOrNull(check->spent.epsilon)},
                 {"epsilon_charged", FiniteOrNull(check->charged.epsilon)},
                 {"delta", check->spent.delta},
                 {"epsilon_budget", file->policy.budget.value()},
                 {"policy_digest", ToHex(dp::PolicyDigest(file->policy))},
                 {"accountant", check->spent.accountant},
                 {"head", head}};
  report.text = FormatPairs(
      {{"task", file->policy.task.str()},
       {"entries", std::to_string(file->entries.size()) + ", chained, in order"},
       {"rounds", std::to_string(check->rounds_reserved) + " reserved, " + std::to_string(check->rounds_charged) +
                      " charged, " + std::to_string(check->rounds_void) + " void"},
       {"adjustments", std::to_string(check->adjustments) + " of the noise"},
       {"epsilon spent",
        CostAt(report.data, "epsilon_spent") + " at delta " + RoundedUp(check->spent.delta) + ", computed again"},
       {"policy", PolicyText(file->policy)},
       {"head", head}});
  report.notes = {arguments.head.empty()
                      ? "the ledger holds; write its head down elsewhere, and give it back with --head next time"
                      : "the ledger holds, and ends where it ended when its head was written down"};
  return report;
}

Outcome<Report> Run(const PrivacyDeviceArguments& arguments, ApiClient& client) {
  auto spends = client.GetAll("/api/v1/devices/" + arguments.device.str() + "/privacy");
  if (!spends) {
    Failure failure = std::move(spends).error();
    if (failure.error.code == ErrorCode::kNotFound) failure.hint = "tacit device list";
    if (failure.error.code == ErrorCode::kPermissionDenied)
      failure.hint =
          "individual spends are for auditors: --cert DIR/operators/auditor.crt --key DIR/operators/auditor.key";
    return std::unexpected(std::move(failure));
  }
  std::string text = DescribeSpends(*spends);
  return Report{Json{{"device", arguments.device.str()}, {"items", *std::move(spends)}}, std::move(text), {}};
}

}  // namespace tacit::cli
