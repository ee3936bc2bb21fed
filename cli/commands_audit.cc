#include <cmath>
#include <memory>
#include <string>
#include <string_view>

#include "cli/commands.h"
#include "cli/text.h"
#include "common/base/text.h"
#include "common/crypto/digest.h"
#include "common/crypto/random.h"
#include "common/crypto/secret.h"
#include "dp/audit.h"

namespace tacit::cli {
namespace {

constexpr const char* kHint = "tacit privacy audit --help";

/// Each of the two audits may be wrong half as often as both together.
Result<dp::AuditOptions> OptionsOf(const PrivacyAuditArguments& arguments) {
  TACIT_TRY(const auto noise_multiplier, dp::NoiseMultiplier::Create(arguments.noise_multiplier));
  TACIT_TRY(const auto clip_norm, dp::ClipNorm::Create(arguments.clip_norm));
  TACIT_TRY(const auto grid_radius, dp::GridRadius::Create(arguments.grid_radius));
  TACIT_TRY(const auto delta, dp::Delta::Create(arguments.delta));
  return dp::AuditOptions{.mechanism = arguments.mechanism,
                          .noise_multiplier = noise_multiplier,
                          .clip_norm = clip_norm,
                          .grid_radius = grid_radius,
                          .rounds = arguments.steps,
                          .delta = delta,
                          .false_alarm = (1 - arguments.confidence) / 2,
                          .hash = &crypto::Sha256,
                          .bits = [] { return std::make_unique<crypto::AesKeystream>(crypto::SecretKey::Random()); }};
}

std::unexpected<Failure> AuditFailure(const Error& error) {
  if (error.code == ErrorCode::kInvalidArgument) return UsageFailure(error, kHint);
  return std::unexpected(Failure{ExitCode::kInternal, error, "report this as a defect, with the command"});
}

/// Up to four digits, never above the value: what must not look like more than was found.
std::string RoundedDown(double value) {
  const double unit = value < 10 ? 1e3 : 1e2;
  return FormatNumber(std::floor(value * unit) / unit);
}

Json Describe(const dp::AuditReport& report) {
  return {{"epsilon_lower", report.epsilon_lower},
          {"epsilon_reach", report.epsilon_reach},
          {"verdict", dp::NameOf(report.verdict)}};
}

std::string Sentence(std::string_view audit, const dp::AuditReport& report) {
  return std::string(audit) + ": epsilon is at least " + RoundedDown(report.epsilon_lower) +
         " (it could have found up to " + RoundedDown(report.epsilon_reach) + ")\n";
}

std::string Meaning(bool violated, bool blind) {
  if (violated) {
    return "violated: the mechanism gives away more than is proved, so the code or the proof is wrong; do not use it\n";
  }
  const std::string found = "consistent: nothing was refuted; an audit can refute a promise and never prove it\n";
  if (!blind) return found;
  return found + "neither audit could have refuted this promise: take more trials, more canaries or a larger delta\n";
}

}  // namespace

Report DescribeAudit(const PrivacyAuditArguments& arguments, const dp::AuditReport& neighbours,
                     const dp::AuditReport& one_run) {
  const double proved = neighbours.epsilon_upper;
  const bool violated =
      neighbours.verdict == dp::AuditVerdict::kViolated || one_run.verdict == dp::AuditVerdict::kViolated;
  const bool blind = neighbours.epsilon_reach <= proved && one_run.epsilon_reach <= proved;
  Report report;
  report.data = {{"mechanism", dp::NameOf(arguments.mechanism)},
                 {"noise_multiplier", arguments.noise_multiplier},
                 {"clip_norm", arguments.clip_norm},
                 {"grid_radius", arguments.grid_radius},
                 {"steps", arguments.steps},
                 {"delta", arguments.delta},
                 {"confidence", arguments.confidence},
                 {"epsilon_upper", proved},
                 {"neighbours", Describe(neighbours)},
                 {"one_run", Describe(one_run)},
                 {"verdict", dp::NameOf(violated ? dp::AuditVerdict::kViolated : dp::AuditVerdict::kConsistent)}};
  report.data["neighbours"]["trials"] = arguments.trials;
  report.data["one_run"]["canaries"] = arguments.canaries;
  report.text = Sentence("neighbouring inputs, " + std::to_string(arguments.trials) + " trials", neighbours) +
                Sentence("one run, " + std::to_string(arguments.canaries) + " canaries", one_run) +
                "proved: epsilon is at most " + RoundedUp(proved) + " at delta " + RoundedUp(arguments.delta) +
                "; confidence of the lower bounds: " + Json(arguments.confidence).dump() + "\n" +
                Meaning(violated, blind);
  report.exit = violated ? ExitCode::kViolated : ExitCode::kOk;
  return report;
}

Outcome<Report> Run(const PrivacyAuditArguments& arguments) {
  const auto options = OptionsOf(arguments);
  if (!options) return AuditFailure(options.error());
  const auto neighbours = dp::AuditNeighbours(*options, arguments.trials);
  if (!neighbours) return AuditFailure(neighbours.error());
  const auto one_run = dp::AuditOneRun(*options, arguments.canaries);
  if (!one_run) return AuditFailure(one_run.error());
  return DescribeAudit(arguments, *neighbours, *one_run);
}

}  // namespace tacit::cli
