#include "server/doctor/doctor.h"

#include <sys/timex.h>

#include <algorithm>
#include <iterator>
#include <string_view>
#include <utility>

#include "common/base/files.h"
#include "server/doctor/checks.h"

namespace tacit::doctor {
namespace {

constexpr std::size_t kMaxConfigBytes = 256UL * 1024;
constexpr const char* kConfiguration = "configuration";

/// One finding for each line of what is wrong.
void AddFaults(std::string_view faults, const std::filesystem::path& file, Findings& findings) {
  while (!faults.empty()) {
    const std::string_view line = faults.substr(0, faults.find('\n'));
    faults.remove_prefix(std::min(line.size() + 1, faults.size()));
    findings.push_back({.area = kConfiguration,
                        .verdict = Verdict::kProblem,
                        .what = std::string(line),
                        .next = "correct it, then: tacitd --check-config " + file.string()});
  }
}

void Append(Findings more, Findings& findings) {
  std::ranges::move(more, std::back_inserter(findings));
}

/// Whatever keeps the clock right tells the kernel so.
Finding CheckSynchronised() {
  timex state{};
  if (::adjtimex(&state) >= 0 && (state.status & STA_UNSYNC) == 0)
    return Ok("clock", "the system says that its clock is kept right");
  return {.area = "clock",
          .verdict = Verdict::kWarning,
          .what = "nothing says that this machine's clock is kept right, and certificates go by it",
          .next = "timedatectl set-ntp true, unless the clock is kept in a way that the kernel is not told of"};
}

}  // namespace

std::string_view NameOf(Verdict verdict) {
  switch (verdict) {
    case Verdict::kOk:
      return "ok";
    case Verdict::kWarning:
      return "warning";
    case Verdict::kProblem:
      break;
  }
  return "problem";
}

Findings ExamineServer(const std::filesystem::path& file, const Clock& clock) {
  const auto text = ReadFile(file, kMaxConfigBytes);
  if (!text) {
    return {{.area = kConfiguration,
             .verdict = Verdict::kProblem,
             .what = text.error().message,
             .next = "tacit doctor --config FILE with the tacitd.toml of this server"}};
  }
  Findings findings;
  const auto config = app::ParseConfig(AsText(*text), file.string());
  if (!config) {
    AddFaults(config.error().message, file, findings);
    return findings;
  }
  for (const std::string& fault : app::FindFileFaults(*config, clock.Now())) AddFaults(fault, file, findings);
  if (const auto fits = app::CheckMemory(*config); !fits) AddFaults(fits.error().message, file, findings);
  if (findings.empty()) findings.push_back(Ok(kConfiguration, file.string() + " and the files that it names are good"));
  findings.push_back(CheckSynchronised());
  Append(CheckCertificates(*config, clock.Now()), findings);
  Append(CheckLimits(*config), findings);
  Append(CheckDisk(*config), findings);
  Append(CheckStore(*config, clock), findings);
  Append(CheckPorts(*config, file), findings);
  Append(CheckIssuer(*config), findings);
  return findings;
}

}  // namespace tacit::doctor
