#pragma once

#include <array>
#include <cstdint>

#include "common/base/bytes.h"
#include "common/crypto/secret.h"

namespace tacit::crypto {

using PassPhraseSalt = std::array<std::uint8_t, 16>;

/// A key from what a person may have chosen, slowly, so that trying out many costs as much. The number of steps is not
/// kept beside the salt, where an attacker could change it. Cost: 0.1 to 1 s; no memory worth naming, because a device
/// has little. Source: RFC 8018, section 5.2 (PBKDF2), with HMAC-SHA-256 and 600 000 iterations (OWASP, Password
/// Storage Cheat Sheet, 2023).
SecretKey KeyFromPassPhrase(ByteSpan pass_phrase, const PassPhraseSalt& salt);

}  // namespace tacit::crypto
