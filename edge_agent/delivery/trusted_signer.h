#pragma once

#include <filesystem>
#include <utility>
#include <vector>

#include "common/base/result.h"
#include "common/bundle/envelope.h"
#include "common/crypto/signing.h"

namespace tacit::delivery {

/// Whose signature this device believes on models: keys that its owner configured, or else the one that its server
/// named first, over the connection that both had proved who they are on, and no other one from then on.
class TrustedSigner {
 public:
  /// `file` is where the server's key is kept; `pinned`, where there are any, are believed in its place.
  TrustedSigner(std::filesystem::path file, std::vector<crypto::Ed25519PublicKey> pinned)
      : file_(std::move(file)), pinned_(std::move(pinned)) {}

  /// Whom to believe now that the server names `offered`. Errors: kPermissionDenied where that is not the key it was,
  /// or none of the configured ones; kDataLoss where the file holds no key; those of the disk.
  [[nodiscard]] Result<bundle::SignerSet> For(const crypto::Ed25519PublicKey& offered) const;
  /// Whom to believe without asking anybody. Errors: kNotFound where there is nobody yet; as For.
  [[nodiscard]] Result<bundle::SignerSet> Known() const;
  /// Keeps `offered`, if nothing is kept or configured: once something that it signed was found good.
  [[nodiscard]] Result<void> Keep(const crypto::Ed25519PublicKey& offered) const;

 private:
  /// Configured or kept; empty for none.
  [[nodiscard]] Result<std::vector<crypto::Ed25519PublicKey>> Keys() const;

  std::filesystem::path file_;
  std::vector<crypto::Ed25519PublicKey> pinned_;
};

}  // namespace tacit::delivery
