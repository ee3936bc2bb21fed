#include "cli/grammar.h"

namespace tacit::cli {
namespace {

Outcome<Command> MakeAuditList(const RawArguments& raw) {
  return AuditListArguments{raw.after};
}

Outcome<Command> MakeMetrics(const RawArguments& raw) {
  return MetricsArguments{raw.metric};
}

}  // namespace

void DescribeOperations(Grammar& grammar, CLI::App& app) {
  RawArguments& raw = grammar.raw;
  CLI::App& audit = AddGroup(app, "audit", "Who did what on this server");
  CLI::App& list = AddLeaf(grammar, audit, "list", "The audit log; for auditors and admins", MakeAuditList);
  AddLeaf(grammar, audit, "verify", "Whether the log is whole; for auditors and admins",
          MakePlain<AuditVerifyArguments>);
  list.add_option("--after", raw.after, "Only what comes after this record")->type_name("SEQUENCE");
  AddLeaf(grammar, app, "alerts", "What a person should look at now", MakePlain<AlertsArguments>);
  AddLeaf(grammar, app, "metrics", "Every number that Prometheus is told", MakeMetrics)
      .add_option("NAME", grammar.raw.metric, "Only metrics with this in their names")
      ->type_name("");
}

}  // namespace tacit::cli
