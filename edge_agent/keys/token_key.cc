#include "edge_agent/keys/token_key.h"

#include <utility>

#include "edge_agent/keys/peer_point.h"

namespace tacit::keys {

Result<TokenSession*> TokenKey::Session() {
  if (session_ == nullptr) {
    TACIT_TRY(session_, TokenSession::Open(place_, refused_));
  }
  return session_.get();
}

Result<TokenKeyRecord> TokenKey::Make() {
  TACIT_TRY(TokenSession* const session, Session());
  TACIT_TRY(record_, session->MakeKey());
  return record_;
}

Result<bool> TokenKey::IsHeld() {
  TACIT_TRY(TokenSession* const session, Session());
  return session->IsHeld(record_);
}

Result<crypto::SecretKey> TokenKey::Agree(const crypto::P256Point& peer) {
  TACIT_TRY_VOID(CheckPeer(peer));
  TACIT_TRY(TokenSession* const session, Session());
  auto secret = session->Agree(record_, peer);
  // The next call begins with a new session: this one may have ended with the token.
  if (!secret && secret.error().code == ErrorCode::kUnavailable) session_.reset();
  return secret;
}

}  // namespace tacit::keys
