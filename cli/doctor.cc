#include "cli/doctor.h"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cli/client.h"
#include "cli/context.h"
#include "cli/fields.h"
#include "cli/text.h"
#include "common/base/text.h"
#include "common/base/version.h"
#include "common/crypto/certificate.h"
#include "common/net/reach.h"
#include "server/doctor/doctor.h"

namespace tacit::cli {
namespace {

using doctor::Finding;
using doctor::Findings;
using doctor::Ok;
using doctor::Verdict;

constexpr std::chrono::days kWarnOfOperator{14};
constexpr Millis kTimeout{10'000};
// A Date header has whole seconds.
constexpr Millis kDateStep{1000};
constexpr Millis kApart{5000};
// From here on a certificate that was just issued has not begun elsewhere (common/crypto/ca.h).
constexpr Millis kTooFarApart = std::chrono::minutes(5);

Finding Problem(std::string area, const Failure& failure) {
  return {std::move(area), Verdict::kProblem, failure.error.message, failure.hint};
}

void AddCertificates(const Context& context, WallTime now, Findings& findings) {
  const auto ca = crypto::Certificate::FromPem(context.client.ca_pem);
  if (!ca) {
    findings.push_back({"certificates", Verdict::kProblem, "the CA's certificate: " + ca.error().message,
                        "ask whoever runs the server for its CA's certificate, and name it with --ca"});
    return;
  }
  findings.push_back(doctor::JudgeLifespan(*ca,
                                           {"the CA's certificate", doctor::kWarnOfCa,
                                            "ask whoever runs the server which CA comes next, and name it with --ca"},
                                           now));
  const auto own = crypto::Certificate::FromPem(context.client.client_certificate_pem);
  if (!own) return;  // a token takes its place
  findings.push_back(doctor::JudgeLifespan(
      *own,
      {"your certificate", kWarnOfOperator,
       "have the CA issue another one, or ask an admin: tacit access token create --name NAME --role ROLE"},
      now));
  const auto believed = crypto::VerifyCertificate(*own, *ca, crypto::CertificatePurpose::kClient, now);
  if (believed || findings.back().verdict == Verdict::kProblem) return;
  findings.push_back({"certificates", Verdict::kProblem, "your certificate: " + believed.error().message,
                      "use certificate, key and CA of one server: they come together from 'tacit init'"});
}

void AddServerCertificate(const net::Endpoint& server, WallTime now, Findings& findings) {
  const auto chain = net::FetchUnverifiedChain(server, kTimeout);
  if (!chain || chain->empty()) return;  // why not is found by asking the server
  const auto certificate = crypto::Certificate::FromPem(chain->front());
  if (!certificate) return;
  findings.push_back(doctor::JudgeLifespan(
      *certificate, {"the server's certificate", doctor::kWarnOfServer, "tell whoever runs the server to renew it"},
      now));
}

Finding CompareClocks(std::string_view date, WallTime asked, WallTime answered) {
  const auto theirs = net::ParseHttpDate(date);
  if (!theirs) return {"clock", Verdict::kWarning, theirs.error().message, "is a proxy between you and the server?"};
  // The answer was made somewhere between, and its second began up to one earlier.
  const Millis apart = *theirs > answered ? *theirs - answered : std::max(asked - kDateStep - *theirs, Millis(0));
  if (apart < kApart) return Ok("clock", "this machine and the server agree about the time");
  return {"clock", apart < kTooFarApart ? Verdict::kWarning : Verdict::kProblem,
          "this machine's clock is " + doctor::Roughly(apart) + (*theirs > answered ? " behind" : " before") +
              " the server's",
          "timedatectl here and there shows which of them is wrong"};
}

Finding CompareVersions(const Json& version) {
  const std::string theirs = TextAt(version, "version");
  const std::string what = "the server has version " + theirs + ", and this command " + std::string(kVersion);
  if (theirs == kVersion) return Ok("version", what);
  return {"version", Verdict::kWarning, what,
          "use the command of the server's release where something is not understood"};
}

void AddIdentity(ApiClient& client, Findings& findings) {
  const auto self = client.Get("/api/v1/whoami");
  if (!self) {
    findings.push_back(Problem("access", self.error()));
    return;
  }
  findings.push_back(Ok("access", "the server knows you as " + TextAt(*self, "name") + ", " + TextAt(*self, "role") +
                                      ", by your " + TextAt(*self, "proven_by")));
}

void AddServer(Context context, const Clock& clock, Findings& findings) {
  const net::Endpoint server = context.client.server;
  AddServerCertificate(server, clock.Now(), findings);
  auto client = ApiClient::Create(std::move(context));
  if (!client) {
    findings.push_back(Problem("certificates", client.error()));
    return;
  }
  const WallTime asked = clock.Now();
  const auto answer = client->Download("/api/v1/version");
  const WallTime answered = clock.Now();
  if (!answer) {
    const bool identity = answer.error().error.code == ErrorCode::kUnauthenticated;
    findings.push_back(Problem(identity ? "certificates" : "ports", answer.error()));
    return;
  }
  findings.push_back(Ok("ports", "the server answers at " + FormatEndpoint(server)));
  if (const auto date = answer->Header("date")) findings.push_back(CompareClocks(*date, asked, answered));
  findings.push_back(CompareVersions(Json::parse(answer->body, nullptr, false)));
  AddIdentity(*client, findings);
}

// A directory that 'tacit init' made has the configuration and the context of one server.
std::optional<ConnectionArguments> Beside(const std::filesystem::path& config) {
  std::filesystem::path directory = config.parent_path();
  if (directory.empty()) directory = ".";
  std::error_code ignored;
  if (!std::filesystem::exists(directory / kContextFile, ignored)) return std::nullopt;
  ConnectionArguments arguments;
  arguments.context = directory / "";  // never taken for a name
  return arguments;
}

}  // namespace

Findings ExamineContext(const ConnectionArguments& arguments, Asks asks, const Clock& clock) {
  Findings findings;
  auto context = LoadContext(arguments, clock.Now());
  if (!context) {
    findings.push_back(
        Problem(context.error().exit == ExitCode::kConnect ? "certificates" : "context", context.error()));
    return findings;
  }
  findings.push_back(
      Ok("context", "its files are there, and closed to others: for " + FormatEndpoint(context->client.server)));
  AddCertificates(*context, clock.Now(), findings);
  if (asks == Asks::kServer) AddServer(*std::move(context), clock, findings);
  return findings;
}

Report Diagnose(const DoctorArguments& arguments, const ConnectionArguments& connection, const Clock& clock) {
  const bool said = !connection.context.empty() || !connection.server.empty();
  if (arguments.config.empty()) return DescribeFindings(ExamineContext(connection, Asks::kServer, clock));
  Findings findings = doctor::ExamineServer(arguments.config, clock);
  Findings more;
  if (said) {
    more = ExamineContext(connection, Asks::kServer, clock);
  } else if (const auto beside = Beside(arguments.config)) {
    // The server itself was looked at from within.
    more = ExamineContext(*beside, Asks::kNobody, clock);
  }
  std::ranges::move(more, std::back_inserter(findings));
  return DescribeFindings(findings);
}

Report DescribeFindings(const Findings& findings) {
  const auto count = [&](Verdict verdict) {
    return static_cast<std::uint64_t>(std::ranges::count(findings, verdict, &Finding::verdict));
  };
  const std::uint64_t problems = count(Verdict::kProblem);
  const std::uint64_t warnings = count(Verdict::kWarning);
  const Verdict worst = problems > 0 ? Verdict::kProblem : warnings > 0 ? Verdict::kWarning : Verdict::kOk;
  Json items = Json::array();
  std::vector<std::vector<std::string>> rows;
  for (const auto& [area, verdict, what, next] : findings) {
    items.push_back({{"area", area},
                     {"verdict", doctor::NameOf(verdict)},
                     {"what", what},
                     {"next", next.empty() ? Json() : Json(next)}});
    rows.push_back({std::string(doctor::NameOf(verdict)), area, what});
    if (!next.empty()) rows.push_back({"", "", "next: " + next});
  }
  Report report{Json{{"verdict", doctor::NameOf(worst)},
                     {"problems", problems},
                     {"warnings", warnings},
                     {"findings", std::move(items)}},
                FormatTable(rows),
                {Counted(problems, "problem") + ", " + Counted(warnings, "warning")}};
  if (problems > 0) report.exit = ExitCode::kProblem;
  return report;
}

}  // namespace tacit::cli
