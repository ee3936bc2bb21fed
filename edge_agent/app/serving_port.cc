#include "edge_agent/app/serving_port.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <limits>
#include <system_error>
#include <utility>

#include "common/base/files.h"
#include "common/base/text.h"
#include "common/crypto/ca.h"
#include "common/crypto/certificate.h"
#include "common/crypto/keys.h"
#include "common/crypto/secret.h"

namespace tacit::agent {
namespace {

// Clients on the same machine are told to believe it once.
constexpr std::chrono::days kCertificateLifetime{3650};
constexpr std::chrono::days kGoodFor{30};
constexpr std::size_t kLargestPortPem = std::size_t{64} * 1024;

// What 127.0.0.0/8 and ::1 are. Source: RFC 1122, section 3.2.1.3; RFC 4291, section 2.5.3.
bool IsLoopback(const std::string& address) {
  std::array<std::uint8_t, sizeof(in6_addr)> bytes{};
  if (::inet_pton(AF_INET, address.c_str(), bytes.data()) == 1) return bytes[0] == 127;
  return ::inet_pton(AF_INET6, address.c_str(), bytes.data()) == 1 &&
         std::memcmp(bytes.data(), &in6addr_loopback, sizeof in6addr_loopback) == 0;
}

struct OwnFiles {
  explicit OwnFiles(const std::filesystem::path& state)
      : directory(state / "serving"), trust(directory / "ca.crt"), identity(directory / "server.pem") {}
  std::filesystem::path directory;
  std::filesystem::path trust;
  std::filesystem::path identity;
};

Result<void> CheckOwn(const OwnFiles& files, WallTime now) {
  TACIT_TRY(const Bytes trust, ReadFile(files.trust, kLargestPortPem));
  TACIT_TRY(Bytes identity, ReadFile(files.identity, kLargestPortPem));
  const auto leaf = crypto::Certificate::FromPem(AsText(identity));
  crypto::Zeroise(identity);
  TACIT_TRY(const auto root, crypto::Certificate::FromPem(AsText(trust)));
  if (!leaf) return std::unexpected(leaf.error());
  return crypto::VerifyCertificate(*leaf, root, crypto::CertificatePurpose::kServer, now + kGoodFor);
}

Result<void> MakeOwn(const OwnFiles& files, WallTime now) {
  if (::mkdir(files.directory.c_str(), 0700) != 0 && errno != EEXIST) {
    return Fail(ErrorCode::kUnavailable,
                files.directory.string() + ": cannot be made: " + std::generic_category().message(errno));
  }
  TACIT_TRY(const auto ca,
            crypto::CertificateAuthority::CreateSelfSigned(
                {.common_name = "tacit-agent of this device", .now = now, .lifetime = kCertificateLifetime}));
  TACIT_TRY(const auto key, crypto::PrivateKey::GenerateP256());
  TACIT_TRY(std::string csr, crypto::MakeCsrPem(key, "localhost"));
  TACIT_TRY(const auto leaf, ca.IssueServer({.csr_pem = std::move(csr),
                                             .dns_names = {"localhost"},
                                             .ip_addresses = {"127.0.0.1", "::1"},
                                             .spiffe_uri = {},
                                             .common_name = "localhost",
                                             .now = now,
                                             .lifetime = kCertificateLifetime}));
  TACIT_TRY(std::string identity, key.ToPem());
  identity.reserve(identity.size() + leaf.ToPem().size());
  identity.insert(0, leaf.ToPem());
  // Between the two, what CheckOwn finds does not fit together, and both are made again.
  Result<void> written = WriteFileAtomic(files.trust, AsBytes(ca.CertPem()), kReadableByAll);
  if (written) written = WriteFileAtomic(files.identity, AsBytes(identity), kOwnerOnly);
  crypto::Zeroise(identity);
  return written;
}

Result<std::shared_ptr<net::TlsServerContext>> ContextOf(const std::filesystem::path& certificate,
                                                         const std::filesystem::path& key) {
  TACIT_TRY_VOID(CheckClosedToOthers(key));
  return net::TlsServerContext::Create({.certificate_chain_path = certificate.string(),
                                        .private_key_path = key.string(),
                                        .client_ca_path = {},
                                        .client_auth = net::ClientAuth::kNone});
}

}  // namespace

Result<LoopbackPort> ParseLoopbackPort(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  std::string_view address = text.substr(0, colon == std::string_view::npos ? 0 : colon);
  const auto port = colon == std::string_view::npos ? std::nullopt : ParseWhole(text.substr(colon + 1));
  const bool brackets = address.size() > 2 && address.front() == '[' && address.back() == ']';
  if (brackets) address = address.substr(1, address.size() - 2);
  LoopbackPort parsed{.address = std::string(address), .port = 0};
  const bool fits = port && *port <= std::numeric_limits<std::uint16_t>::max() && brackets == address.contains(':');
  if (!fits || !IsLoopback(parsed.address)) {
    return Fail(ErrorCode::kInvalidArgument,
                "--listen must be an address of this machine alone and a port, such as 127.0.0.1:8446 or [::1]:8446: "
                "others are not served");
  }
  parsed.port = static_cast<std::uint16_t>(*port);
  return parsed;
}

Result<PortIdentity> LoadPortIdentity(const PortOptions& options, const std::filesystem::path& state, WallTime now) {
  PortIdentity identity;
  if (!options.certificate.empty()) {
    TACIT_TRY(identity.tls, ContextOf(options.certificate, options.key));
    return identity;
  }
  const OwnFiles files(state);
  if (!CheckOwn(files, now)) TACIT_TRY_VOID(MakeOwn(files, now));
  TACIT_TRY(identity.tls, ContextOf(files.identity, files.identity));
  identity.trust = files.trust;
  return identity;
}

}  // namespace tacit::agent
