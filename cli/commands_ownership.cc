#include <cmath>
#include <string>
#include <utility>

#include "cli/claim_evidence.h"
#include "cli/commands.h"
#include "cli/fields.h"
#include "cli/text.h"
#include "common/base/files.h"
#include "common/crypto/digest.h"
#include "server/ownership/suspect.h"

namespace tacit::cli {
namespace {

constexpr std::size_t kLargestFound = (std::size_t{1} << 30U) + (std::size_t{1} << 20U);
constexpr std::size_t kLargestEvidence = std::size_t{64} << 20U;

Outcome<Bytes> ReadFound(const std::filesystem::path& file, std::size_t limit) {
  auto bytes = ReadFile(file, limit);
  if (!bytes) return UsageFailure(bytes.error(), "tacit model --help");
  return *std::move(bytes);
}

Outcome<Json> Ask(ApiClient& client, const std::string& target, const std::filesystem::path& file) {
  TACIT_CLI_TRY(const Bytes bytes, ReadFound(file, kLargestFound));
  return client.PostFile(
      target, {.content_type = "application/octet-stream", .file_name = file.filename().string(), .bytes = bytes});
}

std::string PartOf(const Json& object, std::string_view part, std::string_view whole) {
  return TextAt(object, part) + " of " + TextAt(object, whole);
}

/// A chance that may be too small for a number.
std::string ChanceOf(double log10) {
  if (log10 > -300) return RoundedUp(std::pow(10.0, log10));
  return "10^" + std::to_string(static_cast<long>(std::ceil(log10)));
}

std::string SuspectText(const Json& entry) {
  if (!entry.is_object()) return "-";
  return TextAt(entry, "device") + ", " + PartOf(entry, "in_order", "places") + " channels in its order, " +
         PartOf(entry, "at_factor", "factors") + " at its factors; chance " + ChanceOf(NumberAt(entry, "log10_p", 0));
}

Report DescribeTrace(Json trace) {
  const bool named = MemberAt(trace, "named").is_string();
  Report report;
  report.text =
      FormatPairs({{"model", TextAt(trace, "task") + " version " + TextAt(trace, "version")},
                   {"similarity", ShortNumberAt(trace, "similarity")},
                   {"devices compared", TextAt(trace, "devices")},
                   {"best", SuspectText(MemberAt(trace, "best"))},
                   {"runner-up", SuspectText(MemberAt(trace, "runner_up"))},
                   {"false accusation", "at most " + CostAt(trace, "false_accusation")},
                   {"made for", named ? "device " + TextAt(trace, "named") : std::string("nobody is named")}});
  if (!named) {
    report.notes = {
        "no enrolled device's copy explains this file; another --version may, and a copy that was made anew "
        "in every layer is explained by none"};
    report.exit = ExitCode::kRefused;
  }
  report.data = std::move(trace);
  return report;
}

std::vector<std::pair<std::string, std::string>> MatchPairs(const Json& claim) {
  return {{"model", TextAt(claim, "task") + " version " + TextAt(claim, "version")},
          {"match rate", PartOf(claim, "matched", "triggers") + " triggers, at least " +
                             ShortNumberAt(claim, "match_rate_low") + " with confidence 0.99"},
          {"threshold", ShortNumberAt(claim, "threshold")},
          {"p-value", CostAt(claim, "p_value") + ", if a model without the mark matches a trigger with chance " +
                          CostAt(claim, "chance")}};
}

std::string LogText(const store::AuditRecord& commitment) {
  return "record " + std::to_string(commitment.sequence) + " of " + FormatRfc3339(commitment.event.at) + ", " +
         commitment.event.detail;
}

std::string HeadText(const store::AuditHead& head) {
  return "holds up to record " + std::to_string(head.sequence) + ", " + ToHex(head.hash);
}

const char* MeaningOf(bool supports) {
  return supports ? "supports an ownership claim" : "does not support an ownership claim";
}

std::unexpected<Failure> BadLog(const Error& error) {
  return std::unexpected(Failure{ExitCode::kRefused, error, "tacit audit verify"});
}

}  // namespace

Outcome<Report> Run(const ModelTraceArguments& arguments, ApiClient& client) {
  TACIT_CLI_TRY(
      Json trace,
      Ask(client, "/api/v1/tasks/" + arguments.task.str() + "/traces?version=" + arguments.version, arguments.file));
  return DescribeTrace(std::move(trace));
}

Outcome<Report> Run(const ModelClaimArguments& arguments, ApiClient& client) {
  const bool discloses = !arguments.output.empty();
  TACIT_CLI_TRY(Json claim, Ask(client,
                                "/api/v1/tasks/" + arguments.task.str() + "/claims?version=" + arguments.version +
                                    (discloses ? "&disclose=true" : ""),
                                arguments.file));
  const auto commitment = ParseAuditRecord(MemberAt(claim, "commitment"));
  if (!commitment) return BadLog(commitment.error());
  // The log is followed here: the server's word is not taken for it.
  TACIT_CLI_TRY(const Json records, client.GetAll("/api/v1/audit", std::to_string(commitment->sequence - 1)));
  const auto head = FollowFrom(*commitment, records);
  if (!head) return BadLog(head.error());
  Report report;
  const bool supports = MemberAt(claim, "supports_claim") == Json(true);
  auto pairs = MatchPairs(claim);
  pairs.emplace_back("committed", LogText(*commitment));
  pairs.emplace_back("log", HeadText(*head));
  pairs.emplace_back("this", MeaningOf(supports));
  if (discloses) {
    const std::string text = EvidenceJson(claim, records).dump(1) + "\n";
    if (auto written = WriteFileAtomic(arguments.output, AsBytes(text), kOwnerOnly); !written)
      return UsageFailure(written.error(), "tacit model claim FILE -o FILE with a file that can be written");
    pairs.emplace_back("evidence", arguments.output.string());
    report.notes = {"the evidence holds the key of the mark: whoever has it can unlearn the mark"};
  }
  report.text = FormatPairs(pairs);
  claim.erase("opening");
  report.data = std::move(claim);
  report.data["log"] = {{"holds", true}, {"records", head->sequence}, {"head", ToHex(head->hash)}};
  report.exit = supports ? ExitCode::kOk : ExitCode::kRefused;
  return report;
}

Outcome<Report> Run(const ModelVerifyArguments& arguments) {
  constexpr const char* kEvidenceHint = "tacit model claim FILE --task TASK -o EVIDENCE";
  TACIT_CLI_TRY(const Bytes text, ReadFound(arguments.evidence, kLargestEvidence));
  TACIT_CLI_TRY(const Bytes file, ReadFound(arguments.file, kLargestFound));
  const auto evidence = ParseEvidence(AsText(text));
  if (!evidence && evidence.error().code == ErrorCode::kDataLoss) return BadLog(evidence.error());
  if (!evidence) return UsageFailure(evidence.error(), kEvidenceHint);
  const std::string promised = "sha256 " + ToHex(ownership::CommitmentTo(evidence->opening));
  const std::string target = store::CommitTarget(evidence->opening.task, evidence->opening.version);
  if (evidence->commitment.event.detail != promised || evidence->commitment.event.target != target ||
      evidence->commitment.event.action != store::kCommitAction) {
    return BadLog({ErrorCode::kDataLoss, "what the evidence discloses is not what was committed to", {}});
  }
  const auto suspect = ownership::Suspect::Read(file);
  if (!suspect) return UsageFailure(suspect.error(), kEvidenceHint);
  const auto parameters = suspect->ParametersAs(evidence->model);
  if (!parameters) return UsageFailure(parameters.error(), kEvidenceHint);
  const auto triggers = ownership::MakeTriggers(evidence->mark_key, evidence->model, evidence->rules);
  const ownership::Verdict verdict = ownership::Judge(ownership::CountMatches(evidence->model, *parameters, triggers),
                                                      triggers.y.size(), evidence->model.classes());
  Report report;
  report.data = {
      {"task", evidence->opening.task.str()},
      {"version", evidence->opening.version},
      {"matched", verdict.matched},
      {"triggers", verdict.triggers},
      {"match_rate", verdict.match_rate},
      {"match_rate_low", verdict.match_rate_low},
      {"threshold", ownership::kClaimThreshold},
      {"chance", verdict.chance},
      {"p_value", verdict.p_value},
      {"supports_claim", verdict.supports_claim},
      {"log", {{"holds", true}, {"records", evidence->head.sequence}, {"head", ToHex(evidence->head.hash)}}}};
  auto pairs = MatchPairs(report.data);
  pairs.emplace_back("committed", LogText(evidence->commitment));
  pairs.emplace_back("log", HeadText(evidence->head));
  pairs.emplace_back("this", MeaningOf(verdict.supports_claim));
  report.text = FormatPairs(pairs);
  report.notes = {"compare the log's head with one that was written down elsewhere before the copy was found"};
  report.exit = verdict.supports_claim ? ExitCode::kOk : ExitCode::kRefused;
  return report;
}

}  // namespace tacit::cli
