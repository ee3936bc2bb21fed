#include "edge_agent/enrolment/identity.h"

#include <sys/stat.h>

#include <cstdint>
#include <limits>
#include <utility>

#include <nlohmann/json.hpp>

#include "common/base/files.h"
#include "common/crypto/certificate.h"
#include "common/crypto/keys.h"
#include "common/crypto/secret.h"
#include "edge_agent/enrolment/identity_file.h"
#include "edge_agent/enrolment/issued.h"

namespace tacit::enrolment {
namespace {

constexpr std::size_t kLargestFile = 64UL * 1024;
constexpr int kSchema = 1;

Result<std::string> ReadText(const std::filesystem::path& path) {
  TACIT_TRY(Bytes bytes, ReadFile(path, kLargestFile));
  std::string text(AsText(bytes));
  crypto::Zeroise(bytes);  // it may be the key
  return text;
}

Result<void> CheckOwnerOnly(const std::filesystem::path& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) return Fail(ErrorCode::kNotFound, path.string() + " is missing");
  if ((status.st_mode & 0077U) == 0) return {};
  return Fail(ErrorCode::kPermissionDenied, path.string() + " can be read by other users: run 'chmod 600 " +
                                                path.string() + "', and join again if someone may have copied it");
}

Result<EnrolledIdentity> CompleteIdentity(IdentityRecord record, const StateFiles& files) {
  TACIT_TRY_VOID(CheckOwnerOnly(files.key));
  TACIT_TRY(std::string key_pem, ReadText(files.key));
  TACIT_TRY(std::string certificate_pem, ReadText(files.certificate));
  TACIT_TRY(std::string ca_pem, ReadText(files.ca));
  TACIT_TRY(const crypto::PrivateKey key, crypto::PrivateKey::FromPem(key_pem));
  TACIT_TRY(const IssuedCertificate issued, ReadDeviceCertificate(certificate_pem, record.device, key));
  return EnrolledIdentity{.device = std::move(record.device),
                          .trust_domain = issued.id.trust_domain,
                          .agents = std::move(record.agents),
                          .ca_pem = std::move(ca_pem),
                          .certificate_pem = std::move(certificate_pem),
                          .key_pem = std::move(key_pem),
                          .not_before = issued.leaf.NotBefore(),
                          .not_after = issued.leaf.NotAfter()};
}

// Access problems keep their code; that files which a finished join wrote are missing or wrong is a loss.
Error AsDataLoss(const Error& error, const std::filesystem::path& directory) {
  if (error.code == ErrorCode::kPermissionDenied || error.code == ErrorCode::kUnavailable) return error;
  return {ErrorCode::kDataLoss, "the identity in " + directory.string() + " is damaged (" + error.message +
                                    "): move the directory away and join again with a token for its name"};
}

}  // namespace

std::string FormatIdentityRecord(const IdentityRecord& record) {
  const nlohmann::ordered_json document = {{"schema", kSchema},
                                           {"device", record.device.str()},
                                           {"trust_domain", record.trust_domain},
                                           {"host", record.agents.host},
                                           {"agents_port", record.agents.port}};
  return document.dump(2) + "\n";
}

Result<IdentityRecord> ParseIdentityRecord(std::string_view text) {
  const auto document = nlohmann::json::parse(text, nullptr, false);
  const auto text_at = [&](const char* key) {
    return document.contains(key) && document[key].is_string() ? document[key].get<std::string>() : std::string();
  };
  if (!document.is_object() || document.value("schema", nlohmann::json()) != kSchema) {
    return Fail(ErrorCode::kMalformed, "identity.json is not of schema 1");
  }
  TACIT_TRY(DeviceId device, DeviceId::Parse(text_at("device")));
  std::string host = text_at("host");
  const auto port = document.find("agents_port");
  const bool good_port = port != document.end() && port->is_number_unsigned() && *port > 0U &&
                         *port <= std::numeric_limits<std::uint16_t>::max();
  if (host.empty() || !good_port) return Fail(ErrorCode::kMalformed, "identity.json has no host or no agents_port");
  return IdentityRecord{std::move(device), text_at("trust_domain"), {std::move(host), port->get<std::uint16_t>()}};
}

Result<EnrolledIdentity> LoadIdentity(const std::filesystem::path& directory) {
  const StateFiles files(directory);
  auto text = ReadText(files.identity);
  if (!text && text.error().code == ErrorCode::kNotFound) {
    return Fail(ErrorCode::kNotFound, "this device has not joined: " + files.identity.string() + " is not there");
  }
  if (!text) return std::unexpected(text.error());
  auto record = ParseIdentityRecord(*text);
  if (!record) return std::unexpected(AsDataLoss(record.error(), directory));
  auto identity = CompleteIdentity(*std::move(record), files);
  if (!identity) return std::unexpected(AsDataLoss(identity.error(), directory));
  return identity;
}

net::ClientOptions ClientOptionsFor(const EnrolledIdentity& identity) {
  net::ClientOptions options;
  options.server = identity.agents;
  options.ca_pem = identity.ca_pem;
  options.client_certificate_pem = identity.certificate_pem;
  options.client_key_pem = identity.key_pem;
  return options;
}

}  // namespace tacit::enrolment
