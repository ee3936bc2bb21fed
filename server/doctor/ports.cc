#include <string>
#include <vector>

#include "common/base/host.h"
#include "common/crypto/certificate.h"
#include "common/net/https_client.h"
#include "common/net/reach.h"
#include "server/doctor/checks.h"

namespace tacit::doctor {
namespace {

constexpr const char* kPorts = "ports";
constexpr Millis kTimeout{5000};
constexpr const char* kWhoListens = "ss -ltnp shows who listens there";
constexpr int kReady = 200;

struct Listener {
  std::string name;
  const app::ListenerConfig& config;
};

/// Where this machine itself finds a listener.
net::Endpoint Nearest(const app::ListenerConfig& config) {
  if (!IsWildcardAddress(config.address)) return {config.address, config.port};
  return {config.address.contains(':') ? "::1" : "127.0.0.1", config.port};
}

Finding About(const Listener& listener, Verdict verdict, const std::string& what, std::string next) {
  return {.area = kPorts,
          .verdict = verdict,
          .what = "[" + listener.name + "] port " + std::to_string(listener.config.port) + ": " + what,
          .next = std::move(next)};
}

/// Nobody answers: whether the server could take the port if it started.
Finding CheckFree(const Listener& listener, const std::filesystem::path& file) {
  const auto free = net::TryListen({listener.config.address, listener.config.port});
  if (free)
    return About(listener, Verdict::kWarning, "nobody listens: tacitd does not run",
                 "tacitd --config " + file.string());
  const bool denied = free.error().code == ErrorCode::kPermissionDenied;
  return About(listener, Verdict::kProblem, free.error().message,
               denied
                   ? "choose a port from 1024 on, or allow this one: AmbientCapabilities=CAP_NET_BIND_SERVICE"
                   : "ip address shows what can be listened at, and ss -ltnp who does; change [" + listener.name + "]");
}

Finding CompareCertificates(const Listener& listener, const std::vector<std::string>& chain,
                            const app::ServerConfig& config) {
  const auto configured = ReadCertificate(config.pki.certificate);
  const auto shown = crypto::Certificate::FromPem(chain.empty() ? std::string() : chain.front());
  if (!configured) return About(listener, Verdict::kOk, "a server answers", {});
  if (shown && shown->Fingerprint() == configured->Fingerprint())
    return About(listener, Verdict::kOk, "answers with the configured certificate", {});
  return About(listener, Verdict::kProblem,
               "answers with another certificate than " + config.pki.certificate.string() +
                   ": it is another server, or tacitd has not read the new one",
               std::string(kWhoListens) + "; if it is tacitd, restart it");
}

Finding CheckTlsPort(const Listener& listener, const app::ServerConfig& config, const std::filesystem::path& file) {
  const auto chain = net::FetchUnverifiedChain(Nearest(listener.config), kTimeout);
  if (chain) return CompareCertificates(listener, *chain, config);
  if (chain.error().message.starts_with("cannot connect")) return CheckFree(listener, file);
  return About(listener, Verdict::kProblem, chain.error().message, kWhoListens);
}

Finding CheckPlainPort(const Listener& listener, const std::filesystem::path& file) {
  const auto status = net::PlainStatus(Nearest(listener.config), "/readyz", kTimeout);
  if (!status && status.error().message.starts_with("cannot connect")) return CheckFree(listener, file);
  if (!status) return About(listener, Verdict::kProblem, status.error().message, kWhoListens);
  if (*status == kReady) return About(listener, Verdict::kOk, "answers, and the server is ready", {});
  return About(listener, Verdict::kWarning, "the server is not ready: it answers " + std::to_string(*status),
               "its log says what it is taking up; the same command again in a moment");
}

}  // namespace

Findings CheckPorts(const app::ServerConfig& config, const std::filesystem::path& file) {
  const Listener metrics{"metrics", config.metrics};
  Findings findings;
  for (const Listener& listener : {Listener{"agents", config.agents}, Listener{"enrolment", config.enrolment.listener},
                                   Listener{"api", config.api}, metrics}) {
    if (listener.config.port == 0) {
      findings.push_back(Ok(kPorts, "[" + listener.name + "] takes any free port; the log of tacitd says which"));
    } else if (listener.name == metrics.name) {
      findings.push_back(CheckPlainPort(listener, file));
    } else {
      findings.push_back(CheckTlsPort(listener, config, file));
    }
  }
  return findings;
}

}  // namespace tacit::doctor
