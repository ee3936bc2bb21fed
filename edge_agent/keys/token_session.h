#pragma once

#include <memory>
#include <string>

#include "common/crypto/agreement_key.h"
#include "common/crypto/secret.h"
#include "edge_agent/keys/cryptoki.h"
#include "edge_agent/keys/key_place.h"
#include "edge_agent/keys/key_record.h"
#include "edge_agent/keys/refused_pin.h"

namespace tacit::keys {

/// A session with a token, logged in. Threads: one at a time.
class TokenSession {
 public:
  /// Finds the token by its label and logs in, once. Errors: kUnavailable where there is no such token;
  ///   kPermissionDenied where the PIN is wrong, was refused before, is locked, or has one try left, which is a
  ///   person's to use; those of the PIN file.
  static Result<std::unique_ptr<TokenSession>> Open(const TokenPlace& place, const RefusedPin& refused);

  TokenSession(const TokenSession&) = delete;
  TokenSession& operator=(const TokenSession&) = delete;
  ~TokenSession();

  /// Makes a P-256 key that can only agree, and cannot be taken out of the token.
  Result<TokenKeyRecord> MakeKey();
  /// `peer` was checked (CheckPeer). Errors: kDataLoss where the token has no such key; kUnavailable.
  Result<crypto::SecretKey> Agree(const TokenKeyRecord& key, const crypto::P256Point& peer);
  /// Whether the token says that the key cannot leave it. Errors: as Agree.
  Result<bool> IsHeld(const TokenKeyRecord& key);

 private:
  explicit TokenSession(Cryptoki module) : module_(std::move(module)) {}
  Result<CK_SLOT_ID> FindSlot(const std::string& label) const;
  Result<void> LogIn(CK_SLOT_ID slot, const TokenPlace& place, const RefusedPin& refused);
  Result<CK_OBJECT_HANDLE> Find(const TokenKeyRecord& key);
  Result<crypto::P256Point> PublicKey(CK_OBJECT_HANDLE object);
  Result<crypto::SecretKey> TakeValue(CK_OBJECT_HANDLE object);
  [[nodiscard]] const CK_FUNCTION_LIST& api() const { return module_.functions(); }

  Cryptoki module_;
  CK_SESSION_HANDLE session_ = CK_INVALID_HANDLE;
};

}  // namespace tacit::keys
