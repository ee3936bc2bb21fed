#pragma once

#include <filesystem>
#include <optional>

#include "common/base/clock.h"
#include "common/crypto/certificate.h"
#include "server/app/config.h"
#include "server/doctor/finding.h"

// The single looks. Private to server/doctor.
namespace tacit::doctor {

Findings CheckCertificates(const app::ServerConfig& config, WallTime now);
Findings CheckLimits(const app::ServerConfig& config);
Findings CheckDisk(const app::ServerConfig& config);
/// Asks the issuer of identity tokens for its keys; nothing where none is configured.
Findings CheckIssuer(const app::ServerConfig& config);
Findings CheckStore(const app::ServerConfig& config, const Clock& clock);
/// Nothing for a file that cannot be read: the check of the configuration says why.
std::optional<crypto::Certificate> ReadCertificate(const std::filesystem::path& path);
/// `file` is the configuration's own, for what to try next.
Findings CheckPorts(const app::ServerConfig& config, const std::filesystem::path& file);

}  // namespace tacit::doctor
