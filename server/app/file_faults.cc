#include <fcntl.h>
#include <unistd.h>

#include <optional>
#include <string>
#include <system_error>

#include "common/base/files.h"
#include "common/crypto/certificate.h"
#include "common/crypto/keys.h"
#include "common/crypto/secret.h"
#include "common/crypto/signing.h"
#include "common/crypto/spiffe.h"
#include "common/net/tls.h"
#include "server/app/config.h"
#include "server/identity/issuer.h"
#include "server/telemetry/headers_file.h"

// Each file is looked at by itself first, so that everything that is wrong with any of them is told; those that are
// good are then looked at together.
namespace tacit::app {
namespace {

constexpr std::size_t kMaxPemBytes = 64 * 1024;

struct Findings {
  std::vector<std::string> faults;

  void Add(std::string_view key, std::string what) {
    faults.push_back("'" + std::string(key) + "' " + std::move(what));
  }
};

/// What `parse` makes of a file's text, or nothing after noting why.
template <typename T>
std::optional<T> ReadPem(std::string_view key, const std::filesystem::path& path, Result<T> (*parse)(std::string_view),
                         Findings& findings) {
  auto text = ReadFile(path, kMaxPemBytes);
  if (!text) {
    findings.Add(key, text.error().message);
    return std::nullopt;
  }
  auto parsed = parse(AsText(*text));
  crypto::Zeroise(*text);  // it may be a key
  if (parsed) return *std::move(parsed);
  findings.Add(key, path.string() + ": " + parsed.error().message);
  return std::nullopt;
}

void CheckKeyIsClosed(std::string_view key, const std::filesystem::path& path, Findings& findings) {
  if (const auto closed = CheckClosedToOthers(path); !closed) findings.Add(key, closed.error().message);
}

std::string Validity(const crypto::Certificate& certificate) {
  return "is valid from " + FormatRfc3339(certificate.NotBefore()) + " to " + FormatRfc3339(certificate.NotAfter());
}

/// Whether the CA is one, can sign now, and has its key.
bool CheckAuthority(const PkiConfig& pki, WallTime now, Findings& findings) {
  const auto certificate = ReadPem("pki.ca_certificate", pki.ca_certificate, &crypto::Certificate::FromPem, findings);
  const auto key = ReadPem("pki.ca_key", pki.ca_key, &crypto::PrivateKey::FromPem, findings);
  if (key) CheckKeyIsClosed("pki.ca_key", pki.ca_key, findings);
  if (!certificate) return false;
  const std::string path = pki.ca_certificate.string();
  if (!certificate->IsCa()) {
    findings.Add("pki.ca_certificate", path + " is not the certificate of a CA");
    return false;
  }
  if (now < certificate->NotBefore() || now >= certificate->NotAfter()) {
    findings.Add("pki.ca_certificate", path + " " + Validity(*certificate));
    return false;
  }
  if (key && key->PublicKeySha256() != certificate->PublicKeySha256()) {
    findings.Add("pki.ca_key", pki.ca_key.string() + " is not the key of 'pki.ca_certificate' " + path);
  }
  return true;
}

// Where there is none, the start makes one.
void CheckModelKey(const std::filesystem::path& path, Findings& findings) {
  std::error_code failure;
  if (!std::filesystem::exists(path, failure)) return;
  if (ReadPem("pki.model_key", path, &crypto::SigningKey::FromPem, findings))
    CheckKeyIsClosed("pki.model_key", path, findings);
}

void CheckTrustDomain(const ServerConfig& config, const crypto::Certificate& certificate, Findings& findings) {
  const auto uri = certificate.SpiffeUri();
  if (!uri) return;  // A certificate of somebody else's making need not name one.
  const auto id = crypto::SpiffeId::Parse(*uri);
  if (id && id->trust_domain == config.trust_domain) return;
  findings.Add("server.trust_domain", "is '" + config.trust_domain + "', but 'pki.certificate' " +
                                          config.pki.certificate.string() + " is of " + *uri);
}

void CheckServerPair(const ServerConfig& config, bool authority_is_good, WallTime now, Findings& findings) {
  const PkiConfig& pki = config.pki;
  const auto certificate = ReadPem("pki.certificate", pki.certificate, &crypto::Certificate::FromPem, findings);
  const auto key = ReadPem("pki.private_key", pki.private_key, &crypto::PrivateKey::FromPem, findings);
  if (key) CheckKeyIsClosed("pki.private_key", pki.private_key, findings);
  if (certificate) CheckTrustDomain(config, *certificate, findings);
  if (!certificate || !key) return;
  if (certificate->PublicKeySha256() != key->PublicKeySha256()) {
    findings.Add("pki.private_key",
                 pki.private_key.string() + " is not the key of 'pki.certificate' " + pki.certificate.string());
  } else if (now < certificate->NotBefore() || now >= certificate->NotAfter()) {
    findings.Add("pki.certificate", pki.certificate.string() + " " + Validity(*certificate));
  } else if (authority_is_good) {
    const auto believed = net::CheckServerChain({.certificate_chain_path = pki.certificate.string(),
                                                 .private_key_path = pki.private_key.string(),
                                                 .client_ca_path = pki.ca_certificate.string(),
                                                 .client_auth = net::ClientAuth::kRequired},
                                                now);
    if (!believed) findings.Add("pki.certificate", believed.error().message);
  }
}

void CheckDataDirectory(const std::filesystem::path& data_dir, Findings& findings) {
  std::error_code failure;
  const bool there = std::filesystem::exists(data_dir, failure);
  // The store makes the directory, but not its parent.
  std::filesystem::path parent = std::filesystem::absolute(data_dir, failure);
  if (!parent.has_filename()) parent = parent.parent_path();  // it ended with a slash
  parent = parent.parent_path();
  const std::filesystem::path& asked = there ? data_dir : parent;
  const std::string what = there ? asked.string() : "cannot be made in " + asked.string() + ", which";
  if (!std::filesystem::is_directory(asked, failure)) {
    findings.Add("server.data_dir", what + " is not a directory");
  } else if (::faccessat(AT_FDCWD, asked.c_str(), W_OK | X_OK, AT_EACCESS) != 0) {
    findings.Add("server.data_dir", what + " cannot be written to: " + std::system_category().message(errno));
  }
}

void CheckOutgoing(const std::string& section, const OutgoingConfig& outgoing, Findings& findings) {
  if (!outgoing.ca_file.empty())
    ReadPem(section + ".ca_file", outgoing.ca_file, &crypto::Certificate::FromPem, findings);
  if (outgoing.headers_file.empty()) return;
  const auto headers = telemetry::ReadHeadersFile(outgoing.headers_file);
  if (!headers) findings.Add(section + ".headers_file", headers.error().message);
}

void CheckIssuerRoots(const OidcConfig& oidc, Findings& findings) {
  if (const auto fetch = identity::MakeFetch(oidc.ca_file); !fetch)
    findings.Add("api.oidc.ca_file", fetch.error().message);
}

}  // namespace

std::vector<std::string> FindFileFaults(const ServerConfig& config, WallTime now) {
  Findings findings;
  CheckDataDirectory(config.data_dir, findings);
  const bool authority_is_good = CheckAuthority(config.pki, now, findings);
  CheckServerPair(config, authority_is_good, now, findings);
  CheckModelKey(config.pki.model_key, findings);
  if (config.traces) CheckOutgoing("traces", *config.traces, findings);
  if (config.mlflow) CheckOutgoing("mlflow", config.mlflow->server, findings);
  if (config.oidc) CheckIssuerRoots(*config.oidc, findings);
  return std::move(findings.faults);
}

}  // namespace tacit::app
