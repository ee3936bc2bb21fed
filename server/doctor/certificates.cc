#include <cstdint>

#include "common/base/files.h"
#include "common/base/text.h"
#include "server/doctor/checks.h"
#include "server/doctor/doctor.h"

namespace tacit::doctor {
namespace {

void AddLifespan(const std::filesystem::path& path, const Lifespan& lifespan, WallTime now, Findings& findings) {
  if (const auto certificate = ReadCertificate(path)) findings.push_back(JudgeLifespan(*certificate, lifespan, now));
}

template <typename Unit>
std::uint64_t Whole(std::chrono::milliseconds span) {
  return span.count() > 0 ? static_cast<std::uint64_t>(std::chrono::floor<Unit>(span).count()) : 0;
}

}  // namespace

std::string Roughly(std::chrono::milliseconds span) {
  if (const auto days = Whole<std::chrono::days>(span); days > 0) return Counted(days, "day");
  if (const auto hours = Whole<std::chrono::hours>(span); hours > 0) return Counted(hours, "hour");
  if (const auto minutes = Whole<std::chrono::minutes>(span); minutes > 0) return Counted(minutes, "minute");
  return Counted(Whole<std::chrono::seconds>(span), "second");
}

std::optional<crypto::Certificate> ReadCertificate(const std::filesystem::path& path) {
  constexpr std::size_t kMaxPemBytes = 64UL * 1024;
  const auto text = ReadFile(path, kMaxPemBytes);
  if (!text) return std::nullopt;
  auto certificate = crypto::Certificate::FromPem(AsText(*text));
  if (!certificate) return std::nullopt;
  return *std::move(certificate);
}

Finding JudgeLifespan(const crypto::Certificate& certificate, const Lifespan& lifespan, WallTime now) {
  Finding finding{.area = "certificates", .verdict = Verdict::kProblem, .what = lifespan.name, .next = lifespan.next};
  if (now >= certificate.NotAfter()) {
    finding.what += " ended at " + FormatRfc3339(certificate.NotAfter());
  } else if (now < certificate.NotBefore()) {
    finding.what +=
        " begins at " + FormatRfc3339(certificate.NotBefore()) + ", which this machine's clock has not reached";
    finding.next = "timedatectl shows whether this machine's clock is right";
  } else {
    finding.what += " is good for another " + Roughly(certificate.NotAfter() - now);
    finding.verdict = certificate.NotAfter() - now < lifespan.warning ? Verdict::kWarning : Verdict::kOk;
    if (finding.verdict == Verdict::kOk) finding.next.clear();
  }
  return finding;
}

Findings CheckCertificates(const app::ServerConfig& config, WallTime now) {
  Findings findings;
  AddLifespan(
      config.pki.ca_certificate,
      {.name = "the CA's certificate " + config.pki.ca_certificate.string(),
       .warning = kWarnOfCa,
       .next = "plan a new CA ('tacit init' makes one): every device has to enrol with it before this one ends"},
      now, findings);
  AddLifespan(config.pki.certificate,
              {.name = "the server's certificate " + config.pki.certificate.string(),
               .warning = kWarnOfServer,
               .next = "have the CA issue another one for the same names, put it in its place, and restart tacitd"},
              now, findings);
  return findings;
}

}  // namespace tacit::doctor
