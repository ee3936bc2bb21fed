#pragma once

#include <memory>
#include <string>

#include "common/crypto/agreement_key.h"
#include "edge_agent/keys/counter.h"
#include "edge_agent/keys/key_record.h"
#include "edge_agent/keys/tss_library.h"

namespace tacit::keys {

/// How a TPM is reached.
struct TpmAccess {
  TssLibrary tss;
  std::string tcti;
};

/// Makes a key in the TPM. The record has no counter yet. Errors: as TpmSession.
Result<TpmKeyRecord> MakeTpmKey(const TpmAccess& access);

/// A key that works inside the TPM. Each call is a connection of its own, so that nothing stays loaded and a TPM that
/// was away is found again. Cost: five commands.
std::unique_ptr<crypto::AgreementKey> UseTpmKey(TpmAccess access, TpmKeyRecord record);

/// Makes a counter in the TPM, for who knows `auth`. Errors: as TpmSession.
Result<std::uint32_t> MakeTpmCounter(const TpmAccess& access, const TpmKeyRecord& record,
                                     const crypto::SecretKey& auth);
/// The counter of a record.
std::unique_ptr<MonotonicCounter> UseTpmCounter(TpmAccess access, const TpmKeyRecord& record, crypto::SecretKey auth);

}  // namespace tacit::keys
