#include "benchmarks/load/fleet.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "common/base/files.h"
#include "common/crypto/ca.h"
#include "common/crypto/keys.h"
#include "server/store/sqlite_store.h"

namespace tacit::load {
namespace {

constexpr std::size_t kMaxFleetBytes = std::size_t{1} << 30U;
constexpr std::string_view kCertificateEnd = "-----END CERTIFICATE-----\n";
constexpr std::string_view kKeyEnd = "-----END PRIVATE KEY-----\n";
constexpr std::size_t kDigits = 6;
constexpr std::chrono::hours kLifetime{24 * 30};

std::string DeviceName(std::size_t index) {
  std::string number = std::to_string(index);
  number.insert(0, kDigits - std::min(kDigits, number.size()), '0');
  return "load-" + number;
}

Result<std::string> ReadText(const std::filesystem::path& path) {
  TACIT_TRY(const Bytes bytes, ReadFile(path, kMaxPemBytes));
  return std::string(AsText(bytes));
}

Result<crypto::CertificateAuthority> LoadCa(const std::filesystem::path& directory) {
  TACIT_TRY(const std::string certificate, ReadText(directory / "pki" / "ca.crt"));
  TACIT_TRY(const std::string key, ReadText(directory / "pki" / "ca.key"));
  return crypto::CertificateAuthority::Load(certificate, key);
}

struct Issued {
  std::string pem;  // certificate and key
  store::DeviceRecord row;
};

Result<Issued> Issue(const crypto::CertificateAuthority& ca, const FleetOptions& options, DeviceId device) {
  const WallTime now = std::chrono::floor<Millis>(std::chrono::system_clock::now());
  TACIT_TRY(const crypto::PrivateKey key, crypto::PrivateKey::GenerateP256());
  TACIT_TRY(const std::string csr, crypto::MakeCsrPem(key, device.str()));
  TACIT_TRY(const crypto::Certificate certificate,
            ca.IssueClient({.csr_pem = csr,
                            .spiffe_uri = "spiffe://" + options.trust_domain + "/device/" + device.str(),
                            .common_name = device.str(),
                            .now = now,
                            .lifetime = kLifetime}));
  TACIT_TRY(const std::string key_pem, key.ToPem());
  store::DeviceRecord row{.id = std::move(device),
                          .public_key_sha256 = key.PublicKeySha256(),
                          .certificate_serial = certificate.SerialHex(),
                          .certificate_not_after = certificate.NotAfter(),
                          .enrolled_at = now,
                          .last_seen = std::nullopt,
                          .token_hash_hex = {}};
  return Issued{certificate.ToPem() + key_pem, std::move(row)};
}

/// Cuts what ends with `end` off the front of `text`.
Result<std::string> CutThrough(std::string_view& text, std::string_view end) {
  const std::size_t at = text.find(end);
  if (at == std::string_view::npos) return Fail(ErrorCode::kNotFound, "the fleet has fewer devices than asked for");
  std::string part(text.substr(0, at + end.size()));
  text.remove_prefix(part.size());
  return part;
}

}  // namespace

Result<void> PrepareFleet(const FleetOptions& options) {
  TACIT_TRY(const crypto::CertificateAuthority ca, LoadCa(options.directory));
  TACIT_TRY(const auto store, store::SqliteStore::Open({.data_dir = options.directory / "data"}));
  std::string bundle;
  for (std::size_t i = 0; i < options.devices; ++i) {
    TACIT_TRY(DeviceId device, DeviceId::Parse(DeviceName(i)));
    TACIT_TRY(const Issued issued, Issue(ca, options, std::move(device)));
    TACIT_TRY_VOID(store->AddDevice(issued.row));
    bundle += issued.pem;
  }
  return WriteFileAtomic(options.directory / "fleet.pem", AsBytes(bundle), 0600);
}

Result<std::vector<Identity>> LoadFleet(const std::filesystem::path& directory, std::size_t devices) {
  TACIT_TRY(const Bytes bytes, ReadFile(directory / "fleet.pem", kMaxFleetBytes));
  std::string_view text = AsText(bytes);
  std::vector<Identity> fleet;
  fleet.reserve(devices);
  for (std::size_t i = 0; i < devices; ++i) {
    TACIT_TRY(std::string certificate, CutThrough(text, kCertificateEnd));
    TACIT_TRY(std::string key, CutThrough(text, kKeyEnd));
    fleet.push_back({DeviceName(i), std::move(certificate), std::move(key)});
  }
  return fleet;
}

}  // namespace tacit::load
