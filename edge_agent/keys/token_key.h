#pragma once

#include <filesystem>
#include <memory>

#include "common/crypto/agreement_key.h"
#include "edge_agent/keys/key_place.h"
#include "edge_agent/keys/key_record.h"
#include "edge_agent/keys/token_session.h"

namespace tacit::keys {

/// A key that works inside a token.
class TokenKey final : public crypto::AgreementKey {
 public:
  /// `marker` is the file in which a refused PIN is remembered.
  TokenKey(TokenPlace place, std::filesystem::path marker)
      : refused_(place.pin_file, std::move(marker)), place_(std::move(place)) {}

  /// Makes the key, instead of using one that is there. Errors: as TokenSession.
  Result<TokenKeyRecord> Make();
  void Use(const TokenKeyRecord& record) { record_ = record; }
  /// Whether the token says that the key cannot leave it. Errors: as TokenSession.
  Result<bool> IsHeld();

  [[nodiscard]] const crypto::P256Point& public_key() const override { return record_.public_key; }
  /// Logs in where that was not done yet, or the token was away since the last call.
  Result<crypto::SecretKey> Agree(const crypto::P256Point& peer) override;

 private:
  Result<TokenSession*> Session();
  RefusedPin refused_;
  TokenPlace place_;
  TokenKeyRecord record_{};
  std::unique_ptr<TokenSession> session_;
};

}  // namespace tacit::keys
