#pragma once

#include <string_view>

#include "common/crypto/openssl.h"

namespace tacit::crypto {

/// Sets the only entry of `name`. Errors: kInvalidArgument when `common_name` is empty or over 64 bytes.
Result<void> SetCommonName(X509_NAME* name, std::string_view common_name);

/// The public key of a PKCS #10 request, after its self-signature and the kind of key were checked.
/// Errors: kMalformed, kTooLarge (16 KiB), kInvalidArgument.
Result<PkeyPtr> ReadCsrKey(std::string_view csr_pem);

}  // namespace tacit::crypto
