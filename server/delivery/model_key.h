#pragma once

#include <filesystem>

#include "common/crypto/signing.h"

namespace tacit::delivery {

/// The key that signs bundles and leases, from its file; made there, mode 0600, where there is none. Devices keep its
/// public half from their first lease on, so that another key in its place stops them: it is to be backed up.
/// Errors: those of the file, naming it; kInvalidArgument for a key of another kind.
Result<crypto::SigningKey> ReadOrMakeModelKey(const std::filesystem::path& path);

}  // namespace tacit::delivery
