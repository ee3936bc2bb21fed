#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/crypto/agreement_key.h"
#include "common/crypto/secret.h"
#include "edge_agent/keys/key_record.h"
#include "edge_agent/keys/tss_library.h"

namespace tacit::keys {

/// A connection to a TPM with an authorisation session whose secrets are encrypted to its storage key, so that who
/// listens on the bus learns neither a shared secret nor an authorisation value, and cannot change an answer. All that
/// it loads is flushed at its end: a TPM without a resource manager has room for three objects.
///
/// The storage key is made anew from the TPM's seed for owners each time, which gives the same key until the TPM is
/// cleared; the owner's authorisation must be empty. Threads: one at a time.
/// Source: TPM 2.0 library, revision 1.59, part 1, sections 19 and 21; TCG TPM 2.0 provisioning guidance, section 7.5.1
/// (the template).
class TpmSession {
 public:
  /// `parent` is what the storage key must be; absent, any is taken, and Parent() tells.
  /// Errors: kUnavailable where nothing answers; kDataLoss for another TPM than the one that the name is of;
  ///   kPermissionDenied where the owner's authorisation is not empty.
  static Result<std::unique_ptr<TpmSession>> Open(const TssLibrary& tss, const std::string& tcti,
                                                  const std::optional<TpmName>& parent);

  TpmSession(const TpmSession&) = delete;
  TpmSession& operator=(const TpmSession&) = delete;
  ~TpmSession();

  /// The name of the storage key.
  [[nodiscard]] Result<TpmName> Parent() const;

  /// Makes a P-256 key that can only agree, and never leaves this TPM. The record has no counter yet.
  Result<TpmKeyRecord> MakeKey();
  /// Errors: kInvalidArgument where `peer` is no point of the curve; kDataLoss for a record that is damaged.
  Result<crypto::SecretKey> Agree(const TpmKeyRecord& key, const crypto::P256Point& peer);

  /// Makes a counter that only who knows `auth` can read and increase, and returns its index. It goes on from the
  /// highest that any counter of this TPM had. Source: part 3, section 31.3.
  Result<std::uint32_t> DefineCounter(const crypto::SecretKey& auth);
  /// Errors: kDataLoss where there is no such counter; kPermissionDenied where another `auth` was set for it.
  Result<std::uint64_t> ReadCounter(std::uint32_t index, const crypto::SecretKey& auth);
  Result<void> IncrementCounter(std::uint32_t index, const crypto::SecretKey& auth);

 private:
  explicit TpmSession(const TssLibrary& tss) : tss_(tss) {}
  Result<void> Connect(const std::string& tcti);
  Result<void> MakeParent();
  Result<void> StartSession();
  Result<void> Use(TPMA_SESSION attributes);
  Result<ESYS_TR> Load(const TpmKeyRecord& key);
  Result<ESYS_TR> FindCounter(std::uint32_t index, const crypto::SecretKey& auth);
  Result<void> TryDefine(std::uint32_t index, const crypto::SecretKey& auth);

  TssLibrary tss_;
  TSS2_TCTI_CONTEXT* tcti_ = nullptr;
  ESYS_CONTEXT* context_ = nullptr;
  ESYS_TR parent_ = ESYS_TR_NONE;
  ESYS_TR session_ = ESYS_TR_NONE;
  std::vector<ESYS_TR> loaded_;
};

}  // namespace tacit::keys
