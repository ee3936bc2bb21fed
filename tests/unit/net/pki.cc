#include "tests/unit/net/pki.h"

#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>

#include "common/base/check.h"
#include "common/crypto/keys.h"

namespace tacit::net::testing {
namespace {

using std::chrono::hours;

WallTime Now() {
  return SystemClock().Now();
}

template <typename T>
T Must(Result<T> result) {
  if (!result) std::fprintf(stderr, "%s\n", result.error().message.c_str());
  TACIT_CHECK(result, "what a test sets up works");
  return *std::move(result);
}

}  // namespace

TempDirectory::TempDirectory() {
  std::string pattern = std::filesystem::temp_directory_path() / "tacit-net-XXXXXX";
  TACIT_CHECK(mkdtemp(pattern.data()) != nullptr, "a temporary directory can be made");
  path_ = pattern;
}
TempDirectory::~TempDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}
std::string TempDirectory::Write(std::string_view name, std::string_view text) const {
  const std::filesystem::path path = path_ / name;
  std::ofstream(path, std::ios::binary) << text;
  return path;
}

Pki::Pki(std::string_view common_name)
    : ca_(Must(crypto::CertificateAuthority::CreateSelfSigned(
          {std::string(common_name), Now() - hours(24 * 60), hours(24 * 3650)}))),
      ca_path_(directory_.Write("ca.pem", ca_.CertPem())) {}

Identity Pki::Save(std::string_view name, std::string certificate_pem, std::string key_pem) const {
  Identity identity{std::move(certificate_pem), std::move(key_pem), {}, {}};
  identity.certificate_path = directory_.Write(std::string(name) + ".pem", identity.certificate_pem);
  identity.key_path = directory_.Write(std::string(name) + ".key", identity.key_pem);
  return identity;
}

Identity Pki::Client(std::string_view name, hours starts, std::chrono::seconds lifetime) const {
  const auto key = Must(crypto::PrivateKey::GenerateP256());
  const auto certificate =
      Must(ca_.IssueClient({Must(crypto::MakeCsrPem(key, name)), "spiffe://test.example/device/" + std::string(name),
                            std::string(name), Now() + starts, lifetime}));
  return Save(name, certificate.ToPem(), Must(key.ToPem()));
}

Identity Pki::Server(std::string_view dns_name, std::string_view ip, hours starts,
                     std::chrono::seconds lifetime) const {
  const auto key = Must(crypto::PrivateKey::GenerateP256());
  crypto::ServerCertificateRequest request;
  request.csr_pem = Must(crypto::MakeCsrPem(key, "server"));
  if (!dns_name.empty()) request.dns_names = {std::string(dns_name)};
  if (!ip.empty()) request.ip_addresses = {std::string(ip)};
  request.common_name = "server";
  request.now = Now() + starts;
  request.lifetime = lifetime;
  // The chain that is sent ends with the root, so that a joining client can look for its fingerprint.
  return Save("server-" + std::string(dns_name), Must(ca_.IssueServer(request)).ToPem() + ca_.CertPem(),
              Must(key.ToPem()));
}

ProgramEnd RunShell(const std::string& command) {
  struct PipeDeleter {
    void operator()(FILE* pipe) const { pclose(pipe); }
  };
  std::unique_ptr<FILE, PipeDeleter> pipe(popen(("exec 2>&1; timeout 20 sh -c '" + command + "'").c_str(), "r"));
  TACIT_CHECK(pipe != nullptr, "a shell can be started");
  ProgramEnd end;
  std::array<char, 4096> part;
  while (const std::size_t got = std::fread(part.data(), 1, part.size(), pipe.get()))
    end.output.append(part.data(), got);
  const int status = pclose(pipe.release());
  end.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return end;
}

}  // namespace tacit::net::testing
