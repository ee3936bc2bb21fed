#include "cli/describe.h"

#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "cli/fields.h"
#include "cli/text.h"

namespace tacit::cli {
namespace {

std::string NoiseAt(const Json& object) {
  return FormatNoise(NumberAt(object, "noise_multiplier", std::numeric_limits<double>::quiet_NaN()));
}

using Pairs = std::vector<std::pair<std::string, std::string>>;

// " (why)", or nothing when there is no reason.
std::string Because(const std::string& text) {
  return text == "-" || text.empty() ? "" : " (" + text + ")";
}

std::string SpentOfBudget(const Json& object) {
  if (MemberAt(object, "local").is_object()) return "by each device's own noise";
  if (TextAt(object, "mechanism") == "none") return "no differential privacy";
  return CostAt(object, "epsilon_spent") + " of " + ShortNumberAt(object, "epsilon_budget");
}

// What is spent after a round. Zero is shown as nothing: a round that added noise has spent more than that, and one
// that added none promises nothing, while "epsilon 0" would read as perfect privacy.
std::string EpsilonAfter(const Json& round) {
  return NumberAt(round, "epsilon_after", 0) > 0 ? CostAt(round, "epsilon_after") : "-";
}

// With the odds, where a coin is tossed.
std::string SamplingOf(const Json& object) {
  const bool coin = MemberAt(object, "sampling_probability").is_number();
  return TextAt(object, "sampling") +
         (coin ? ", " + TextAt(object, "sampling_probability") + " of " + TextAt(object, "population") : "");
}

std::string RoundsLeftOf(const Json& object) {
  // What a budget would still pay for is of no use to a task that opens no more rounds.
  const std::string state = TextAt(object, "state");
  if (state != "-" && state != "active") return "none: the task is " + state;
  return MemberAt(object, "rounds_left").is_number() ? TextAt(object, "rounds_left") : "no limit by the budget";
}

std::string RoundsOf(const Json& task) {
  return TextAt(task, "rounds_published") + " of " + TextAt(task, "rounds_total");
}

std::string CohortOf(const Json& task) {
  const Json asynchronous = MemberAt(task, "asynchronous");
  if (!asynchronous.is_object()) return TextAt(task, "cohort_size") + ", at least " + TextAt(task, "cohort_min");
  return TextAt(task, "cohort_size") + " a buffer, from models up to " + TextAt(asynchronous, "max_staleness") +
         " versions old; devices at work at a time: " + TextAt(asynchronous, "concurrency");
}

// What devices may send; one whose server does not say sends a number for each parameter.
std::string UpdatesOf(const Json& task) {
  std::string text = "a number for each parameter";
  if (MemberAt(task, "top_k").is_number()) text += ", or for the " + TextAt(task, "top_k") + " that changed most";
  if (TextAt(task, "compression") == "zstd") text += "; compressed";
  return text;
}

std::string WatermarkOf(const Json& task) {
  const Json watermark = MemberAt(task, "watermark");
  return watermark.is_object() ? TextAt(watermark, "triggers") + " triggers, taught after each round" : "none";
}

std::string LastOf(const Json& json, std::string_view key) {
  const std::string text = TextAt(json, key);
  return text == "-" ? "never" : "last at " + text;
}

std::string DeploymentOf(const Json& task) {
  const Json deployment = MemberAt(task, "deployment");
  const Json lease = MemberAt(deployment, "lease_ms");
  if (!lease.is_number_unsigned()) return "none: devices get no models to use";
  return "leases of " + std::to_string(lease.get<std::uint64_t>() / 1000) + " s; " +
         (TextAt(deployment, "copies") == "own" ? "a copy of its own for each device" : "one copy for all devices");
}

std::string DescribeCurrent(const Json& current) {
  if (!current.is_object()) return "-";
  std::string text = TextAt(current, "round") + ", " + TextAt(current, "phase") + ", " + TextAt(current, "counted") +
                     " counted, " + TextAt(current, "leased") + " leased";
  return text + Because(TextAt(current, "waiting_for"));
}

void AddUtility(const Json& utility, Pairs& pairs) {
  if (!MemberAt(utility, "noise_to_signal").is_number()) return;
  pairs.emplace_back("noise to signal", CostAt(utility, "noise_to_signal"));
  pairs.emplace_back("what that means", TextAt(utility, "meaning"));
  pairs.emplace_back("cohort needed", TextAt(utility, "cohort_needed"));
}

// "gaussian, noise multiplier 8, added by each device".
std::string LocalNoiseOf(const Json& local) {
  return TextAt(local, "mechanism") + ", noise multiplier " + NoiseAt(local) + ", added by each device";
}

void AddLocalCost(const Json& local, Pairs& pairs) {
  pairs.emplace_back("local noise", LocalNoiseOf(local));
  pairs.emplace_back("neighbouring", TextAt(local, "neighbouring"));
  pairs.emplace_back("epsilon of one update", CostAt(local, "epsilon_of_one_update"));
  pairs.emplace_back("epsilon of a device", CostAt(local, "epsilon_at_max_releases") + " for at most " +
                                                TextAt(local, "max_releases") + " updates");
  pairs.emplace_back("delta", CostAt(local, "delta"));
}

// How far the budget lets the task come: one that ends early is better known before it is made.
std::string WithinBudget(const Json& plan) {
  const std::string all = TextAt(plan, "rounds");
  if (!MemberAt(plan, "rounds_within_budget").is_number()) return "all " + all;
  return TextAt(plan, "rounds_within_budget") + " of " + all + ": the task ends there";
}

// What a plan would cost; one without noise says so.
void AddCost(const Json& plan, Pairs& pairs) {
  if (const Json& local = MemberAt(plan, "local"); local.is_object()) return AddLocalCost(local, pairs);
  if (TextAt(plan, "mechanism") == "none") {
    pairs.emplace_back("privacy", "none: this task would add no noise");
    return;
  }
  pairs.emplace_back("noise multiplier", NoiseAt(plan));
  // Infinity has no number in JSON.
  const bool bounded = MemberAt(plan, "epsilon").is_number();
  pairs.emplace_back("epsilon", bounded ? CostAt(plan, "epsilon") : "no bound is proved at this delta");
  pairs.emplace_back("epsilon budget", ShortNumberAt(plan, "epsilon_budget"));
  pairs.emplace_back("rounds within budget", WithinBudget(plan));
  pairs.emplace_back("delta", CostAt(plan, "delta"));
  pairs.emplace_back("accountant", TextAt(plan, "accountant"));
}

}  // namespace

std::string DescribeTask(const Json& task) {
  return FormatPairs({{"task", TextAt(task, "name")},
                      {"state", TextAt(task, "state") + Because(TextAt(task, "state_reason"))},
                      {"rounds published", RoundsOf(task)},
                      {"current round", DescribeCurrent(MemberAt(task, "current_round"))},
                      {"latest model",
                       "version " + TextAt(task, "latest_version") + ", " + TextAt(task, "parameters") + " parameters"},
                      {"cohort", CohortOf(task)},
                      {"updates", UpdatesOf(task)},
                      {"watermark", WatermarkOf(task)},
                      {"deployment", DeploymentOf(task)},
                      {"mechanism", TextAt(task, "mechanism")},
                      {"noise multiplier", NoiseAt(task)},
                      {"clip norm", ShortNumberAt(task, "clip_norm")},
                      {"delta", CostAt(task, "delta")},
                      {"epsilon spent", SpentOfBudget(task)}});
}

std::string DescribeAdjustment(const Json& adjustment) {
  return FormatPairs({{"task", TextAt(adjustment, "task")},
                      {"noise multiplier", NoiseAt(adjustment) + ", after round " + TextAt(adjustment, "after_round")},
                      {"accountant", TextAt(adjustment, "accountant")},
                      {"epsilon spent", CostAt(adjustment, "epsilon_spent")},
                      {"rounds left", RoundsLeftOf(adjustment)}});
}

std::string DescribeTasks(const Json& tasks) {
  if (tasks.empty()) return "no tasks yet; next: tacit task create -f task.toml\n";
  std::vector<std::vector<std::string>> rows = {{"TASK", "STATE", "ROUNDS", "COHORT", "MECHANISM", "EPSILON SPENT"}};
  for (const Json& task : tasks) {
    rows.push_back({TextAt(task, "name"), TextAt(task, "state"), RoundsOf(task), TextAt(task, "cohort_size"),
                    TextAt(task, "mechanism"), SpentOfBudget(task)});
  }
  return FormatTable(rows);
}

std::string DescribeRounds(const Json& rounds) {
  if (rounds.empty()) return "no round has opened yet; next: tacit task show NAME says what it waits for\n";
  std::vector<std::vector<std::string>> rows = {{"ROUND", "PHASE", "COHORT", "EPSILON AFTER", "ENDED", "REASON"}};
  for (const Json& round : rounds) {
    rows.push_back({TextAt(round, "round"), TextAt(round, "phase"), TextAt(round, "counted"), EpsilonAfter(round),
                    TextAt(round, "ended_at"), TextAt(round, "reason")});
  }
  return FormatTable(rows);
}

std::string DescribePlan(const Json& plan) {
  Pairs pairs = {{"task", TextAt(plan, "name")},
                 {"rounds", TextAt(plan, "rounds")},
                 {"parameters", TextAt(plan, "parameters")},
                 {"cohort", CohortOf(plan)},
                 {"mechanism", TextAt(plan, "mechanism")}};
  if (MemberAt(plan, "sampling").is_string()) pairs.emplace_back("sampling", SamplingOf(plan));
  AddCost(plan, pairs);
  AddUtility(plan, pairs);
  return FormatPairs(pairs);
}

namespace {

// "6; rounds so far: 2 with 4, 1 with 6", where it was changed on the way.
std::string NoiseOfRounds(const Json& privacy) {
  std::string text = NoiseAt(privacy);
  if (!MemberAt(privacy, "filter").is_object()) return text;
  std::string rounds;
  for (const Json& each : MemberAt(privacy, "rounds_by_noise"))
    rounds += (rounds.empty() ? " " : ", ") + TextAt(each, "rounds") + " with " + NoiseAt(each);
  return text + "; rounds so far:" + (rounds.empty() ? " none" : rounds);
}

std::string NotCoveredLines(const Json& list) {
  std::string text = list.is_array() && !list.empty() ? "Not covered by this claim:\n" : "";
  for (const Json& item : list) text += "  - " + (item.is_string() ? item.get<std::string>() : item.dump()) + "\n";
  return text;
}

std::string DescribeLocalPrivacy(const Json& privacy) {
  const Json& local = MemberAt(privacy, "local");
  Pairs pairs = {{"mechanism", TextAt(privacy, "mechanism")},
                 {"privacy", TextAt(privacy, "statement")},
                 {"unit", TextAt(local, "unit")},
                 {"accountant", TextAt(local, "accountant")}};
  AddLocalCost(local, pairs);
  pairs.emplace_back("epsilon counted", CostAt(local, "epsilon_counted") + " for the device counted most often");
  AddUtility(MemberAt(local, "utility"), pairs);
  return FormatPairs(pairs) + NotCoveredLines(MemberAt(local, "not_covered"));
}

}  // namespace

std::string DescribeOutlook(const Json& outlook) {
  std::vector<std::vector<std::string>> rows = {{"ROUNDS MORE", "EPSILON", "OF BUDGET"}};
  const Json& items = MemberAt(outlook, "items");
  for (const Json& item : items.is_array() ? items : Json::array())
    rows.push_back({TextAt(item, "rounds"), CostAt(item, "epsilon"), CostAt(outlook, "epsilon_budget")});
  return FormatTable(rows);
}

std::string DescribePrivacy(const Json& privacy) {
  if (MemberAt(privacy, "local").is_object()) return DescribeLocalPrivacy(privacy);
  // A task without noise has nothing to account for, and says so.
  if (MemberAt(privacy, "statement").is_string()) {
    return FormatPairs({{"mechanism", TextAt(privacy, "mechanism")}, {"privacy", TextAt(privacy, "statement")}});
  }
  Pairs pairs = {{"mechanism", TextAt(privacy, "mechanism")},
                 {"unit", TextAt(privacy, "unit")},
                 {"neighbouring", TextAt(privacy, "neighbouring")},
                 {"sampling", SamplingOf(privacy)},
                 {"accountant", TextAt(privacy, "accountant")},
                 {"epsilon spent", SpentOfBudget(privacy)},
                 {"epsilon reserved", CostAt(privacy, "epsilon_reserved")},
                 {"delta", CostAt(privacy, "delta")},
                 {"noise multiplier", NoiseOfRounds(privacy)},
                 {"rounds charged", TextAt(privacy, "rounds_charged")},
                 {"participations", "at most " + TextAt(privacy, "max_participations") + " of one device"},
                 {"rounds left", RoundsLeftOf(privacy)}};
  AddUtility(MemberAt(privacy, "utility"), pairs);
  return FormatPairs(pairs) + NotCoveredLines(MemberAt(privacy, "not_covered"));
}

std::string DescribeLedger(const Json& items) {
  std::vector<std::vector<std::string>> rows = {{"ENTRY", "KIND", "ROUND", "COHORT", "NOISE", "EPSILON", "HASH"}};
  for (const Json& entry : items) {
    rows.push_back({TextAt(entry, "sequence"), TextAt(entry, "kind"), TextAt(entry, "round"), TextAt(entry, "cohort"),
                    NoiseAt(entry), CostAt(entry, "epsilon_after"), TextAt(entry, "hash")});
  }
  return FormatTable(rows);
}

std::string DescribeSpends(const Json& items) {
  std::vector<std::vector<std::string>> rows = {{"TASK", "MECHANISM", "ROUNDS", "EPSILON", "DELTA"}};
  for (const Json& spend : items) {
    const bool local = MemberAt(spend, "local") == true;
    rows.push_back({TextAt(spend, "task"), local ? "its own noise" : TextAt(spend, "mechanism"),
                    TextAt(spend, "rounds") + " of " + TextAt(spend, "max_participations"), CostAt(spend, "epsilon"),
                    CostAt(spend, "delta")});
  }
  return FormatTable(rows);
}

std::string TasksAt(const Json& json) {
  const Json& tasks = MemberAt(json, "tasks");
  if (!tasks.is_array()) return "all";
  std::string list;
  for (const Json& task : tasks)
    list += (list.empty() ? "" : ", ") + (task.is_string() ? task.get<std::string>() : "?");
  return list;
}

std::string DescribeAccessToken(const Json& token) {
  const bool shown = MemberAt(token, "secret").is_string();
  std::string text = FormatPairs({{shown ? "token" : "written to", TextAt(token, shown ? "secret" : "file")},
                                  {"id", TextAt(token, "id")},
                                  {"for", TextAt(token, "name") + ", role " + TextAt(token, "role")},
                                  {"tasks", TasksAt(token)},
                                  {"good until", TextAt(token, "expires_at")}});
  if (shown) text += "\nThe token is shown this once: put it in a file that only its owner can read.\n";
  return text + "Next:\n  tacit --server HOST:PORT --ca ca.crt --token-file " +
         (shown ? "FILE" : ShellQuote(TextAt(token, "file"))) + " whoami\n";
}

std::string DescribeAccessTokens(const Json& tokens) {
  if (tokens.empty()) return "no access tokens; next: tacit access token create --name NAME --role ROLE\n";
  std::vector<std::vector<std::string>> rows = {{"ID", "NAME", "ROLE", "TASKS", "STATE", "UNTIL", "MADE BY"}};
  for (const Json& token : tokens) {
    rows.push_back({TextAt(token, "id"), TextAt(token, "name"), TextAt(token, "role"), TasksAt(token),
                    TextAt(token, "state"), TextAt(token, "expires_at"), TextAt(token, "created_by")});
  }
  return FormatTable(rows);
}

std::string DescribeWhoami(const Json& self) {
  std::string may;
  const Json& actions = MemberAt(self, "actions");
  for (const Json& action : actions.is_array() ? actions : Json::array())
    may += (may.empty() ? "" : ", ") + (action.is_string() ? action.get<std::string>() : "?");
  return FormatPairs({{"name", TextAt(self, "name")},
                      {"role", TextAt(self, "role")},
                      {"proven by", TextAt(self, "proven_by")},
                      {"good until", TextAt(self, "expires_at")},
                      {"tasks", TasksAt(self)},
                      {"may", may}});
}

std::string DescribeAuditLog(const Json& records) {
  if (records.empty()) return "no records\n";
  std::vector<std::vector<std::string>> rows = {{"#", "AT", "WHO", "DID", "TO", "DETAIL"}};
  for (const Json& record : records) {
    rows.push_back({TextAt(record, "sequence"), TextAt(record, "at"), TextAt(record, "actor"), TextAt(record, "action"),
                    TextAt(record, "target"), TextAt(record, "detail")});
  }
  return FormatTable(rows);
}

std::string DescribeFleet(const Json& fleet) {
  Pairs pairs = {{"active", TextAt(fleet, "active")}, {"revoked", TextAt(fleet, "revoked")}};
  for (const Json& agent : MemberAt(fleet, "agents"))
    pairs.emplace_back("run " + TextAt(agent, "version"), TextAt(agent, "devices"));
  const Json& certificates = MemberAt(fleet, "certificates");
  pairs.emplace_back("certificates", TextAt(certificates, "total"));
  for (const Json& bound : MemberAt(certificates, "within")) {
    const double hours = NumberAt(bound, "seconds", 0) / 3600;
    pairs.emplace_back(hours > 0 ? "end within " + FormatNumber(hours) + " h" : "have ended",
                       TextAt(bound, "certificates"));
  }
  return FormatPairs(pairs);
}

std::string DescribeAlerts(const Json& alerts) {
  if (alerts.empty()) return "nothing to look at\n";
  std::string text;
  for (const Json& alert : alerts) {
    text += TextAt(alert, "severity") + "  " + TextAt(alert, "name") + ": " + TextAt(alert, "summary") +
            "\n  next: " + TextAt(alert, "next") + "\n";
  }
  return text;
}

std::string DescribeMetrics(const Json& metrics) {
  std::vector<std::vector<std::string>> rows = {{"METRIC", "OF", "VALUE", "COUNT", "SUM"}};
  for (const Json& metric : metrics) {
    for (const Json& series : MemberAt(metric, "series")) {
      std::string labels;
      for (const auto& [name, value] : MemberAt(series, "labels").items())
        labels += (labels.empty() ? "" : ",") + name + "=" + (value.is_string() ? value.get<std::string>() : "?");
      rows.push_back(
          {TextAt(metric, "name"), labels, TextAt(series, "value"), TextAt(series, "count"), TextAt(series, "sum")});
    }
  }
  return rows.size() > 1 ? FormatTable(rows) : "no such metric; all: tacit metrics\n";
}

std::string DescribeTokens(const Json& tokens) {
  if (tokens.empty()) return "no enrolment tokens; next: tacit device token create\n";
  std::vector<std::vector<std::string>> rows = {{"ID", "FOR", "STATE", "USES LEFT", "MADE", "UNTIL"}};
  for (const Json& token : tokens) {
    const bool named = MemberAt(token, "device").is_string();
    rows.push_back({TextAt(token, "id"), named ? TextAt(token, "device") : "any", TextAt(token, "state"),
                    TextAt(token, "uses_left"), TextAt(token, "created_at"), TextAt(token, "expires_at")});
  }
  return FormatTable(rows);
}

std::string DescribeDevices(const Json& devices) {
  if (devices.empty()) return "no devices yet; next: tacit device token create\n";
  std::vector<std::vector<std::string>> rows = {{"DEVICE", "STATE", "ENROLLED", "CERTIFICATE UNTIL", "LAST SEEN"}};
  for (const Json& device : devices) {
    rows.push_back({TextAt(device, "name"), TextAt(device, "state"), TextAt(device, "enrolled_at"),
                    TextAt(device, "certificate_not_after"), TextAt(device, "last_seen_at")});
  }
  return FormatTable(rows);
}

std::string DescribeDevice(const Json& device) {
  std::string text = DescribeDevices(Json::array({device}));
  const Json key = MemberAt(device, "model_key");
  if (!key.is_object()) return text + "\nno key for models: it has not asked for any\n";
  text += "\n" + FormatPairs({{"key for models", TextAt(key, "sha256")},
                              {"kept in", TextAt(key, "tier")},
                              {"number", TextAt(key, "epoch") + ", since " + TextAt(key, "recorded_at")}});
  std::vector<std::vector<std::string>> rows = {{"TASK", "VERSION", "LEASES", "LAST", "UNTIL"}};
  for (const Json& lease : MemberAt(device, "models")) {
    rows.push_back({TextAt(lease, "task"), TextAt(lease, "version"), TextAt(lease, "leases"),
                    TextAt(lease, "leased_at"), TextAt(lease, "expires_at")});
  }
  return text + "\n" + FormatTable(rows);
}

std::string DescribeDeployment(const Json& deployment) {
  std::string text = FormatPairs({{"task", TextAt(deployment, "task")},
                                  {"newest version", TextAt(deployment, "newest_version")},
                                  {"devices get", DeploymentOf({{"deployment", deployment}})}});
  if (MemberAt(deployment, "withheld") == true)
    return text + "\nwho has which version is withheld: a coin hides when devices come\n";
  std::vector<std::vector<std::string>> rows = {{"VERSION", "DEVICES", "LEASES THAT HOLD", "LEASES GIVEN"}};
  for (const Json& each : MemberAt(deployment, "items")) {
    rows.push_back(
        {TextAt(each, "version"), TextAt(each, "devices"), TextAt(each, "running_leases"), TextAt(each, "leases")});
  }
  return text + "\n" + (rows.size() == 1 ? "no device has asked yet\n" : FormatTable(rows));
}

std::string DescribeEdge(const Json& edge) {
  std::string text = FormatPairs({{"task", TextAt(edge, "task")},
                                  {"newest version", TextAt(edge, "newest_version")},
                                  {"weights changed", LastOf(edge, "last_changed_weights_at")},
                                  {"call refused", LastOf(edge, "last_refused_call_at")},
                                  {"extraction alarm", LastOf(edge, "last_extraction_alarm_at")}});
  if (MemberAt(edge, "withheld") == true)
    return text + "\nwhat devices served is withheld: a coin hides when they come\n";
  text += FormatPairs({{"devices", TextAt(edge, "devices") + ", " + TextAt(edge, "reporting") + " in the last day"},
                       {"drifted", TextAt(edge, "drifted") + " of these"},
                       {"reports", TextAt(edge, "reports")}});
  std::vector<std::vector<std::string>> totals = {{"COUNTED", "IN ALL"}};
  for (const auto& [name, count] : MemberAt(edge, "totals").items()) totals.push_back({name, count.dump()});
  std::vector<std::vector<std::string>> versions = {{"VERSION", "DEVICES", "IN THE LAST DAY"}};
  for (const Json& each : MemberAt(edge, "versions"))
    versions.push_back({TextAt(each, "version"), TextAt(each, "devices"), TextAt(each, "reporting")});
  std::vector<std::vector<std::string>> lacking = {{"PROTECTION THAT IS MISSING", "DEVICES"}};
  for (const Json& each : MemberAt(edge, "degradations"))
    lacking.push_back({TextAt(each, "protection"), TextAt(each, "devices")});
  if (versions.size() == 1) return text + "\nno device has reported yet\n";
  text += "\n" + FormatTable(totals) + "\n" + FormatTable(versions);
  return lacking.size() == 1 ? text : text + "\n" + FormatTable(lacking);
}

std::string DescribeToken(const Json& token, const std::string& host) {
  const std::string command = "tacit-agent join --server " + ShellQuote(host) + " --enrolment-port " +
                              TextAt(token, "enrolment_port") + " --ca-fingerprint " +
                              ShellQuote(TextAt(token, "ca_fingerprint")) + " --token-file FILE --state DIR";
  std::string text = FormatPairs({{"token", TextAt(token, "token")},
                                  {"id", TextAt(token, "id")},
                                  {"good until", TextAt(token, "expires_at")},
                                  {"uses", TextAt(token, "uses")},
                                  {"CA fingerprint", TextAt(token, "ca_fingerprint")}});
  if (MemberAt(token, "readmits") == true) {
    text +=
        "\nA device '" + TextAt(token, "device") +
        "' is enrolled: this token readmits it. Whoever uses it takes that device's place, with a new certificate; "
        "the one before is\nrefused from then on, and what the device has spent stays. With the DIR it had, it also "
        "keeps its own account of local noise.\n";
  }
  return text + "\nThe token is shown this once. On the device, with the token in FILE:\n  " + command + "\n";
}

std::string DescribeRound(const Json& round) {
  std::string text = "round " + TextAt(round, "round") + "  " + TextAt(round, "phase") +
                     Because(TextAt(round, "reason")) + Because(TextAt(round, "waiting_for")) + "  counted " +
                     TextAt(round, "counted");
  if (MemberAt(round, "model_version").is_number()) text += "  model " + TextAt(round, "model_version");
  if (EpsilonAfter(round) != "-") text += "  epsilon " + EpsilonAfter(round);
  return text + "\n";
}

}  // namespace tacit::cli
