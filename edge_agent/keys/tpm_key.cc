#include "edge_agent/keys/tpm_key.h"

#include <optional>
#include <utility>

#include "edge_agent/keys/peer_point.h"
#include "edge_agent/keys/tpm_session.h"

namespace tacit::keys {
namespace {

class TpmKey final : public crypto::AgreementKey {
 public:
  TpmKey(TpmAccess access, TpmKeyRecord record) : access_(std::move(access)), record_(std::move(record)) {}

  [[nodiscard]] const crypto::P256Point& public_key() const override { return record_.public_key; }
  Result<crypto::SecretKey> Agree(const crypto::P256Point& peer) override {
    TACIT_TRY_VOID(CheckPeer(peer));
    TACIT_TRY(const auto session, TpmSession::Open(access_.tss, access_.tcti, record_.parent));
    return session->Agree(record_, peer);
  }

 private:
  TpmAccess access_;
  TpmKeyRecord record_;
};

class TpmCounter final : public MonotonicCounter {
 public:
  TpmCounter(TpmAccess access, const TpmKeyRecord& record, crypto::SecretKey auth)
      : access_(std::move(access)), parent_(record.parent), index_(record.counter), auth_(std::move(auth)) {}

  Result<std::uint64_t> Read() override {
    TACIT_TRY(const auto session, TpmSession::Open(access_.tss, access_.tcti, parent_));
    return session->ReadCounter(index_, auth_);
  }
  Result<void> Increment() override {
    TACIT_TRY(const auto session, TpmSession::Open(access_.tss, access_.tcti, parent_));
    return session->IncrementCounter(index_, auth_);
  }

 private:
  TpmAccess access_;
  TpmName parent_;
  std::uint32_t index_;
  crypto::SecretKey auth_;
};

}  // namespace

Result<TpmKeyRecord> MakeTpmKey(const TpmAccess& access) {
  TACIT_TRY(const auto session, TpmSession::Open(access.tss, access.tcti, std::nullopt));
  return session->MakeKey();
}

std::unique_ptr<crypto::AgreementKey> UseTpmKey(TpmAccess access, TpmKeyRecord record) {
  return std::make_unique<TpmKey>(std::move(access), std::move(record));
}

Result<std::uint32_t> MakeTpmCounter(const TpmAccess& access, const TpmKeyRecord& record,
                                     const crypto::SecretKey& auth) {
  TACIT_TRY(const auto session, TpmSession::Open(access.tss, access.tcti, record.parent));
  return session->DefineCounter(auth);
}

std::unique_ptr<MonotonicCounter> UseTpmCounter(TpmAccess access, const TpmKeyRecord& record, crypto::SecretKey auth) {
  return std::make_unique<TpmCounter>(std::move(access), record, std::move(auth));
}

}  // namespace tacit::keys
