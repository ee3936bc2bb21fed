#pragma once

#include <filesystem>
#include <memory>

#include "common/crypto/agreement_key.h"
#include "edge_agent/keys/key_record.h"

namespace tacit::keys {

/// A key in the memory of this process, and the record that it is kept as.
struct FileKey {
  std::unique_ptr<crypto::AgreementKey> key;
  KeyRecord record;
};

/// Makes a key. `secret` is the file that seals it; empty: nothing does.
/// Errors: kInvalidArgument for a secret of under 16 bytes; those of the file (ReadSecretFile).
Result<FileKey> MakeFileKey(const std::filesystem::path& secret);

/// Errors: kConflict for a key that was kept in clear while `secret` should seal it; kPermissionDenied for a sealed one
///   without its secret; kDataLoss where the secret is another, or the record was changed; those of the file.
Result<std::unique_ptr<crypto::AgreementKey>> UseFileKey(const KeyRecord& record, const std::filesystem::path& secret);

}  // namespace tacit::keys
